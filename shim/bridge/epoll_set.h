/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's epoll sets, as far as the fast lane uses them: the upstream socket of a request is bound
 * into the set that the program's own socket is in, with the program's data, so that its answer is an event
 * of the program's socket as far as the program can tell.
 *
 * It is there by way of a relay, an epoll set of ours that has only this socket in it: of that the kernel
 * says that it can be read and nothing else, in particular not that the upstream connection is broken, which
 * is no business of the program's. A relay has, like a twin, a number in both tables.
 *
 * At any time one of the two sockets may have something to say, never both: a program may free at the
 * first event of a batch what the second one points to. So the bridge, before it writes to the program's
 * socket, takes the upstream socket out of the relay, in which it is known by its number in the program's
 * table: it gives it that number in its own for that moment. A program thread has the set hear nothing of the
 * relay instead. In either case the relay stays where it is.
 *
 * Threads: the loop's owner lock. "Bridge", "program": as in twin.h.
 */
#ifndef SHIM_BRIDGE_EPOLL_SET_H
#define SHIM_BRIDGE_EPOLL_SET_H

#include <stdbool.h>
#include <stdint.h>

#define EPOLL_SETS_MAX 16

struct mesh_socket;
struct twin;
struct twins;

struct epoll_set {
	int number;	 /* the program's own of it */
	int far;	 /* ours, in the same table */
	uint64_t serial; /* 0: not in use */
	struct twin *twins; /* whose relays are in there */
};

/* Part of struct twin. */
struct binding {
	int far, near; /* the relay's numbers; far 0: there is none so far; near may be TWIN_UNDERWAY */
	unsigned use; /* of far, */
	int flags;    /* by which it is known: fds_is_still() */
	struct epoll_set *set; /* that the relay is in, so: */
	uint32_t events;
	uint64_t data;
	bool filled; /* the socket is in the relay */
	bool armed;  /* and can be heard */
	struct mesh_socket *socket; /* whose events it carries then */
	uint64_t cookie; /* of that */
	struct twin *next, *prev; /* in the same set */
	struct twin *relay_next, *relay_prev; /* underway */
};

/*
 * Program: have the upstream socket report `events` in the set that `socket` is in, under its data, and
 * in no other. `own` is the program's number of that socket. Returns 0, or -1: it is bound nowhere.
 */
int epoll_set_bind(struct twin *twin, struct mesh_socket *socket, int own, uint32_t events)
    __attribute__((warn_unused_result));

/* Both: take it out. */
void epoll_set_unbind(struct twin *twin);

/* Both: the socket is about to be closed. */
void epoll_set_part(struct twin *twin);

/* Program: its set of that number is being closed. */
void epoll_sets_forget(struct twins *twins, int number);

/* Undo all, for a bridge that never ran. */
void epoll_sets_release(struct twins *twins);

#endif
