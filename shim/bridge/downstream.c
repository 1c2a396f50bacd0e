/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/downstream.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "shim/address.h"
#include "shim/bridge/downstream_state.h"
#include "shim/bridge/pipe.h"
#include "shim/bridge/port.h"
#include "shim/bridge/shadow.h"
#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/libc.h"
#include "shim/log.h"
#include "shim/thread.h"

/* Nobody waits for a mirror, and so nobody notices one that never answers: copies have an end. */
#define COPIES_MAX   256 /* at a time; there are no more for a while */
#define COPY_LIFE_MS 60000

void downstream_free(struct downstream *d)
{
	struct exchange *exchange = d->exchange;

	if (exchange) {
		d->exchange = NULL;
		fast_lane_forget(d);
		if (d->late)
			door_forget_early(d->all->door, d->late, d);
		if (d->homeless)
			d->queued = false;
		loop_unwatch(d->all->loop, &d->watch);
		exchange_free(exchange);
		cluster_leave(&d->acquiring);
		timer_clear(d->all->loop, &d->timer);
		timer_clear(d->all->loop, &d->life);
		DL_DELETE(d->all->list, d);
		d->all->n_copies -= d->copy;
	}
	if (d->queued) /* the task frees the rest */
		return;
	free(d);
}

static void drive(struct downstream *d)
{
	int one = 1;

	if (d->driving) /* an answer from within acquire(): the driver is on the stack */
		return;
	if (d->over) {
		downstream_free(d);
		return;
	}
	if (d->late) {
		fast_lane_leave(d);
		return;
	}
	fast_lane_come_home(d);
	d->driving = true;
	enum exchange_result result = exchange_drive(d->exchange);
	d->driving = false;
	switch (result) {
	case EXCHANGE_WAIT:
		/* A program that writes a request in pieces, without TCP_NODELAY, sends the next
		 * one when we acknowledge the last: at once, not 40 ms later. */
		if (d->watch.fd >= 0 && exchange_awaits_request(d->exchange))
			setsockopt(d->watch.fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
		break;
	case EXCHANGE_MORE:
		if (!d->queued) {
			d->queued = true;
			loop_defer(d->all->loop, &d->again);
		}
		break;
	case EXCHANGE_DONE:
		downstream_free(d);
		break;
	}
}

static void run_again(struct task *task)
{
	struct downstream *d = container_of(task, struct downstream, again);

	d->queued = false;
	if (d->exchange)
		drive(d);
	else
		downstream_free(d);
}

static void watch_ready(struct watch *watch, uint32_t events)
{
	struct downstream *d = container_of(watch, struct downstream, watch);

	sock_ready(d->sock, events);
	if (fast_lane_ignores(d, events))
		return;
	/* A reset: nobody is there. (EPOLLHUP alone may still have bytes before it.) */
	if (events & EPOLLERR)
		exchange_abandon(d->exchange);
	drive(d);
}

static void timer_fired(struct timer *timer)
{
	struct downstream *d = container_of(timer, struct downstream, timer);

	drive(d);
}

static void life_over(struct timer *timer)
{
	struct downstream *d = container_of(timer, struct downstream, life);

	log_debug("%s: a mirror takes too long, its copy is broken off", d->claim.name);
	exchange_abandon(d->exchange);
	drive(d);
}

static struct io *copy_start(struct downstream *of, const struct cluster *cluster);

/* ---- what the exchange asks for ---------------------------------------------------------- */

static uint32_t draw(struct downstreams *all)
{
	uint64_t x = all->random; /* xorshift64* */

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	all->random = x;
	return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

static uint32_t op_random(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);

	return draw(d->all);
}

static void upstream_ready(struct connection *connection, uint32_t events)
{
	(void)events;
	drive(connection->owner);
}

static void acquired(struct acquiring *acquiring, struct connection *connection,
		     enum upstream_failure failure, const char *reason)
{
	struct downstream *d = container_of(acquiring, struct downstream, acquiring);

	if (connection) {
		connection->owner = d;
		connection->ready = upstream_ready;
		exchange_connected(d->exchange, &connection->upstream);
	} else {
		exchange_failed(d->exchange, failure, reason);
	}
	drive(d);
}

/* What the program said itself, where that is where to go. A synthetic address leads nowhere. */
static const char *dynamic(const struct downstream *d, const struct acquisition *wish)
{
	const char *literal = d->literal[0] ? d->literal : NULL;

	if (wish->cluster == &d->cluster)
		return literal ?: d->claim.name;
	return wish->cluster->resolution == RESOLUTION_DYNAMIC_DNS ? wish->dynamic : literal;
}

static void op_acquire(struct exchange *exchange, const struct acquisition *wish)
{
	struct downstream *d = exchange_env(exchange);
	struct acquisition whole = *wish;

	whole.dynamic = dynamic(d, wish);
	whole.abroad = !thread_is_ours && d->port;
	cluster_acquire(&d->all->clusters, &d->acquiring, &whole,
			wish->cluster == &d->cluster ? NULL : d->claim.rules);
}

static void op_cancel(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);

	cluster_cancel(&d->acquiring);
}

