/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dns_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <utlist.h>

#include "shim/address.h"
#include "shim/bridge/dns_relay.h"
#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/libc.h"

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* One of the two sockets. */
struct side {
	struct dns_stream *stream;
	struct io *sock; /* NULL: there is none */
	struct watch watch;
};

struct dns_stream {
	struct dns_streams *all;
	struct side down, up;
	struct dns_relay *relay; /* NULL: over, kept for a queued `again` only */
	struct task again;
	bool queued;
	struct dns_stream *next, *prev;
};

static void stream_free(struct dns_stream *s)
{
	if (s->relay) {
		loop_unwatch(s->all->loop, &s->down.watch);
		loop_unwatch(s->all->loop, &s->up.watch);
		dns_relay_free(s->relay);
		s->relay = NULL;
		DL_DELETE(s->all->list, s);
	}
	if (!s->queued) /* else the task frees the rest */
		free(s);
}

static void drive(struct dns_stream *s)
{
	int one = 1;

	switch (dns_relay_drive(s->relay)) {
	case DNS_RELAY_WAIT:
		/* A program that writes a message in pieces, without TCP_NODELAY, sends the next
		 * one when we acknowledge the last: at once, not 40 ms later. */
		setsockopt(s->down.watch.fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
		break;
	case DNS_RELAY_MORE:
		if (!s->queued) {
			s->queued = true;
			loop_defer(s->all->loop, &s->again);
		}
		break;
	case DNS_RELAY_DONE:
		stream_free(s);
		break;
	}
}

static void run_again(struct task *task)
{
	struct dns_stream *s = container_of(task, struct dns_stream, again);

	s->queued = false;
	if (s->relay)
		drive(s);
	else
		stream_free(s);
}

static void side_ready(struct watch *watch, uint32_t events)
{
	struct side *side = container_of(watch, struct side, watch);

	sock_ready(side->sock, events);
	drive(side->stream);
}

/* A stream over the descriptor, which is closed on failure. */
static int side_open(struct dns_stream *s, struct side *side, int fd, bool connecting)
{
	int one = 1, probe_s = 10;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* A program that has gone looks like one that shut down its sending side, until a probe
	 * finds nobody. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_s, sizeof(probe_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s));
	side->stream = s;
	side->watch.fd = -1;
	side->watch.ready = side_ready;
	side->sock = sock_io(fd, connecting);
	if (!side->sock) {
		real.close(fd);
		return -1;
	}
	if (loop_watch(s->all->loop, &side->watch, fd, EVENTS) == 0)
		return 0;
	io_close(side->sock, true);
	side->sock = NULL;
	return -1;
}

/* Without a server, registry names are answered all the same. */
static void dial_server(struct dns_stream *s, const struct sockaddr_storage *server)
{
	socklen_t len = address_size(server->ss_family);
	int fd = socket(server->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	s->up.watch.fd = -1;
	if (fd < 0)
		return;
	if (real.connect(fd, (const struct sockaddr *)server, len) < 0 && errno != EINPROGRESS)
		real.close(fd);
	else
		(void)!side_open(s, &s->up, fd, true);
}

void dns_stream_start(struct dns_streams *all, int fd, const struct claim *claim)
{
	struct dns_stream *s = calloc(1, sizeof(*s));

	rules_unref(claim->rules);
	if (!s) {
		real.close(fd);
		return;
	}
	s->all = all;
	s->again.run = run_again;
	if (side_open(s, &s->down, fd, false) < 0) {
		free(s);
		return;
	}
	dial_server(s, &claim->dialled);
	s->relay = dns_relay_new(s->down.sock, s->up.sock);
	if (!s->relay) {
		loop_unwatch(all->loop, &s->down.watch);
		loop_unwatch(all->loop, &s->up.watch);
		io_close(s->down.sock, true);
		io_close(s->up.sock, true);
		free(s);
		return;
	}
	DL_APPEND(all->list, s);
	drive(s);
}

void dns_streams_close(struct dns_streams *all)
{
	struct dns_stream *s, *tmp;

	DL_FOREACH_SAFE(all->list, s, tmp)
		stream_free(s);
}
