/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that say something of their own before they carry the bytes of others: a PROXY protocol
 * header (DestinationRule proxyProtocol), or an HTTP CONNECT whose answer has to come first
 * (DestinationRule tunnel). The preface is part of io_handshake(); after it the stream is the one
 * below.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_PREFACE_H
#define SHIM_BRIDGE_PREFACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/bridge/io.h"

/*
 * A stream that begins with a PROXY header, version 1 or 2, which names the two ends of the
 * connection `fd` that lies below: what a sidecar would say of itself and of the destination. Ends
 * that are no internet addresses are UNKNOWN (LOCAL in version 2).
 * `lower` is taken over; NULL: no memory, `lower` is left to the caller.
 */
struct io *proxy_header_io(struct io *lower, int fd, int version);

/*
 * A stream to `host:port` by way of the HTTP proxy at the other end of `lower` (RFC 9110 9.3.6). A
 * literal IPv6 address needs no brackets. Any 2xx opens it; anything else breaks it, and its error
 * names the status. `lower` as above.
 */
struct io *connect_tunnel_io(struct io *lower, const char *host, uint16_t port);

#endif