static void op_release(struct exchange *exchange, struct upstream *upstream, bool reusable,
		       bool reset)
{
	struct downstream *d = exchange_env(exchange);
	struct connection *connection = downstream_connection(upstream);

	reusable = fast_lane_parts(d, connection) && reusable;
	cluster_release(&d->acquiring, connection, reusable, reset);
}

static void op_report(struct exchange *exchange, struct upstream *upstream, int outcome)
{
	struct downstream *d = exchange_env(exchange);

	cluster_report(&d->acquiring, downstream_connection(upstream), outcome);
}

static bool op_may_retry(struct exchange *exchange, const struct cluster *cluster)
{
	struct downstream *d = exchange_env(exchange);

	(void)cluster; /* the one that was asked last */
	return cluster_may_retry(&d->acquiring);
}

static void op_retry(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);

	cluster_retry(&d->acquiring);
}

static bool op_unseen(struct exchange *exchange, struct upstream *upstream)
{
	const struct connection *connection = downstream_connection(upstream);

	(void)exchange;
	return connection->sock && sock_unseen(connection->sock, connection->before);
}

static bool op_unacked(struct exchange *exchange, struct upstream *upstream)
{
	const struct connection *connection = downstream_connection(upstream);

	(void)exchange;
	return connection->sock && sock_unacked(connection->sock, connection->before);
}

static struct io *op_mirror(struct exchange *exchange, const struct cluster *cluster,
			    const char *server_name)
{
	(void)server_name; /* follows from the copy's Host, as it did for the original */
	return copy_start(exchange_env(exchange), cluster);
}

static uint64_t op_now(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);

	return loop_now(d->all->loop);
}

static void op_timer(struct exchange *exchange, uint64_t ms)
{
	struct downstream *d = exchange_env(exchange);

	if (ms)
		timer_set(d->all->loop, &d->timer, ms);
	else
		timer_clear(d->all->loop, &d->timer);
}

static const struct exchange_ops ops = {
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

/* ---- start ------------------------------------------------------------------------------- */

/* The address that was dialled, as text, if it is a real one. */
static void write_literal(struct downstream *d)
{
	const struct sockaddr *dialled = (const struct sockaddr *)&d->claim.dialled;
	bool v4 = IN6_IS_ADDR_V4MAPPED(&d->address);

	if (registry_is_synthetic(dialled, sizeof(d->claim.dialled)) ||
	    !inet_ntop(v4 ? AF_INET : AF_INET6, &d->address.s6_addr[v4 ? 12 : 0], d->literal,
		       sizeof(d->literal)))
		d->literal[0] = '\0';
}

/* Where a registry host is, for connections that no rule is for: the address that was
 * dialled if it is a real one, else what its name resolves to. */
static void passthrough(struct downstream *d)
{
	d->cluster = (struct cluster){
	    .host = d->claim.name,
	    .port = d->claim.port,
	    .protocol = PROTOCOL_TCP,
	    .resolution = d->literal[0] ? RESOLUTION_NONE : RESOLUTION_DYNAMIC_DNS,
	    .connect_timeout = DIAL_TIMEOUT_MS,
	    .id = d->id,
	};
	snprintf(d->id, sizeof(d->id), "passthrough :%u", (unsigned)d->claim.port);
}

/* Where the program's own end is. */
void downstream_note_source(struct downstream *d, const struct sockaddr *own)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	uint16_t port;

	if (!address_split(own, sizeof(struct sockaddr_storage), &ip, &port))
		return;
	bool v4 = IN6_IS_ADDR_V4MAPPED(&ip);
	struct in_addr low = address_v4(&ip);
	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)&low : &ip, text, sizeof(text)))
		snprintf(d->source, sizeof(d->source), v4 ? "%s:%u" : "[%s]:%u", text, port);
}

static void find_source(struct downstream *d)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (real.getpeername(d->watch.fd, (struct sockaddr *)&peer, &len) == 0)
		downstream_note_source(d, (const struct sockaddr *)&peer);
}

struct downstream *downstream_new(struct downstreams *all, const struct claim *claim)
{
	struct downstream *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->all = all;
	d->claim = *claim;
	d->watch.fd = -1;
	d->watch.ready = watch_ready;
	d->acquiring.done = acquired;
	d->timer.fire = timer_fired;
	d->life.fire = life_over;
	d->again.run = run_again;
	return d;
}

/* From here on the exchange has `down` and the claim's rules, on failure too. Returns 0, or -1: `d`
 * is the caller's to free. */
