/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "shim/bridge/sock.h"
#include "shim/container_of.h"
#include "shim/libc.h"

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

struct connection *connection_new(struct loop *loop, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	struct io *sock = connection ? sock_io(fd, true) : NULL;

	if (!sock) {
		free(connection);
		real.close(fd);
		errno = ENOMEM;
		return NULL;
	}
	connection->loop = loop;
	connection->sock = connection->upstream.io = sock;
	connection->ready = ignore;
	connection->watch.fd = -1;
	connection->watch.ready = watch_ready;
	if (loop_watch(loop, &connection->watch, fd,
		       EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		int saved = errno;

		io_close(sock, true);
		free(connection);
		errno = saved;
		return NULL;
	}
	return connection;
}

void connection_free(struct connection *connection, bool reset)
{
	if (!connection)
		return;
	timer_clear(connection->loop, &connection->idle);
	loop_unwatch(connection->loop, &connection->watch);
	io_close(connection->upstream.io, reset);
	free(connection->key);
	free(connection);
}
