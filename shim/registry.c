/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name's place is a slot, 1 to 65534, which is the low half of 240.240.x.y. Exact hosts live in
 * the lower half of the slots, names under wildcards in the upper half, so that looking up a name
 * never shifts where an exact host of a later reload goes. The IPv6 twin is the IPv4 address under
 * 2001:2::/96: one slot names both, and neither can collide when the other does not.
 *
 * Entries are never freed or changed once made. They are written and searched under the lock.
 */
#include "shim/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: well spread for host names, and the same in every process. */
static unsigned name_hash(const void *name, size_t len)
{
	const unsigned char *byte = name;
	unsigned value = 2166136261u;

	for (size_t i = 0; i < len; i++)
		value = (value ^ byte[i]) * 16777619u;
	return value;
}

#define HASH_FUNCTION(key, len, value) ((value) = name_hash(key, len))
#define uthash_nonfatal_oom(entry)     ((void)(entry)) /* seen by its hh.tbl staying NULL */
#include <uthash.h>

#include "rules/ascii.h"
#include "rules/hostname.h"
#include "shim/address.h"
#include "shim/dns_message.h"
#include "shim/learned.h"
#include "shim/signals.h"
#include "shim/thread.h"

#define SLOT_SPLIT 32768u /* first slot for names under wildcards */
#define SLOT_END   65535u /* 240.240.255.255 is left out, as is 240.240.0.0 */
#define SLOT_BASE  0xf0f00000u

struct entry {
	unsigned slot;
	UT_hash_handle hh;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *by_name;
static struct entry *by_slot[SLOT_END];
static atomic_bool updating; /* by_name is being changed: for a child that is forked meanwhile */
static atomic_bool real_addresses = true; /* until the rules say that there are none */

/* ---- addresses -------------------------------------------------------------------------- */

static const struct in6_addr twin_prefix = {.s6_addr = {0x20, 0x01, 0x00, 0x02}};

static struct in_addr slot_v4(unsigned slot)
{
	return (struct in_addr){.s_addr = htonl(SLOT_BASE | slot)};
}

static struct in6_addr slot_v6(unsigned slot)
{
	struct in6_addr twin = twin_prefix;
	struct in_addr v4 = slot_v4(slot);

	memcpy(&twin.s6_addr[12], &v4, sizeof(v4));
	return twin;
}

static bool is_synthetic(const struct in6_addr *ip)
{
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return ip->s6_addr[12] == 240 && ip->s6_addr[13] == 240;
	return address_in_block(ip, &twin_prefix, 48);
}

/* The slot that a synthetic address names, 0 if it cannot be one that we gave. */
static unsigned slot_of(const struct in6_addr *ip)
{
	unsigned slot = (unsigned)ip->s6_addr[14] << 8 | ip->s6_addr[15];
	struct in6_addr twin = slot_v6(slot);

	if (!IN6_IS_ADDR_V4MAPPED(ip) && !IN6_ARE_ADDR_EQUAL(ip, &twin))
		return 0;
	return slot < SLOT_END ? slot : 0;
}

bool registry_is_synthetic(const struct sockaddr *addr, socklen_t len)
{
	struct in6_addr ip;
	uint16_t port;

	return address_split(addr, len, &ip, &port) && is_synthetic(&ip);
}

/* ---- names ------------------------------------------------------------------------------ */

/* Labels of letters, digits, hyphens and underscores, as res_hnok(3) has them. What AI_IDN is to
 * convert may be under a wildcard, too. */
static bool is_host_name(const char *name)
{
	size_t label = 0;

	if (*name == '-')
		return false;
	for (; *name; name++) {
		label = *name == '.' ? 0 : label + 1;
		if (label > 63 || (label == 0 && (name[1] == '.' || !name[1])))
			return false;
		if (!ascii_is_alnum(*name) && !strchr("-_.", *name) && !((unsigned char)*name & 0x80))
			return false;
	}
	return true;
}

/* Lower case, without one trailing dot. False: no host name looks like that. */
static bool canonicalize(const char *name, char canonical[REGISTRY_NAME_MAX + 1])
{
	size_t len = hostname_normalize(name, strlen(name), canonical);

	return len > 0 && canonical[0] != '.' && is_host_name(canonical);
}

/* The free slot nearest above the name's hash, in one half of the range; 0 if that is full. */
static unsigned free_slot(const char *name, bool wildcard)
{
	unsigned first = wildcard ? SLOT_SPLIT : 1;
	unsigned count = (wildcard ? SLOT_END : SLOT_SPLIT) - first;
	unsigned start = name_hash(name, strlen(name)) % count;

	for (unsigned i = 0; i < count; i++) {
		unsigned slot = first + (start + i) % count;

		if (!by_slot[slot])
			return slot;
	}
	return 0;
}

/* The slot of a name, giving it one if it has none; 0 when memory or slots ran out. Locked. */
static unsigned take_slot(const char *name, bool wildcard)
{
	size_t len = strlen(name);
	struct entry *entry;

	HASH_FIND(hh, by_name, name, len, entry);
	if (entry)
		return entry->slot;

	unsigned slot = free_slot(name, wildcard);

	if (!slot)
		return 0;
	entry = calloc(1, sizeof(*entry) + len + 1);
	if (!entry)
		return 0;
	entry->slot = slot;
	memcpy(entry->name, name, len + 1);
	atomic_store(&updating, true);
	HASH_ADD_KEYPTR(hh, by_name, entry->name, len, entry);
	if (entry->hh.tbl)
		by_slot[slot] = entry;
	atomic_store(&updating, false);
	if (!entry->hh.tbl) {
		free(entry);
		return 0;
	}
	return slot;
}

static bool has_single_address(const struct rules_host *host)
{
	for (size_t i = 0; i < host->n_addresses; i++)
		if (host->addresses[i].prefix == 128)
			return true;
	return false;
}

/* Whether the real resolver is to answer. */
static bool is_original(const struct rules_host *host)
{
	return host->original && !has_single_address(host);
}

int registry_update(const struct rules *rules)
{
	int saved = errno;
	int result = 0;
	bool addresses = false;
	sigset_t signals;

	signals_keep_off(&signals);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < rules_n_hosts(rules); i++) {
		const struct rules_host *host = rules_host_at(rules, i);

		addresses |= host->n_addresses > 0 || host->original;
		if (host->wildcard || host->original || has_single_address(host))
			continue;
		if (!take_slot(host->name, false))
			result = -1;
	}
	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	atomic_store(&real_addresses, addresses);
	errno = saved;
	return result;
}

