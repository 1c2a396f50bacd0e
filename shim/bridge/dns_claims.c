/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dns_claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "shim/address.h"

#define PORTS 65536u
#define WAYS  4 /* sockets that have the same port: at other addresses, or sharing it */
#define SIZE  (2 * PORTS * WAYS * sizeof(struct dns_claim))

struct dns_claim {
	struct in6_addr address;
	ino_t inode;
	int64_t believed_at; /* ms */
	uint32_t serial;     /* 0: none */
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int dns_claims_init(struct dns_claims *claims, struct err *err)
{
	void *table = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED) {
		err_set_errno(err, errno, "no memory for the bridge");
		return -1;
	}
	*claims = (struct dns_claims){.table = table, .trust_ms = DNS_TRUST_MS};
	pthread_mutex_init(&claims->lock, NULL);
	return 0;
}

void dns_claims_release(struct dns_claims *claims)
{
	munmap(claims->table, SIZE);
	pthread_mutex_destroy(&claims->lock);
}

/* The claims of a port, WAYS of them. */
static struct dns_claim *claims_at(struct dns_claims *claims, int family, uint16_t port)
{
	return &claims->table[((family == AF_INET6 ? PORTS : 0) + port) * WAYS];
}

/* Of two places for a new claim, the one that can be spared: a free one, one for the same address,
 * whose socket is most likely gone, the one that was believed longest ago. */
static bool is_rather_spared(const struct dns_claim *a, const struct dns_claim *b,
			     const struct in6_addr *address)
{
	bool same_a = IN6_ARE_ADDR_EQUAL(&a->address, address);
	bool same_b = IN6_ARE_ADDR_EQUAL(&b->address, address);

	if (!a->serial || !b->serial)
		return !a->serial && b->serial;
	return same_a != same_b ? same_a : a->believed_at < b->believed_at;
}

/* The place for the claim of a socket: the one that it has, or one that can be spared. */
static struct dns_claim *place_for(struct dns_claim *places, const struct dns_claim *claim)
{
	struct dns_claim *place = places;

	for (size_t i = 0; i < WAYS; i++) {
		if (places[i].serial && places[i].inode == claim->inode)
			return &places[i];
		if (is_rather_spared(&places[i], place, &claim->address))
			place = &places[i];
	}
	return place;
}

void dns_claim(struct dns_claims *claims, int family, const struct sockaddr *local, ino_t inode)
{
	struct dns_claim claim = {.inode = inode, .believed_at = now_ms()};
	socklen_t len = address_size(local->sa_family);
	uint16_t port;

	if (!address_split(local, len, &claim.address, &port))
		return;
	pthread_mutex_lock(&claims->lock);
	struct dns_claim *place = place_for(claims_at(claims, family, port), &claim);
	/* The same socket again, which need not be told from itself. */
	bool same = place->serial && place->inode == inode;
	claim.serial = same ? place->serial : ++claims->serial;
	if (!claim.serial)
		claim.serial = ++claims->serial;
	*place = claim;
	pthread_mutex_unlock(&claims->lock);
}

/* Whether one of the sockets in a file like /proc/net/udp has this port and inode. */
static bool is_listed(const char *path, uint16_t port, ino_t inode)
{
	FILE *file = fopen(path, "re");
	char line[512];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		unsigned line_port;
		unsigned long line_inode;

		found = sscanf(line, "%*u: %*[0-9A-F]:%x %*s %*s %*s %*s %*s %*u %*u %lu",
			       &line_port, &line_inode) == 2 &&
			line_port == port && line_inode == inode;
	}
	if (file)
		fclose(file);
	return found;
}

/* An IPv6 socket may have sent it, whatever the window's family. */
static bool still_has(const struct dns_claim *claim, uint16_t port)
{
	return is_listed("/proc/thread-self/net/udp", port, claim->inode) ||
	       is_listed("/proc/thread-self/net/udp6", port, claim->inode);
}

static bool covers(const struct dns_claim *claim, const struct in6_addr *ip)
{
	const struct in6_addr *own = &claim->address;
	bool any = IN6_IS_ADDR_UNSPECIFIED(own) ||
		   (IN6_IS_ADDR_V4MAPPED(own) && !address_v4(own).s_addr);

	return claim->serial && (any || IN6_ARE_ADDR_EQUAL(own, ip));
}

/* The best of what is left in `found`, which is taken out of there: one that needs no proof, or else
 * the latest. `serial` is 0 if there is none. */
static struct dns_claim take_best(struct dns_claim found[WAYS], int64_t proven_since)
{
	struct dns_claim *best = &found[0];

	for (size_t i = 1; i < WAYS; i++) {
		bool proven = found[i].believed_at > proven_since;

		if (!found[i].serial)
			continue;
		if (!best->serial || proven > (best->believed_at > proven_since) ||
		    (proven == (best->believed_at > proven_since) &&
		     (int32_t)(found[i].serial - best->serial) > 0))
			best = &found[i];
	}
	struct dns_claim taken = *best;

	best->serial = 0;
	return taken;
}

/* It was proven just now. */
static void believe(struct dns_claims *claims, struct dns_claim *places, uint32_t serial)
{
	pthread_mutex_lock(&claims->lock);
	for (size_t i = 0; i < WAYS; i++)
		if (places[i].serial == serial)
			places[i].believed_at = now_ms();
	pthread_mutex_unlock(&claims->lock);
}

uint32_t dns_claim_of(struct dns_claims *claims, int family, const struct sockaddr *from)
{
	socklen_t len = address_size(family);
	const int64_t proven_since = now_ms() - claims->trust_ms;
	struct dns_claim found[WAYS], claim;
	struct in6_addr ip;
	uint16_t port;

	if (!address_split(from, len, &ip, &port))
		return 0;
	struct dns_claim *places = claims_at(claims, family, port);

	pthread_mutex_lock(&claims->lock);
	memcpy(found, places, sizeof(found));
	pthread_mutex_unlock(&claims->lock);
	for (size_t i = 0; i < WAYS; i++)
		if (!covers(&found[i], &ip))
			found[i].serial = 0;
	while ((claim = take_best(found, proven_since)).serial) {
		if (claim.believed_at > proven_since)
			return claim.serial;
		if (still_has(&claim, port)) {
			believe(claims, places, claim.serial);
			return claim.serial;
		}
	}
	return 0;
}
