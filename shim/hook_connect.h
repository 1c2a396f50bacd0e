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

/*
 * Do for connect(fd, to, len) what the rules say. `to` is a remote internet address. True: it is
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