bool registry_has_explicit(void)
{
	return atomic_load_explicit(&real_addresses, memory_order_relaxed);
}

bool registry_lookup(const struct rules *rules, const char *name, struct in_addr *v4, bool *has4,
		     struct in6_addr *v6, bool *has6, char canonical[REGISTRY_NAME_MAX + 1])
{
	int saved = errno;
	sigset_t signals;

	*has4 = *has6 = false;
	if (!canonicalize(name, canonical))
		return false;
	const struct rules_host *host = rules_find_host(rules, canonical);

	if (!host || is_original(host))
		return false;
	for (size_t i = 0; i < host->n_addresses; i++) {
		const struct rules_address *address = &host->addresses[i];
		bool mapped = IN6_IS_ADDR_V4MAPPED(&address->address);

		if (address->prefix != 128)
			continue;
		if (mapped && !*has4)
			*v4 = address_v4(&address->address);
		else if (!mapped && !*has6)
			*v6 = address->address;
		*has4 |= mapped;
		*has6 |= !mapped;
	}
	if (*has4 || *has6)
		return true;

	signals_keep_off(&signals);
	pthread_mutex_lock(&lock);
	/* However an exact host is spelt (rules.h, rules_find_host()), its address is one. */
	unsigned slot = take_slot(host->wildcard ? canonical : host->name, host->wildcard);

	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	errno = saved;
	if (!slot)
		return false;
	*v4 = slot_v4(slot);
	*v6 = slot_v6(slot);
	*has4 = *has6 = true;
	return true;
}

bool registry_has(const struct rules *rules, const char *name)
{
	char canonical[REGISTRY_NAME_MAX + 1];

	return canonicalize(name, canonical) && rules_find_host(rules, canonical);
}

bool registry_is_original(const struct rules *rules, const char *name,
			  char canonical[REGISTRY_NAME_MAX + 1])
{
	const struct rules_host *host =
	    canonicalize(name, canonical) ? rules_find_host(rules, canonical) : NULL;

	return host && is_original(host);
}

/* ---- the way back ----------------------------------------------------------------------- */

/* The name that a synthetic address was given to. */
static bool reverse_synthetic(const struct in6_addr *ip, char name[REGISTRY_NAME_MAX + 1])
{
	unsigned slot = slot_of(ip);
	sigset_t signals;

	signals_keep_off(&signals);
	pthread_mutex_lock(&lock);
	const struct entry *entry = slot ? by_slot[slot] : NULL;

	if (entry)
		memcpy(name, entry->name, strlen(entry->name) + 1);
	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	return entry != NULL;
}

/* The host whose ServiceEntry lists the address: the narrowest block, the first of equals. */
static bool reverse_explicit(const struct rules *rules, const struct in6_addr *ip,
			     char name[REGISTRY_NAME_MAX + 1])
{
	const struct rules_host *best = NULL;
	unsigned best_prefix = 0;

	for (size_t i = 0; i < rules_n_hosts(rules); i++) {
		const struct rules_host *host = rules_host_at(rules, i);

		for (size_t j = 0; j < host->n_addresses; j++) {
			const struct rules_address *block = &host->addresses[j];

			if (best && block->prefix <= best_prefix)
				continue;
			if (!address_in_block(ip, &block->address, block->prefix))
				continue;
			best = host;
			best_prefix = block->prefix;
		}
	}
	/* The name of a wildcard host is its own pattern here. */
	return best && hostname_normalize(best->name, strlen(best->name), name) > 0;
}

