/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hooks' side of the fast lane (bridge/fast_lane.h): which calls may take it, and how a thread of the
 * program's waits there.
 *
 * Threads: any. errno as the call that is stood for leaves it.
 */
#ifndef SHIM_FAST_H
#define SHIM_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shim/sockets.h"
#include "shim/thread.h"

bool fast_send_slow_path(struct mesh_socket *socket, int fd, const void *data, size_t len, int flags,
			 ssize_t *n);
bool fast_receive_slow_path(struct mesh_socket *socket, int fd, void *data, size_t room, int flags,
			    ssize_t *n);
enum fast_departure { FAST_GIVE_UP, FAST_BREAK_OFF, FAST_RENOUNCE };

void fast_leave_slow_path(struct mesh_socket *socket, int fd, enum fast_departure how);
void fast_in_vain_slow_path(struct mesh_socket *socket, int fd);
void fast_close_slow_path(struct mesh_socket *entry, int fd);

/* epoll_ctl(2) for a socket that has an entry. Returns true with its result in *rc, or false: it is to be
 * called. */
bool fast_epoll_ctl(struct mesh_socket *socket, int set, int op, int fd, struct epoll_event *event, int *rc);

/* One look at the number; then there is nothing but the real call. */
static inline bool fast_is_other(int fd)
{
	return __builtin_expect(!sockets_find(fd), 1);
}

/* send(2). Returns true with its result in *n, or false: it is to be called. */
static inline bool fast_send(int fd, const void *data, size_t len, int flags, ssize_t *n)
{
	struct mesh_socket *socket = sockets_find(fd);

	return socket && !thread_is_ours && fast_send_slow_path(socket, fd, data, len, flags, n);
}

/* The entry, if a request of its connection is in the fast lane; else the kernel brings the answer, and
 * there is nothing to take a lock for. */
static inline struct mesh_socket *fast_find(int fd)
{
	struct mesh_socket *socket = sockets_find(fd);

	return socket && atomic_load(&socket->upstream) && !thread_is_ours ? socket : NULL;
}

/* Before the kernel's own call that may wait: until fast_received(), none of its requests takes the fast lane,
 * for its answer would not come to who waits there. */
static inline void fast_wait_in_kernel(int fd)
{
	struct mesh_socket *socket = sockets_find(fd);

	if (socket && !thread_is_ours)
		atomic_fetch_add(&socket->receivers, 1);
}

/* After the real call, which received, or found nothing to receive. */
static inline void fast_received(int fd, ssize_t n)
{
	struct mesh_socket *socket = sockets_find(fd);

	if (!socket || thread_is_ours)
		return;
	if (atomic_load(&socket->receivers))
		atomic_fetch_sub(&socket->receivers, 1);
	if (n < 0 && atomic_load(&socket->bound))
		fast_in_vain_slow_path(socket, fd);
}

/* recv(2), as fast_send() is send(2). */
static inline bool fast_try_receive(int fd, void *data, size_t room, int flags, ssize_t *n)
{
	struct mesh_socket *socket = fast_find(fd);

	return socket && fast_receive_slow_path(socket, fd, data, room, flags, n);
}

/* The same; after false, the real call is followed by fast_received(). */
static inline bool fast_receive(int fd, void *data, size_t room, int flags, ssize_t *n)
{
	if (fast_try_receive(fd, data, room, flags, n))
		return true;
	fast_wait_in_kernel(fd);
	/* A request may have begun in the meantime. */
	if (!fast_try_receive(fd, data, room, flags, n))
		return false;
	fast_received(fd, 0);
	return true;
}

/* The number is about to be closed, or given to another file. */
static inline void fast_close(int fd)
{
	if (sockets_know(fd) && !thread_is_ours)
		fast_close_slow_path(&atomic_load(&sockets_table)[fd], fd);
}

/* So are those from `first` to `last`. */
static inline void fast_close_range(unsigned first, unsigned last)
{
	if (!atomic_load_explicit(&sockets_table, memory_order_acquire) || first >= SOCKETS_MAX ||
	    thread_is_ours)
		return;
	for (int fd = sockets_next((int)first, last); fd >= 0; fd = sockets_next(fd + 1, last))
		fast_close(fd);
}

/* After a shutdown(2) of the receiving side. */
static inline void fast_break_off(int fd)
{
	struct mesh_socket *socket = fast_find(fd);

	if (socket)
		fast_leave_slow_path(socket, fd, FAST_BREAK_OFF);
}

/* Before calls that come by no hook: none of its requests takes the fast lane any more. */
static inline void fast_renounce(int fd)
{
	struct mesh_socket *socket = sockets_find(fd);

	if (socket && !thread_is_ours)
		fast_leave_slow_path(socket, fd, FAST_RENOUNCE);
}

/* Before any other call that receives. */
static inline void fast_give_up(int fd)
{
	struct mesh_socket *socket = fast_find(fd);

	if (socket)
		fast_leave_slow_path(socket, fd, FAST_GIVE_UP);
}

#endif
