/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of places with several ways each, as in a cache. An entry counts when its stamp is not 0;
 * that is cleared before the rest is changed and set behind it, so that a child which was forked
 * meanwhile has no torn one.
 */
#include "shim/learned.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/address.h"
#include "shim/signals.h"
#include "shim/thread.h"

struct entry {
	_Atomic uint64_t stamp;
	struct in6_addr ip;
	char name[LEARNED_NAME_MAX + 1];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *_Atomic table; /* LEARNED_PLACES times LEARNED_WAYS */
static uint64_t stamps;

static struct entry *place_of(const struct in6_addr *ip)
{
	struct entry *entries = atomic_load(&table);
	uint32_t value = 2166136261u;

	for (size_t i = 0; i < sizeof(ip->s6_addr); i++)
		value = (value ^ ip->s6_addr[i]) * 16777619u;
	return entries ? entries + (value % LEARNED_PLACES) * LEARNED_WAYS : NULL;
}

/* Anonymous memory of which only what is used becomes real. */
static int make_table(void)
{
	size_t size = sizeof(struct entry) * LEARNED_PLACES * LEARNED_WAYS;
	void *memory;

	if (atomic_load(&table))
		return 0;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	atomic_store(&table, memory);
	return 0;
}

/* The entry of that name and address, else the one to give up. */
static struct entry *choose(struct entry *place, const struct in6_addr *ip, const char *name)
{
	struct entry *oldest = place;

	for (struct entry *e = place; e < place + LEARNED_WAYS; e++) {
		if (e->stamp && IN6_ARE_ADDR_EQUAL(&e->ip, ip) && !strcmp(e->name, name))
			return e;
		if (e->stamp < oldest->stamp)
			oldest = e;
	}
	return oldest;
}

static int note(const char *name, const struct in6_addr *ip)
{
	if (make_table() < 0)
		return -1;
	struct entry *entry = choose(place_of(ip), ip, name);

	if (!entry->stamp || !IN6_ARE_ADDR_EQUAL(&entry->ip, ip) || strcmp(entry->name, name)) {
		atomic_store(&entry->stamp, 0);
		entry->ip = *ip;
		strcpy(entry->name, name);
	}
	atomic_store(&entry->stamp, ++stamps);
	return 0;
}

int learned_note(const char *name, const struct sockaddr *addr, socklen_t len)
{
	int saved = errno;
	struct in6_addr ip;
	uint16_t port;
	sigset_t signals;

	if (strlen(name) > LEARNED_NAME_MAX)
		return -1;
	if (!address_split(addr, len, &ip, &port) || address_is_local(&ip))
		return 0;
	signals_keep_off(&signals);
	pthread_mutex_lock(&lock);
	int result = note(name, &ip);

	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	errno = saved;
	return result;
}

static const struct entry *newest(const struct entry *place, const struct in6_addr *ip,
				  uint64_t before)
{
	const struct entry *found = NULL;

	for (const struct entry *e = place; place && e < place + LEARNED_WAYS; e++)
		if (e->stamp && e->stamp < before && IN6_ARE_ADDR_EQUAL(&e->ip, ip) &&
		    (!found || e->stamp > found->stamp))
			found = e;
	return found;
}

bool learned_next(const struct in6_addr *ip, uint64_t *before, char name[LEARNED_NAME_MAX + 1])
{
	int saved = errno;
	sigset_t signals;

	if (!atomic_load(&table))
		return false;
	signals_keep_off(&signals);
	pthread_mutex_lock(&lock);
	const struct entry *entry = newest(place_of(ip), ip, *before);

	if (entry) {
		*before = entry->stamp;
		strcpy(name, entry->name);
	}
	pthread_mutex_unlock(&lock);
	signals_let_in(&signals);
	errno = saved;
	return entry != NULL;
}

void learned_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
}
