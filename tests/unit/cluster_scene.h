/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage of tests/replay/cluster: programs on one side, hosts on the other, and between them all of
 * the bridge but its doors: exchanges (downstream.h), clusters, pools, outlier detection, dialing and
 * the resolver. Streams are memory, answers to names the script's, and time moves when it says so.
 */
#ifndef TESTS_UNIT_CLUSTER_SCENE_H
#define TESTS_UNIT_CLUSTER_SCENE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "replay_script.h"
#include "shim/bridge/downstream.h"

#define ATTEMPTS 128
#define PROGRAMS 128
#define NAMES	 8

/* A connection that the bridge has begun. */
struct scene_attempt {
	struct connection *connection; /* valid until `ours` is closed */
	struct io *ours, *host;	       /* the bridge's end, the host's */
	char address[128];
	char name[32];	 /* what the script calls it; "": it has not spoken of it */
	bool spoken_of;
};

struct scene_program {
	char name[32];
	struct io *end, *down; /* its end, the bridge's; NULL: it has reset it */
	struct downstream *downstream; /* valid until `down` is closed */
};

/* What a look-up of a name finds from now on. */
struct scene_name {
	char name[128];
	struct addresses found; /* n of 0: it fails */
	unsigned asked;
};

struct scene {
	const struct script *script;
	const struct part *part;
	size_t limit; /* bytes that a stream moves at a time; 0: all */
	struct rules *rules;
	struct loop loop;
	struct downstreams all;
	struct scene_attempt attempts[ATTEMPTS];
	size_t n_attempts;
	struct scene_program programs[PROGRAMS];
	size_t n_programs;
	struct scene_name names[NAMES];
	size_t n_names;
	uint32_t randoms[16]; /* what hosts are chosen by next; then 0 */
	int n_randoms, next_random;
};

extern struct scene scene;

/* End the test, with the place in the script. */
void scene_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

void scene_open(const struct script *script, size_t limit);

/* Everything ends; whatever was said and not heard by the script fails it. */
void scene_close(void);

/* Let happen what happens without time. */
void scene_settle(void);

/* Time passes, from one timer to the next. */
void scene_advance(uint64_t ms);

/* A name, as far as the script has one. */
struct scene_name *scene_name(const char *name);

/* A program connects. */
struct scene_program *scene_connect(const char *name, const char *host, uint16_t port);

/* It resets its connection. */
void scene_gone(struct scene_program *program);

/* Say it; hear exactly this. */
void scene_say(struct io *end, const char *text, size_t len);
void scene_hear(struct io *end, const char *text, size_t len);

/* The oldest attempt that the script has not spoken of. NULL: there is none. */
struct scene_attempt *scene_next_attempt(void);

#endif
