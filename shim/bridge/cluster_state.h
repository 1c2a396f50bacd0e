/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of a cluster share: cluster.c (the table, choosing a host, health), hosts.c
 * (membership) and lane.c (connections to one host). Nobody else includes this.
 *
 * Who holds what: a host lives as long as it is a member or has users (lanes, dialings, askers); a
 * lane as long as it has users (connections, dialings, askers); a cluster as long as it has
 * askers, lanes or an ejected host, and then for a while.
 */
#ifndef SHIM_BRIDGE_CLUSTER_STATE_H
#define SHIM_BRIDGE_CLUSTER_STATE_H

#include <uthash.h>

#include "shim/bridge/balance.h"
#include "shim/bridge/cluster.h"
#include "shim/bridge/host.h"
#include "shim/bridge/limits.h"

#define REFRESH_MS	10000 /* names are resolved again when their answers are older */
#define REFRESH_SOON_MS 1000  /* when that came to nothing */

struct live_endpoint;

struct live_host {
	struct host host; /* what the balancer sees */
	struct live_cluster *cluster;
	struct live_endpoint *endpoint;
	uint64_t serial;
	bool gone; /* no member any more: not picked, ends with its last user */
	unsigned users;
	struct lane *lanes;
	struct sockaddr_storage address;
	struct live_host *next; /* of its endpoint, in the resolver's order */
	char name[];
};

/* An endpoint of the rules, by its index, and what its name resolved to. */
struct live_endpoint {
	struct live_cluster *cluster;
	struct query query;
	bool asking;
	struct live_host *hosts;
	/* Of a name that is one host whatever it resolves to (DNS_ROUND_ROBIN, DYNAMIC_DNS): */
	struct sockaddr_storage *addresses;
	size_t n_addresses;
};

struct live_cluster {
	struct clusters *all;
	struct cluster cluster; /* a copy; `id` is the key of the table */
	struct rules *rules;	/* what it points into; NULL: nothing */
	const struct cluster *source; /* what it is a copy of; valid as long as `rules` are */
	struct endpoint dynamic; /* the program's name or address, where that is the one endpoint */
	struct limits limits;
	unsigned users; /* askers */
	unsigned n_lanes;
	uint64_t used;	/* ms: when it was last in use */

	/* hosts.c */
	struct live_endpoint *endpoints;
	size_t n_endpoints;
	struct host **members; /* those that are no longer gone, in any order */
	size_t n_members;
	size_t asking;	     /* names that are being resolved */
	uint64_t refresh_at; /* ms; 0: at once */
	bool refreshing, stale;
	struct err err; /* why a name could not be resolved */

	/* cluster.c */
	struct balancer *balancer;
	struct live_host *owed; /* it was somebody's turn, who did not come; held */
	bool unbalanced; /* the balancer is to be told of its hosts */
	struct timer health;
	struct acquiring *waiting; /* for the first host */

	/* lane.c */
	uint64_t connections; /* open, and being made */
	uint64_t pending;
	uint64_t requests;    /* under way */
	uint64_t retries;
	struct lane *busy;    /* somebody is pending */
	struct task serve;
	bool serving; /* the task is queued */
	bool dropped; /* freed by the task */
	UT_hash_handle hh;
};

/* ---- cluster.c --------------------------------------------------------------------------- */

/* Answer an asker: it waits no more and counts for nothing. */
void acquiring_fail(struct acquiring *acquiring, enum upstream_failure failure, const char *reason);

/* Choose a host for it, and wait in the host's lane, or answer. `reason`: why a host before did not
 * do; NULL: there was none. */
void cluster_assign(struct acquiring *acquiring, enum upstream_failure failure, const char *reason);

/* A host did this: struct outlier_event. */
void cluster_note(struct live_host *host, int event, int status);

/* The host that was picked for it is for the next one who asks. */
void cluster_owe(struct acquiring *acquiring);

/* Some names have been resolved, or could not be. */
void cluster_resolved(struct live_cluster *cluster);

/* The request goes to this host: another attempt may have to go to another one. */
void acquiring_visits(struct acquiring *acquiring, const struct live_host *host);

/* ---- hosts.c ----------------------------------------------------------------------------- */

/* Returns 0 or -1 (no memory). */
int hosts_init(struct live_cluster *cluster) __attribute__((warn_unused_result));
void hosts_release(struct live_cluster *cluster);

/* Whether hosts_refresh() has anything to do, or to wait for. */
bool hosts_are_old(const struct live_cluster *cluster);

/* Have names resolved, those that never were and those whose answers are old. */
void hosts_refresh(struct live_cluster *cluster);

/* Bring `members` and what the balancer knows of them up to date. Returns 0, or -1 (no memory). */
int hosts_settle(struct live_cluster *cluster) __attribute__((warn_unused_result));

void host_hold(struct live_host *host);
void host_drop(struct live_host *host);

/*
 * The addresses to dial for a host, the preferred one first, and whose they are. At most
 * RESOLVE_MAX.
 */
size_t host_addresses(struct live_host *host, struct sockaddr_storage *addresses,
		      struct live_host **owners);

static inline struct live_host *live_host(struct host *host)
{
	return (struct live_host *)host;
}

/* ---- lane.c ------------------------------------------------------------------------------ */

/* Get a connection to `acquiring->host`: answers, or keeps it pending. */
void lane_acquire(struct acquiring *acquiring);

/* It is pending no more. */
void lane_cancel(struct acquiring *acquiring);

/* Take a connection back. */
void lane_release(struct connection *connection, bool reusable, bool reset);

/* The host is gone: close its idle connections. */
void lanes_close_idle(struct live_host *host);

void lanes_serve(struct live_cluster *cluster);

#endif
