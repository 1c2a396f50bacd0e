/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses are read with memcpy(3): a program may pass them at any alignment. */
#include "shim/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

bool address_split(const struct sockaddr *addr, socklen_t len, struct in6_addr *ip, uint16_t *port)
{
	sa_family_t family;

	if (!addr || len < sizeof(family) || len > sizeof(struct sockaddr_storage))
		return false; /* the kernel refuses what is longer */
	memcpy(&family, addr, sizeof(family));
	if (family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		*ip = address_map_v4(in.sin_addr);
		*port = ntohs(in.sin_port);
		return true;
	}
	if (family == AF_INET6 && len >= ADDRESS_SIN6_MIN) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, ADDRESS_SIN6_MIN);
		*ip = in6.sin6_addr;
		*port = ntohs(in6.sin6_port);
		return true;
	}
	return false;
}

socklen_t address_size(int family)
{
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool address_is_local(const struct in6_addr *ip)
{
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return ip->s6_addr[12] == 127 || address_v4(ip).s_addr == INADDR_ANY;
	return IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip);
}

bool address_is_remote(const struct sockaddr *addr, socklen_t len)
{
	struct in6_addr ip;
	uint16_t port;

	return address_split(addr, len, &ip, &port) && !address_is_local(&ip);
}

struct in_addr address_v4(const struct in6_addr *ip)
{
	struct in_addr v4;

	memcpy(&v4, &ip->s6_addr[12], sizeof(v4));
	return v4;
}

struct in6_addr address_map_v4(struct in_addr v4)
{
	struct in6_addr ip = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	memcpy(&ip.s6_addr[12], &v4, sizeof(v4));
	return ip;
}

bool address_in_block(const struct in6_addr *ip, const struct in6_addr *block, unsigned prefix)
{
	unsigned whole = prefix / 8;
	unsigned rest = prefix % 8;

	if (prefix > 128 || memcmp(ip, block, whole) != 0)
		return false;
	return rest == 0 || ((ip->s6_addr[whole] ^ block->s6_addr[whole]) >> (8 - rest)) == 0;
}
