/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: host name <-> synthetic address (DESIGN section 4, "Names"), and address -> what
 * to do with a connection.
 *
 * Synthetic addresses come out of 240.240.0.0/16 and 2001:2::/48. A name's place is a hash of the
 * name with open probing, exact hosts in strcmp order first, so that processes that read the same
 * rules agree; names under wildcard hosts take theirs, out of the upper half of the range, when
 * they are first looked up. An address once given stays with its name for the life of the process.
 * So processes can disagree about a host only where its hash collides with another's (among 100
 * hosts in one rule set of seven) and one of them got the hosts by a reload, or wildcard names
 * in another order. Never does one address stand for two hosts in one process.
 *
 * Hosts whose resolution is NONE and that have no single address of their own have none of ours
 * either: the real resolver answers for them, and what it says is noted (learned.h).
 *
 * Threads: any. Own lock, a leaf; signals blocked while held. errno is preserved.
 */
#ifndef SHIM_REGISTRY_H
#define SHIM_REGISTRY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rules/rules.h"

#define REGISTRY_NAME_MAX 255 /* RFC 1035 2.3.4, without the NUL */

/* Give an address to every exact host of a freshly loaded snapshot. Returns 0, or -1 when memory
 * or addresses ran out (hosts that had one keep it). */
int registry_update(const struct rules *rules);

/*
 * The addresses that stand for a registry name. Explicit ServiceEntry addresses (single ones, not
 * CIDR blocks) where given, else the synthetic one. Returns true and fills the addresses of the
 * families that exist (`*has4`, `*has6`); false: no registry name, or no address could be had.
 * `canonical` receives the name in lower case without trailing dot.
 */
bool registry_lookup(const struct rules *rules, const char *name, struct in_addr *v4, bool *has4,
		     struct in6_addr *v6, bool *has6, char canonical[REGISTRY_NAME_MAX + 1]);

/* Whether a name is a registry name, with an address or without. Not what no resolver would ask
 * for: empty labels, long ones, white space. */
bool registry_has(const struct rules *rules, const char *name);

/* Whether it is the name of a host for which the real resolver answers. `canonical` as above. */
bool registry_is_original(const struct rules *rules, const char *name,
			  char canonical[REGISTRY_NAME_MAX + 1]);

/* The name behind an address (IPv4, IPv6, v4-mapped): a synthetic address that was given to it, an
 * explicit one (CIDR blocks included), or one that was noted of it. False: none. */
bool registry_reverse(const struct rules *rules, const struct sockaddr *addr, socklen_t len,
		      char name[REGISTRY_NAME_MAX + 1]);

/* Whether an address lies in a synthetic range, given to somebody or not. */
bool registry_is_synthetic(const struct sockaddr *addr, socklen_t len);

/* Whether any ServiceEntry of the rules in force lists addresses or has those that the resolver
 * says, so that real addresses are worth looking up. True until registry_update() knows better.
 * Takes no lock. */
bool registry_has_explicit(void);

/* What a TCP connection to this address is to become. */
enum route_to {
	ROUTE_UNTOUCHED, /* none of our business: the real connect() */
	ROUTE_BRIDGE,    /* connect to the bridge's door and tell it */
	ROUTE_DNS,       /* the same: port 53 of whom it may concern, to be answered or forwarded */
	ROUTE_REFUSE,    /* ECONNREFUSED */
};

struct decision {
	enum route_to to;
	/* ROUTE_BRIDGE: */
	enum rules_connection kind;     /* never RULES_BLOCKED */
	const struct cluster *cluster;  /* RULES_OPAQUE, RULES_SNIFF; belongs to the snapshot */
	char name[REGISTRY_NAME_MAX + 1];
	uint16_t port;
	/* ROUTE_REFUSE: why, for the log */
	const char *reason;
};

/*
 * Decide. `rules` NULL means that none could be loaded: everything but loopback is refused.
 * Loopback and the unspecified address are always untouched. AF_INET and AF_INET6 only. What would
 * be untouched is ROUTE_DNS if it goes to port 53, on loopback too, and there is any host to be
 * asked for.
 */
void registry_decide(const struct rules *rules, const struct sockaddr *addr, socklen_t len,
		     struct decision *decision);

/* In a forked child; see fork.h. */
void registry_fork_child(void);

#endif
