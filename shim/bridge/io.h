/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A non-blocking byte stream: a plain socket, TLS over another stream, or a ring in memory look
 * alike. The exchange and its tests know nothing else.
 *
 * Results: n > 0 bytes; IO_EOF (0) at the end of the stream (read only); IO_WANT_READ or
 * IO_WANT_WRITE: nothing was done, try again when the *underlying* descriptor is readable or
 * writable (a TLS read may want to write); IO_ERR: the stream is broken, io_error() says why.
 * Never raises SIGPIPE. errno is not part of the contract.
 *
 * Threads: whoever holds the lock of the exchange that owns the stream.
 */
#ifndef SHIM_BRIDGE_IO_H
#define SHIM_BRIDGE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shim/err.h"

enum {
	IO_EOF = 0,
	IO_ERR = -1,
	IO_WANT_READ = -2,
	IO_WANT_WRITE = -3,
};

struct io;

struct io_ops {
	const char *name;
	/* Bring the stream up (TCP connect, TLS handshake). 0: ready; IO_WANT_*; IO_ERR. Calling
	 * it again when ready is allowed and gives 0. */
	int (*handshake)(struct io *io);
	ssize_t (*read)(struct io *io, void *data, size_t size);
	ssize_t (*write)(struct io *io, const void *data, size_t size);
	/* Say that nothing more will be written (FIN; TLS: close_notify, then FIN). 0, IO_WANT_*
	 * or IO_ERR. Reading goes on. */
	int (*shutdown)(struct io *io);
	/* See io_flush() and io_unsent(). Both NULL: nothing is ever held. */
	int (*flush)(struct io *io);
	bool (*unsent)(const struct io *io);
	/* See io_peek() and io_room(). All NULL: there is never anything to be had. */
	const void *(*peek)(struct io *io, size_t *n);
	void (*took)(struct io *io, size_t n);
	void *(*room)(struct io *io, size_t *n);
	void (*filled)(struct io *io, size_t n);
	/* Close and free, lower streams included. `reset`: drop the connection hard (TCP RST, no
	 * close_notify), so that the peer sees an error and not an orderly end. */
	void (*close)(struct io *io, bool reset);
};

struct io {
	const struct io_ops *ops;
	struct err err;
	/* After IO_EOF: the lower stream ended, but the peer did not say that it was done (TLS
	 * without close_notify). What came may be cut short by anybody on the way. */
	bool truncated;
	/* Set by the owner while more will be written at once and io_flush() called behind it: the
	 * stream may hold what is written until then, so that the lower stream gets it in larger
	 * pieces. What it took counts as written, and the next io_write() may be of anything. */
	bool gather;
	/* Between a want and the next attempt a stream may have bytes for the reader that no
	 * descriptor announces (decrypted but unread). True: try read before waiting. */
	bool (*pending)(const struct io *io); /* NULL: never */
	/* Whether a read would say IO_WANT_READ without asking anybody. */
	bool (*dry)(const struct io *io); /* NULL: not known */
};

static inline int io_handshake(struct io *io)
{
	return io->ops->handshake(io);
}

static inline ssize_t io_read(struct io *io, void *data, size_t size)
{
	return io->ops->read(io, data, size);
}

/* What there is to be read, if the stream has it in memory: `*n` bytes, to be used before the next
 * call. NULL: nothing; io_read() may have some. io_took() says how much of it was read by this. */
static inline const void *io_peek(struct io *io, size_t *n)
{
	return io->ops->peek ? io->ops->peek(io, n) : NULL;
}

static inline void io_took(struct io *io, size_t n)
{
	io->ops->took(io, n);
}

/* Where what is written would go to, if that is memory: room for `*n` bytes, to be used before the
 * next call. NULL: none. io_filled() says how much was written by this. */
static inline void *io_room(struct io *io, size_t *n)
{
	return io->ops->room ? io->ops->room(io, n) : NULL;
}

static inline void io_filled(struct io *io, size_t n)
{
	io->ops->filled(io, n);
}

static inline ssize_t io_write(struct io *io, const void *data, size_t size)
{
	return io->ops->write(io, data, size);
}

static inline int io_shutdown(struct io *io)
{
	return io->ops->shutdown(io);
}

/*
 * Pass on what the stream holds. 0: it holds nothing (any more); IO_WANT_*: some is left, call it
 * again as for a write; IO_ERR. Until then io_write() takes nothing more, and io_shutdown() waits.
 */
static inline int io_flush(struct io *io)
{
	return io->ops->flush ? io->ops->flush(io) : 0;
}

/* Whether it holds something. An io_close() then makes one attempt to pass it on. */
static inline bool io_unsent(const struct io *io)
{
	return io->ops->unsent && io->ops->unsent(io);
}

/* NULL is allowed. */
static inline void io_close(struct io *io, bool reset)
{
	if (io)
		io->ops->close(io, reset);
}

static inline bool io_pending(const struct io *io)
{
	return io->pending && io->pending(io);
}

static inline bool io_dry(const struct io *io)
{
	return io->dry && io->dry(io);
}

/* Why the stream broke; never empty text after IO_ERR. */
static inline const char *io_error(const struct io *io)
{
	return io->err.text;
}

#endif
