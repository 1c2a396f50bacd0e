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

/* ---- sets -------------------------------------------------------------------------------- */

/* Bridge: what has come. */
static bool fetch_one(struct twins *twins)
{
	uint64_t serial;
	int fd;

	if (!channel_receive(twins->near, &serial, &fd))
		return false;
	for (int i = 0; i < EPOLL_SETS_MAX; i++)
		if (twins->sets[i].serial == serial) {
			twins->sets[i].near = fd;
			return true;
		}
	real.close(fd);
	return true;
}

static void fetch_all(struct task *task)
{
	struct twins *twins = container_of(task, struct twins, fetch_sets);

	twins->fetching_sets = false;
	while (fetch_one(twins))
		;
}

/* A set lives, and is heard of in a set that it is in, as long as anybody has a number for it: what is on
 * its way to the bridge is one. */
static void set_close(struct twins *twins, struct epoll_set *set)
{
	fds_close(set->far);
	if (set->near >= 0) {
		twin_close_near(twins, set->near);
	} else if (!twins->fetching_sets) {
		twins->fetching_sets = true;
		twins->fetch_sets.run = fetch_all;
		loop_defer(twins->loop, &twins->fetch_sets);
	}
	*set = (struct epoll_set){.number = -1, .far = -1, .near = -1};
}

static struct epoll_set *set_find(struct twins *twins, int number)
{
	for (int i = 0; i < EPOLL_SETS_MAX; i++)
		if (twins->sets[i].serial && twins->sets[i].number == number)
			return &twins->sets[i];
	return NULL;
}

/* A place for another one, at worst of one that nothing is bound in. */
static struct epoll_set *set_place(struct twins *twins)
{
	struct epoll_set *unused = NULL;

	for (int i = 0; i < EPOLL_SETS_MAX; i++) {
		if (!twins->sets[i].serial)
			return &twins->sets[i];
		if (!twins->sets[i].bound)
			unused = &twins->sets[i];
	}
	if (unused)
		set_close(twins, unused);
	return unused;
}

static struct epoll_set *set_open(struct twins *twins, int number)
{
	struct epoll_set *set = set_place(twins);

	if (!set)
		return NULL;
	*set = (struct epoll_set){.number = number, .near = -1};
	set->far = fds_adopt(fcntl(number, F_DUPFD_CLOEXEC, 3));
	if (set->far < 0)
		return NULL;
	if (!fds_is_ours(twins->far) ||
	    channel_send(twins->far, twins->set_serials + 1, set->far) < 0) {
		fds_close(set->far);
		return NULL;
	}
	set->serial = ++twins->set_serials;
	return set;
}

/* Bridge: its number there. */
static int set_near(struct twins *twins, struct epoll_set *wanted)
{
	while (wanted->near < 0 && fetch_one(twins))
		;
	return wanted->near;
}

/* Program: whether its own socket is in there, which tells a set from another that has its number now. To
 * add what is there already fails without changing it. */
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
		set->number = -1;
		if (!set->bound)
			set_close(twins, set);
		set = NULL;
	}
	if (!set) {
		set = set_open(twins, number);
		if (set && !set_has(set, own)) {
			set_close(twins, set);
			set = NULL;
		}
	}
	socket->set_serial = set ? set->serial : 0;
	return set;
}

void epoll_sets_forget(struct twins *twins, int number)
{
	struct epoll_set *set = set_find(twins, number);

	if (!set)
		return;
	set->number = -1;
	if (!set->bound)
		set_close(twins, set);
	/* The last one out closes it. */
	for (struct twin *twin = set->bound, *next; twin; twin = next) {
		next = twin->binding.next;
		epoll_set_unbind(twin);
	}
}

void epoll_sets_release(struct twins *twins)
{
	for (int i = 0; i < EPOLL_SETS_MAX; i++)
		if (twins->sets[i].serial)
			fds_close(twins->sets[i].far);
}

/* ---- bindings ---------------------------------------------------------------------------- */

/* Bridge: the same for the socket under its number in the program's table, which something of ours may have
 * here. */
static int control_here(struct twin *twin, int op, struct epoll_event *event)
{
	int set = set_near(twin->all, twin->binding.set);
	int kept = fcntl(twin->far, F_DUPFD_CLOEXEC, 0);

	if (set < 0 || (kept < 0 && errno != EBADF) ||
	    real.dup3(twin->near, twin->far, O_CLOEXEC) < 0) {
		if (kept >= 0)
			real.close(kept);
		return -1;
	}
	int rc = real.epoll_ctl(set, op, twin->far, event);

	if (kept < 0) {
		real.close(twin->far);
	} else {
		real.dup3(kept, twin->far, O_CLOEXEC);
		real.close(kept);
	}
	return rc;
}

static int control(struct twin *twin, int op, uint32_t events)
{
	struct binding *binding = &twin->binding;
	struct epoll_event event = {.events = events, .data.u64 = binding->data};

	if (thread_is_ours)
		return control_here(twin, op, &event);
	if (!fds_is_ours(binding->set->far) || !fds_is_ours(twin->far))
		return -1;
	return real.epoll_ctl(binding->set->far, op, twin->far, &event);
}

static void note_bound(struct mesh_socket *socket, struct twin *twin)
{
	bool was = atomic_exchange(&socket->bound, twin) != NULL;

	atomic_fetch_add(&sockets_bound, (twin != NULL) - was);
}

void epoll_set_unbind(struct twin *twin)
{
	struct binding *binding = &twin->binding;
	struct epoll_set *set = binding->set;

	if (!set)
		return;
	control(twin, EPOLL_CTL_DEL, 0);
	note_bound(binding->socket, NULL);
	DL_DELETE2(set->bound, twin, binding.prev, binding.next);
	*binding = (struct binding){0};
	if (!set->bound && set->number < 0)
		set_close(twin->all, set);
}

static bool is_bound_so(const struct binding *binding, const struct mesh_socket *socket,
			uint32_t events, uint64_t data)
{
	return binding->socket == socket && binding->cookie == atomic_load(&socket->cookie) &&
	       binding->events == events && binding->data == data &&
	       binding->set->serial == socket->set_serial &&
	       binding->set->number == atomic_load(&socket->set) - 1;
}

int epoll_set_bind(struct twin *twin, struct mesh_socket *socket, int own, uint32_t events)
{
	struct binding *binding = &twin->binding;
	struct twin *other = atomic_load(&socket->bound);
	uint64_t data = atomic_load(&socket->data);

	if (is_bound_so(binding, socket, events, data))
		return 0;
	struct epoll_set *set = set_of(twin->all, socket, own);

	if (other && other != twin)
		epoll_set_unbind(other);
	int op = binding->set && binding->set == set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (op == EPOLL_CTL_ADD)
		epoll_set_unbind(twin);
	if (!set)
		return -1;
	if (op == EPOLL_CTL_ADD) {
		DL_APPEND2(set->bound, twin, binding.prev, binding.next);
		binding->set = set;
	} else {
		note_bound(binding->socket, NULL);
	}
	binding->socket = socket;
	binding->cookie = atomic_load(&socket->cookie);
	binding->events = events;
	binding->data = data;
	note_bound(socket, twin);
	if (control(twin, op, events) == 0)
		return 0;
	epoll_set_unbind(twin);
	return -1;
}
