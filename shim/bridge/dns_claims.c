/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dns_claims.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "shim/address.h"

#define PORTS 65536u

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
	void *table = mmap(NULL, 2 * PORTS * sizeof(struct dns_claim), PROT_READ | PROT_WRITE,
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
	munmap(claims->table, 2 * PORTS * sizeof(struct dns_claim));
	pthread_mutex_destroy(&claims->lock);
}

static struct dns_claim *claim_at(struct dns_claims *claims, int family, uint16_t port)
{
	return &claims->table[(family == AF_INET6 ? PORTS : 0) + port];
}

void dns_claim(struct dns_claims *claims, int family, const struct sockaddr *local, ino_t inode)
{
	struct dns_claim claim = {.inode = inode, .believed_at = now_ms()};
	socklen_t len = local->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
						      sizeof(struct sockaddr_in6);
	uint16_t port;

	if (!address_split(local, len, &claim.address, &port))
		return;
	pthread_mutex_lock(&claims->lock);
	struct dns_claim *place = claim_at(claims, family, port);
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

uint32_t dns_claim_of(struct dns_claims *claims, int family, const struct sockaddr *from)
{
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) :
					    sizeof(struct sockaddr_in6);
	struct in6_addr ip;
	uint16_t port;

	if (!address_split(from, len, &ip, &port))
		return 0;
	pthread_mutex_lock(&claims->lock);
	struct dns_claim claim = *claim_at(claims, family, port);
	pthread_mutex_unlock(&claims->lock);

	bool any = IN6_IS_ADDR_UNSPECIFIED(&claim.address) ||
		   (IN6_IS_ADDR_V4MAPPED(&claim.address) && !address_v4(&claim.address).s_addr);
	if (!claim.serial || (!any && !IN6_ARE_ADDR_EQUAL(&claim.address, &ip)))
		return 0;
	if (now_ms() - claim.believed_at < claims->trust_ms)
		return claim.serial;
	/* An IPv6 socket may have sent it, whatever the window's family. */
	if (!is_listed("/proc/thread-self/net/udp", port, claim.inode) &&
	    !is_listed("/proc/thread-self/net/udp6", port, claim.inode))
		return 0;
	pthread_mutex_lock(&claims->lock);
	struct dns_claim *place = claim_at(claims, family, port);
	if (place->serial == claim.serial)
		place->believed_at = now_ms();
	pthread_mutex_unlock(&claims->lock);
	return claim.serial;
}
