/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's side of an exchange: its connection as the kernel carries it, or, while a thread of the
 * program's own is inside a hooked send or receive, the buffer of that call (the fast lane). The exchange
 * sees one stream either way; that bytes keep their order is for those who choose between the two.
 *
 * Threads: the loop's owner lock. The socket has a number in the table of the bridge's thread only, and
 * is never touched while the port is given to a call.
 */
#ifndef SHIM_BRIDGE_PORT_H
#define SHIM_BRIDGE_PORT_H

#include <stdint.h>

#include "shim/bridge/io.h"

/* Over a stream, taken over on success; NULL: it comes later, by port_attach(), and until then there is
 * nothing to be had from the port but what it is lent. NULL: no memory. */
struct io *port_io(struct io *sock) __attribute__((warn_unused_result));
void port_attach(struct io *io, struct io *sock);

/* Until port_give_back(), reads are from `in` and writes go to `out`; NULL and 0: there is nothing to be
 * had, no room. */
void port_lend(struct io *io, const void *in, size_t in_len, void *out, size_t out_room);

/* How much of the buffers was used so far. */
size_t port_taken(const struct io *io);
size_t port_filled(const struct io *io);

/* The socket's again. */
void port_give_back(struct io *io);

/* How many bytes came and went through the socket, ever. */
uint64_t port_received(const struct io *io);
uint64_t port_sent(const struct io *io);

#endif
