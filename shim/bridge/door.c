/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/door_state.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <utlist.h>

#include "shim/bridge/dialled.h"
#include "shim/container_of.h"
#include "shim/libc.h"
#include "shim/log.h"

#define BACKLOG 4096

enum { LATE = 2 }; /* the first of the doors that accept late */

size_t door_index(int family, bool late)
{
	return (late ? LATE : 0) + (family == AF_INET6);
}

/* ---- claims and parked connections ------------------------------------------------------- */

void claim_release(struct claim *claim)
{
	rules_unref(claim->rules);
	claim->rules = NULL;
}

uint64_t door_coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct door_key door_key_of(size_t index, const struct sockaddr *local)
{
	struct door_key key;

	memset(&key, 0, sizeof(key));
	key.index = (uint16_t)index;
	if (local->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)local;

		key.address.s6_addr[10] = key.address.s6_addr[11] = 0xff;
		memcpy(&key.address.s6_addr[12], &v4->sin_addr, sizeof(v4->sin_addr));
		key.port = ntohs(v4->sin_port);
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)local;

		key.address = v6->sin6_addr;
		key.port = ntohs(v6->sin6_port);
	}
	return key;
}

static struct door_entry **bucket_of(struct door *door, const struct door_key *key)
{
	return &door->buckets[key->port % DOOR_BUCKETS]; /* ephemeral ports are spread evenly */
}

struct door_entry *door_find(struct door *door, const struct door_key *key)
{
	struct door_entry *entry = *bucket_of(door, key);

	while (entry && memcmp(&entry->key, key, sizeof(*key)))
		entry = entry->next_in_bucket;
	return entry;
}

/* A claim that nothing came in for in time. Its port may be somebody else's by now. */
static bool is_void(const struct door_entry *entry)
{
	return entry->watch.fd < 0 && !entry->claim.early &&
	       door_coarse_ms() - entry->claimed_at > entry->door->claim_ms;
}

int door_remove(struct door_entry *entry, struct claim *claim)
{
	struct door *door = entry->door;
	struct door_entry **link = bucket_of(door, &entry->key);
	int fd = entry->watch.fd;

	if (fd >= 0) {
		loop_unwatch(door->loop, &entry->watch);
		timer_clear(door->loop, &entry->expiry);
		DL_DELETE(door->parked, entry);
		door->n_parked--;
		entry->watch.fd = -1;
	}
	if (claim)
		*claim = entry->claim;
	else if (entry->claimed)
		claim_release(&entry->claim);
	if (entry->ended)
		DL_DELETE(door->ended, entry);
	if (entry->counted)
		atomic_fetch_sub(&door->n_late, 1);
	entry->counted = false;
	door->n_ended -= entry->ended;
	entry->ended = false;
	while (*link != entry)
		link = &(*link)->next_in_bucket;
	*link = entry->next_in_bucket;
	entry->claim.early = NULL;
	entry->next_in_bucket = door->free_entries;
	door->free_entries = entry;
	return fd;
}

/* Make room by throwing void claims away: rare, and then worth a walk. */
static void sweep(struct door *door)
{
	for (size_t i = 0; i < DOOR_BUCKETS; i++)
		for (struct door_entry *entry = door->buckets[i], *next; entry; entry = next) {
			next = entry->next_in_bucket;
			if (is_void(entry))
				door_remove(entry, NULL);
		}
}

static struct door_entry *entry_add(struct door *door, const struct door_key *key)
{
	struct door_entry **bucket = bucket_of(door, key), *entry;

	if (!door->free_entries && door->n_entries == DOOR_ENTRIES)
		sweep(door);
	if (door->free_entries) {
		entry = door->free_entries;
		door->free_entries = entry->next_in_bucket;
	} else if (door->n_entries < DOOR_ENTRIES) {
		entry = &door->entries[door->n_entries++];
	} else {
		return NULL;
	}
	memset(entry, 0, sizeof(*entry));
	entry->key = *key;
	entry->door = door;
	entry->watch.fd = -1;
	entry->next_in_bucket = *bucket;
	*bucket = entry;
	return entry;
}

