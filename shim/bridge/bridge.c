/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge's life: started once per process, dropped in forked children, never stopped.
 *
 * `lock` is the owner lock of the loop: held by the bridge's thread while it works and by program
 * threads that start, relocate or fork. What the hooks need on every connection (the ports of the
 * doors) is published in atomics, so that they do not wait for a busy bridge.
 */
#include "shim/bridge/bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shim/bridge/door.h"
#include "shim/bridge/downstream.h"
#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/thread.h"

struct bridge {
	struct loop loop;
	struct door door;
	struct downstreams downstreams;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bridge *bridge; /* under lock; once set it stays, but in a forked child */
static _Atomic uint16_t door_ports[2]; /* AF_INET, AF_INET6; 0: not open */

static void *bridge_thread(void *arg)
{
	struct bridge *b = arg;

	thread_enter();
	loop_run(&b->loop, NULL);
	return NULL;
}

static void admit(struct door *door, int fd, struct claim *claim)
{
	downstream_start(&container_of(door, struct bridge, door)->downstreams, fd, claim);
}

static bool door_free_descriptor(struct door *door)
{
	return pool_evict(container_of(door, struct bridge, door)->downstreams.pool);
}

static bool dial_free_descriptor(struct dial_env *env)
{
	return pool_evict(container_of(env, struct bridge, downstreams.dial)->downstreams.pool);
}

static uint64_t seed(void)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random) || !random)
		random = (uintptr_t)&random | 1;
	return random;
}

/* Make the bridge and start its thread. Called with `lock`. */
static int start(struct err *err)
{
	struct bridge *b = calloc(1, sizeof(*b));
	struct downstreams *all = b ? &b->downstreams : NULL;

	if (!b) {
		err_set_errno(err, ENOMEM, "cannot start the bridge");
		return -1;
	}
	if (loop_init(&b->loop, &lock, err) < 0)
		goto no_loop;
	if (door_init(&b->door, &b->loop, err) < 0)
		goto no_door;
	all->loop = all->dial.loop = &b->loop;
	all->random = seed();
	all->dial.free_descriptor = dial_free_descriptor;
	b->door.admit = admit;
	b->door.free_descriptor = door_free_descriptor;
	all->pool = pool_new(&b->loop, err);
	all->dial.resolver = resolver_new(&b->loop, err);
	if (!all->pool || !all->dial.resolver)
		goto no_thread;
	int error = process_own() < 0 ? errno : thread_start(bridge_thread, b);
	if (error) {
		err_set_errno(err, error, "cannot start the bridge's thread");
		goto no_thread;
	}
	bridge = b;
	return 0;

no_thread:
	pool_free(all->pool);
	resolver_free(all->dial.resolver);
	door_release(&b->door);
no_door:
	loop_release(&b->loop);
no_loop:
	free(b);
	return -1;
}

int bridge_door(int family, struct sockaddr_storage *door, socklen_t *len, struct err *err)
{
	size_t index = family == AF_INET6;
	sigset_t old;

	uint16_t port = atomic_load(&door_ports[index]);
	if (!port) {
		thread_block_signals(&old);
		pthread_mutex_lock(&lock);
		if (bridge || start(err) == 0)
			port = door_listen(&bridge->door, family, err);
		atomic_store(&door_ports[index], port);
		pthread_mutex_unlock(&lock);
		thread_restore_signals(&old);
	}
	if (!port)
		return -1;
	memset(door, 0, sizeof(*door));
	door->ss_family = (sa_family_t)family;
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)door)->sin6_addr = in6addr_loopback;
		((struct sockaddr_in6 *)door)->sin6_port = htons(port);
		*len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)door)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		((struct sockaddr_in *)door)->sin_port = htons(port);
		*len = sizeof(struct sockaddr_in);
	}
	return 0;
}

int bridge_expect(int family, uint16_t local_port, const struct dial *dial)
{
	struct claim *claim = claim_new(dial);
	sigset_t old;

	if (!claim)
		return -1;
	thread_block_signals(&old);
	/* The door was opened by the caller's bridge_door(): it stays as long as this process. */
	int result = door_expect(&bridge->door, family, local_port, claim);
	thread_restore_signals(&old);
	return result;
}

bool bridge_dialled(const struct sockaddr *peer, uint16_t local_port,
		    struct sockaddr_storage *dialled, socklen_t *len)
{
	return door_dialled(peer, local_port, dialled, len);
}

int bridge_relocate(int fd)
{
	sigset_t old;
	int result, saved;

	if (!bridge)
		return 0;
	thread_block_signals(&old);
	loop_pause(&bridge->loop);
	result = loop_relocate(&bridge->loop, fd);
	if (result == 0 && fds_is_ours(fd))
		result = door_relocate(&bridge->door, fd);
	saved = errno;
	loop_resume(&bridge->loop);
	thread_restore_signals(&old);
	errno = saved;
	return result;
}

/* ---- fork -------------------------------------------------------------------------------- */

void bridge_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	if (bridge) {
		pthread_mutex_lock(&bridge->door.lock);
		pthread_mutex_lock(&bridge->loop.mailbox_lock);
	}
}

void bridge_fork_parent(void)
{
	if (bridge) {
		pthread_mutex_unlock(&bridge->loop.mailbox_lock);
		pthread_mutex_unlock(&bridge->door.lock);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * The copy of the bridge is left behind, not freed: freeing would have to walk what the parent's
 * thread was in the middle of. Only its descriptors matter, because a connection does not end while
 * a copy is open.
 */
void bridge_fork_child(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	lock = fresh;
	bridge = NULL;
	atomic_store(&door_ports[0], 0);
	atomic_store(&door_ports[1], 0);
	fds_drop_all();
}
