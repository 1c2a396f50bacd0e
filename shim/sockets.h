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
#include <sys/epoll.h>

#define SOCKETS_MAX 65536 /* numbers above are not entered */

#define SOCKETS_SETS  (-1)
#define SOCKETS_DOUBT (-1)

#define SOCKETS_TO_WRITE (EPOLLOUT | EPOLLWRNORM)

struct downstream;
struct twin;

struct mesh_socket {
	_Atomic uint64_t cookie; /* SO_COOKIE; 0: no entry */
	atomic_bool late; /* it went to a door that accepts late */
	atomic_bool shared; /* there is, or was, another descriptor of it */
	atomic_uint forks;  /* how many forks there had been when it was entered */
	_Atomic(struct downstream *) downstream; /* who serves it, to be used under the bridge's lock;
						    NULL: nobody so far */
	/* The epoll set that the number is in, by whose events its program goes, and what it said there
	 * (epoll_ctl(2)); of all numbers, entered or not: */
	atomic_int set; /* its number + 1; 0: none; SOCKETS_SETS: several, or another number's event */
	_Atomic uint32_t events;
	_Atomic uint64_t data;
	atomic_bool sheds; /* it has taken EPOLLOUT back: asked for it for a request, and not for good */
	atomic_bool told;  /* edges: what there was to say has been heard, and nothing has gone by it since */
	_Atomic uint64_t set_cookie; /* of the socket that was put there */
	atomic_bool is_set;	     /* it is such a set itself */
	/* epoll_set.c, under the bridge's lock: */
	_Atomic(struct twin *) bound; /* whose events are in that set in its stead; else NULL */
	uint64_t set_serial;
	atomic_uint receivers; /* threads in the kernel's own calls that receive from it */
	/* sockets_is_blocking()'s: */
	atomic_uint changes; /* of its flags, that hooks have seen */
	atomic_uint known;   /* what they were after so many of them; see there */
	/* For those who poll, without a lock: */
	_Atomic int upstream; /* a request is under way in the fast lane: the number of its upstream
				 socket; else 0, or SOCKETS_DOUBT: it is in the kernel lane, and whether
				 the program receives by hooked calls is to be told */
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
		atomic_load_explicit(&table[fd].set, memory_order_relaxed) ||
		atomic_load_explicit(&table[fd].is_set, memory_order_relaxed));
}

/* The lowest number from `fd` to `last` of which sockets_know(); -1: there is none. */
int sockets_next(int fd, unsigned last);

/* A number that no other socket has as long as the machine runs; 0: it cannot be had. errno is not
 * preserved. */
uint64_t socket_cookie(int fd);

/* Enter a socket that was just connected, to a door of that kind. Returns its cookie, or 0: it has no
 * entry. */
uint64_t sockets_enter(int fd, bool late);

/* epoll_ctl(2) has done that, for whatever `fd` may be. Remembered until it is closed. */
void sockets_note_epoll(int set, int op, int fd, const struct epoll_event *event);

/* Whether the fast lane can tell its program by way of an epoll set: it is in one, in an ordinary way, and
 * will not be told in the middle of it that there is room. */
bool sockets_in_epoll(const struct mesh_socket *socket);

/* Look whether it is `told`: where it wants every edge of room, each wake-up is one, and one that comes late is
 * the second event of a connection. Its set is asked whether there are any, of whatever socket. */
void sockets_settle(struct mesh_socket *socket);

/* Another descriptor of it is about to be made, in this process or another. errno is preserved; for vfork
 * children and signal handlers, too. */
void sockets_share(int fd);

/* A process that has copies of all is about to be made. Likewise. */
void sockets_share_all(void);

/* Whether there may be another descriptor of it, as far as the hooks have seen. */
bool sockets_is_shared(const struct mesh_socket *socket);

/* Whether it is without O_NONBLOCK. The kernel is asked only after a change that hooks have seen, unless others
 * may make changes, too: a good guess. errno is not preserved. */
bool sockets_is_blocking(struct mesh_socket *socket, int fd);

/* Its flags may be others than before. For vfork children and signal handlers, too. */
void sockets_flags_changed(int fd);

/* The number is being closed, or turned out to be another socket's. */
void sockets_leave(int fd);

#endif
