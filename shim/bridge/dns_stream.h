/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the program to port 53, as the bridge's loop serves it: ties a relay
 * (dns_relay.h) to its two sockets.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_DNS_STREAM_H
#define SHIM_BRIDGE_DNS_STREAM_H

#include "shim/bridge/door.h"

/* What all of them share; outlives them. */
struct dns_streams {
	struct loop *loop;
	struct dns_stream *list;
};

/* Serve a connection until it ends: the server is what was dialled. Takes over the descriptor and
 * what the claim holds, on failure too. */
void dns_stream_start(struct dns_streams *all, int fd, const struct claim *claim);

/* Close all of them. For tests. */
void dns_streams_close(struct dns_streams *all);

#endif
