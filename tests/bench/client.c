/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: load for the benchmark, and the numbers that come of it.
 *
 *   client [-n NAME -a CA [-r]] [-H AUTHORITY] [-p] [-s SIZE] [-e] [-c N] [-j N] [-f]
 *          [-w MS] [-d MS] [-N COUNT] [-C LABEL=PID,...] HOST PORT PATH
 *   client -i|-I [...] HOST PORT PATH
 *
 *   -n -a   TLS by the client itself: the name to verify, and the authority to trust
 *   -r      resume TLS sessions; without it each handshake is a full one
 *   -H      the Host field; default: HOST
 *   -p      POST a body of SIZE bytes and want a 204; default: GET, and want a body of SIZE bytes
 *   -e -c   non-blocking under epoll, N connections; default: one blocking connection
 *   -j      N threads, each with -c connections
 *   -f      a new connection for each request (blocking)
 *   -w -d   warm up for MS milliseconds, then measure for MS milliseconds
 *   -N      instead: COUNT requests by each thread, all of them counted
 *   -C      the CPU time of these processes, too
 *   -i      instead: what -c idle connections hold of memory that had their requests at once
 *   -I      the same when they had them in turn
 *
 * One line: requests=N seconds=S p50=US p99=US user=US system=US LABEL=US... errors=N, the CPU
 * times of the whole window and of all threads of this process, preloaded ones included. An answer
 * that is not the one asked for, to the byte, is an error; with errors the exit status is 1.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/client.h"

#define THREADS_MAX 64

void complain(const char *format, ...)
{
	static atomic_int said;
	va_list args;

	if (atomic_fetch_add(&said, 1) >= 3)
		return;
	va_start(args, format);
	fputs("client: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

static void report(const struct settings *settings, const struct window *window,
		   const struct worker *workers)
{
	static struct histogram all;
	const struct usage *from = &window->at_begin, *to = &window->at_end;
	uint64_t requests = 0, errors = 0;

	for (int i = 0; i < settings->threads; i++) {
		histogram_merge(&all, &workers[i].histogram);
		requests += workers[i].requests;
		errors += workers[i].errors;
	}
	printf("requests=%lu seconds=%.6f p50=%.2f p99=%.2f user=%.1f system=%.1f",
	       (unsigned long)requests, (double)(to->now - from->now) / 1e9,
	       (double)histogram_quantile(&all, 0.5) / 1e3,
	       (double)histogram_quantile(&all, 0.99) / 1e3, (double)(to->user - from->user) / 1e3,
	       (double)(to->system - from->system) / 1e3);
	for (int i = 0; i < settings->n_watches; i++)
		printf(" %s=%.1f", settings->watches[i].label,
		       (double)(to->watched[i] - from->watched[i]) / 1e3);
	printf(" errors=%lu\n", (unsigned long)errors);
}

/* An exit status. */
static int run(const struct settings *settings)
{
	struct worker *workers = calloc((size_t)settings->threads, sizeof(*workers));
	pthread_t threads[THREADS_MAX];
	struct window window = {.end = UINT64_MAX};
	int status = 0;

	if (!workers)
		return 1;
	if (settings->count) {
		/* From the first byte to the last. */
		usage_take(&window.at_begin, settings);
		window.begun = true;
	} else {
		window.begin = stat_now() + (uint64_t)settings->warm_ms * 1000000;
		window.end = window.begin + (uint64_t)settings->run_ms * 1000000;
	}
	for (int i = 0; i < settings->threads; i++) {
		workers[i].settings = settings;
		workers[i].window = &window;
		workers[i].keeper = i == 0;
		if (i && pthread_create(&threads[i], NULL, worker_run, &workers[i]) != 0)
			return 1;
	}
	worker_run(&workers[0]);
	for (int i = 1; i < settings->threads; i++)
		pthread_join(threads[i], NULL);
	if (settings->count)
		usage_take(&window.at_end, settings);
	report(settings, &window, workers);
	for (int i = 0; i < settings->threads; i++)
		status |= workers[i].errors || (i == 0 && !workers[i].requests);
	free(workers);
	return status;
}

static int usage(void)
{
	fputs("usage: client [-n NAME -a CA [-r]] [-H AUTHORITY] [-p] [-s SIZE] [-e] [-c N] [-j N] "
	      "[-f] [-i|-I]\n              [-w MS] [-d MS] [-N COUNT] [-C LABEL=PID,...] HOST PORT "
	      "PATH\n",
	      stderr);
	return 2;
}

static int parse_numbers(struct settings *settings, int option)
{
	char *end;
	long n = strtol(optarg, &end, 10);

	if (end == optarg || *end || n < 0)
		return -1;
	switch (option) {
	case 's':
		settings->size = (size_t)n;
		return 0;
	case 'c':
		settings->connections = (int)n;
		return n > 0 && n < 10000 ? 0 : -1;
	case 'j':
		settings->threads = (int)n;
		return n > 0 && n <= THREADS_MAX ? 0 : -1;
	case 'w':
		settings->warm_ms = n;
		return 0;
	case 'd':
		settings->run_ms = n;
		return 0;
	default:
		settings->count = n;
		return 0;
	}
}

static int parse(struct settings *settings, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "n:a:rH:ps:ec:j:fiIw:d:N:C:")) != -1)
		switch (option) {
		case 'n':
			settings->name = optarg;
			break;
		case 'a':
			settings->ca = optarg;
			break;
		case 'r':
			settings->resume = true;
			break;
		case 'H':
			settings->authority = optarg;
			break;
		case 'p':
			settings->post = true;
			break;
		case 'e':
			settings->epoll = true;
			break;
		case 'f':
			settings->fresh = true;
			break;
		case 'I':
			settings->in_turn = true;
			/* fall through */
		case 'i':
			settings->idle = true;
			break;
		case 'C':
			if (settings->n_watches == WATCH_MAX ||
			    watch_parse(&settings->watches[settings->n_watches++], optarg) < 0)
				return -1;
			break;
		case '?':
			return -1;
		default:
			if (parse_numbers(settings, option) < 0)
				return -1;
		}
	if (argc - optind != 3 || !settings->name != !settings->ca ||
	    (settings->connections > 1 && !settings->epoll && !settings->idle) ||
	    (settings->fresh && settings->epoll))
		return -1;
	settings->host = argv[optind];
	settings->port = argv[optind + 1];
	settings->path = argv[optind + 2];
	if (!settings->authority)
		settings->authority = settings->host;
	return 0;
}

int main(int argc, char **argv)
{
	static struct settings settings = {
	    .connections = 1, .threads = 1, .size = 1024, .warm_ms = 100, .run_ms = 500};
	int status;

	signal(SIGPIPE, SIG_IGN);
	if (parse(&settings, argc, argv) < 0)
		return usage();
	if (stream_prepare(&settings) < 0 || talk_prepare(&settings) < 0)
		return 1;
	status = settings.idle ? idle_run(&settings) : run(&settings);
	free(settings.request);
	SSL_CTX_free(settings.tls);
	return status;
}
