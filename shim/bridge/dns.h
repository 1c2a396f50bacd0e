/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS over UDP for programs that have a resolver of their own.
 *
 * For each server that the program asks there is a window: a UDP socket on loopback that stands for
 * it. The hooks have the program's own socket connected to the window, or a datagram sent there,
 * and tell the program the server's address where the kernel names the window's (dialled.h). What
 * comes in through a window is answered if it is the registry's business (dns_answer.h). All else
 * goes to the server byte by byte, from a socket that the window has for that socket of the program
 * (a flow), under the same source address, and what the server answers goes back the same way.
 *
 * A window stays open as long as there are no more than DNS_WINDOWS servers; then the one that was
 * unused for longest is closed, and whoever is still connected to it gets ECONNREFUSED.
 *
 * Threads and locks: the owner lock of the loop, but for dns_find_window() and dns_claim(), which
 * are for any thread with signals blocked. `lock` is a leaf.
 */
#ifndef SHIM_BRIDGE_DNS_H
#define SHIM_BRIDGE_DNS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/bridge/dns_claims.h"
#include "shim/bridge/loop.h"
#include "shim/dns_message.h"

#define DNS_WINDOWS 128
#define DNS_FLOWS   256   /* the one that was unused for longest leaves */
#define DNS_FLOW_MS 60000 /* so long an answer is waited for */

struct dns_flow;

struct dns_window {
	struct dns *dns;
	struct sockaddr_storage server; /* AF_INET or AF_INET6, with port and scope only */
	uint16_t port; /* 0: free */
	int fd;
	struct watch watch;
	uint64_t used; /* the turn of its last use */
};

struct dns {
	struct loop *loop;
	/* Descriptors ran out: true if one was freed. NULL: none ever is. */
	bool (*free_descriptor)(struct dns *dns);
	struct dns_claims claims;
	struct dns_flow *flows; /* the last used first */
	unsigned n_flows;
	pthread_mutex_t lock; /* for the windows' servers, ports and turns */
	struct dns_window windows[DNS_WINDOWS];
	uint64_t turn;
	uint8_t buffer[65536];
};

/* Returns 0, or -1 with `err` and nothing to release. */
int dns_init(struct dns *dns, struct loop *loop, struct err *err);
void dns_release(struct dns *dns);

/* The window's port, 0 if there is none for this server. */
uint16_t dns_find_window(struct dns *dns, const struct sockaddr *server);

/* The same, opening one if need be. 0: `err` says why not. */
uint16_t dns_open_window(struct dns *dns, const struct sockaddr *server, struct err *err);

#endif
