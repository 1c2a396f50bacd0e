/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: the connections to one host that are alike (HTTP, TLS of the program's own, or neither; one
 * server name, where they have TLS of ours), and who waits for one: Envoy's connection pool of a
 * host. So many connections are being made as askers are pending, as far as maxConnections lets
 * them, but for a lane's first, which is always made: else an asker could wait for connections that
 * are not its lane's.
 *
 * A dialing may come to another host than the lane's, to another address of the same name. Such a
 * connection stands in for those of the host that could not be reached: it is the lane's, counted and
 * pooled like them, but not for long, so that the host is tried again.
 *
 * Answers run exchanges, which may ask, cancel and release in turn. So whoever answers keeps what
 * it looks at next (hold() and drop()), and looks anew after every answer. A connection that is
 * given back is passed on from the loop, not from within the exchange that gave it.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "shim/bridge/cluster_state.h"
#include "shim/bridge/outlier.h"
#include "shim/bridge/sock.h"
#include "shim/container_of.h"

#define STAND_IN_MS 10000 /* the longest life of a connection to another host */

/* A connection that is being made. */
struct lane_dialing {
	struct lane *lane;
	struct dialing *dialing;
	struct lane_dialing *next, *prev;
	size_t n;
	struct live_host *owners[]; /* of its addresses; held */
};

struct lane {
	struct live_host *host; /* held */
	bool http, encrypted;
	unsigned users; /* connections, dialings, askers, and who needs it for a moment */
	unsigned open, n_dialings, n_pending;
	struct connection *idle; /* the pool's list */
	struct connection *ready; /* likewise, of those that program threads may use */
	bool wanted;		  /* they asked, and there was none */
	struct lane_dialing *dialings;
	struct acquiring *pending; /* the oldest first */
	struct lane *next, *prev;  /* of the host */
	struct lane *busy_next, *busy_prev; /* of the cluster, while somebody is pending */
	char server_name[];
};

static void drop(struct lane *lane)
{
	struct live_host *host = lane->host;

	if (--lane->users)
		return;
	DL_DELETE(host->lanes, lane);
	host->cluster->n_lanes--;
	host_drop(host);
	free(lane);
}

static void hold(struct lane *lane)
{
	lane->users++;
}

/* The lane of a host, held. NULL: no memory. */
static struct lane *lane_get(struct live_host *host, const char *server_name, bool http,
			     bool encrypted)
{
	struct lane *lane;

	DL_FOREACH(host->lanes, lane) {
		if (lane->http == http && lane->encrypted == encrypted &&
		    !strcmp(lane->server_name, server_name)) {
			hold(lane);
			return lane;
		}
	}
	lane = calloc(1, sizeof(*lane) + strlen(server_name) + 1);
	if (!lane)
		return NULL;
	strcpy(lane->server_name, server_name);
	lane->http = http;
	lane->encrypted = encrypted;
	lane->host = host;
	lane->users = 1;
	host_hold(host);
	host->cluster->n_lanes++;
	DL_APPEND(host->lanes, lane);
	return lane;
}

/* ---- pending ----------------------------------------------------------------------------- */

static void enter(struct lane *lane, struct acquiring *a)
{
	struct live_cluster *cluster = lane->host->cluster;

	if (!lane->pending)
		DL_APPEND2(cluster->busy, lane, busy_prev, busy_next);
	DL_APPEND(lane->pending, a);
	a->list = &lane->pending;
	a->lane = lane;
	lane->n_pending++;
	cluster->pending++;
	hold(lane);
}

/* The lane's caller holds it. */
static void leave(struct acquiring *a)
{
	struct lane *lane = a->lane;
	struct live_cluster *cluster = lane->host->cluster;

	DL_DELETE(lane->pending, a);
	if (!lane->pending)
		DL_DELETE2(cluster->busy, lane, busy_prev, busy_next);
	a->list = NULL;
	a->lane = NULL;
	lane->n_pending--;
	cluster->pending--;
	drop(lane);
}

/* ---- dialing ----------------------------------------------------------------------------- */

static void dialing_end(struct lane_dialing *d)
{
	struct lane *lane = d->lane;

	DL_DELETE(lane->dialings, d);
	lane->n_dialings--;
	for (size_t i = 0; i < d->n; i++)
		host_drop(d->owners[i]);
	free(d);
	drop(lane);
}

