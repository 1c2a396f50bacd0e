/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage on which a replay is played: an exchange whose surroundings (struct exchange_ops) are the
 * script's to decide, over memory, with a clock that only the script moves.
 */
#ifndef TESTS_UNIT_REPLAY_STAGE_H
#define TESTS_UNIT_REPLAY_STAGE_H

#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "replay_script.h"
#include "shim/bridge/exchange.h"

#define MIRRORS 8

/* A copy of a request that goes to a mirror. */
struct copy {
	const struct cluster *cluster;
	char server_name[256];
	struct io *stream; /* our end */
	struct io *up;	   /* the exchange's; it closes it */
	bool seen;	   /* a script has named it */
};

struct stage {
	const struct script *script;
	const struct part *part;
	size_t split, limit;
	struct rules *rules;
	struct exchange *exchange;
	struct io *program, *down;
	struct io *server; /* the origin's end of the present upstream connection */
	struct io *up;
	struct upstream upstream;
	bool acquiring, released, reusable;
	bool announced; /* the next acquire() as a retry; not for ever */
	size_t carried; /* bytes, by the upstream connection that was released */
	struct acquisition wish; /* its texts are in the two below */
	char server_name[256], dynamic[256];
	enum exchange_result result;
	uint64_t now, timer; /* ms; the latter 0: not set */
	uint32_t randoms[16]; /* what is drawn next; then 0 */
	int n_randoms, next_random;
	int reports[16]; /* outcomes that the script has not asked for */
	int n_reports;
	bool unseen, acked, no_retry;
	struct copy copies[MIRRORS];
	int n_copies;
	size_t mirror_room; /* bytes that one holds; 0: 65536 */
	struct in6_addr address;
	struct cluster direct; /* past the rules */
};

#define stage_fail(s, ...)                                                                         \
	do {                                                                                       \
		char what[512];                                                                    \
		snprintf(what, sizeof(what), __VA_ARGS__);                                         \
		ck_abort_msg("%s:%d: (split %zu, limit %zu) %s", (s)->script->file,                \
			     (s)->part->line, (s)->split, (s)->limit, what);                       \
	} while (0)

extern const struct exchange_ops stage_ops;

/* Drive the exchange until nothing moves any more, as the loop's edges would. */
void stage_drive(struct stage *s);

/* Time has passed, and no timer that the exchange set: it has nothing to do. */
void stage_expect_calm(struct stage *s);

/* Write a message to one end, in pieces as the present run says. */
void stage_feed(struct stage *s, struct io *to, const char *text, size_t len);

/* Exactly this arrives there, and nothing behind it. */
void stage_expect(struct stage *s, struct io *from, const char *text, size_t len);

/* The stream has ended. */
void stage_expect_end(struct stage *s, struct io *from);

#endif
