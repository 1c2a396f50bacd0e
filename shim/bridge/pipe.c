/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends live in one block, until both are closed and none of their tasks waits in the loop any
 * more.
 */
#include "shim/bridge/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/buf.h"
#include "shim/container_of.h"

#define FIRST_ROOM 4096 /* bytes; doubled as needed */

struct end {
	struct io io;
	struct pipe *pipe;
	struct end *peer;
	struct buf incoming; /* written by the peer, not read here */
	bool shut, closed, reset;
	bool wants_room; /* its last write found none */
	void (*ready)(void *arg);
	void *arg;
	struct task task;
	bool queued; /* the task */
};

struct pipe {
	struct loop *loop;
	size_t limit;
	struct end ends[2];
};

static struct end *end_of(struct io *io)
{
	return container_of(io, struct end, io);
}

static void notify(struct end *end)
{
	if (end->closed || end->queued || !end->ready)
		return;
	end->queued = true;
	loop_defer(end->pipe->loop, &end->task);
}

static void free_unused(struct pipe *pipe)
{
	for (int i = 0; i < 2; i++)
		if (!pipe->ends[i].closed || pipe->ends[i].queued)
			return;
	free(pipe);
}

static void tell(struct task *task)
{
	struct end *end = container_of(task, struct end, task);

	end->queued = false;
	if (end->closed)
		free_unused(end->pipe);
	else if (end->ready)
		end->ready(end->arg);
}

static bool pipe_pending(const struct io *io)
{
	const struct end *end = container_of(io, const struct end, io);

	return buf_len(&end->incoming) > 0 || end->peer->shut;
}

void pipe_on_ready(struct io *io, void (*ready)(void *arg), void *arg)
{
	struct end *end = end_of(io);

	end->ready = ready;
	end->arg = arg;
	if (pipe_pending(io))
		notify(end);
}

/* ---- struct io --------------------------------------------------------------------------- */

static int pipe_handshake(struct io *io)
{
	(void)io;
	return 0;
}

static ssize_t pipe_read(struct io *io, void *data, size_t size)
{
	struct end *end = end_of(io), *peer = end->peer;
	size_t n = buf_len(&end->incoming);

	if (peer->reset) {
		err_set_errno(&io->err, ECONNRESET, "read");
		return IO_ERR;
	}
	if (n == 0)
		return peer->shut ? IO_EOF : IO_WANT_READ;
	if (size == 0)
		return IO_WANT_READ;
	if (n > size)
		n = size;
	memcpy(data, buf_data(&end->incoming), n);
	buf_take(&end->incoming, n);
	if (peer->wants_room) {
		peer->wants_room = false;
		notify(peer);
	}
	return (ssize_t)n;
}

/* Make room for `size` bytes, or for as many as there may be. What there is afterwards. */
static size_t make_room(struct buf *buf, size_t limit, size_t size)
{
	size_t needed = buf_len(buf) + size, capacity = buf->capacity;

	if (needed > limit || needed < size)
		needed = limit;
	if (capacity == 0)
		capacity = FIRST_ROOM < limit ? FIRST_ROOM : limit;
	while (capacity < needed)
		capacity = capacity < limit / 2 ? capacity * 2 : limit;
	if (buf_grow(buf, capacity) < 0) {
		/* the room is what it was */
	}
	return buf_room(buf);
}

static ssize_t pipe_write(struct io *io, const void *data, size_t size)
{
	struct end *end = end_of(io), *peer = end->peer;

	if (peer->reset) {
		err_set_errno(&io->err, ECONNRESET, "write");
		return IO_ERR;
	}
	if (end->shut || peer->closed) {
		err_set_errno(&io->err, EPIPE, "write");
		return IO_ERR;
	}
	if (size == 0)
		return 0;
	size_t room = make_room(&peer->incoming, end->pipe->limit, size);
	if (peer->incoming.capacity == 0) {
		err_set_errno(&io->err, ENOMEM, "write");
		return IO_ERR;
	}
	if (room == 0) {
		end->wants_room = true;
		return IO_WANT_WRITE;
	}
	if (size > room)
		size = room;
	if (buf_put(&peer->incoming, data, size) < 0)
		return IO_WANT_WRITE;
	notify(peer);
	return (ssize_t)size;
}

static int pipe_shutdown(struct io *io)
{
	struct end *end = end_of(io);

	if (end->peer->reset) {
		err_set_errno(&io->err, ECONNRESET, "shutdown");
		return IO_ERR;
	}
	if (!end->shut) {
		end->shut = true;
		notify(end->peer);
	}
	return 0;
}

static void pipe_close(struct io *io, bool reset)
{
	struct end *end = end_of(io), *peer = end->peer;

	end->closed = end->shut = true;
	end->reset = reset;
	buf_release(&end->incoming);
	if (reset)
		buf_release(&peer->incoming);
	notify(peer);
	free_unused(end->pipe);
}

static const struct io_ops pipe_ops = {
    .name = "pipe",
    .handshake = pipe_handshake,
    .read = pipe_read,
    .write = pipe_write,
    .shutdown = pipe_shutdown,
    .close = pipe_close,
};

int pipe_new(struct loop *loop, struct io *ends[2], size_t limit)
{
	struct pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return -1;
	pipe->loop = loop;
	pipe->limit = limit;
	for (int i = 0; i < 2; i++) {
		struct end *end = &pipe->ends[i];

		end->io.ops = &pipe_ops;
		end->io.pending = pipe_pending;
		end->pipe = pipe;
		end->peer = &pipe->ends[1 - i];
		end->task.run = tell;
		ends[i] = &end->io;
	}
	return 0;
}