/* Connections may be made now that could not before. */
static void lanes_serve_soon(struct live_cluster *cluster)
{
	if (!cluster->busy || cluster->serving)
		return;
	cluster->serving = true;
	loop_defer(cluster->all->env->loop, &cluster->serve);
}

/* The connection that was begun last is not made. The lane's caller holds it. */
static void drop_dialing(struct lane *lane)
{
	struct live_cluster *cluster = lane->host->cluster;
	struct lane_dialing *last = lane->dialings->prev; /* utlist */

	cluster->all->env->dial_cancel(last->dialing);
	cluster->connections--;
	dialing_end(last);
	lanes_serve_soon(cluster);
}

static void closing(struct connection *connection)
{
	struct lane *lane = connection->lane;
	struct live_cluster *cluster = lane->host->cluster;

	lane->open--;
	cluster->connections--;
	lanes_serve_soon(cluster);
	host_drop(connection->host);
	drop(lane);
}

/* A new connection; to whichever of the hosts was reached. */
static void opened(struct lane_dialing *d, struct connection *connection, size_t which)
{
	connection->lane = d->lane;
	connection->host = d->owners[which];
	connection->closing = closing;
	connection->born = loop_now(connection->loop);
	d->lane->open++;
	hold(d->lane);
	host_hold(connection->host);
}

static bool stands_in(const struct connection *connection)
{
	return connection->host != connection->lane->host;
}

static void give(struct acquiring *a, struct connection *connection);
static void refuse(struct lane *lane, enum upstream_failure failure, const char *reason);

static void address_failed(void *arg, size_t which, enum upstream_failure failure)
{
	struct lane_dialing *d = arg;
	struct acquiring *a;

	/* Who is no request walks on from host to host: not to where this dialing was. */
	if (!d->lane->http)
		DL_FOREACH(d->lane->pending, a)
			acquiring_visits(a, d->owners[which]);
	/* Of a logical host only the whole counts. */
	if (d->n == 1 || d->owners[0] != d->owners[1])
		cluster_note(d->owners[which],
			     failure == UPSTREAM_TIMEOUT ? OUTLIER_TIMEOUT : OUTLIER_CONNECT_FAILED,
			     0);
}

static void dialled(void *arg, struct connection *connection, size_t which,
		    enum upstream_failure failure, const struct err *err)
{
	struct lane_dialing *d = arg;
	struct lane *lane = d->lane;
	struct live_cluster *cluster = lane->host->cluster;
	bool logical = d->n > 1 && d->owners[0] == d->owners[1];

	hold(lane);
	if (connection) {
		opened(d, connection, which);
		cluster_note(d->owners[which],
			     lane->http ? OUTLIER_CONNECTED : OUTLIER_CONNECTED_ONLY, 0);
	} else {
		cluster->connections--;
		if (logical)
			cluster_note(d->owners[0],
				     failure == UPSTREAM_TIMEOUT ? OUTLIER_TIMEOUT
								 : OUTLIER_CONNECT_FAILED,
				     0);
	}
	dialing_end(d);
	if (!connection)
		refuse(lane, failure, err->text);
	else if (lane->pending)
		give(lane->pending, connection);
	else
		lane_release(connection, true, false);
	lanes_serve_soon(cluster);
	drop(lane);
}

/* Returns 0, or -1: no memory. */
static int dial(struct lane *lane)
{
	struct live_cluster *cluster = lane->host->cluster;
	struct cluster_env *env = cluster->all->env;
	struct sockaddr_storage addresses[RESOLVE_MAX];
	struct live_host *owners[RESOLVE_MAX];
	size_t n = host_addresses(lane->host, addresses, owners);
	struct lane_dialing *d = calloc(1, sizeof(*d) + n * sizeof(d->owners[0]));
	const struct dial_wish wish = {
	    .cluster = &cluster->cluster,
	    .server_name = lane->server_name,
	    .http = lane->http,
	    .encrypted = lane->encrypted,
	    .addresses = addresses,
	    .n = n,
	    .failed = address_failed,
	    .done = dialled,
	    .arg = d,
	};

	if (!d)
		return -1;
	d->dialing = env->dial(env, &wish);
	if (!d->dialing) {
		free(d);
		return -1;
	}
	d->n = n;
	memcpy(d->owners, owners, n * sizeof(owners[0]));
	for (size_t i = 0; i < n; i++)
		host_hold(owners[i]);
	d->lane = lane;
	hold(lane);
	DL_APPEND(lane->dialings, d);
	lane->n_dialings++;
	cluster->connections++;
	return 0;
}

