/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One dialing walks endpoints x addresses. It begins and ends from the loop only, so that its
 * owner never meets its own callback on the stack.
 */
#include "shim/bridge/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "shim/container_of.h"
#include "shim/libc.h"

struct dialing {
	struct dial_env *env;
	const struct cluster *cluster;
	char server_name[256];
	bool http, encrypted;
	void (*done)(void *arg, struct connection *connection, enum upstream_failure failure,
		     const struct err *err);
	void *arg;

	struct task begin;
	bool begun, cancelled; /* cancelled before it began: freed by its task */
	bool walking;
	size_t first, tried, present; /* endpoints */
	struct query query;
	struct addresses addresses; /* of the present endpoint */
	size_t next_address;
	struct connection *connection;
	struct timer timeout;

	enum upstream_failure failure; /* of the last attempt */
	struct err err;
};

static void walk(struct dialing *d);

static const struct endpoint *endpoint(const struct dialing *d)
{
	return &d->cluster->endpoints[d->present];
}

static void dialing_free(struct dialing *d)
{
	query_cancel(&d->query);
	timer_clear(d->env->loop, &d->timeout);
	connection_free(d->connection, true);
	free(d);
}

static void attempt_failed(struct dialing *d, enum upstream_failure failure, const char *text)
{
	timer_clear(d->env->loop, &d->timeout);
	d->failure = failure;
	err_clear(&d->err);
	err_set(&d->err, 0, "%s", text);
	connection_free(d->connection, true);
	d->connection = NULL;
}

/* ---- one address ------------------------------------------------------------------------- */

static void succeed(struct dialing *d)
{
	struct connection *connection = d->connection;

	d->connection = NULL;
	void (*done)(void *, struct connection *, enum upstream_failure, const struct err *) =
	    d->done;
	void *arg = d->arg;
	dialing_free(d);
	done(arg, connection, UPSTREAM_CONNECT, NULL);
}

static void handshake(struct dialing *d)
{
	struct io *io = d->connection->upstream.io;
	bool connected = io != d->connection->sock && io_handshake(d->connection->sock) == 0;
	int n = io_handshake(io);

	if (n == IO_WANT_READ || n == IO_WANT_WRITE)
		return;
	if (n == 0) {
		succeed(d);
		return;
	}
	attempt_failed(d, connected ? UPSTREAM_TLS : UPSTREAM_CONNECT, io_error(io));
	walk(d);
}

static void connection_ready(struct connection *connection, uint32_t events)
{
	(void)events;
	handshake(connection->owner);
}

static void timed_out(struct timer *timer)
{
	struct dialing *d = container_of(timer, struct dialing, timeout);

	attempt_failed(d, UPSTREAM_TIMEOUT, "connection timed out");
	walk(d);
}

static int originate_tls(struct dialing *d)
{
	struct err err = {0};

	if (d->cluster->tls.mode == TLS_MODE_DISABLE || d->encrypted)
		return 0;
	if (!d->env->tls)
		d->env->tls = tls_new(&err);
	struct io *tls = d->env->tls ? tls_connect(d->env->tls, &d->cluster->tls, d->server_name,
						   d->http, d->connection->sock, &err) :
				       NULL;
	if (!tls) {
		attempt_failed(d, UPSTREAM_TLS, err.text);
		return -1;
	}
	d->connection->upstream.io = tls;
	return 0;
}

static int open_socket(struct dialing *d, int family)
{
	int fd, one = 1;

	do
		fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (fd < 0 && errno == EMFILE && d->env->free_descriptor(d->env));
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Returns 0 when the attempt is under way. */
static int attempt(struct dialing *d, struct sockaddr_storage *to)
{
	socklen_t len;

	if (to->ss_family == AF_INET) {
		((struct sockaddr_in *)to)->sin_port = htons(endpoint(d)->port);
		len = sizeof(struct sockaddr_in);
	} else {
		((struct sockaddr_in6 *)to)->sin6_port = htons(endpoint(d)->port);
		len = sizeof(struct sockaddr_in6);
	}
	int fd = open_socket(d, to->ss_family);
	if (fd < 0 ||
	    (real.connect(fd, (struct sockaddr *)to, len) < 0 && errno != EINPROGRESS)) {
		attempt_failed(d, UPSTREAM_CONNECT, strerror(errno));
		if (fd >= 0)
			real.close(fd);
		return -1;
	}
	d->connection = connection_new(d->env->loop, fd);
	if (!d->connection) {
		attempt_failed(d, UPSTREAM_CONNECT, strerror(errno));
		return -1;
	}
	d->connection->owner = d;
	d->connection->ready = connection_ready;
	if (originate_tls(d) < 0)
		return -1;
	timer_set(d->env->loop, &d->timeout, DIAL_TIMEOUT_MS);
	return 0;
}

/* ---- all of them ------------------------------------------------------------------------- */

static void give_up(struct dialing *d)
{
	void (*done)(void *, struct connection *, enum upstream_failure, const struct err *) =
	    d->done;
	void *arg = d->arg;
	enum upstream_failure failure = d->failure;
	struct err err = d->err;

	dialing_free(d);
	done(arg, NULL, failure, &err);
}

/* Go on until something has to be waited for. A loop and not a recursion: a cluster may have
 * thousands of endpoints that all fail at once. */
static void walk(struct dialing *d)
{
	d->walking = true;
	for (;;) {
		if (d->next_address < d->addresses.n) {
			if (attempt(d, &d->addresses.list[d->next_address++]) == 0)
				break;
		} else if (d->tried == d->cluster->n_endpoints) {
			give_up(d);
			return;
		} else {
			d->present = (d->first + d->tried++) % d->cluster->n_endpoints;
			d->next_address = d->addresses.n = 0;
			if (!resolver_ask(d->env->resolver, endpoint(d)->address, &d->query))
				break;
		}
	}
	d->walking = false;
}

static void answered(struct query *query, const struct addresses *found, const struct err *err)
{
	struct dialing *d = container_of(query, struct dialing, query);

	if (found) {
		d->addresses = *found;
		if (d->cluster->resolution == RESOLUTION_DNS_ROUND_ROBIN)
			d->addresses.n = 1;
	} else if (!d->err.text[0]) {
		/* A failure to connect elsewhere says more than a name without address. */
		attempt_failed(d, UPSTREAM_NO_HOST, err->text);
	}
	if (!d->walking)
		walk(d);
}

static void begin(struct task *task)
{
	struct dialing *d = container_of(task, struct dialing, begin);

	if (d->cancelled) {
		dialing_free(d);
		return;
	}
	d->begun = true;
	walk(d);
}

struct dialing *dial_start(struct dial_env *env, const struct cluster *cluster,
			   const char *server_name, bool http, bool encrypted,
			   uint32_t random,
			   void (*done)(void *arg, struct connection *connection,
					enum upstream_failure failure, const struct err *err),
			   void *arg)
{
	struct dialing *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->env = env;
	d->cluster = cluster;
	strncpy(d->server_name, server_name, sizeof(d->server_name) - 1);
	d->http = http;
	d->encrypted = encrypted;
	d->first = cluster->n_endpoints ? random % cluster->n_endpoints : 0;
	d->done = done;
	d->arg = arg;
	d->failure = UPSTREAM_NO_HOST;
	d->query.answer = answered;
	d->timeout.fire = timed_out;
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
