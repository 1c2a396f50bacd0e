/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/downstream.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "shim/address.h"
#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/libc.h"
#include "shim/log.h"

struct downstream {
	struct downstreams *all;
	struct claim claim; /* its rules have gone to the exchange */
	struct exchange *exchange; /* NULL: over, kept for a queued `again` only */
	struct io *sock;
	struct watch watch;
	struct timer timer;
	struct task again;
	bool queued, driving;
	struct dialing *dialing;
	char *key; /* of the connection that is being dialled */
	/* Past the rules: the cluster that the registry does not have. */
	struct cluster cluster;
	struct endpoint endpoint;
	struct in6_addr address; /* that was dialled */
	char literal[INET6_ADDRSTRLEN];
	char source[INET6_ADDRSTRLEN + 8]; /* the program's own address and port */
	struct downstream *next, *prev;
};

static void downstream_free(struct downstream *d)
{
	struct exchange *exchange = d->exchange;

	if (exchange) {
		d->exchange = NULL;
		loop_unwatch(d->all->loop, &d->watch);
		exchange_free(exchange);
		timer_clear(d->all->loop, &d->timer);
		DL_DELETE(d->all->list, d);
	}
	if (d->queued) /* the task frees the rest */
		return;
	free(d->key);
	free(d);
}

static void drive(struct downstream *d)
{
	int one = 1;

	if (d->driving) /* an answer from within acquire(): the driver is on the stack */
		return;
	d->driving = true;
	enum exchange_result result = exchange_drive(d->exchange);
	d->driving = false;
	switch (result) {
	case EXCHANGE_WAIT:
		/* A program that writes a request in pieces, without TCP_NODELAY, sends the next
		 * one when we acknowledge the last: at once, not 40 ms later. */
		if (exchange_awaits_request(d->exchange))
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

/* ---- what the exchange asks for ---------------------------------------------------------- */

static uint32_t op_random(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);
	uint64_t x = d->all->random; /* xorshift64* */

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	d->all->random = x;
	return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

static void upstream_ready(struct connection *connection, uint32_t events)
{
	(void)events;
	drive(connection->owner);
}

static void hand_over(struct downstream *d, struct connection *connection)
{
	connection->owner = d;
	connection->ready = upstream_ready;
	exchange_connected(d->exchange, &connection->upstream);
}

static void dialled(void *arg, struct connection *connection, enum upstream_failure failure,
		    const struct err *err)
{
	struct downstream *d = arg;

	d->dialing = NULL;
	if (connection) {
		connection->key = d->key;
		d->key = NULL;
		hand_over(d, connection);
	} else {
		exchange_failed(d->exchange, failure, err->text);
	}
	drive(d);
}

static void op_acquire(struct exchange *exchange, const struct acquisition *wish)
{
	struct downstream *d = exchange_env(exchange);

	free(d->key);
	d->key = wish->http ? pool_key(wish->cluster, wish->server_name) : NULL;
	if (d->key && !wish->fresh) {
		struct connection *connection = pool_take(d->all->pool, d->key);

		if (connection) {
			hand_over(d, connection);
			return;
		}
	}
	d->dialing = dial_start(&d->all->dial, wish->cluster, wish->server_name, wish->http,
				wish->encrypted, op_random(exchange), dialled, d);
	if (!d->dialing)
		exchange_failed(exchange, UPSTREAM_CONNECT, "out of memory");
}

static void op_cancel(struct exchange *exchange)
{
	struct downstream *d = exchange_env(exchange);

	dial_cancel(d->dialing);
	d->dialing = NULL;
}

static void op_release(struct exchange *exchange, struct upstream *upstream, bool reusable,
		       bool reset)
{
	struct downstream *d = exchange_env(exchange);
	struct connection *connection = container_of(upstream, struct connection, upstream);

	if (reusable && connection->key)
		pool_put(d->all->pool, connection);
	else
		connection_free(connection, reset);
}

static void op_report(struct exchange *exchange, struct upstream *upstream, int outcome)
{
	(void)exchange;
	(void)upstream;
	(void)outcome;
}

static bool op_may_retry(struct exchange *exchange, const struct cluster *cluster)
{
	(void)exchange;
	(void)cluster;
	return true;
}

static bool op_unseen(struct exchange *exchange, struct upstream *upstream)
{
	(void)exchange;
	(void)upstream;
	return false;
}

static struct io *op_mirror(struct exchange *exchange, const struct cluster *cluster,
			    const char *server_name)
{
	(void)exchange;
	(void)cluster;
	(void)server_name;
	return NULL;
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
    .unseen = op_unseen,
    .mirror = op_mirror,
    .random = op_random,
    .now = op_now,
    .timer = op_timer,
};

/* ---- start ------------------------------------------------------------------------------- */

/* Where a registry host is, for connections that no rule is for: the address that was
 * dialled if it is a real one, else what its name resolves to. */
static void passthrough(struct downstream *d)
{
	const struct sockaddr *dialled_addr = (const struct sockaddr *)&d->claim.dialled;
	const void *address = dialled_addr->sa_family == AF_INET ?
				  (const void *)&((struct sockaddr_in *)dialled_addr)->sin_addr :
				  (const void *)&((struct sockaddr_in6 *)dialled_addr)->sin6_addr;

	d->endpoint.address = d->claim.name;
	if (!registry_is_synthetic(dialled_addr, sizeof(d->claim.dialled)) &&
	    inet_ntop(dialled_addr->sa_family, address, d->literal, sizeof(d->literal)))
		d->endpoint.address = d->literal;
	d->endpoint.port = d->claim.port;
	d->cluster = (struct cluster){
	    .host = d->claim.name,
	    .port = d->claim.port,
	    .protocol = PROTOCOL_TCP,
	    .resolution = RESOLUTION_DNS,
	    .endpoints = &d->endpoint,
	    .n_endpoints = 1,
	    .id = "",
	};
}

/* "127.0.0.1:40000" or "[::1]:40000"; left empty when it cannot be had. */
static void find_source(struct downstream *d)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	uint16_t port;

	if (real.getpeername(d->watch.fd, (struct sockaddr *)&peer, &len) < 0 ||
	    !address_split((const struct sockaddr *)&peer, len, &ip, &port))
		return;
	bool v4 = IN6_IS_ADDR_V4MAPPED(&ip);
	struct in_addr low = address_v4(&ip);
	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)&low : &ip, text, sizeof(text)))
		snprintf(d->source, sizeof(d->source), v4 ? "%s:%u" : "[%s]:%u", text, port);
}

