/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/twin.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "shim/bridge/channel.h"
#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/thread.h"

/* What no file is likely to have, and means nothing to a socket: whoever finds it under a number has found a
 * socket of ours there (fds_is_still()). */
#define MARK (O_APPEND | O_NOATIME)

/* By number, modulo their count: two that meet are closed late, not too early. */
static atomic_uint pins[1024];

static atomic_uint *pins_of(int far)
{
	return &pins[(unsigned)far % (sizeof(pins) / sizeof(pins[0]))];
}

void twin_pin(int far)
{
	atomic_fetch_add(pins_of(far), 1);
}

void twin_unpin(int far)
{
	atomic_fetch_sub(pins_of(far), 1);
}

static void close_near(struct task *task)
{
	struct twins *twins = container_of(task, struct twins, close_near);

	while (twins->n_near)
		real.close(twins->closing_near[--twins->n_near]);
}

void twins_init(struct twins *twins, struct loop *loop)
{
	int ends[2];

	twins->loop = loop;
	twins->near = twins->far = -1;
	twins->close_near.run = close_near;
	if (channel_open(ends) < 0)
		return;
	twins->near = fds_adopt(ends[0]);
	twins->far = fds_adopt(ends[1]);
	if (twins->near < 0 || twins->far < 0)
		twins_release(twins);
}

void twins_release(struct twins *twins)
{
	fds_close(twins->near);
	fds_close(twins->far);
	epoll_sets_release(twins);
	twins->near = twins->far = -1;
}

void twin_close_near(struct twins *twins, int near)
{
	if (thread_is_ours) {
		real.close(near);
		return;
	}
	if (!twins->n_near)
		loop_defer(twins->loop, &twins->close_near);
	twins->closing_near[twins->n_near++] = near;
}

/* Whether the number was given to no other of ours since. */
static bool has_number(const struct twin *twin)
{
	return twin->far >= 0 && twin->use == fds_uses(twin->far);
}

bool twin_is_sound(const struct twin *twin)
{
	return fds_is_still(twin->far, twin->use, twin->flags);
}

int twin_send(struct twins *twins, struct twin *twin, int fd)
{
	uint64_t serial = twins->serials + 1;

	if (twins->near < 0 || 2 * twins->n + twins->n_near + twins->n_far >= 2 * TWINS_MAX - 1 ||
	    channel_send(twins->near, serial, fd) < 0)
		return -1;
	/* Program threads wait in it; what must not wait says so in each call. */
	real.fcntl(fd, F_SETFL, real.fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	*twin = (struct twin){.all = twins,
			      .serial = serial,
			      .near = fd,
			      .far = TWIN_UNDERWAY,
			      .flags = fds_mark(fd, MARK)};
	twins->serials = serial;
	twins->n++;
	DL_APPEND(twins->underway, twin);
	return 0;
}

/* The next message. False: there is none. `fd` -1: its descriptor did not come with it. */
static bool receive(struct twins *twins, uint64_t *serial, int *fd)
{
	if (!fds_is_ours(twins->far) || !channel_receive(twins->far, serial, fd))
		return false;
	*fd = fds_adopt(*fd);
	return true;
}

/* In the order in which they were sent; those of sockets that are gone have nobody who waits. */
static void fetch_until(struct twins *twins, uint64_t wanted)
{
	uint64_t serial = 0;
	int fd;

	while (serial < wanted && receive(twins, &serial, &fd)) {
		struct twin *twin = twins->underway;

		if (!twin || twin->serial != serial) {
			fds_close(fd);
			continue;
		}
		DL_DELETE(twins->underway, twin);
		twin->far = fd >= 0 ? fd : TWIN_LOST;
		twin->use = fds_uses(fd);
	}
}

int twin_fetch(struct twin *twin)
{
	if (twin->far == TWIN_UNDERWAY)
		fetch_until(twin->all, twin->serial);
	return twin_is_sound(twin) ? twin->far : -1;
}

int twin_to_close(struct twin *twin)
{
	int far = twin_is_sound(twin) ? twin->far : -1;

	return far >= 0 && atomic_load(pins_of(far)) ? real.fcntl(far, F_DUPFD_CLOEXEC, far) : far;
}

void twin_part(struct twin *twin)
{
	struct twins *twins = twin->all;

	if (!twins)
		return;
	epoll_set_part(twin);
	twins->n--;
	if (twin->far == TWIN_UNDERWAY)
		DL_DELETE(twins->underway, twin);
	if (thread_is_ours) {
		real.shutdown(twin->near, SHUT_RDWR);
		if (has_number(twin))
			twins->closing_far[twins->n_far++] = twin->far;
	} else {
		if (has_number(twin) && atomic_load(pins_of(twin->far)))
			twins->closing_far[twins->n_far++] = twin->far;
		else if (has_number(twin))
			fds_forget(twin->far);
		twin_close_near(twins, twin->near);
	}
	twin->all = NULL;
}

void twins_reap(struct twins *twins)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < twins->n_far; i++) {
		int far = twins->closing_far[i];

		if (atomic_load(pins_of(far)))
			twins->closing_far[kept++] = far;
		else
			fds_close(far);
	}
	twins->n_far = kept;
}
