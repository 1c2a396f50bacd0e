/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections, as connect(2) and its disguise MSG_FASTOPEN need them (hook_connect.c, hook_io.c).
 *
 * Threads: the program's.
 */
#ifndef SHIM_HOOK_CONNECT_H
#define SHIM_HOOK_CONNECT_H

#include <stdbool.h>
#include <sys/socket.h>

/* Whether the rules may have a say about this address: any of another host, and port 53 of this
 * one. */
bool connect_is_of_interest(const struct sockaddr *to, socklen_t len);

/*
 * Do for connect(fd, to, len) what the rules say. `to` is an address of interest. True: it is
 * done, `*rc` and errno are what connect(2) gives. False: none of our business, nothing was done,
 * errno is as before.
 */
bool connect_by_rules(int fd, const struct sockaddr *to, socklen_t len, int *rc);

/*
 * Whether a datagram to this address must not leave, since it belongs to a registry host: what
 * the mesh knows is reached over TCP. False for TCP sockets, which ignore addresses of datagrams,
 * and for what is no socket. errno is preserved.
 */
bool datagram_is_refused(int fd, const struct sockaddr *to, socklen_t len);

#endif
