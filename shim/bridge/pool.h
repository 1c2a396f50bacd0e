/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle upstream connections, by destination: the cluster's identity (address, TLS settings) and
 * the server name. A connection that its peer closes, or that says something unasked, leaves by
 * itself; so does one that idles for POOL_IDLE_MS (Envoy's default idleTimeout).
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_POOL_H
#define SHIM_BRIDGE_POOL_H

#include <stdbool.h>

#include "rules/rules.h"
#include "shim/bridge/connection.h"

#define POOL_IDLE_MS 3600000 /* one hour */
#define POOL_MAX     256     /* idle connections of a process; the oldest leaves for the newest */

struct pool;

struct pool *pool_new(struct loop *loop, struct err *err);

/* Closes all of them. NULL is allowed. */
void pool_free(struct pool *pool);

/* The key of a destination, to be freed with free(3). NULL: no memory. */
char *pool_key(const struct cluster *cluster, const char *server_name);

/* Take the connection that was used last, found alive. NULL: none. */
struct connection *pool_take(struct pool *pool, const char *key);

/* Take over a connection whose `key` is set, between two requests. */
void pool_put(struct pool *pool, struct connection *connection);

/* Close the oldest one, to get its descriptor. False: there was none. */
bool pool_evict(struct pool *pool);

#endif
