/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the program, as the bridge's loop serves it: ties an exchange to a socket,
 * clusters and the loop's timers.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_DOWNSTREAM_H
#define SHIM_BRIDGE_DOWNSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/bridge/cluster.h"
#include "shim/bridge/door.h"

/* What all of them share; outlives them. */
struct downstreams {
	struct loop *loop;
	struct clusters clusters;
	struct cluster_env env; /* what they need: of downstreams_init()'s making */
	struct dial_env dial;
	struct resolver *resolver;
	uint64_t random; /* state of a generator, not zero */
	struct downstream *list;
	unsigned n_copies; /* of them, for mirrors */
	struct door *door; /* NULL: in tests; no connection is served early */
	int self;	   /* a pidfd of this process; -1: it cannot be had */
	struct twins twins;
	struct downstream *fast; /* of them, those with a request under way on the program's threads */
	bool was_fast;		 /* there was one since the last look */
	struct timer look;
	unsigned looks; /* so many */
};

/* `dial.free_descriptor` is the caller's to set. Returns 0 or -1 with `err`. */
int downstreams_init(struct downstreams *all, struct loop *loop, uint64_t random, struct err *err);

/* Serve a connection until it ends. Takes over the descriptor and what the claim holds, on failure
 * too. */
void downstream_start(struct downstreams *all, int fd, const struct claim *claim);

/*
 * Serve a connection that has not been accepted: on the program's threads, until it is. Takes over what the claim
 * holds. NULL: it cannot be served, and will be closed when it comes.
 */
struct downstream *downstream_start_early(struct downstreams *all, struct door_entry *entry,
					  const struct sockaddr *local, const struct claim *claim);

/* It has been accepted. The descriptor is taken over. */
void downstream_attach(struct downstream *downstream, int fd);

/*
 * Serve any stream, which nothing watches: for tests. To be driven after every event on it, as long as
 * it is open; `gone`: it was a reset. Taken over, as what the claim holds is, on failure (NULL) too.
 */
struct downstream *downstream_over(struct downstreams *all, struct io *io, const struct claim *claim);
void downstream_drive(struct downstream *downstream, bool gone);

/* Close all of them. For tests. */
void downstreams_close(struct downstreams *all);

#endif