static void close_hard(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	real.close(fd);
}

/* The program has reset it since. Its address may be in use again by another connection, whose claim
 * must not go to this one. */
static bool is_dead(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/* Close a parked connection and leave its entry to its claim. */
static void unpark(struct door_entry *entry)
{
	struct door *door = entry->door;
	int fd = entry->watch.fd;

	loop_unwatch(door->loop, &entry->watch);
	timer_clear(door->loop, &entry->expiry);
	DL_DELETE(door->parked, entry);
	door->n_parked--;
	close_hard(fd);
}

static void parked_expired(struct timer *timer)
{
	struct door_entry *entry = container_of(timer, struct door_entry, expiry);
	struct door *door = entry->door;
	struct claim claim;

	pthread_mutex_lock(&door->lock);
	bool claimed = entry->claimed;
	int fd = door_remove(entry, &claim);
	pthread_mutex_unlock(&door->lock);
	if (claimed) {
		door->admit(door, fd, &claim);
		return;
	}
	log_info("closed a connection to the bridge that nobody in this process made");
	close_hard(fd);
}

static void parked_ready(struct watch *watch, uint32_t events)
{
	(void)watch; /* it stays unread until it is claimed or expires */
	(void)events;
}

/* Parked connections whose claim has come. */
static void run_claimed(struct task *task)
{
	struct door *door = container_of(task, struct door, claimed);
	struct door_entry *entry;
	struct claim claim;

	/* Once only: from here on a claim may post the task anew, and it must not be queued twice.
	 * What that claim is for is found below or by the next run. */
	pthread_mutex_lock(&door->lock);
	door->claimed_posted = false;
	pthread_mutex_unlock(&door->lock);
	for (;;) {
		pthread_mutex_lock(&door->lock);
		struct door_entry *next;
		DL_FOREACH_SAFE(door->parked, entry, next)
			if (entry->claimed && is_dead(entry->watch.fd))
				unpark(entry);
			else if (entry->claimed)
				break;
		int fd = entry ? door_remove(entry, &claim) : -1;
		pthread_mutex_unlock(&door->lock);
		if (fd < 0)
			return;
		door->admit(door, fd, &claim);
	}
}

static void claim_fill(struct claim *claim, const struct dial *dial)
{
	size_t len = dial->dialled_len;

	memset(claim, 0, sizeof(*claim));
	claim->rules = dial->rules;
	claim->dns = dial->dns;
	claim->kind = dial->kind;
	claim->cluster = dial->cluster;
	claim->port = dial->port;
	claim->number = dial->number;
	claim->cookie = dial->cookie;
	if (dial->name)
		strncpy(claim->name, dial->name, sizeof(claim->name) - 1);
	memcpy(&claim->dialled, dial->dialled,
	       len < sizeof(claim->dialled) ? len : sizeof(claim->dialled));
}

int door_expect(struct door *door, int family, const struct sockaddr *local,
		const struct dial *dial)
{
	size_t index = door_index(family, dial->late);
	struct door_key key = door_key_of(index, local);
	int result = 0;

	dialled_remember(family, dial->late, key.port, door->listeners[index].port, dial->dialled);
	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = door_find(door, &key);
	if (entry && (entry->claim.early || entry->ended)) { /* that one was reset before it came */
		door_remove(entry, NULL);
		entry = NULL;
	}
	if (!entry) {
		entry = entry_add(door, &key);
		if (entry && dial->late) {
			atomic_fetch_add(&door->n_late, 1);
			entry->counted = true;
		}
	}
	if (!entry) {
		rules_unref(dial->rules);
		result = -1;
	} else {
		if (entry->claimed) /* its connection never came */
			claim_release(&entry->claim);
		claim_fill(&entry->claim, dial);
		entry->claimed = true;
		entry->claimed_at = door_coarse_ms();
		if (entry->watch.fd >= 0 && !door->claimed_posted) {
			door->claimed_posted = true;
			loop_post(door->loop, &door->claimed);
		}
	}
	pthread_mutex_unlock(&door->lock);
	return result;
}

/* Keep it unread until its claim comes. Returns 0, or -1: it is to be closed. */
static int park(struct door *door, const struct door_key *key, int fd)
{
	if (door->n_parked == DOOR_PARK_MAX)
		close_hard(door_remove(door->parked, NULL));
	struct door_entry *entry = entry_add(door, key);

	if (!entry)
		return -1;
	entry->watch.ready = parked_ready;
	entry->expiry.fire = parked_expired;
	if (loop_watch(door->loop, &entry->watch, fd, EPOLLET) < 0) {
		door_remove(entry, NULL);
		return -1;
	}
	DL_APPEND(door->parked, entry);
	door->n_parked++;
	timer_set(door->loop, &entry->expiry, DOOR_PARK_MS);
	return 0;
}

/* A connection came in. */
static void come_in(struct door *door, const struct door_key *key, int fd)
{
	struct claim claim;
	bool claimed = false;

	if (is_dead(fd)) {
		real.close(fd);
		return;
	}
	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = door_find(door, key);
	/* The same address again: the parked one is gone for good, and a claim is for this one. */
	if (entry && entry->watch.fd >= 0)
		unpark(entry);
	/* Its program has given that address up, so that anybody can have it by now. */
	bool is_stranger = entry && entry->ended && door_is_from(fd, entry->claim.cookie) <= 0;

	if (entry && (!entry->claimed || is_void(entry) || is_stranger)) {
		door_remove(entry, NULL);
		entry = NULL;
	}
	if (entry) {
		claimed = true;
		door_remove(entry, &claim);
	} else if (park(door, key, fd) < 0) {
		close_hard(fd);
	}
	pthread_mutex_unlock(&door->lock);
	if (claimed)
		door->admit(door, fd, &claim);
}

/* A connection that could not be taken in: a claim for it is void. */
static void turn_away(struct door *door, const struct door_key *key)
{
	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = door_find(door, key);
	if (entry && entry->watch.fd < 0)
		door_remove(entry, NULL);
	pthread_mutex_unlock(&door->lock);
}

/* ---- listeners --------------------------------------------------------------------------- */

/* accept4(2) for a listener; `key` is filled on success. */
static int accept_one(struct listener *listener, struct door_key *key)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int fd = accept4(listener->fd, (struct sockaddr *)&from, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		*key = door_key_of((size_t)(listener - listener->door->listeners),
				(struct sockaddr *)&from);
	return fd;
}

/* No descriptor is left to accept with. Returns true if it is worth trying again. */
static bool make_room(struct listener *listener)
{
	struct door *door = listener->door;
	struct door_key key;

	if (door->free_descriptor && door->free_descriptor(door))
		return true;
	if (door->reserve < 0)
		return false;
	/* End the first of those that wait: the program gets an error for this connection and no
	 * other harm is done. */
	log_warn("out of descriptors: a connection is refused");
	real.close(door->reserve);
	int fd = accept_one(listener, &key);
	if (fd >= 0) {
		turn_away(door, &key);
		close_hard(fd);
	}
	door->reserve = real.fcntl(listener->fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0;
}

static void listener_ready(struct watch *watch, uint32_t events);

static void listener_retry(struct timer *timer)
{
	struct listener *listener = container_of(timer, struct listener, retry);

	if (loop_watch(listener->door->loop, &listener->watch, listener->fd, EPOLLIN) < 0)
		timer_set(listener->door->loop, timer, DOOR_PARK_MS);
}

/* Nothing can be accepted and nothing can be freed: look again a little later, rather than be
 * told at once and for ever that somebody waits. */
static void pause_listener(struct listener *listener)
{
	loop_unwatch(listener->door->loop, &listener->watch);
	timer_set(listener->door->loop, &listener->retry, DOOR_PARK_MS / 10);
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct listener *listener = container_of(watch, struct listener, watch);

	(void)events;
	for (int i = 0; i < LOOP_BATCH; i++) {
		struct door_key key;
		int fd = accept_one(listener, &key);

		if (fd >= 0) {
			come_in(listener->door, &key, fd);
			continue;
		}
		if ((errno == EMFILE || errno == ENFILE) && make_room(listener))
			continue;
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EPERM || errno == ENOSYS)
			loop_break(listener->door->loop, errno); /* a seccomp filter */
		else if (errno != EAGAIN)
			pause_listener(listener);
		return;
	}
}

static socklen_t loopback(int family, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	out->ss_family = (sa_family_t)family;
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)out)->sin6_addr = in6addr_loopback;
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)out)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(struct sockaddr_in);
}