/* A name that the resolver hooks have noted, and that is a registry host. See learned_next(). */
static bool reverse_learned(const struct rules *rules, const struct in6_addr *ip, uint64_t *before,
			    char name[REGISTRY_NAME_MAX + 1])
{
	while (learned_next(ip, before, name))
		if (rules_find_host(rules, name))
			return true;
	return false;
}

static bool reverse(const struct rules *rules, const struct in6_addr *ip,
		    char name[REGISTRY_NAME_MAX + 1])
{
	uint64_t before = UINT64_MAX;

	if (is_synthetic(ip))
		return reverse_synthetic(ip, name);
	return rules && registry_has_explicit() &&
	       (reverse_explicit(rules, ip, name) || reverse_learned(rules, ip, &before, name));
}

bool registry_reverse(const struct rules *rules, const struct sockaddr *addr, socklen_t len,
		      char name[REGISTRY_NAME_MAX + 1])
{
	struct in6_addr ip;
	uint16_t port;

	return address_split(addr, len, &ip, &port) && reverse(rules, &ip, name);
}

/* ---- the decision ----------------------------------------------------------------------- */

static void refuse(struct decision *decision, const char *reason)
{
	decision->to = ROUTE_REFUSE;
	decision->reason = reason;
}

/* The destination is decision->name, a registry host. */
static void decide_host(const struct rules *rules, bool synthetic, struct decision *decision)
{
	decision->to = ROUTE_BRIDGE;
	decision->kind = rules_connect(rules, decision->name, decision->port, &decision->cluster);
	if (decision->kind == RULES_BLOCKED)
		refuse(decision, "port blocked by outboundTrafficPolicy REGISTRY_ONLY");
	else if (decision->kind == RULES_PASSTHROUGH && !synthetic)
		decision->to = ROUTE_UNTOUCHED; /* it was dialled by its own address */
}

static void decide_synthetic(const struct rules *rules, const struct in6_addr *ip,
			     struct decision *decision)
{
	if (reverse_synthetic(ip, decision->name) && rules_find_host(rules, decision->name))
		decide_host(rules, true, decision);
	else
		refuse(decision, decision->name[0] ? "the host is no longer in the registry"
						   : "the address was given to no registry host");
}

/* Several hosts can be at one address: the first that knows the port, the one that lists the address
 * before those that were found there. */
static void decide_real(const struct rules *rules, const struct in6_addr *ip,
			struct decision *decision)
{
	uint64_t before = UINT64_MAX;
	bool more = registry_has_explicit();
	bool found = more && reverse_explicit(rules, ip, decision->name);

	if (rules_outbound_policy(rules) == OUTBOUND_REGISTRY_ONLY)
		refuse(decision, "blocked by outboundTrafficPolicy REGISTRY_ONLY");
	if (found)
		decide_host(rules, false, decision);
	while (decision->to != ROUTE_BRIDGE && more) {
		more = reverse_learned(rules, ip, &before, decision->name);
		if (more)
			decide_host(rules, false, decision);
	}
}

static void decide_remote(const struct rules *rules, const struct in6_addr *ip,
			  struct decision *decision)
{
	if (!rules)
		refuse(decision, "no rules could be loaded");
	else if (is_synthetic(ip))
		decide_synthetic(rules, ip, decision);
	else
		decide_real(rules, ip, decision);
}

void registry_decide(const struct rules *rules, const struct sockaddr *addr, socklen_t len,
		     struct decision *decision)
{
	struct in6_addr ip;

	*decision = (struct decision){.to = ROUTE_UNTOUCHED};
	if (!address_split(addr, len, &ip, &decision->port))
		return;
	if (!address_is_local(&ip))
		decide_remote(rules, &ip, decision);
	if (decision->to == ROUTE_UNTOUCHED && decision->port == DNS_PORT && rules &&
	    rules_n_hosts(rules) > 0)
		decision->to = ROUTE_DNS;
}

/* ---- fork ------------------------------------------------------------------------------- */

/*
 * Addresses that were given stay good in the child. If another thread was just giving one, its table
 * of names is a torn copy, and is made anew from the one by slots.
 */
void registry_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
	if (!atomic_load(&updating))
		return;
	by_name = NULL;
	for (unsigned slot = 0; slot < SLOT_END; slot++) {
		struct entry *entry = by_slot[slot];

		if (!entry)
			continue;
		memset(&entry->hh, 0, sizeof(entry->hh));
		HASH_ADD_KEYPTR(hh, by_name, entry->name, strlen(entry->name), entry);
		if (!entry->hh.tbl)
			by_slot[slot] = NULL;
	}
	atomic_store(&updating, false);
}
