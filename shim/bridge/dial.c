/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several attempts may be under way, until one of them is connected: then the others are dropped.
 * Should its TLS fail, the addresses that were not tried yet have their turn. A dialing begins and
 * ends from the loop only, so that its owner never meets its own callback on the stack.
 */
#include "shim/bridge/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "rules/destination_rule.h"
#include "shim/bridge/preface.h"
#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/libc.h"

struct attempt {
	struct dialing *dialing;
	struct connection *connection; /* NULL: not begun, or over */
	struct sockaddr_storage address;
};

struct dialing {
	struct dial_env *env;
	const struct cluster *cluster;
	char server_name[256];
	bool http, encrypted;
	void (*failed)(void *arg, size_t which, enum upstream_failure failure);
	void (*done)(void *arg, struct connection *connection, size_t which,
		     enum upstream_failure failure, const struct err *err);
	void *arg;

	struct task begin;
	bool begun, cancelled; /* cancelled before it began: freed by its task */
	struct timer timeout, stagger;
	struct attempt *winner; /* connected; the others are over */
	size_t n, next, open;	/* attempts: all, not begun yet, under way */

	enum upstream_failure failure; /* of the last attempt */
	struct err err;
	struct attempt attempts[];
};

static void dialing_free(struct dialing *d)
{
	timer_clear(d->env->loop, &d->timeout);
	timer_clear(d->env->loop, &d->stagger);
	for (size_t i = 0; i < d->n; i++)
		connection_free(d->attempts[i].connection, true);
	free(d);
}

static void finish(struct dialing *d, struct connection *connection, size_t which)
{
	void (*done)(void *, struct connection *, size_t, enum upstream_failure,
		     const struct err *) = d->done;
	void *arg = d->arg;
	enum upstream_failure failure = d->failure;
	struct err err = d->err;

	dialing_free(d);
	done(arg, connection, which, failure, &err);
}

/* ---- one address ------------------------------------------------------------------------- */

static void attempt_failed(struct attempt *a, enum upstream_failure failure, const char *text)
{
	struct dialing *d = a->dialing;

	d->failure = failure;
	err_clear(&d->err);
	err_set(&d->err, 0, "%s", text);
	if (a->connection) {
		connection_free(a->connection, true);
		a->connection = NULL;
		d->open--;
	}
	if (d->winner == a)
		d->winner = NULL;
	if (d->failed)
		d->failed(d->arg, (size_t)(a - d->attempts), failure);
}

/* Whether the tunnel of the rules is used: it is for streams, requests are none of its business. */
static const struct tunnel_settings *tunnel_of(const struct dialing *d)
{
	return d->http ? NULL : d->cluster->tunnel;
}

/* Whether TLS is ours to originate. Bytes that are TLS already get none, unless it is for the proxy
 * that tunnels them. */
static bool has_tls(const struct dialing *d)
{
	return d->cluster->tls.mode != TLS_MODE_DISABLE && (!d->encrypted || tunnel_of(d));
}

static int no_memory(struct attempt *a)
{
	attempt_failed(a, UPSTREAM_CONNECT, strerror(ENOMEM));
	return -1;
}

static int originate_tls(struct attempt *a)
{
	struct dialing *d = a->dialing;
	struct err err = {0};

	if (!d->env->tls)
		d->env->tls = tls_new(&err);
	struct io *tls = d->env->tls ? tls_connect(d->env->tls, &d->cluster->tls, d->server_name,
						   d->http, a->connection->upstream.io, &err) :
				       NULL;
	if (!tls) {
		attempt_failed(a, UPSTREAM_TLS, err.text);
		return -1;
	}
	a->connection->upstream.io = tls;
	return 0;
}

/* What lies over the socket: a PROXY header before anything else, TLS, a tunnel through its end.
 * Returns 0, or -1: the attempt has failed. */
static int build_stack(struct attempt *a)
{
	const struct dialing *d = a->dialing;
	const struct proxy_protocol *proxy = d->cluster->proxy_protocol;
	const struct tunnel_settings *tunnel = tunnel_of(d);
	struct io **io = &a->connection->upstream.io, *over;

	if (proxy) {
		over = proxy_header_io(*io, sock_fd(a->connection->sock),
				       proxy->version.value == PROXY_PROTOCOL_V2 ? 2 : 1);
		if (!over)
			return no_memory(a);
		*io = over;
	}
	if (has_tls(d) && originate_tls(a) < 0)
		return -1;
	if (tunnel) {
		over = connect_tunnel_io(*io, tunnel->target_host.s,
					 (uint16_t)tunnel->target_port.value);
		if (!over)
			return no_memory(a);
		*io = over;
	}
	return 0;
}

/* The first that connects: nobody else goes on. Returns as build_stack(). */
static int win(struct attempt *a)
{
	struct dialing *d = a->dialing;

	d->winner = a;
	timer_clear(d->env->loop, &d->stagger);
	for (size_t i = 0; i < d->next; i++) {
		struct attempt *other = &d->attempts[i];

		if (other == a || !other->connection)
			continue;
		connection_free(other->connection, true);
		other->connection = NULL;
		d->open--;
	}
	return build_stack(a);
}

/* Returns -1 when the attempt has failed, 1 when the dialing is over, else 0. */
static int advance(struct attempt *a)
{
	struct dialing *d = a->dialing;
	struct connection *connection = a->connection;
	bool connected = d->winner == a;

	for (;;) {
		struct io *io = connection->upstream.io; /* the bottom, until there is a stack */
		int n = io_handshake(io);

		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return 0;
		if (n < 0) {
			attempt_failed(a, connected && has_tls(d) ? UPSTREAM_TLS : UPSTREAM_CONNECT,
				       io_error(io));
			return -1;
		}
		if (connected || (win(a) == 0 && connection->upstream.io == io))
			break;
		if (!a->connection)
			return -1;
		connected = true;
	}
	a->connection = NULL;
	d->open--;
	finish(d, connection, (size_t)(a - d->attempts));
	return 1;
}

