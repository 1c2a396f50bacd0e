/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the program, as the bridge's loop serves it: ties an exchange to a socket, the
 * pool, dialing and the loop's timers.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_DOWNSTREAM_H
#define SHIM_BRIDGE_DOWNSTREAM_H

#include <stdint.h>

#include "shim/bridge/dial.h"
#include "shim/bridge/door.h"
#include "shim/bridge/pool.h"

/* What all of them share; outlives them. */
struct downstreams {
	struct loop *loop;
	struct pool *pool;
	struct dial_env dial;
	uint64_t random; /* state of a generator, not zero */
	struct downstream *list;
};

/* Serve a connection until it ends. Takes over the descriptor and what the claim holds, on failure
 * too. */
void downstream_start(struct downstreams *all, int fd, const struct claim *claim);

/* Close all of them. For tests. */
void downstreams_close(struct downstreams *all);

#endif
