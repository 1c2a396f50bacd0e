/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/epoll_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utlist.h>

#include "shim/bridge/channel.h"
#include "shim/bridge/twin.h"
#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/sockets.h"
#include "shim/thread.h"

/* ---- relays ------------------------------------------------------------------------------ */

/* Bridge: what has come. False: nothing. */
static bool fetch_one(struct twins *twins)
{
	struct twin *twin = twins->relays;
	uint64_t serial;
	int fd;

	if (!channel_receive(twins->near, &serial, &fd))
		return false;
	if (twin && twin->serial == serial) {
		DL_DELETE2(twins->relays, twin, binding.relay_prev, binding.relay_next);
		twin->binding.near = fd >= 0 ? fd : TWIN_LOST;
	} else {
		real.close(fd); /* its socket is gone */
	}
	return true;
}

static void fetch_all(struct task *task)
{
	struct twins *twins = container_of(task, struct twins, fetch);

	twins->fetching = false;
	while (fetch_one(twins))
		;
}

static bool relay_is_sound(const struct binding *binding)
{
	return fds_is_still(binding->far, binding->use, binding->flags);
}

static bool relay_open(struct twin *twin)
{
	struct binding *binding = &twin->binding;
	struct twins *twins = twin->all;

	if (binding->far)
		return relay_is_sound(binding);
	int far = fds_is_ours(twins->far) ? fds_adopt(epoll_create1(EPOLL_CLOEXEC)) : -1;

	if (far < 0)
		return false;
	if (channel_send(twins->far, twin->serial, far) < 0) {
		fds_close(far);
		return false;
	}
	binding->far = far;
	binding->use = fds_uses(far);
	/* It means nothing to an epoll set, and no other has it. What has and is none does not take epoll_ctl(2). */
	binding->flags = fds_mark(far, O_APPEND);
	binding->near = TWIN_UNDERWAY;
	DL_APPEND2(twins->relays, twin, binding.relay_prev, binding.relay_next);
	return true;
}

/* Bridge: take the socket out of its relay, which knows it by its number in the program's table;
 * something of ours may have that here. */
static void empty_here(struct twin *twin)
{
	twin->binding.filled = false;
	while (twin->binding.near == TWIN_UNDERWAY && fetch_one(twin->all))
		;
	int kept = real.fcntl(twin->far, F_DUPFD_CLOEXEC, 0);

	if (kept < 0 && errno != EBADF)
		return;
	if (real.dup3(twin->near, twin->far, O_CLOEXEC) >= 0) {
		real.epoll_ctl(twin->binding.near, EPOLL_CTL_DEL, twin->far, NULL);
		if (kept < 0)
			real.close(twin->far);
		else
			real.dup3(kept, twin->far, O_CLOEXEC);
	}
	if (kept >= 0)
		real.close(kept);
}

/* ---- sets -------------------------------------------------------------------------------- */

/* Program: have its relay in no set. */
static void leave_set(struct twin *twin)
{
	struct binding *binding = &twin->binding;
	struct epoll_set *set = binding->set;

	if (!set)
		return;
	binding->set = NULL;
	DL_DELETE2(set->twins, twin, binding.prev, binding.next);
	if (fds_is_ours(set->far) && relay_is_sound(binding))
		real.epoll_ctl(set->far, EPOLL_CTL_DEL, binding->far, NULL);
}

static void set_close(struct epoll_set *set)
{
	while (set->twins) {
		struct twin *twin = set->twins;

		epoll_set_unbind(twin);
		leave_set(twin);
	}
	fds_close(set->far);
	*set = (struct epoll_set){.number = -1, .far = -1};
}

static struct epoll_set *set_find(struct twins *twins, int number)
{
	for (int i = 0; i < EPOLL_SETS_MAX; i++)
		if (twins->sets[i].serial && twins->sets[i].number == number)
			return &twins->sets[i];
	return NULL;
}

static bool is_in_use(const struct epoll_set *set)
{
	const struct twin *twin;

	DL_FOREACH2(set->twins, twin, binding.next)
		if (twin->binding.armed)
			return true;
	return false;
}

/* A place for another one, at worst of one that nobody waits in. */
static struct epoll_set *set_place(struct twins *twins)
{
	struct epoll_set *unused = NULL;

	for (int i = 0; i < EPOLL_SETS_MAX; i++) {
		if (!twins->sets[i].serial)
			return &twins->sets[i];
		if (!unused && !is_in_use(&twins->sets[i]))
			unused = &twins->sets[i];
	}
	if (unused)
		set_close(unused);
	return unused;
}

static struct epoll_set *set_open(struct twins *twins, int number)
{
	struct epoll_set *set = set_place(twins);

	if (!set)
		return NULL;
	*set = (struct epoll_set){.number = number};
	set->far = fds_adopt(real.fcntl(number, F_DUPFD_CLOEXEC, 3));
	if (set->far < 0)
		return NULL;
	set->serial = ++twins->set_serials;
	return set;
}

/* Program: whether its own socket is in there, which tells a set from another that has its number
 * now. To add what is there already fails without changing it. */
static bool set_has(const struct epoll_set *set, int own)
{
	struct epoll_event event = {.events = EPOLLONESHOT};

	if (!fds_is_ours(set->far))
		return false;
	if (real.epoll_ctl(set->far, EPOLL_CTL_ADD, own, &event) < 0)
		return errno == EEXIST;
	real.epoll_ctl(set->far, EPOLL_CTL_DEL, own, NULL);
	return false;
}

