/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS over TCP (RFC 7766) between a program that has a resolver of its own and the server that it
 * dialled: messages with their length before them. Queries that are the registry's business are
 * answered, at the next boundary between two messages of the server's; every other byte passes as
 * it comes, as soon as it is known not to be such a query. A server that cannot be reached is
 * missed only when there is something to be sent to it.
 *
 * Over abstract streams; it neither waits nor sleeps. Threads: the owner's.
 */
#ifndef SHIM_BRIDGE_DNS_RELAY_H
#define SHIM_BRIDGE_DNS_RELAY_H

#include "shim/bridge/io.h"

enum dns_relay_result {
	DNS_RELAY_WAIT, /* for an event of one of the streams */
	DNS_RELAY_MORE, /* drive it again, others first */
	DNS_RELAY_DONE, /* free it */
};

struct dns_relay;

/* Takes over both streams, but on failure (NULL: no memory). `up` NULL: the server cannot be
 * reached. */
struct dns_relay *dns_relay_new(struct io *down, struct io *up) __attribute__((warn_unused_result));

enum dns_relay_result dns_relay_drive(struct dns_relay *relay);

/* Close both streams, the program's with a reset if it has not had all that it was to get. */
void dns_relay_free(struct dns_relay *relay);

#endif
