/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers. Each is a thread with connections of its own: one blocking connection, one blocking
 * connection for each request, or several under an epoll set. With a single worker the process has
 * a single thread, as a program of that kind would.
 *
 * When the window is over, requests that are under way are finished and checked, not cut off: the
 * proxies' connections stay as they are for the next run.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/client.h"

#define ERRORS_MAX 10 /* of a worker: then it gives up */

/* A request is done. Whether another one is wanted. */
static bool completed(struct worker *worker, const struct talk *talk)
{
	struct window *window = worker->window;
	uint64_t now = stat_now();

	if (now >= window->begin && now < window->end) {
		/* Not counted is what the keeper's first look at the time ends. */
		if (worker->keeper && !window->begun) {
			usage_take(&window->at_begin, worker->settings);
			window->begun = true;
		} else {
			worker->requests++;
			histogram_add(&worker->histogram, now - talk->started);
		}
	}
	if (worker->settings->count)
		return --worker->left > 0;
	if (worker->keeper && now >= window->end && !window->over) {
		usage_take(&window->at_end, worker->settings);
		window->over = true;
	}
	return !window->over;
}

/* A request failed. Whether to try another one. */
static bool failed(struct worker *worker, struct talk *talk)
{
	stream_close(&talk->stream);
	if (++worker->errors < ERRORS_MAX && !worker->window->over)
		return true;
	worker->window->over = true;
	return false;
}

static void run_blocking(struct worker *worker, struct talk *talk)
{
	const struct settings *settings = worker->settings;
	bool more = true;

	while (more) {
		talk_begin(talk);
		if ((talk->stream.fd < 0 && stream_open(&talk->stream, settings, true) < 0) ||
		    talk_step(talk, settings, worker->buffer) != TALK_DONE) {
			more = failed(worker, talk);
			continue;
		}
		more = completed(worker, talk);
		if (settings->fresh)
			stream_close(&talk->stream);
	}
	stream_close(&talk->stream);
}

/* Have epoll wait for what the talk waits for; told only when that is new. */
static void wait_for(int set, struct talk *talk, unsigned interest)
{
	struct epoll_event event = {.events = interest, .data.ptr = talk};

	if (talk->interest != interest)
		epoll_ctl(set, talk->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, talk->stream.fd,
			  &event);
	talk->interest = interest;
}

/* Go on with a talk until it has to wait. False: it has ended. */
static bool advance(struct worker *worker, int set, struct talk *talk)
{
	const struct settings *settings = worker->settings;

	for (;;) {
		if (talk->stream.fd < 0) {
			talk->interest = 0;
			talk_begin(talk);
			if (stream_open(&talk->stream, settings, false) < 0) {
				if (!failed(worker, talk))
					return false;
				continue;
			}
		}
		switch (talk_step(talk, settings, worker->buffer)) {
		case TALK_READ:
			wait_for(set, talk, EPOLLIN);
			return true;
		case TALK_WRITE:
			wait_for(set, talk, EPOLLOUT);
			return true;
		case TALK_DONE:
			if (!completed(worker, talk))
				return false;
			talk_begin(talk);
			break;
		case TALK_FAILED:
			if (!failed(worker, talk))
				return false;
		}
	}
}

static void run_epoll(struct worker *worker, struct talk *talks)
{
	struct epoll_event events[64];
	int set = epoll_create1(EPOLL_CLOEXEC), running = 0;

	for (int i = 0; i < worker->settings->connections; i++)
		running += advance(worker, set, &talks[i]);
	while (running) {
		int n = epoll_wait(set, events, 64, -1);

		for (int i = 0; i < n; i++)
			running -= !advance(worker, set, events[i].data.ptr);
		if (n < 0 && errno != EINTR)
			break;
	}
	for (int i = 0; i < worker->settings->connections; i++)
		stream_close(&talks[i].stream);
	close(set);
}

void *worker_run(void *arg)
{
	struct worker *worker = arg;
	int n = worker->settings->connections;
	struct talk *talks = calloc((size_t)n, sizeof(*talks));

	worker->left = worker->settings->count;
	worker->buffer = malloc(BUFFER);
	if (talks && worker->buffer) {
		for (int i = 0; i < n; i++)
			talks[i].stream.fd = -1;
		if (worker->settings->epoll)
			run_epoll(worker, talks);
		else
			run_blocking(worker, talks);
	} else {
		worker->errors++;
	}
	free(worker->buffer);
	free(talks);
	return NULL;
}
