/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream sockets that program threads may use: each has two numbers, one in the table of the bridge's
 * thread (near), one in the program's (far; one of fds.h). The kernel's own way of passing a descriptor
 * from one table to another is a message (SCM_RIGHTS), sent when the bridge has no use for the socket and
 * fetched by the first program thread that has.
 *
 * A socket is closed in both tables, each by a thread that has it: what the other side has to close
 * waits for it here. Until then the connection is shut down, so that its peer need not wait.
 *
 * Threads: the loop's owner lock. "Bridge": on its thread; "program": on any of the program's.
 */
#ifndef SHIM_BRIDGE_TWIN_H
#define SHIM_BRIDGE_TWIN_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/bridge/epoll_set.h"
#include "shim/bridge/loop.h"

enum {
	TWIN_UNDERWAY = -1,
	TWIN_LOST = -2, /* the program had no number left */
};

#define TWINS_MAX 512 /* with those that wait to be closed */

struct twins {
	struct loop *loop;
	int near, far; /* the channel's ends; -1: there is none, and no twins either */
	uint64_t serials;
	unsigned n;
	struct twin *underway; /* sent, and not fetched so far */
	int closing_near[2 * TWINS_MAX], closing_far[2 * TWINS_MAX]; /* with their relays */
	unsigned n_near, n_far;
	struct task close_near;
	struct epoll_set sets[EPOLL_SETS_MAX];
	uint64_t set_serials;
	struct twin *relays; /* sent, and not fetched so far */
	struct task fetch;
	bool fetching;
};

/* Embedded in its connection, all zero at first. */
struct twin {
	struct twins *all; /* NULL: the socket is in one table only */
	uint64_t serial;
	int near, far; /* far may be one of the above */
	unsigned use;  /* of far: fds_uses() */
	int flags;     /* of the socket, by which it is known (fcntl(2)); 0: it cannot be told by them */
	struct twin *next, *prev; /* underway */
	struct binding binding;
};

/* Program: make the channel, in the table of the caller. The near end is for the bridge's thread to take
 * along. On failure there is none. */
void twins_init(struct twins *twins, struct loop *loop);

/* Undo twins_init(), from where it was called. */
void twins_release(struct twins *twins);

/* Bridge: give the socket `fd` a second number. Returns 0, or -1: it stays as it is. */
int twin_send(struct twins *twins, struct twin *twin, int fd) __attribute__((warn_unused_result));

/* Program: the number there, which is checked to be that of the socket still. -1: it cannot be had. */
int twin_fetch(struct twin *twin);

/* Program: whether the number there is that of the socket still. */
bool twin_is_sound(const struct twin *twin);

/* The socket is about to be closed under the number that the calling thread knows it by: that it is
 * closed under the other, too. */
void twin_part(struct twin *twin);

/* A thread is about to wait for the socket without the lock: until twin_unpin(), which needs no lock either,
 * the number is not closed, and so no other socket can have it. */
void twin_pin(int far);
void twin_unpin(int far);

/* Program, before twin_part(): a number for the socket that may be closed at once, which is `far` if nobody
 * waits there. -1: there is none. */
int twin_to_close(struct twin *twin);

/* Have a number of the bridge's closed: at once, if this is its thread. */
void twin_close_near(struct twins *twins, int near);

/* Program: close what waits for it. */
void twins_reap(struct twins *twins);

#endif
