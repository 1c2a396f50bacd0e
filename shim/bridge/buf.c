/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/buf.h"

#include <stdlib.h>
#include <string.h>

#include "shim/bridge/io.h"

int buf_init(struct buf *buf, size_t capacity)
{
	buf->block = NULL;
	buf->capacity = buf->head = buf->tail = 0;
	return buf_grow(buf, capacity);
}

void buf_release(struct buf *buf)
{
	free(buf->block);
	buf->block = NULL;
	buf->capacity = buf->head = buf->tail = 0;
}

void buf_take(struct buf *buf, size_t n)
{
	buf->head += n;
	if (buf->head == buf->tail)
		buf->head = buf->tail = 0;
}

static void move_to_front(struct buf *buf)
{
	size_t len = buf_len(buf);

	if (buf->head == 0)
		return;
	memmove(buf->block, buf->block + buf->head, len);
	buf->head = 0;
	buf->tail = len;
}

char *buf_reserve(struct buf *buf)
{
	move_to_front(buf);
	return buf->block + buf->tail;
}

void buf_added(struct buf *buf, size_t n)
{
	buf->tail += n;
}

int buf_put(struct buf *buf, const void *data, size_t n)
{
	if (n > buf_room(buf))
		return -1;
	if (n > buf->capacity - buf->tail)
		move_to_front(buf);
	if (n > 0)
		memcpy(buf->block + buf->tail, data, n);
	buf->tail += n;
	return 0;
}

int buf_grow(struct buf *buf, size_t capacity)
{
	if (capacity <= buf->capacity)
		return 0;
	char *block = realloc(buf->block, capacity);
	if (!block)
		return -1;
	buf->block = block;
	buf->capacity = capacity;
	return 0;
}

ssize_t buf_read_from(struct buf *buf, struct io *io, size_t max)
{
	size_t want = buf_room(buf) < max ? buf_room(buf) : max;

	if (want == 0)
		return IO_WANT_WRITE;
	/*
	 * Moving at most as many bytes as were taken since the last move costs each byte one copy
	 * at most; more is moved only when there is no other room at all.
	 */
	size_t behind = buf->capacity - buf->tail;
	if (behind == 0 || (behind < want && buf_len(buf) <= buf->head)) {
		move_to_front(buf);
		behind = buf->capacity - buf->tail;
	}
	ssize_t n = io_read(io, buf->block + buf->tail, behind < want ? behind : want);
	if (n > 0)
		buf->tail += (size_t)n;
	return n;
}

ssize_t buf_write_to(struct buf *buf, struct io *io)
{
	if (buf_len(buf) == 0)
		return IO_WANT_READ;
	ssize_t n = io_write(io, buf_data(buf), buf_len(buf));
	if (n > 0)
		buf_take(buf, (size_t)n);
	return n;
}
