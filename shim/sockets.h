/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the program's sockets are connected to the bridge's door, by descriptor number. A number may
 * be closed and used anew by ways that no hook sees: whoever acts on an entry looks first whether it is
 * the same socket still.
 *
 * Threads: any; no lock. A forked child has an empty table, since the connections are its parent's.
 */
#ifndef SHIM_SOCKETS_H
#define SHIM_SOCKETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCKETS_MAX 65536 /* numbers above are not entered */

struct downstream;

struct mesh_socket {
	_Atomic uint64_t cookie; /* SO_COOKIE; 0: no entry */
	_Atomic(struct downstream *) downstream; /* who serves it, to be used under the bridge's lock;
						    NULL: nobody so far */
	atomic_bool in_epoll; /* the number was put into an epoll set, by whose events its program goes;
				 of all numbers, entered or not */
	/* For those who poll, without a lock: */
	_Atomic int upstream; /* a request is under way in the fast lane: the number of its upstream
				 socket; else 0 */
	atomic_bool holds;    /* and bytes for the program are at hand */
	atomic_uint polling;  /* so many threads poll that number */
};

extern _Atomic(struct mesh_socket *) sockets_table; /* NULL: nothing was ever entered */

/* The entry of a number, or NULL. */
static inline struct mesh_socket *sockets_find(int fd)
{
	struct mesh_socket *table = atomic_load_explicit(&sockets_table, memory_order_acquire);

	if (!table || (unsigned)fd >= SOCKETS_MAX ||
	    !atomic_load_explicit(&table[fd].cookie, memory_order_relaxed))
		return NULL;
	return &table[fd];
}

/* Whether there is anything that sockets_leave() would forget. */
static inline bool sockets_know(int fd)
{
	struct mesh_socket *table = atomic_load_explicit(&sockets_table, memory_order_acquire);

	return table && (unsigned)fd < SOCKETS_MAX &&
	       (atomic_load_explicit(&table[fd].cookie, memory_order_relaxed) ||
		atomic_load_explicit(&table[fd].in_epoll, memory_order_relaxed));
}

/* A number that no other socket has as long as the machine runs; 0: it cannot be had. errno is not
 * preserved. */
uint64_t socket_cookie(int fd);

/* Enter a socket that was just connected. Returns its cookie, or 0: it has no entry. */
uint64_t sockets_enter(int fd);

/* The number, of whatever it may be, is put into an epoll set. Remembered until it is closed. */
void sockets_note_epoll(int fd);

/* The number is being closed, or turned out to be another socket's. */
void sockets_leave(int fd);

#endif