uint16_t door_listen(struct door *door, int family, bool late, struct err *err)
{
	struct listener *listener = &door->listeners[door_index(family, late)];
	struct sockaddr_storage addr;
	socklen_t len = loopback(family, &addr);
	int one = 1;

	if (listener->port)
		return listener->port;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto fail;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (late) /* where that is forbidden, it is a door like the other */
		setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		goto fail;
	listener->fd = fd;
	listener->watch.ready = listener_ready;
	listener->retry.fire = listener_retry;
	if (loop_watch(door->loop, &listener->watch, fd, EPOLLIN) < 0)
		goto fail;
	listener->port = ntohs(family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port :
						    ((struct sockaddr_in *)&addr)->sin_port);
	return listener->port;
fail:
	err_set_errno(err, errno, "cannot listen on %s",
		      family == AF_INET6 ? "[::1]" : "127.0.0.1");
	if (fd >= 0)
		real.close(fd);
	listener->fd = -1;
	return 0;
}

/* What the kernel makes of BACKLOG. */
static unsigned backlog(void)
{
	int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);
	char text[16] = "128"; /* the least that any kernel has */

	if (fd >= 0) {
		(void)!real.read(fd, text, sizeof(text) - 1);
		real.close(fd);
	}
	long most = strtol(text, NULL, 10);

	return most > 0 && most < BACKLOG ? (unsigned)most : BACKLOG;
}