static void walk(struct dialing *d);

static void connection_ready(struct connection *connection, uint32_t events)
{
	struct attempt *a = connection->owner;
	struct dialing *d = a->dialing;

	(void)events;
	if (advance(a) < 0)
		walk(d);
}

static void keep_alive(int fd, const struct tcp_keepalive *settings)
{
	const struct {
		int option;
		int64_t value;
	} options[] = {
	    {TCP_KEEPCNT, settings->probes.set ? settings->probes.value : 0},
	    {TCP_KEEPIDLE, settings->time.set ? settings->time.ns / 1000000000 : 0},
	    {TCP_KEEPINTVL, settings->interval.set ? settings->interval.ns / 1000000000 : 0},
	};
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int value = options[i].value < INT32_MAX ? (int)options[i].value : INT32_MAX;

		if (value > 0) /* else the system's */
			setsockopt(fd, IPPROTO_TCP, options[i].option, &value, sizeof(value));
	}
}

static int open_socket(struct dialing *d, int family)
{
	const struct connection_pool *pool = d->cluster->connection_pool;
	int fd, one = 1;

	do
		fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (fd < 0 && errno == EMFILE && d->env->free_descriptor(d->env));
	if (fd < 0 || family == AF_UNIX)
		return fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (pool && pool->tcp && pool->tcp->tcp_keepalive)
		keep_alive(fd, pool->tcp->tcp_keepalive);
	return fd;
}

static socklen_t address_length(const struct sockaddr_storage *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	size_t path;

	if (address->ss_family == AF_INET)
		return sizeof(struct sockaddr_in);
	if (address->ss_family == AF_INET6)
		return sizeof(struct sockaddr_in6);
	/* An abstract name begins with a NUL, and is as long as it is. */
	path = un->sun_path[0] ? strnlen(un->sun_path, sizeof(un->sun_path)) :
				 1 + strnlen(un->sun_path + 1, sizeof(un->sun_path) - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path);
}

/* NULL with errno. */
static struct connection *open_connection(struct dialing *d, const struct sockaddr_storage *to)
{
	int fd = open_socket(d, to->ss_family);

	if (fd < 0)
		return NULL;
	if (real.connect(fd, (const struct sockaddr *)to, address_length(to)) < 0 &&
	    errno != EINPROGRESS) {
		int saved = errno;

		real.close(fd);
		errno = saved;
		return NULL;
	}
	return connection_new(d->env->loop, fd);
}

/* Returns as advance() does. */
static int attempt(struct attempt *a)
{
	struct dialing *d = a->dialing;

	a->connection = d->env->open ? d->env->open(d->env, &a->address) :
				       open_connection(d, &a->address);
	if (!a->connection) {
		attempt_failed(a, UPSTREAM_CONNECT, strerror(errno));
		return -1;
	}
	d->open++;
	a->connection->owner = a;
	a->connection->ready = connection_ready;
	return 0;
}

/* ---- all of them ------------------------------------------------------------------------- */

/* Begin, or go on after a failure: with the next address, at once. A loop and not a recursion: all
 * may fail on the spot. */
static void walk(struct dialing *d)
{
	while (!d->winner && d->next < d->n && attempt(&d->attempts[d->next++]) < 0)
		continue;
	if (!d->open)
		finish(d, NULL, 0);
	else if (!d->winner && d->next < d->n)
		timer_set(d->env->loop, &d->stagger, DIAL_STAGGER_MS);
}

static void staggered(struct timer *timer)
{
	struct dialing *d = container_of(timer, struct dialing, stagger);

	walk(d);
}

static void timed_out(struct timer *timer)
{
	struct dialing *d = container_of(timer, struct dialing, timeout);

	for (size_t i = 0; i < d->next; i++)
		if (d->attempts[i].connection)
			attempt_failed(&d->attempts[i], UPSTREAM_TIMEOUT, "connection timed out");
	finish(d, NULL, 0);
}

static void begin(struct task *task)
{
	struct dialing *d = container_of(task, struct dialing, begin);

	if (d->cancelled) {
		dialing_free(d);
		return;
	}
	d->begun = true;
	timer_set(d->env->loop, &d->timeout, d->cluster->connect_timeout ?: DIAL_TIMEOUT_MS);
	walk(d);
}

struct dialing *dial_start(struct dial_env *env, const struct dial_wish *wish)
{
	struct dialing *d = calloc(1, sizeof(*d) + wish->n * sizeof(d->attempts[0]));

	if (!d)
		return NULL;
	d->env = env;
	d->cluster = wish->cluster;
	strncpy(d->server_name, wish->server_name, sizeof(d->server_name) - 1);
	d->http = wish->http;
	d->encrypted = wish->encrypted;
	d->failed = wish->failed;
	d->done = wish->done;
	d->arg = wish->arg;
	d->n = wish->n;
	for (size_t i = 0; i < wish->n; i++) {
		d->attempts[i].dialing = d;
		d->attempts[i].address = wish->addresses[i];
	}
	d->timeout.fire = timed_out;
	d->stagger.fire = staggered;
	d->begin.run = begin;
	loop_defer(env->loop, &d->begin);
	return d;
}

void dial_cancel(struct dialing *d)
{
	if (!d)
		return;
	if (d->begun)
		dialing_free(d);
	else
		d->cancelled = true;
}
