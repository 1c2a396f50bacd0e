/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/memory_io.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/buf.h"

struct end {
	struct io io;
	struct end *peer;
	struct buf incoming; /* what the peer wrote and this end has not read */
	size_t limit;	     /* of incoming; its buffer may be larger */
	size_t per_call;
	size_t written;
	bool connecting, broken;
	bool shut, closed, reset;
};

static int broke(struct end *end, const char *why)
{
	err_set(&end->io.err, 0, "%s", why);
	return IO_ERR;
}

static int memory_handshake(struct io *io)
{
	struct end *end = (struct end *)io;

	if (end->broken)
		return IO_ERR;
	return end->connecting ? IO_WANT_WRITE : 0;
}

static size_t at_most(const struct end *end, size_t size)
{
	return end->per_call && end->per_call < size ? end->per_call : size;
}

static ssize_t memory_read(struct io *io, void *data, size_t size)
{
	struct end *end = (struct end *)io;
	size_t n = at_most(end, size);

	if (end->broken)
		return IO_ERR;
	if (end->peer->reset)
		return broke(end, "read: Connection reset by peer");
	if (end->connecting || n == 0)
		return IO_WANT_READ;
	if (buf_len(&end->incoming) == 0)
		return end->peer->shut ? IO_EOF : IO_WANT_READ;
	if (n > buf_len(&end->incoming))
		n = buf_len(&end->incoming);
	memcpy(data, buf_data(&end->incoming), n);
	buf_take(&end->incoming, n);
	return (ssize_t)n;
}

static ssize_t memory_write(struct io *io, const void *data, size_t size)
{
	struct end *end = (struct end *)io;
	struct end *peer = end->peer;
	size_t n = at_most(end, size);

	if (end->broken)
		return IO_ERR;
	ck_assert_msg(!end->shut, "write after shutdown");
	if (peer->reset)
		return broke(end, "write: Connection reset by peer");
	if (peer->closed)
		return broke(end, "write: Broken pipe");
	if (end->connecting || buf_len(&peer->incoming) >= peer->limit)
		return IO_WANT_WRITE;
	if (n > peer->limit - buf_len(&peer->incoming))
		n = peer->limit - buf_len(&peer->incoming);
	ck_assert_int_eq(buf_put(&peer->incoming, data, n), 0);
	end->written += n;
	return (ssize_t)n;
}

static int memory_shutdown(struct io *io)
{
	struct end *end = (struct end *)io;

	if (end->broken)
		return IO_ERR;
	end->shut = true;
	return 0;
}

static void memory_close(struct io *io, bool reset)
{
	struct end *end = (struct end *)io;

	ck_assert_msg(!end->closed, "closed twice");
	end->closed = end->shut = true;
	end->reset = reset;
	if (!end->peer->closed)
		return;
	buf_release(&end->incoming);
	buf_release(&end->peer->incoming);
	free(end->peer);
	free(end);
}

static const struct io_ops memory_ops = {
    .name = "memory",
    .handshake = memory_handshake,
    .read = memory_read,
    .write = memory_write,
    .shutdown = memory_shutdown,
    .close = memory_close,
};

static struct end *end_new(size_t capacity)
{
	struct end *end = calloc(1, sizeof(*end));

	ck_assert_ptr_nonnull(end);
	end->io.ops = &memory_ops;
	end->limit = capacity;
	ck_assert_int_eq(buf_init(&end->incoming, capacity), 0);
	return end;
}

void memory_io_pair(struct io *ends[2], size_t capacity)
{
	struct end *a = end_new(capacity), *b = end_new(capacity);

	a->peer = b;
	b->peer = a;
	ends[0] = &a->io;
	ends[1] = &b->io;
}

void memory_io_limit(struct io *io, size_t n)
{
	((struct end *)io)->per_call = n;
}

void memory_io_capacity(struct io *io, size_t capacity)
{
	struct end *peer = ((struct end *)io)->peer;

	ck_assert_int_eq(buf_grow(&peer->incoming, capacity), 0);
	peer->limit = capacity;
}

void memory_io_connecting(struct io *io, bool connecting)
{
	((struct end *)io)->connecting = connecting;
}

void memory_io_break(struct io *io, const char *why)
{
	struct end *end = (struct end *)io;

	broke(end, why);
	end->broken = true;
}

size_t memory_io_written(const struct io *io)
{
	return ((const struct end *)io)->written;
}

size_t memory_io_waiting(const struct io *io)
{
	return buf_len(&((const struct end *)io)->incoming);
}

bool memory_io_is_shut(const struct io *io)
{
	return ((const struct end *)io)->shut;
}

bool memory_io_is_closed(const struct io *io)
{
	return ((const struct end *)io)->closed;
}

bool memory_io_is_reset(const struct io *io)
{
	return ((const struct end *)io)->reset;
}