int door_init(struct door *door, struct loop *loop, struct err *err)
{
	memset(door, 0, sizeof(*door));
	door->entries = mmap(NULL, sizeof(struct door_entry) * DOOR_ENTRIES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (door->entries == MAP_FAILED || dialled_init() < 0) {
		err_set_errno(err, errno, "no memory for the bridge");
		return -1;
	}
	door->loop = loop;
	door->claim_ms = DOOR_CLAIM_MS;
	door->claimed.run = run_claimed;
	door->forget.fire = door_forget_ended;
	door->late_max = backlog() / 2;
	for (int i = 0; i < 4; i++) {
		door->listeners[i].door = door;
		door->listeners[i].watch.fd = door->listeners[i].fd = -1;
	}
	pthread_mutex_init(&door->lock, NULL);
	/* Any descriptor will do; without one, running out of them later is only less graceful. */
	door->reserve = real.fcntl(loop->mailbox_watch.fd, F_DUPFD_CLOEXEC, 3);
	return 0;
}

void door_release(struct door *door)
{
	for (size_t i = 0; i < DOOR_BUCKETS; i++)
		while (door->buckets[i]) {
			int fd = door_remove(door->buckets[i], NULL);

			if (fd >= 0)
				real.close(fd);
		}
	timer_clear(door->loop, &door->forget);
	for (int i = 0; i < 4; i++) {
		timer_clear(door->loop, &door->listeners[i].retry);
		loop_unwatch(door->loop, &door->listeners[i].watch);
		if (door->listeners[i].fd >= 0)
			real.close(door->listeners[i].fd);
	}
	if (door->reserve >= 0)
		real.close(door->reserve);
	munmap(door->entries, sizeof(struct door_entry) * DOOR_ENTRIES);
	pthread_mutex_destroy(&door->lock);
}
