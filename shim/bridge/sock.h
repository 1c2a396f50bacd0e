/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream over a non-blocking TCP or UNIX stream socket.
 *
 * Made for an edge-triggered epoll loop (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET): a read that
 * got less than it asked for has emptied the socket, so the next one answers IO_WANT_READ without a
 * system call until the loop reports an event; a short write likewise. Once the end of the stream
 * or an error was reported, reads are always tried: no further edge would announce the FIN behind
 * the last bytes.
 *
 * A failed write does not stop reads: the answer of a server that closed early is still there.
 *
 * Threads: as io.h says; sock_ready() too is called under the lock of the stream's owner.
 */
#ifndef SHIM_BRIDGE_SOCK_H
#define SHIM_BRIDGE_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/bridge/io.h"

/*
 * A stream over `fd`, which must be non-blocking. `connecting`:
 * connect(2) gave EINPROGRESS; io_handshake() tells the outcome. On success the descriptor belongs
 * to the stream and is closed with it. NULL: no memory, `fd` is left to the caller.
 */
struct io *sock_io(int fd, bool connecting) __attribute__((warn_unused_result));

/* What epoll_wait(2) said about the descriptor (EPOLLIN, EPOLLOUT, EPOLLRDHUP ...). `io` is what
 * sock_io() returned, not a stream above it. */
void sock_ready(struct io *io, uint32_t epoll_events);

/* Ask the kernel whether there is anything to read, the end included, instead of waiting for an event. */
void sock_ask(struct io *io);

int sock_fd(const struct io *io);

/* An urgent byte has come, or will come, which is none of the stream's. */
void sock_expect_urgent(struct io *io);

/* From now on it is known by another number (twin.h). */
void sock_move(struct io *io, int fd);

/*
 * Whoever waits in recv(2) on it, in whatever thread and by whatever number, returns with 0, and so does
 * who comes later; but this stream reads on, for the peer is not told. TCP only. There is no way back:
 * it is good for nobody else any more, and sock_is_woken() says so.
 */
void sock_wake_readers(struct io *io);
bool sock_is_woken(const struct io *io);

/* Whether the kernel tells what the peer's has acknowledged: of TCP, most do. */
bool sock_tells_acked(const struct io *io);

/* How many bytes were written so far, for the following two. */
uint64_t sock_written(const struct io *io);

/* Whether the peer's kernel has acknowledged nothing but what was written before sock_written() gave
 * `before`. False when in doubt. */
bool sock_unacked(const struct io *io, uint64_t before);

/*
 * The same, and the peer has closed the connection in order: then nothing written since can have been read
 * there (but by a peer that has shut its sending side only, and so cannot answer any more). A reset tells
 * nothing: it may overtake the acknowledgement of what the peer has read. False when in doubt.
 */
bool sock_unseen(const struct io *io, uint64_t before);

#endif