static int start(struct downstream *d)
{
	struct exchange_target target = {
	    .rules = d->claim.rules,
	    .kind = d->claim.kind,
	    .cluster = d->claim.cluster,
	    .name = d->claim.name,
	    .port = d->claim.port,
	    .address = &d->address,
	    .source = d->source,
	};
	uint16_t port;

	find_source(d);

	if (!address_split((const struct sockaddr *)&d->claim.dialled, sizeof(d->claim.dialled),
			   &d->address, &port))
		target.address = NULL;
	passthrough(d);
	target.direct = &d->cluster;
	if (target.kind == RULES_PASSTHROUGH)
		target.cluster = &d->cluster;
	d->exchange = exchange_new(&ops, d, d->sock, &target);
	return d->exchange ? 0 : -1;
}

void downstream_start(struct downstreams *all, int fd, const struct claim *claim)
{
	struct downstream *d = calloc(1, sizeof(*d));
	struct io *sock = d ? sock_io(fd, false) : NULL;
	int one = 1, probe_s = 10;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* A program that closes while its answer is awaited looks like one that shut down its
	 * sending side, until a probe finds nobody: then what it held is given up. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_s, sizeof(probe_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s));
	if (!sock) {
		real.close(fd);
		rules_unref(claim->rules);
		free(d);
		return;
	}
	d->all = all;
	d->claim = *claim;
	d->sock = sock;
	d->watch.fd = -1;
	d->watch.ready = watch_ready;
	d->timer.fire = timer_fired;
	d->again.run = run_again;
	if (loop_watch(all->loop, &d->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		io_close(sock, true);
		rules_unref(claim->rules);
		free(d);
		return;
	}
	if (start(d) < 0) { /* it has closed the socket and given the rules back */
		loop_unwatch(all->loop, &d->watch);
		free(d);
		return;
	}
	DL_APPEND(all->list, d);
	drive(d);
}

void downstreams_close(struct downstreams *all)
{
	struct downstream *d, *tmp;

	DL_FOREACH_SAFE(all->list, d, tmp)
		downstream_free(d);
}
