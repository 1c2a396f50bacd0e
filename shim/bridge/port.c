/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/port.h"

#include <stdlib.h>
#include <string.h>

struct port {
	struct io io; /* first: a struct io * of this kind is a struct port * */
	struct io *sock;
	uint64_t received, sent;
	bool lent;
	const char *in;
	char *out;
	size_t in_len, in_taken, out_room, out_filled;
};

static int port_handshake(struct io *io)
{
	struct port *port = (struct port *)io;

	if (port->lent)
		return 0;
	return port->sock ? io_handshake(port->sock) : IO_WANT_READ;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The upper stream's error is the lower's. */
static ssize_t pass_on(struct port *port, ssize_t n)
{
	if (n == IO_ERR)
		port->io.err = port->sock->err;
	port->io.truncated = port->sock->truncated;
	return n;
}

static ssize_t port_read(struct io *io, void *data, size_t size)
{
	struct port *port = (struct port *)io;

	if (port->lent) {
		size_t n = smaller(size, port->in_len - port->in_taken);

		if (!n)
			return IO_WANT_READ;
		memcpy(data, port->in + port->in_taken, n);
		port->in_taken += n;
		return (ssize_t)n;
	}
	if (!port->sock)
		return IO_WANT_READ;
	ssize_t n = io_read(port->sock, data, size);
	if (n > 0)
		port->received += (uint64_t)n;
	return pass_on(port, n);
}

static const void *port_peek(struct io *io, size_t *n)
{
	const struct port *port = (const struct port *)io;

	*n = port->lent ? port->in_len - port->in_taken : 0;
	return *n ? port->in + port->in_taken : NULL;
}

static void port_took(struct io *io, size_t n)
{
	((struct port *)io)->in_taken += n;
}

static ssize_t port_write(struct io *io, const void *data, size_t size)
{
	struct port *port = (struct port *)io;

	if (port->lent) {
		size_t n = smaller(size, port->out_room - port->out_filled);

		if (!n)
			return IO_WANT_WRITE;
		memcpy(port->out + port->out_filled, data, n);
		port->out_filled += n;
		return (ssize_t)n;
	}
	if (!port->sock)
		return IO_WANT_WRITE;
	ssize_t n = io_write(port->sock, data, size);
	if (n > 0)
		port->sent += (uint64_t)n;
	return pass_on(port, n);
}

static void *port_room(struct io *io, size_t *n)
{
	const struct port *port = (const struct port *)io;

	*n = port->lent ? port->out_room - port->out_filled : 0;
	return *n ? port->out + port->out_filled : NULL;
}

static void port_wrote(struct io *io, size_t n)
{
	((struct port *)io)->out_filled += n;
}

static int port_shutdown(struct io *io)
{
	struct port *port = (struct port *)io;

	return port->lent || !port->sock ? IO_WANT_WRITE : (int)pass_on(port, io_shutdown(port->sock));
}

static void port_close(struct io *io, bool reset)
{
	struct port *port = (struct port *)io;

	if (port->sock)
		io_close(port->sock, reset);
	free(port);
}

static const struct io_ops port_ops = {
    .name = "port",
    .handshake = port_handshake,
    .read = port_read,
    .write = port_write,
    .shutdown = port_shutdown,
    .close = port_close,
    .peek = port_peek,
    .took = port_took,
    .room = port_room,
    .filled = port_wrote,
};

struct io *port_io(struct io *sock)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->io.ops = &port_ops;
	port->sock = sock;
	return &port->io;
}

void port_attach(struct io *io, struct io *sock)
{
	((struct port *)io)->sock = sock;
}

void port_lend(struct io *io, const void *in, size_t in_len, void *out, size_t out_room)
{
	struct port *port = (struct port *)io;

	port->lent = true;
	port->in = in;
	port->in_len = in_len;
	port->out = out;
	port->out_room = out_room;
	port->in_taken = port->out_filled = 0;
}

size_t port_taken(const struct io *io)
{
	return ((const struct port *)io)->in_taken;
}

size_t port_filled(const struct io *io)
{
	return ((const struct port *)io)->out_filled;
}

void port_give_back(struct io *io)
{
	((struct port *)io)->lent = false;
}

uint64_t port_received(const struct io *io)
{
	return ((const struct port *)io)->received;
}

uint64_t port_sent(const struct io *io)
{
	return ((const struct port *)io)->sent;
}
