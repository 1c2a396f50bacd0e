/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte queue of fixed capacity: bytes are added at the tail and taken at the head. "Full" is the
 * whole of the back-pressure design: a full buffer stops reading. When there is too little room
 * behind the tail, bytes are moved to the front: after buf_reserve(), buf_put() and buf_read_from()
 * pointers from buf_data() are void.
 *
 * Threads: the owner's.
 */
#ifndef SHIM_BRIDGE_BUF_H
#define SHIM_BRIDGE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct io;

struct buf {
	char *block;
	size_t capacity; /* of block */
	size_t head;     /* first byte that is not taken */
	size_t tail;     /* behind the last byte */
};

/* Allocate. Returns 0 or -1 (no memory). */
int buf_init(struct buf *buf, size_t capacity) __attribute__((warn_unused_result));

/* Free the block; the buffer is empty with capacity 0. Idempotent. */
void buf_release(struct buf *buf);

static inline char *buf_data(struct buf *buf)
{
	return buf->block + buf->head;
}

static inline size_t buf_len(const struct buf *buf)
{
	return buf->tail - buf->head;
}

/* How many bytes can be added. */
static inline size_t buf_room(const struct buf *buf)
{
	return buf->capacity - buf_len(buf);
}

/* Forget the first n bytes (n <= buf_len). An empty buffer starts at the front again. */
void buf_take(struct buf *buf, size_t n);

/* A pointer to contiguous room for `buf_room()` bytes; after writing n of them call buf_added(n). */
char *buf_reserve(struct buf *buf);
void buf_added(struct buf *buf, size_t n);

/* Add bytes. Returns 0, or -1 (nothing added) if there is no room. */
int buf_put(struct buf *buf, const void *data, size_t n) __attribute__((warn_unused_result));

/* Grow to at least this capacity, keeping the bytes. Returns 0 or -1 (no memory). */
int buf_grow(struct buf *buf, size_t capacity) __attribute__((warn_unused_result));

/*
 * One read from a stream into the room (at most `max` bytes), one write of the bytes to a stream.
 * Results are those of io_read() and io_write(); a full buffer reads nothing and gives
 * IO_WANT_WRITE, an empty one writes nothing and gives IO_WANT_READ.
 */
ssize_t buf_read_from(struct buf *buf, struct io *io, size_t max);
ssize_t buf_write_to(struct buf *buf, struct io *io);

#endif