static bool has_room(const struct live_cluster *cluster)
{
	return cluster->connections < cluster->limits.connections;
}

/* Called where no idle connection is of use to those who wait. */
static bool may_dial(struct lane *lane)
{
	struct live_cluster *cluster = lane->host->cluster;

	if (has_room(cluster) || lane->open + lane->n_dialings == 0)
		return true;
	if (!lane->idle && !lane->ready)
		return false;
	/* Who asked for a fresh one gets the place of one of those. */
	pool_drop_oldest(&cluster->all->pool, lane->idle ? &lane->idle : &lane->ready);
	return true;
}

/* ---- serving ----------------------------------------------------------------------------- */

static bool may_request(const struct acquiring *a)
{
	return !a->http || a->cluster->requests < a->cluster->limits.requests;
}

/* Hand it over, and answer. */
static void give(struct acquiring *a, struct connection *connection)
{
	struct live_host *host = connection->host;

	if (a->lane)
		leave(a);
	if (!may_request(a)) {
		lane_release(connection, true, false);
		acquiring_fail(a, UPSTREAM_OVERFLOW, "too many requests");
		return;
	}
	if (host != a->host) {
		a->host->host.active--;
		host_drop(a->host);
		a->host = host;
		host->host.active++;
		host_hold(host);
		acquiring_visits(a, host);
	}
	a->requesting = a->http;
	a->cluster->requests += a->http;
	connection->served++;
	if (connection->sock)
		connection->before = sock_written(connection->sock);
	a->done(a, connection, UPSTREAM_CONNECT, NULL);
}

/*
 * A connection could not be made: not for the one who has waited longest; and where there is no
 * other to hope for, for nobody who waits, as in Envoy. A request goes to another host if its rules
 * have it tried again; what is no request has nobody else to try again.
 */
static void refuse(struct lane *lane, enum upstream_failure failure, const char *reason)
{
	unsigned n = lane->n_dialings + lane->open ? 1 : lane->n_pending;

	for (; n && lane->pending; n--) {
		struct acquiring *a = lane->pending;

		leave(a);
		if (a->http)
			acquiring_fail(a, failure, reason);
		else
			cluster_assign(a, failure, reason);
	}
}

/* Not good for another request: the host that it leads to has left, or is ejected. */
static bool leads_nowhere(const struct connection *connection)
{
	const struct live_host *host = connection->host;

	return stands_in(connection) && (host->gone || host->host.ejected);
}

/* Out of those that program threads may use, for the calling thread. NULL: there is none, or it can have
 * none. */
static struct connection *take_ready(struct lane *lane, bool abroad)
{
	struct pool *pool = &lane->host->cluster->all->pool;
	struct connection *connection;

	while ((connection = lane->ready)) {
		if (abroad && connection_go_abroad(connection) < 0)
			return NULL;
		pool_remove(pool, connection);
		if ((abroad || connection_come_home(connection) == 0) &&
		    !leads_nowhere(connection) && connection_alive(connection, true)) {
			connection->upstream.reused = true;
			return connection;
		}
		connection_free(connection, false);
	}
	return NULL;
}

/* An idle connection, found alive. NULL: none. */
static struct connection *take_idle(struct lane *lane)
{
	struct pool *pool = &lane->host->cluster->all->pool;
	struct connection *connection;

	while ((connection = pool_take(pool, &lane->idle))) {
		if (!leads_nowhere(connection))
			return connection;
		connection_free(connection, false);
	}
	return take_ready(lane, false);
}

/* Whose an idle connection is: the oldest's who has a use for it, but for those behind one who wants a
 * fresh connection and can have none but in its place. */
static struct acquiring *first_for_idle(struct lane *lane)
{
	struct acquiring *a;
	unsigned fresh = 0;

	DL_FOREACH(lane->pending, a) {
		if (!a->fresh)
			return a;
		if (++fresh > lane->n_dialings && !has_room(lane->host->cluster))
			return NULL;
	}
	return NULL;
}

static void serve_idle(struct lane *lane)
{
	struct acquiring *a;

	while ((lane->idle || lane->ready) && (a = first_for_idle(lane))) {
		struct connection *connection = take_idle(lane);

		if (connection)
			give(a, connection);
	}
}

static void serve(struct lane *lane)
{
	hold(lane);
	serve_idle(lane);
	while (lane->n_dialings < lane->n_pending && may_dial(lane)) {
		if (dial(lane) < 0) {
			refuse(lane, UPSTREAM_CONNECT, "out of memory");
			break;
		}
		serve_idle(lane);
	}
	drop(lane);
}

