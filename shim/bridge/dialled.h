/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program dialled, for getpeername(2): by local port, as long as the process lives and in
 * its forked children. Entries are replaced when a port is used again, and only connections whose
 * peer is a door of ours are ever looked up, so a stale entry cannot lie. And which DNS server a
 * window (dns.h) stands for, for what comes from there.
 *
 * Threads: any, signal handlers included; no lock.
 */
#ifndef SHIM_BRIDGE_DIALLED_H
#define SHIM_BRIDGE_DIALLED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Map the table, once. Returns 0, or -1 with errno. */
int dialled_init(void);

/* The socket with this local port goes to the door of this family, kind and port, and was meant for
 * `to`. */
void dialled_remember(int family, bool late, uint16_t local_port, uint16_t door,
		      const struct sockaddr *to);

/* See bridge_dialled(). */
bool dialled_find(const struct sockaddr *peer, uint16_t local_port, struct sockaddr_storage *out,
		  socklen_t *len);

/* The window (a UDP port of ours on loopback) stands for this server; no longer. */
void dialled_open_window(int family, uint16_t window, const struct sockaddr *server);
void dialled_close_window(int family, uint16_t window);

/* See bridge_dns_server(). */
bool dialled_find_server(const struct sockaddr *peer, struct sockaddr_storage *out, socklen_t *len);

#endif
