/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle upstream connections. Their owners (lane.h) keep lists of those that are alike; the pool
 * bounds the number of all of them, and has those leave that their peer closes, that say something
 * unasked, or that idle for too long.
 *
 * Closing a connection tells its cluster (connection.h), which may then have no use for the list:
 * whoever passes a list here keeps it alive over the call.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_POOL_H
#define SHIM_BRIDGE_POOL_H

#include <stdbool.h>

#include "shim/bridge/connection.h"

#define POOL_MAX 256 /* idle connections of a process; the oldest leaves for the newest */

struct pool {
	struct loop *loop;
	struct connection *oldest; /* of all, by the time they came */
	unsigned n;
};

/* Take the connection of a list that was used last, found alive. NULL: none. */
struct connection *pool_take(struct pool *pool, struct connection **list);

/* Take this one out, alive or not. */
void pool_remove(struct pool *pool, struct connection *connection);

/* Take over a connection, between two requests, for at most `idle_ms`; UINT64_MAX: for ever. `list`
 * is to stay as long as anything is in it. The connection may be closed at once. */
void pool_put(struct pool *pool, struct connection **list, struct connection *connection,
	      uint64_t idle_ms);

/* Close the oldest one, to get its descriptor. False: there was none. */
bool pool_evict(struct pool *pool);

/* Close the one of a list that has been there for longest; there is one. */
void pool_drop_oldest(struct pool *pool, struct connection **list);

/* Close all that are in a list. */
void pool_drop(struct pool *pool, struct connection **list);

#endif