/* Every lane once: an answer may remove any of them. */
void lanes_serve(struct live_cluster *cluster)
{
	struct lane *lane;
	unsigned n = 0;

	for (lane = cluster->busy; lane; lane = lane->busy_next)
		n++;
	while (n-- && (lane = cluster->busy)) {
		DL_DELETE2(cluster->busy, lane, busy_prev, busy_next);
		DL_APPEND2(cluster->busy, lane, busy_prev, busy_next);
		serve(lane);
	}
}

/* ---- for cluster.c ----------------------------------------------------------------------- */

void lane_acquire(struct acquiring *a)
{
	struct live_cluster *cluster = a->cluster;
	struct lane *lane = lane_get(a->host, a->server_name, a->http, a->encrypted);
	struct connection *connection;

	if (!lane) {
		acquiring_fail(a, UPSTREAM_CONNECT, "out of memory");
		return;
	}
	/* Who waits already comes first. */
	bool may_take = a->http && !a->fresh && may_request(a) && !first_for_idle(lane) &&
			lane->n_dialings >= lane->n_pending;
	connection = !may_take ? NULL : a->abroad ? take_ready(lane, true) : take_idle(lane);
	if (connection) {
		give(a, connection);
	} else if (a->abroad) {
		lane->wanted = true;
		cluster_owe(a);
		acquiring_fail(a, UPSTREAM_NOT_READY, "");
	} else if (a->http ? cluster->pending >= cluster->limits.pending
			   : cluster->connections >= cluster->limits.connections) {
		acquiring_fail(a, UPSTREAM_OVERFLOW,
			       a->http ? "too many pending requests" : "too many connections");
	} else {
		enter(lane, a);
		serve(lane);
	}
	drop(lane);
}

void lane_cancel(struct acquiring *a)
{
	struct lane *lane = a->lane;

	hold(lane);
	leave(a);
	/* Others whose asker got another one in the meantime are made, for the next asker. */
	if (lane->n_dialings > lane->n_pending)
		drop_dialing(lane);
	drop(lane);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where it waits for its next use. One that has had no answer yet may still get session tickets, which must not
 * wake a program that waits for its first. */
static struct connection **list_for(struct lane *lane, struct connection *connection)
{
	struct twins *twins = lane->host->cluster->all->twins;

	if (!connection->twin.all &&
	    (!lane->wanted || !twins || !connection->served || !connection->sock ||
	     !sock_tells_acked(connection->sock) || /* no TCP: see sock_wake_readers() */
	     twin_send(twins, &connection->twin, sock_fd(connection->sock)) < 0))
		return &lane->idle;
	/* Else each use by a program thread would wake the loop. */
	loop_unwatch(connection->loop, &connection->watch);
	return &lane->ready;
}

/* How old the connection may become. */
static uint64_t longest_life(const struct connection *connection)
{
	uint64_t life = connection->lane->host->cluster->limits.life_ms;

	return stands_in(connection) ? smaller(life, STAND_IN_MS) : life;
}

/* Whether it is good for another request of its lane's. */
static bool is_wanted(const struct connection *connection)
{
	const struct lane *lane = connection->lane;

	return lane->http && !lane->host->gone && !connection->host->gone &&
	       connection->served < lane->host->cluster->limits.served;
}

void lane_release(struct connection *connection, bool reusable, bool reset)
{
	struct lane *lane = connection->lane;
	struct live_cluster *cluster = lane->host->cluster;
	uint64_t age = loop_now(connection->loop) - connection->born;
	uint64_t life = longest_life(connection);

	if (reusable && is_wanted(connection) && age < life) {
		uint64_t rest = life == UINT64_MAX ? UINT64_MAX : life - age;

		hold(lane);
		pool_put(&cluster->all->pool, list_for(lane, connection), connection,
			 smaller(cluster->limits.idle_ms, rest));
		lanes_serve_soon(cluster);
		drop(lane);
	} else {
		connection_free(connection, reset);
	}
}

void lanes_close_idle(struct live_host *host)
{
	struct lane *lane, *next;

	for (lane = host->lanes; lane; lane = next) {
		next = lane->next;
		hold(lane);
		pool_drop(&host->cluster->all->pool, &lane->idle);
		pool_drop(&host->cluster->all->pool, &lane->ready);
		drop(lane);
	}
}
