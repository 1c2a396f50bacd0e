/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_stage.h"

#include <stdlib.h>
#include <string.h>

#include "memory_io.h"

static void op_acquire(struct exchange *exchange, const struct acquisition *wish)
{
	struct stage *s = exchange_env(exchange);

	/* A stale connection is not a retry of the policy's, but may come in the middle of one. */
	ck_assert(!wish->attempt || wish->fresh || s->announced);
	s->acquiring = true;
	s->announced = false;
	s->wish = *wish;
	snprintf(s->server_name, sizeof(s->server_name), "%s", wish->server_name);
	snprintf(s->dynamic, sizeof(s->dynamic), "%s", wish->dynamic ? wish->dynamic : "");
}

static void op_cancel(struct exchange *exchange)
{
	struct stage *s = exchange_env(exchange);

	s->acquiring = s->announced = false;
}

static void op_release(struct exchange *exchange, struct upstream *upstream, bool reusable,
		       bool reset)
{
	struct stage *s = exchange_env(exchange);

	s->released = true;
	s->reusable = reusable;
	s->carried = memory_io_written(upstream->io);
	io_close(upstream->io, reset);
	s->up = NULL;
}

static void op_report(struct exchange *exchange, struct upstream *upstream, int outcome)
{
	struct stage *s = exchange_env(exchange);

	(void)upstream;
	if (s->n_reports < 16)
		s->reports[s->n_reports++] = outcome;
}

static bool op_may_retry(struct exchange *exchange, const struct cluster *cluster)
{
	(void)cluster;
	return !((struct stage *)exchange_env(exchange))->no_retry;
}

static void op_retry(struct exchange *exchange)
{
	((struct stage *)exchange_env(exchange))->announced = true;
}

static bool op_unseen(struct exchange *exchange, struct upstream *upstream)
{
	(void)upstream;
	return ((struct stage *)exchange_env(exchange))->unseen;
}

static bool op_unacked(struct exchange *exchange, struct upstream *upstream)
{
	(void)upstream;
	return !((struct stage *)exchange_env(exchange))->acked;
}

static struct io *op_mirror(struct exchange *exchange, const struct cluster *cluster,
			    const char *server_name)
{
	struct stage *s = exchange_env(exchange);
	struct copy *copy = &s->copies[s->n_copies];
	struct io *ends[2];

	if (s->n_copies == MIRRORS)
		return NULL;
	s->n_copies++;
	copy->cluster = cluster;
	snprintf(copy->server_name, sizeof(copy->server_name), "%s", server_name);
	memory_io_pair(ends, s->mirror_room ? s->mirror_room : 65536);
	copy->stream = ends[0];
	return copy->up = ends[1];
}

static uint32_t op_random(struct exchange *exchange)
{
	struct stage *s = exchange_env(exchange);

	return s->next_random < s->n_randoms ? s->randoms[s->next_random++] : 0;
}

static uint64_t op_now(struct exchange *exchange)
{
	return ((struct stage *)exchange_env(exchange))->now;
}

static void op_timer(struct exchange *exchange, uint64_t ms)
{
	struct stage *s = exchange_env(exchange);

	s->timer = ms ? s->now + ms : 0;
}

const struct exchange_ops stage_ops = {
    .acquire = op_acquire,
    .cancel = op_cancel,
    .release = op_release,
    .report = op_report,
    .may_retry = op_may_retry,
    .retry = op_retry,
    .unseen = op_unseen,
    .unacked = op_unacked,
    .mirror = op_mirror,
    .random = op_random,
    .now = op_now,
    .timer = op_timer,
};

void stage_drive(struct stage *s)
{
	if (s->result == EXCHANGE_DONE)
		return;
	/* With a limit on what one call moves, one event is not enough: whatever moved calls for
	 * another look, as the loop's edges would. */
	for (int calm = 0; calm < 2;) {
		size_t before = memory_io_written(s->down) + memory_io_waiting(s->down) +
				(s->up ? memory_io_written(s->up) + memory_io_waiting(s->up) : 0);

		s->result = exchange_drive(s->exchange);
		if (s->result == EXCHANGE_DONE) {
			exchange_free(s->exchange);
			s->exchange = NULL;
			return;
		}
		size_t after = memory_io_written(s->down) + memory_io_waiting(s->down) +
			       (s->up ? memory_io_written(s->up) + memory_io_waiting(s->up) : 0);
		calm = before == after && s->result == EXCHANGE_WAIT ? calm + 1 : 0;
	}
}

void stage_expect_calm(struct stage *s)
{
	if (!s->exchange)
		return;
	const char *step = exchange_step(s->exchange);
	size_t down = memory_io_written(s->down), up = s->up ? memory_io_written(s->up) : 0;
	bool acquiring = s->acquiring;

	stage_drive(s);
	if (!s->exchange || strcmp(exchange_step(s->exchange), step) ||
	    memory_io_written(s->down) != down || (s->up ? memory_io_written(s->up) : 0) != up ||
	    s->acquiring != acquiring)
		stage_fail(s, "in step %s a time came for which no timer was set", step);
}

/* Write a message, in pieces as the present run says. */
void stage_feed(struct stage *s, struct io *to, const char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len - done;

		if (s->split && done < s->split % len)
			piece = s->split % len - done;
		ssize_t n = io_write(to, text + done, piece);
		if (n == IO_ERR)
			return; /* the other end is closed: what follows tells whether it may be */
		if (n > 0)
			done += (size_t)n;
		stage_drive(s);
		if (n < 0 && s->result == EXCHANGE_DONE)
			return;
	}
	stage_drive(s);
}

void stage_expect(struct stage *s, struct io *from, const char *text, size_t len)
{
	char *got = malloc(len + 65536);
	size_t n_got = 0;

	for (int idle = 0; idle < 2;) {
		ssize_t n = io_read(from, got + n_got, len + 65536 - n_got);

		if (n > 0)
			n_got += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		stage_drive(s);
	}
	if (n_got != len || (len && memcmp(got, text, len)))
		stage_fail(s, "expected %zu bytes:\n%.*s\ngot %zu bytes:\n%.*s", len,
			   (int)(len > 180 ? 180 : len), text, n_got,
			   (int)(n_got > 180 ? 180 : n_got), got);
	free(got);
}

void stage_expect_end(struct stage *s, struct io *from)
{
	char byte;
	ssize_t n = io_read(from, &byte, 1);

	if (n != IO_EOF)
		stage_fail(s, "expected the end of the stream, got %zd", n);
}
