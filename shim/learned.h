/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which real addresses stand for hosts whose resolution is NONE: what the machine's resolver told the
 * program of them, as the resolver hooks saw it. (In a sidecar everything passes by anyway. Here a
 * connection to an address that the program got by other means is not known for the host's.)
 *
 * The table is bounded: LEARNED_WAYS names for the addresses that share a place, of which the one
 * that was heard of longest ago gives way. It takes memory once.
 *
 * Threads: any. Own lock, a leaf; signals blocked while held. errno is preserved.
 */
#ifndef SHIM_LEARNED_H
#define SHIM_LEARNED_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LEARNED_PLACES	 512 /* a power of two */
#define LEARNED_WAYS	 16
#define LEARNED_NAME_MAX 255

/* The resolver said that `name` is at this address; not of interest if it is this host itself. Returns
 * 0, or -1: no memory, or the name is too long. */
int learned_note(const char *name, const struct sockaddr *addr, socklen_t len)
    __attribute__((warn_unused_result));

/*
 * The names at an address (IPv4 as v4-mapped), one for each call, the one that was heard of last
 * first. `*before` is UINT64_MAX for the first call and is not to be changed. False: no more.
 */
bool learned_next(const struct in6_addr *ip, uint64_t *before, char name[LEARNED_NAME_MAX + 1]);

/* In a forked child; see fork.h. */
void learned_fork_child(void);

#endif
