/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses as the hooks look at them: IPv4, IPv6 and v4-mapped IPv6 alike.
 *
 * Pure functions; async-signal-safe.
 */
#ifndef SHIM_ADDRESS_H
#define SHIM_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* What the kernel takes for a struct sockaddr_in6: without the scope (RFC 2133). */
#define ADDRESS_SIN6_MIN 24

/*
 * Take an address apart; IPv4 becomes v4-mapped. False: neither AF_INET nor AF_INET6, or too short
 * for the kernel to accept it, or NULL.
 */
bool address_split(const struct sockaddr *addr, socklen_t len, struct in6_addr *ip, uint16_t *port);

/* Bytes of an address of this family, AF_INET or AF_INET6. */
socklen_t address_size(int family);

/* 127.0.0.0/8, ::1, 0.0.0.0 and ::, each also v4-mapped: this host itself. */
bool address_is_local(const struct in6_addr *ip);

/* An internet address of another host, as far as can be told. */
bool address_is_remote(const struct sockaddr *addr, socklen_t len);

/* The IPv4 address in a v4-mapped one. */
struct in_addr address_v4(const struct in6_addr *ip);

/* The v4-mapped form. */
struct in6_addr address_map_v4(struct in_addr v4);

/* Whether the first `prefix` (0 to 128) bits agree. */
bool address_in_block(const struct in6_addr *ip, const struct in6_addr *block, unsigned prefix);

#endif
