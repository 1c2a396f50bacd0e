/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <uthash.h>

#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/log.h"

#define BACKLOG 4096

static size_t family_index(int family)
{
	return family == AF_INET6;
}

/* ---- what was dialled -------------------------------------------------------------------- */

/* One per family of the door and local port; 5 MiB of address space, of which only the pages that
 * are used become memory. `door` is written last and read first. */
struct dialled {
	_Atomic uint32_t door; /* port of the door, 0: empty */
	_Atomic uint32_t family_port; /* of what was dialled: family << 16 | port, network order */
	_Atomic uint32_t scope;
	_Atomic uint64_t address[2];
};

static struct dialled *_Atomic dialled_table;

static struct dialled *dialled_entry(size_t index, uint16_t local_port)
{
	struct dialled *table = atomic_load_explicit(&dialled_table, memory_order_acquire);

	return table ? &table[index << 16 | local_port] : NULL;
}

static int dialled_init(void)
{
	if (atomic_load(&dialled_table))
		return 0;
	void *table = mmap(NULL, sizeof(struct dialled) << 17, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return -1;
	atomic_store_explicit(&dialled_table, table, memory_order_release);
	return 0;
}

static void dialled_remember(size_t index, uint16_t local_port, uint16_t door,
			     const struct sockaddr_storage *to)
{
	struct dialled *e = dialled_entry(index, local_port);
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)to;
	uint64_t address[2] = {0, 0};

	if (to->ss_family == AF_INET)
		memcpy(address, &v4->sin_addr, sizeof(v4->sin_addr));
	else
		memcpy(address, &v6->sin6_addr, sizeof(v6->sin6_addr));
	atomic_store(&e->door, 0);
	atomic_store(&e->family_port, (uint32_t)to->ss_family << 16 | v4->sin_port);
	atomic_store(&e->scope, to->ss_family == AF_INET6 ? v6->sin6_scope_id : 0);
	atomic_store(&e->address[0], address[0]);
	atomic_store(&e->address[1], address[1]);
	atomic_store(&e->door, door);
}

/* The loopback address that doors of a family listen on. A v4-mapped one counts as IPv4. */
static bool is_door_address(const struct sockaddr *peer, size_t *index, uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	if (peer->sa_family == AF_INET) {
		*index = 0;
		*port = ntohs(v4->sin_port);
		return v4->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
	}
	if (peer->sa_family != AF_INET6)
		return false;
	*port = ntohs(v6->sin6_port);
	if (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) {
		*index = 1;
		return true;
	}
	*index = 0;
	return IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
	       v6->sin6_addr.s6_addr32[3] == htonl(INADDR_LOOPBACK);
}

bool door_dialled(const struct sockaddr *peer, uint16_t local_port, struct sockaddr_storage *out,
		  socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	size_t index;
	uint16_t port;

	if (!is_door_address(peer, &index, &port))
		return false;
	struct dialled *e = dialled_entry(index, local_port);
	if (!e || atomic_load(&e->door) != port)
		return false;
	uint32_t family_port = atomic_load(&e->family_port);
	uint64_t address[2] = {atomic_load(&e->address[0]), atomic_load(&e->address[1])};

	memset(out, 0, sizeof(*out));
	out->ss_family = (sa_family_t)(family_port >> 16);
	v4->sin_port = (in_port_t)family_port;
	if (out->ss_family == AF_INET) {
		memcpy(&v4->sin_addr, address, sizeof(v4->sin_addr));
		*len = sizeof(*v4);
	} else {
		memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
		v6->sin6_scope_id = atomic_load(&e->scope);
		*len = sizeof(*v6);
	}
	return true;
}

/* ---- claims and parked connections ------------------------------------------------------- */

struct door_entry {
	uint32_t key; /* family index << 16 | local port */
	struct door *door;
	struct claim *claim; /* NULL: parked, not claimed yet */
	struct watch watch;  /* the parked connection; -1: only a claim, it has not come yet */
	struct timer expiry;
	UT_hash_handle hh;
};

struct claim *claim_new(const struct dial *dial)
{
	struct claim *claim = calloc(1, sizeof(*claim));

	if (!claim) {
		rules_unref(dial->rules);
		return NULL;
	}
	claim->rules = dial->rules;
	claim->kind = dial->kind;
	claim->cluster = dial->cluster;
	claim->port = dial->port;
	strncpy(claim->name, dial->name, sizeof(claim->name) - 1);
	memcpy(&claim->dialled, dial->dialled,
	       dial->dialled_len < sizeof(claim->dialled) ? dial->dialled_len :
							    sizeof(claim->dialled));
	return claim;
}

