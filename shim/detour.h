/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS questions of programs that have a resolver of their own: UDP sockets, and the way to port 53
 * wherever it is, loopback included (most machines have their resolver there).
 *
 * A socket that is connected to a server is, in truth, connected to the bridge's window for it
 * (bridge/dns.h): then it does not matter how the program sends, and the bridge answers or
 * forwards. From a socket that is not connected, only what asks for a registry name goes to the
 * window, or may do so when all of it is there (MSG_MORE, UDP_CORK, UDP_SEGMENT); every other datagram
 * goes its own way. Where the kernel names the window as the source of
 * something, the server's address is put in its place. (TCP to port 53 goes to the door,
 * hook_connect.c.)
 *
 * Left alone: sockets that are bound to a device or have chosen one to send by, since they cannot
 * reach loopback; broadcast and multicast; rules without hosts. What a connected socket is not told is that nobody listens on the
 * server's port: no ICMP error can be had for it, and it waits as for a server that is down.
 *
 * Threads: the program's.
 */
#ifndef SHIM_DETOUR_H
#define SHIM_DETOUR_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether this is the address of a DNS server, as far as can be told by the port: the question that
 * comes before the others. */
bool detour_is_server(const struct sockaddr *to, socklen_t len);

/* Whether a socket is bound to a device and cannot reach loopback: it is left alone, and the log
 * has a warning. */
bool detour_is_impossible(int fd);

/* connect(2) for a UDP socket to a server. True: done, `*rc` and errno are what connect(2) gives.
 * False: none of our business, nothing was done, errno is as before. */
bool detour_connect(int fd, const struct sockaddr *to, socklen_t len, int *rc);

/* What is to become of a datagram to a server. */
enum detour_send {
	DETOUR_NONE,	  /* it goes where it was to go */
	DETOUR_WINDOW,	  /* it goes to `detour` instead */
	DETOUR_CONNECTED, /* it goes without an address, to what the socket is connected to */
	DETOUR_FAILED,	  /* errno says why */
};

struct detour {
	struct sockaddr_storage to;
	socklen_t len;
};

enum detour_send detour_send(int fd, const struct msghdr *msg, int flags, struct detour *detour);

/* An address that the kernel gave as the source of a datagram or as the peer of a UDP socket: what
 * the program shall see instead is put in its place, in the same family. `room` is what the program
 * had for it, `len` what the kernel said. Async-signal-safe. */
void detour_restore(void *addr, socklen_t room, socklen_t len);

#endif
