/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the program that are served before they are accepted, at the doors that accept late. */
#include <stdlib.h>
#include <sys/socket.h>

#include "shim/bridge/door.h"
#include "shim/bridge/downstream_state.h"
#include "shim/bridge/port.h"
#include "shim/bridge/sock.h"
#include "shim/libc.h"

/* With TCP_DEFER_ACCEPT of a second, the kernel has a connection accepted after one to three. */
#define LATE_MS 10000

/* The kernel would have had it accepted by now: its program has reset it. */
static void never_came(struct timer *timer)
{
	struct downstream *d = container_of(timer, struct downstream, life);

	exchange_abandon(d->exchange);
	downstream_free(d);
}

struct downstream *downstream_start_early(struct downstreams *all, struct door_entry *entry,
					  const struct sockaddr *local, const struct claim *claim)
{
	struct downstream *d = downstream_new(all, claim);
	struct io *port = d ? port_io(NULL) : NULL;

	if (!port) {
		rules_unref(claim->rules);
		free(d);
		return NULL;
	}
	downstream_note_source(d, local);
	d->port = true;
	if (downstream_begin(d, port) < 0) {
		free(d);
		return NULL;
	}
	d->late = entry;
	door_serve_early(all->door, entry, d);
	d->life.fire = never_came;
	timer_set(all->loop, &d->life, LATE_MS);
	fast_lane_admit(d);
	return d;
}

/* Its program is done with it, as most are that come at all. */
static bool has_ended(const struct downstream *d, int fd)
{
	char byte;

	return !d->homeless && exchange_is_idle(d->exchange) &&
	       real.recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Its program may have reset it by a way that no hook sees, and somebody else have its address. */
static bool is_stranger(const struct downstream *d, int fd)
{
	int own = fast_lane_borrow_own(d);

	if (own >= 0)
		real.close(own);
	return own < 0 && door_is_from(fd, d->claim.cookie) == 0;
}

void downstream_attach(struct downstream *d, int fd)
{
	struct downstreams *all = d->all;
	struct io *sock = NULL;

	d->late = NULL;
	timer_clear(all->loop, &d->life);
	if (has_ended(d, fd) || is_stranger(d, fd))
		real.close(fd);
	else
		sock = downstream_take_socket(d, fd);
	if (!sock) {
		exchange_abandon(d->exchange);
		downstream_free(d);
		return;
	}
	if (d->urgent)
		sock_expect_urgent(sock);
	port_attach(d->down, sock);
	if (d->homeless)
		loop_defer(all->loop, &d->again);
	d->homeless = false;
}