void claim_free(struct claim *claim)
{
	if (!claim)
		return;
	rules_unref(claim->rules);
	free(claim);
}

static struct door_entry *entry_find(struct door *door, uint32_t key)
{
	struct door_entry *entry;

	HASH_FIND(hh, door->entries, &key, sizeof(key), entry);
	return entry;
}

static struct door_entry *entry_add(struct door *door, uint32_t key)
{
	struct door_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->door = door;
	entry->key = key;
	entry->watch.fd = -1;
	HASH_ADD(hh, door->entries, key, sizeof(key), entry);
	if (!entry->hh.tbl) { /* HASH_NONFATAL_OOM: it was not added */
		free(entry);
		return NULL;
	}
	return entry;
}

/* Out of the table, with both locks held; a parked descriptor is the caller's then. */
static int entry_remove(struct door *door, struct door_entry *entry)
{
	int fd = entry->watch.fd;

	if (fd >= 0) {
		loop_unwatch(door->loop, &entry->watch);
		timer_clear(door->loop, &entry->expiry);
		door->n_parked--;
	}
	HASH_DEL(door->entries, entry);
	free(entry);
	return fd;
}

static void close_hard(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	fds_close(fd);
}

static void parked_expired(struct timer *timer)
{
	struct door_entry *entry = container_of(timer, struct door_entry, expiry);
	struct door *door = entry->door;

	pthread_mutex_lock(&door->lock);
	struct claim *claim = entry->claim;
	int fd = entry_remove(door, entry);
	pthread_mutex_unlock(&door->lock);
	if (claim) {
		door->admit(door, fd, claim);
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

	/* Once only: from here on a claim may post the task anew, and it must not be queued twice.
	 * What that claim is for is found below or by the next run. */
	pthread_mutex_lock(&door->lock);
	door->claimed_posted = false;
	pthread_mutex_unlock(&door->lock);
	for (;;) {
		pthread_mutex_lock(&door->lock);
		for (entry = door->entries; entry; entry = entry->hh.next)
			if (entry->claim && entry->watch.fd >= 0)
				break;
		if (!entry) {
			pthread_mutex_unlock(&door->lock);
			return;
		}
		struct claim *claim = entry->claim;
		int fd = entry_remove(door, entry);
		pthread_mutex_unlock(&door->lock);
		door->admit(door, fd, claim);
	}
}

int door_expect(struct door *door, int family, uint16_t local_port, struct claim *claim)
{
	uint32_t key = (uint32_t)(family_index(family) << 16 | local_port);
	int result = 0;

	dialled_remember(family_index(family), local_port,
			 door->listeners[family_index(family)].port, &claim->dialled);
	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = entry_find(door, key);
	if (!entry)
		entry = entry_add(door, key);
	if (!entry) {
		claim_free(claim);
		result = -1;
	} else {
		claim_free(entry->claim); /* its connection never came */
		entry->claim = claim;
		if (entry->watch.fd >= 0 && !door->claimed_posted) {
			door->claimed_posted = true;
			loop_post(door->loop, &door->claimed);
		}
	}
	pthread_mutex_unlock(&door->lock);
	return result;
}

/* A connection from `key` came in. Returns its claim, or NULL: parked or closed. */
static struct claim *come_in(struct door *door, uint32_t key, int fd)
{
	struct claim *claim = NULL;

	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = entry_find(door, key);
	if (entry && entry->watch.fd >= 0) {
		/* The same port again: the parked one is gone for good, whoever it was. */
		struct claim *stale = entry->claim;

		close_hard(entry_remove(door, entry));
		claim_free(stale);
		entry = NULL;
	}
	if (entry) {
		claim = entry->claim;
		entry_remove(door, entry);
	} else if (door->n_parked < DOOR_PARK_MAX && (entry = entry_add(door, key))) {
		entry->watch.ready = parked_ready;
		entry->expiry.fire = parked_expired;
		if (loop_watch(door->loop, &entry->watch, fd, EPOLLET) == 0) {
			door->n_parked++;
			timer_set(door->loop, &entry->expiry, DOOR_PARK_MS);
			fd = -1;
		} else {
			entry_remove(door, entry);
		}
	}
	pthread_mutex_unlock(&door->lock);
	if (!claim && fd >= 0)
		close_hard(fd);
	return claim;
}

/* ---- listeners --------------------------------------------------------------------------- */

/* No descriptor is left to accept with. Returns true if it is worth trying again. */
static bool make_room(struct door *door, int listener)
{
	if (door->free_descriptor && door->free_descriptor(door))
		return true;
	if (door->reserve < 0)
		return false;
	/* End the first of those that wait: the program gets an error for this connection and no
	 * other harm is done. */
	log_warn("out of descriptors: a connection is refused");
	fds_close(door->reserve);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		struct linger linger = {.l_onoff = 1, .l_linger = 0};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		real.close(fd);
	}
	door->reserve = fds_adopt(fcntl(listener, F_DUPFD_CLOEXEC, 3));
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

static void listener_moved(struct watch *watch, int fd)
{
	container_of(watch, struct listener, watch)->fd = fd;
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct listener *listener = container_of(watch, struct listener, watch);
	struct door *door = listener->door;
	uint32_t index = (uint32_t)(listener - door->listeners);

	(void)events;
	for (int i = 0; i < LOOP_BATCH; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		int fd = accept4(watch->fd, (struct sockaddr *)&from, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if ((errno == EMFILE || errno == ENFILE) && make_room(door, watch->fd))
				continue;
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			if (errno != EAGAIN)
				pause_listener(listener);
			return;
		}
		fd = fds_adopt(fd);
		if (fd < 0)
			continue;
		uint16_t port = ntohs(from.ss_family == AF_INET ?
					  ((struct sockaddr_in *)&from)->sin_port :
					  ((struct sockaddr_in6 *)&from)->sin6_port);
		struct claim *claim = come_in(door, index << 16 | port, fd);
		if (claim)
			door->admit(door, fd, claim);
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

uint16_t door_listen(struct door *door, int family, struct err *err)
{
	struct listener *listener = &door->listeners[family_index(family)];
	struct sockaddr_storage addr;
	socklen_t len = loopback(family, &addr);
	int one = 1;

	if (listener->port)
		return listener->port;
	int fd = fds_adopt(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (fd < 0)
		goto fail;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		goto fail;
	listener->fd = fd;
	listener->watch.ready = listener_ready;
	listener->watch.moved = listener_moved;
	listener->retry.fire = listener_retry;
	if (loop_watch(door->loop, &listener->watch, fd, EPOLLIN) < 0)
		goto fail;
	listener->port = ntohs(family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port :
						    ((struct sockaddr_in *)&addr)->sin_port);
	return listener->port;
fail:
	err_set_errno(err, errno, "cannot listen on %s",
		      family == AF_INET6 ? "[::1]" : "127.0.0.1");
	fds_close(fd);
	return 0;
}

int door_init(struct door *door, struct loop *loop, struct err *err)
{
	memset(door, 0, sizeof(*door));
	if (dialled_init() < 0) {
		err_set_errno(err, errno, "no memory for the bridge");
		return -1;
	}
	door->loop = loop;
	door->claimed.run = run_claimed;
	for (int i = 0; i < 2; i++) {
		door->listeners[i].door = door;
		door->listeners[i].watch.fd = door->listeners[i].fd = -1;
	}
	pthread_mutex_init(&door->lock, NULL);
	/* Any descriptor will do; without one, running out of them later is only less graceful. */
	door->reserve = fds_adopt(fcntl(loop->mailbox_watch.fd, F_DUPFD_CLOEXEC, 3));
	return 0;
}

void door_release(struct door *door)
{
	struct door_entry *entry, *tmp;

	HASH_ITER (hh, door->entries, entry, tmp) {
		claim_free(entry->claim);
		fds_close(entry_remove(door, entry));
	}
	for (int i = 0; i < 2; i++) {
		timer_clear(door->loop, &door->listeners[i].retry);
		loop_unwatch(door->loop, &door->listeners[i].watch);
		fds_close(door->listeners[i].fd);
		door->listeners[i].port = 0;
	}
	fds_close(door->reserve);
	pthread_mutex_destroy(&door->lock);
}

int door_relocate(struct door *door, int fd)
{
	if (fd != door->reserve)
		return 0;
	int new_fd = fds_relocate(fd);

	if (new_fd < 0)
		return -1;
	door->reserve = new_fd;
	return 0;
}
