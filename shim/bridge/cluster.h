/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters at run time: from a wish for an upstream connection to one of a host's. Each `id` of
 * rules/ has one (each name or address too, where the program gives it), made when it is first
 * wanted and dropped when it has been without use for CLUSTER_IDLE_MS; what it knows of its hosts is
 * in hosts.h, who waits for which connection in lane.h.
 *
 *     wish -> cluster -> (names resolved) -> host: balance.h -> lane -> idle connection
 *                                                                    `-> pending, and a new one dialled
 *
 * Limits are those of connectionPool as Envoy applies them to HTTP/1.1 (limits.h): a request without
 * an idle connection is pending; whichever connection becomes free first serves the one that has
 * waited longest; at maxConnections it goes on waiting.
 *
 * The outside (sockets, names, chance) is reached through struct cluster_env only.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_CLUSTER_H
#define SHIM_BRIDGE_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/bridge/dial.h"
#include "shim/bridge/exchange.h"
#include "shim/bridge/pool.h"
#include "shim/bridge/resolve.h"

#define CLUSTER_IDLE_MS 60000
#define CLUSTERS_MAX	1024 /* above, those without use are dropped at once */
#define VISITS_MAX	16   /* hosts that one request is remembered to have been at */

/* What clusters need of the outside; outlives them. */
struct cluster_env {
	struct loop *loop;
	/* As dial_start() and dial_cancel(). */
	struct dialing *(*dial)(struct cluster_env *env, const struct dial_wish *wish);
	void (*dial_cancel)(struct dialing *dialing);
	/* As resolver_ask(). */
	bool (*ask)(struct cluster_env *env, const char *name, struct query *query);
	uint32_t (*random)(struct cluster_env *env); /* uniform bits */
};

struct live_cluster;
struct live_host;
struct lane;

struct clusters {
	struct cluster_env *env;
	struct pool pool;
	struct twins *twins; /* NULL: all connections are the bridge's */
	struct live_cluster *table;
	struct timer sweep;
	uint64_t serials; /* of hosts: so many were made */
};

/*
 * One who wants connections, one at a time: an exchange. Embedded in the asker, all zero at first
 * but for `done`; a released one may be used again, for the next request.
 */
struct acquiring {
	/* The answer to cluster_acquire(): a connection, the asker's until cluster_release(), or
	 * NULL with `failure` and `reason`, which is valid during the call. */
	void (*done)(struct acquiring *acquiring, struct connection *connection,
		     enum upstream_failure failure, const char *reason);

	/* private */
	struct live_cluster *cluster; /* the last one; holds it */
	struct live_host *host;	      /* that it waits for, or has a connection to; holds it */
	struct lane *lane;	      /* that it is pending in */
	struct acquiring **list;      /* that it waits in, of whatever */
	struct acquiring *next, *prev;
	char server_name[256];
	bool http, encrypted, fresh, other_host, hashed, abroad;
	bool retrying, requesting; /* is counted */
	uint64_t hash;
	uint64_t visits[VISITS_MAX]; /* serials of hosts */
	unsigned n_visits;
};

void clusters_init(struct clusters *clusters, struct cluster_env *env);

/* Close and free everything. Nobody may be asking. For tests. */
void clusters_release(struct clusters *clusters);

/* Close an idle connection, to get its descriptor. False: there was none. */
bool clusters_evict(struct clusters *clusters);

/*
 * Ask for a connection; see struct acquisition. done() is called from within or later, from the
 * loop. `rules`: what the wish's cluster is part of; NULL: of nothing, all that it points to but its
 * texts is static. The wish need not outlive the call.
 */
void cluster_acquire(struct clusters *clusters, struct acquiring *acquiring,
		     const struct acquisition *wish, struct rules *rules);

/* The answer is no longer wanted, nor the retry of cluster_retry(). Idempotent. */
void cluster_cancel(struct acquiring *acquiring);

/* Give the connection back; see struct exchange_ops. */
void cluster_release(struct acquiring *acquiring, struct connection *connection, bool reusable,
		     bool reset);

/* Outlier detection: see struct exchange_ops. */
void cluster_report(struct acquiring *acquiring, struct connection *connection, int outcome);

/* Whether maxRetries of the cluster that was asked last lets another retry be made. */
bool cluster_may_retry(const struct acquiring *acquiring);

/* A retry will be asked for: it counts from now on. The asker waits for nothing, and has given back
 * what it got. */
void cluster_retry(struct acquiring *acquiring);

/* The asker goes away. It waits for nothing and has given back what it got. Idempotent. */
void cluster_leave(struct acquiring *acquiring);

#endif
