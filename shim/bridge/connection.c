/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/thread.h"

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void watch_ready(struct watch *watch, uint32_t events)
{
	struct connection *connection = container_of(watch, struct connection, watch);

	sock_ready(connection->sock, events);
	connection->ready(connection, events);
}

static void ignore(struct connection *connection, uint32_t events)
{
	(void)connection;
	(void)events;
}

struct connection *connection_over(struct loop *loop, struct io *io)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		io_close(io, true);
		return NULL;
	}
	connection->loop = loop;
	connection->upstream.io = io;
	connection->ready = ignore;
	connection->watch.fd = -1;
	connection->watch.ready = watch_ready;
	return connection;
}

struct connection *connection_new(struct loop *loop, int fd)
{
	struct io *sock = sock_io(fd, true);

	if (!sock) {
		real.close(fd);
		errno = ENOMEM;
		return NULL;
	}
	struct connection *connection = connection_over(loop, sock);
	if (!connection) {
		errno = ENOMEM;
		return NULL;
	}
	connection->sock = sock;
	if (loop_watch(loop, &connection->watch, fd, EVENTS) < 0) {
		int saved = errno;

		connection_free(connection, true);
		errno = saved;
		return NULL;
	}
	return connection;
}

int connection_come_home(struct connection *connection)
{
	if (!connection->twin.all || connection->watch.fd >= 0)
		return 0;
	epoll_set_unbind(&connection->twin);
	sock_move(connection->sock, connection->twin.near);
	sock_ready(connection->sock, EPOLLIN | EPOLLOUT);
	return loop_watch(connection->loop, &connection->watch, connection->twin.near, EVENTS);
}

int connection_go_abroad(struct connection *connection)
{
	int far = twin_fetch(&connection->twin);

	if (far < 0)
		return -1;
	sock_move(connection->sock, far);
	return 0;
}

void connection_free(struct connection *connection, bool reset)
{
	if (!connection)
		return;
	if (connection->closing)
		connection->closing(connection);
	timer_clear(connection->loop, &connection->idle);
	loop_unwatch(connection->loop, &connection->watch);
	if (connection->twin.all) {
		/* What the program has closed by a way that no hook sees is not ours to close. */
		sock_move(connection->sock, thread_is_ours ? connection->twin.near
							   : twin_to_close(&connection->twin));
		twin_part(&connection->twin);
	}
	io_close(connection->upstream.io, reset);
	free(connection);
}

/* Reading also lets TLS take in session tickets. */
bool connection_alive(struct connection *connection, bool ask)
{
	char byte;

	if (ask && connection->sock)
		sock_ask(connection->sock);
	return io_read(connection->upstream.io, &byte, 1) == IO_WANT_READ;
}