int downstream_begin(struct downstream *d, struct io *down)
{
	struct exchange_target target = {
	    .rules = d->claim.rules,
	    .kind = d->claim.kind,
	    .cluster = d->claim.cluster,
	    .direct = &d->cluster,
	    .name = d->claim.name,
	    .port = d->claim.port,
	    .address = &d->address,
	    .source = d->source,
	};
	uint16_t port;

	if (!address_split((const struct sockaddr *)&d->claim.dialled, sizeof(d->claim.dialled),
			   &d->address, &port))
		target.address = NULL;
	else
		write_literal(d);
	passthrough(d);
	if (target.kind == RULES_PASSTHROUGH)
		target.cluster = &d->cluster;
	d->down = down;
	d->exchange = exchange_new(&ops, d, down, &target);
	if (!d->exchange)
		return -1;
	DL_APPEND(d->all->list, d);
	return 0;
}

struct downstream *downstream_over(struct downstreams *all, struct io *io, const struct claim *claim)
{
	struct downstream *d = downstream_new(all, claim);

	if (!d) {
		io_close(io, true);
		rules_unref(claim->rules);
		return NULL;
	}
	if (downstream_begin(d, io) < 0) {
		free(d);
		return NULL;
	}
	return d;
}

void downstream_drive(struct downstream *d, bool gone)
{
	if (gone)
		exchange_abandon(d->exchange);
	drive(d);
}

/* The stream of an accepted socket, which is watched from here on. NULL: closed. */
struct io *downstream_take_socket(struct downstream *d, int fd)
{
	struct io *sock = sock_io(fd, false);
	int one = 1, probe_s = 10;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* A program that closes while its answer is awaited looks like one that shut down its
	 * sending side, until a probe finds nobody: then what it held is given up. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_s, sizeof(probe_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s));
	if (!sock) {
		real.close(fd);
		return NULL;
	}
	if (loop_watch(d->all->loop, &d->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		io_close(sock, true);
		return NULL;
	}
	d->sock = sock;
	return sock;
}

void downstream_start(struct downstreams *all, int fd, const struct claim *claim)
{
	struct downstream *d = downstream_new(all, claim);
	struct io *sock = NULL;

	if (d)
		sock = downstream_take_socket(d, fd);
	else
		real.close(fd);
	if (!sock) {
		rules_unref(claim->rules);
		free(d);
		return;
	}
	find_source(d);
	struct io *port = claim->cookie ? port_io(sock) : NULL;
	d->port = port != NULL;
	if (downstream_begin(d, port ?: sock) < 0) {
		loop_unwatch(all->loop, &d->watch);
		free(d);
		return;
	}
	fast_lane_admit(d);
	drive(d);
}

/* ---- copies for mirrors ------------------------------------------------------------------ */

static void pipe_ready(void *arg)
{
	drive(arg);
}

/* An exchange of its own for a request that is the same as one of `of`. NULL: it cannot be had. */
static struct io *copy_start(struct downstream *of, const struct cluster *cluster)
{
	struct downstreams *all = of->all;
	struct claim claim = of->claim;
	struct io *writer, *down;

	if (all->n_copies >= COPIES_MAX)
		return NULL;
	claim.kind = RULES_HTTP;
	claim.cluster = cluster;
	writer = shadow_new(all->loop, &down);
	if (!writer)
		return NULL;
	rules_ref(claim.rules);
	struct downstream *d = downstream_over(all, down, &claim);
	if (!d) {
		io_close(writer, true);
		return NULL;
	}
	d->copy = true;
	all->n_copies++;
	timer_set(all->loop, &d->life, COPY_LIFE_MS);
	pipe_on_ready(down, pipe_ready, d);
	return writer;
}

void downstreams_close(struct downstreams *all)
{
	struct downstream *d, *tmp;

	DL_FOREACH_SAFE(all->list, d, tmp)
		downstream_free(d);
}

/* ---- what clusters need ------------------------------------------------------------------ */

static struct dialing *env_dial(struct cluster_env *env, const struct dial_wish *wish)
{
	return dial_start(&container_of(env, struct downstreams, env)->dial, wish);
}

static bool env_ask(struct cluster_env *env, const char *name, struct query *query)
{
	return resolver_ask(container_of(env, struct downstreams, env)->resolver, name, query);
}

static uint32_t env_random(struct cluster_env *env)
{
	return draw(container_of(env, struct downstreams, env));
}

int downstreams_init(struct downstreams *all, struct loop *loop, uint64_t random, struct err *err)
{
	all->loop = all->dial.loop = loop;
	all->random = random;
	all->env = (struct cluster_env){loop, env_dial, dial_cancel, env_ask, env_random};
	clusters_init(&all->clusters, &all->env);
	all->clusters.twins = all->twins.loop ? &all->twins : NULL;
	all->resolver = resolver_new(loop, err);
	return all->resolver ? 0 : -1;
}