static struct epoll_set *set_of(struct twins *twins, struct mesh_socket *socket, int own)
{
	int number = atomic_load(&socket->set) - 1;
	struct epoll_set *set = set_find(twins, number);

	if (set && set->serial == socket->set_serial && fds_is_ours(set->far))
		return set;
	if (set && !set_has(set, own)) {
		set_close(set);
		set = NULL;
	}
	if (!set) {
		set = set_open(twins, number);
		if (set && !set_has(set, own)) {
			set_close(set);
			set = NULL;
		}
	}
	socket->set_serial = set ? set->serial : 0;
	return set;
}

void epoll_sets_forget(struct twins *twins, int number)
{
	struct epoll_set *set = set_find(twins, number);

	if (set)
		set_close(set);
}

void epoll_sets_release(struct twins *twins)
{
	for (int i = 0; i < EPOLL_SETS_MAX; i++)
		if (twins->sets[i].serial)
			fds_close(twins->sets[i].far);
}

/* ---- bindings ---------------------------------------------------------------------------- */

static bool is_in_place(const struct binding *binding, const struct epoll_set *set, uint32_t events,
			uint64_t data)
{
	return binding->set == set && binding->events == events && binding->data == data;
}

/* Have its relay in that set, in that way. Both numbers are known to be ours. */
static int place(struct twin *twin, struct epoll_set *set, uint32_t events, uint64_t data)
{
	struct binding *binding = &twin->binding;
	struct epoll_event event = {.events = events, .data.u64 = data};

	if (is_in_place(binding, set, events, data))
		return 0;
	if (binding->set != set)
		leave_set(twin);
	if (real.epoll_ctl(set->far, binding->set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, binding->far,
			   &event) < 0) {
		leave_set(twin);
		return -1;
	}
	if (!binding->set)
		DL_APPEND2(set->twins, twin, binding.prev, binding.next);
	binding->set = set;
	binding->events = events;
	binding->data = data;
	return 0;
}

/* Program: have its relay say nothing, whatever is in there. That is how it stays between requests: to put a socket
 * into a set that is in another one makes the kernel look for circles. */
static void mute(struct twin *twin)
{
	struct binding *binding = &twin->binding;

	if (fds_is_ours(binding->set->far) && relay_is_sound(binding) &&
	    place(twin, binding->set, 0, binding->data) == 0)
		return;
	leave_set(twin);
	/* The program may have closed our number of its set, past the hooks: the relay is still in there. */
	if (relay_is_sound(binding) && twin_is_sound(twin) &&
	    real.epoll_ctl(binding->far, EPOLL_CTL_DEL, twin->far, NULL) == 0)
		binding->filled = false;
}

void epoll_set_unbind(struct twin *twin)
{
	struct binding *binding = &twin->binding;

	if (!binding->armed)
		return;
	binding->armed = false;
	if (thread_is_ours)
		empty_here(twin);
	else
		mute(twin);
	/* Not before: who closes the program's socket looks without the lock whether to wait for this. */
	atomic_store(&binding->socket->bound, NULL);
}

static bool is_bound_so(const struct binding *binding, const struct mesh_socket *socket,
			uint32_t events, uint64_t data)
{
	return binding->armed && binding->socket == socket &&
	       binding->cookie == atomic_load(&socket->cookie) &&
	       is_in_place(binding, binding->set, events, data) &&
	       binding->set->serial == socket->set_serial &&
	       binding->set->number == atomic_load(&socket->set) - 1;
}

int epoll_set_bind(struct twin *twin, struct mesh_socket *socket, int own, uint32_t events)
{
	struct binding *binding = &twin->binding;
	struct twin *other = atomic_load(&socket->bound);
	uint64_t data = atomic_load(&socket->data);
	struct epoll_event event = {.events = EPOLLIN};

	if (is_bound_so(binding, socket, events, data))
		return 0;
	epoll_set_unbind(twin);
	if (other && other != twin)
		epoll_set_unbind(other);
	struct epoll_set *set = set_of(twin->all, socket, own);

	if (!set || !relay_open(twin) || !twin_is_sound(twin) || place(twin, set, events, data) < 0 ||
	    (!binding->filled && real.epoll_ctl(binding->far, EPOLL_CTL_ADD, twin->far, &event) < 0 &&
	     errno != EEXIST))
		return -1;
	binding->filled = true;
	binding->socket = socket;
	binding->cookie = atomic_load(&socket->cookie);
	binding->armed = true;
	atomic_store(&socket->bound, twin);
	return 0;
}

/* What the other side has to close waits for it. */
void epoll_set_part(struct twin *twin)
{
	struct binding *binding = &twin->binding;
	struct twins *twins = twin->all;

	epoll_set_unbind(twin);
	if (!binding->far)
		return;
	if (thread_is_ours) {
		if (binding->set)
			DL_DELETE2(binding->set->twins, twin, binding.prev, binding.next);
		twins->closing_far[twins->n_far++] = binding->far;
	} else {
		leave_set(twin);
		fds_close(binding->far);
	}
	if (binding->near >= 0) {
		twin_close_near(twins, binding->near);
	} else if (binding->near == TWIN_UNDERWAY) {
		DL_DELETE2(twins->relays, twin, binding.relay_prev, binding.relay_next);
		if (!twins->fetching) {
			twins->fetching = true;
			twins->fetch.run = fetch_all;
			loop_defer(twins->loop, &twins->fetch);
		}
	}
	*binding = (struct binding){0};
}
