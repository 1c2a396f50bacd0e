/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two streams over memory that are joined end to end: what is written to one is read from the
 * other. No sockets and no threads; a test decides how much passes at a time, and when an end
 * connects, breaks, or closes.
 *
 *     struct io *end[2];
 *     memory_io_pair(end, 4096);
 *     io_write(end[0], ...);   io_read(end[1], ...);
 *     io_close(end[0], false); io_close(end[1], false);   each end is closed on its own
 *
 * Functions that take an end take one of memory_io_pair(), not a stream above it. Looking at an
 * end is allowed as long as one of the two is open (the struct lives until both are closed).
 */
#ifndef TESTS_UNIT_MEMORY_IO_H
#define TESTS_UNIT_MEMORY_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/bridge/io.h"

/* Make a pair; each direction holds up to `capacity` bytes. Fails the test if memory runs out. */
void memory_io_pair(struct io *ends[2], size_t capacity);

/* How many bytes one read or one write of this end moves at most; 0: no limit. */
void memory_io_limit(struct io *end, size_t n);

/* Change how many bytes wait at most for the other end's reader; what is there stays. */
void memory_io_capacity(struct io *end, size_t capacity);

/* While true, io_handshake() of this end gives IO_WANT_WRITE and nothing can be read or written. */
void memory_io_connecting(struct io *end, bool connecting);

/* From now on handshake, read and write of this end give IO_ERR with this text, as if the network
 * had failed. */
void memory_io_break(struct io *end, const char *why);

/* How many bytes this end has written so far. */
size_t memory_io_written(const struct io *end);

/* How many bytes wait for this end's reader. */
size_t memory_io_waiting(const struct io *end);

/* What became of this end: shut down for writing, closed (also: reset), closed with a reset. */
bool memory_io_is_shut(const struct io *end);
bool memory_io_is_closed(const struct io *end);
bool memory_io_is_reset(const struct io *end);

#endif
