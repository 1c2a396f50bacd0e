/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose datagram is it? (Promise 8.) A hook claims the program's UDP socket by its local address
 * and port before anything can be sent from there to a window (dns.h). No kernel object joins the
 * two, as a connection does: the program may close its socket, and somebody else may get the port.
 * So a claim also has the socket's inode, and is believed for DNS_TRUST_MS only; then /proc/net/udp
 * has to show that the port still belongs to it. Without /proc, nobody is believed for longer. A
 * port may be several sockets': at other addresses of the machine, or shared (SO_REUSEPORT).
 *
 * Threads: dns_claim() is for any thread, the rest belongs to the owner of the loop. One lock, a
 * leaf; signals must be blocked where dns_claim() is called. No memory is taken.
 */
#ifndef SHIM_BRIDGE_DNS_CLAIMS_H
#define SHIM_BRIDGE_DNS_CLAIMS_H

#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shim/err.h"

#define DNS_TRUST_MS 1000

struct dns_claims {
	pthread_mutex_t lock;
	struct dns_claim *table; /* by family of the window and port; mapped, not allocated */
	uint32_t serial;	 /* of the last claim */
	int64_t trust_ms;	 /* DNS_TRUST_MS */
};

/* Returns 0, or -1 with `err` and nothing to release. */
int dns_claims_init(struct dns_claims *claims, struct err *err);
void dns_claims_release(struct dns_claims *claims);

/* The socket with this inode has this local address (perhaps the unspecified one), and sends to a
 * window of `family`. */
void dns_claim(struct dns_claims *claims, int family, const struct sockaddr *local, ino_t inode);

/* The number of the claim that a datagram from this address falls under; 0: under none. */
uint32_t dns_claim_of(struct dns_claims *claims, int family, const struct sockaddr *from);

#endif
