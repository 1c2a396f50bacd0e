/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fast.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "shim/bridge/bridge.h"
#include "shim/bridge/fast_lane.h"
#include "shim/bridge/twin.h"
#include "shim/hook.h"
#include "shim/libc.h"
#include "shim/process.h"

enum { ARRIVAL_MS = 10 };

/* A thread of the program's inside the bridge. */
struct visit {
	struct mesh_socket *socket;
	uint64_t cookie;
	struct guard guard;
	sigset_t signals;
	struct downstream *downstream;
};

/* Returns false where there is nothing to visit; guard_leave() is due all the same. */
static bool visit(struct visit *v)
{
	v->downstream = bridge_visit(v->socket, v->cookie, &v->signals);
	return v->downstream != NULL;
}

/* For what the program sends, somebody is there from the first time on. */
static bool visit_to_send(struct visit *v, int fd)
{
	v->downstream = bridge_visit_early(v->socket, fd, v->cookie, &v->signals);
	return v->downstream != NULL;
}

/* Returns false where the entry is another socket's: its number was closed by a way that no hook sees. */
static bool arrive(struct visit *v, struct mesh_socket *socket, int fd)
{
	v->guard = guard_enter();
	v->socket = socket;
	v->cookie = socket_cookie(fd);
	if (v->cookie && v->cookie == atomic_load(&socket->cookie))
		return true;
	sockets_leave(fd);
	guard_leave(&v->guard, 0);
	return false;
}

/* Whether its program waits for the answer where the fast lane can tell it: in recv(2), poll(2), select(2) or
 * an epoll set. A blocking socket could be found readable for half a record, and then block. */
static bool may_wait(struct mesh_socket *socket, int fd)
{
	return !atomic_load(&socket->set) || (sockets_in_epoll(socket) && !sockets_is_blocking(socket, fd));
}

/* Until the upstream socket takes more. Returns false when a signal came, or that is in doubt. */
static bool wait_writable(int fd)
{
	struct pollfd item = {.fd = fd, .events = POLLOUT | POLLRDHUP};

	return real.poll(&item, 1, -1) > 0 && !(item.revents & POLLRDHUP);
}

/* As recv(2) on the program's socket waits: with its timeout, and for signals as it is told to. */
static int wait_readable(int fd, int upstream)
{
	struct timeval timeout = {0}, none = {0};
	socklen_t len = sizeof(timeout);
	char byte;

	bool limited = getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &len) == 0 &&
		       (timeout.tv_sec || timeout.tv_usec);
	if (limited)
		setsockopt(upstream, SOL_SOCKET, SO_RCVTIMEO, &timeout, len);
	int error = real.recv(upstream, &byte, 1, MSG_PEEK) < 0 ? errno : 0;
	if (limited)
		setsockopt(upstream, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return error;
}

static void unpin(void *wait)
{
	twin_unpin(((const struct fast_wait *)wait)->fd);
}

/* A wait inside the visit: others have their turn meanwhile. Returns an errno value. */
static int wait_outside(struct visit *v, int fd, bool sends)
{
	struct downstream *before = v->downstream;
	struct fast_wait wait = fast_lane_wait(before, sends);
	int error = 0;

	bridge_leave(&v->signals);
	pthread_cleanup_push(unpin, &wait);
	guard_leave(&v->guard, 0);
	if (!sends)
		error = wait_readable(fd, wait.fd);
	else if (!wait_writable(wait.fd))
		error = EINTR;
	v->guard = guard_enter();
	pthread_cleanup_pop(1);
	if (visit(v) && v->downstream == before)
		fast_lane_waited(before, &wait);
	return error;
}

/* Whether a call waits for what it cannot have at once. */
static bool waits(struct mesh_socket *socket, int fd, int flags)
{
	return !(flags & MSG_DONTWAIT) && !atomic_load(&socket->set) && sockets_is_blocking(socket, fd);
}

/* Where that decides what the program gets: copies of the socket that no hook has seen being made may have changed
 * it. */
static bool really_blocks(struct mesh_socket *socket, int fd, int flags)
{
	if (flags & MSG_DONTWAIT)
		return false;
	sockets_flags_changed(fd);
	return sockets_is_blocking(socket, fd);
}

static bool really_waits(struct mesh_socket *socket, int fd, int flags)
{
	return !atomic_load(&socket->set) && really_blocks(socket, fd, flags);
}

/* Who has registered for edges of room takes a short count for a full socket: such it has to be. */
static bool awaits_edge(const struct mesh_socket *socket)
{
	uint32_t events = atomic_load(&socket->events);

	return atomic_load(&socket->set) && events & EPOLLET && events & SOCKETS_TO_WRITE;
}

/* A blocking send is over when all is sent. Returns what the kernel took of it. */
static size_t send_rest(struct mesh_socket *socket, int fd, const char *data, size_t len, int flags)
{
	ssize_t n;

	if (!len || (!really_blocks(socket, fd, flags) && !awaits_edge(socket)))
		return 0;
	n = real.send(fd, data, len, flags);
	return n > 0 ? (size_t)n : 0;
}

bool fast_send_slow_path(struct mesh_socket *socket, int fd, const void *data, size_t len, int flags,
			 ssize_t *n)
{
	size_t done = 0, some;
	struct visit v;

	if ((flags & ~MSG_NOSIGNAL) || !hook_may_read(data))
		return false;
	sockets_settle(socket);
	if (!may_wait(socket, fd) || !arrive(&v, socket, fd))
		return false;
	bool here = visit_to_send(&v, fd);
	int error = 0;
	while (here && done < len) {
		enum fast_result result = fast_lane_send(v.downstream, fd, (const char *)data + done,
							 len - done, &some);

		if (result == FAST_DONE)
			done += some;
		else if (result == FAST_WAIT) /* poll(2) and the like know what for */
			error = really_waits(socket, fd, flags) ? wait_outside(&v, fd, true) : EAGAIN;
		here = v.downstream != NULL;
		if (result == FAST_KERNEL || error)
			break;
	}
	if (here)
		bridge_leave(&v.signals);
	if (done && !error) {
		done += send_rest(socket, fd, (const char *)data + done, len - done, flags);
		error = 0;
	}
	guard_leave(&v.guard, done ? 0 : error);
	*n = done ? (ssize_t)done : -1;
	return done || error;
}

/* What the upstream socket has told of is soon in the program's own: for who asks the kernel next, and was told.
 * Should it be nothing for the program, that is not worth a longer wait. */
static void await_arrival(int fd)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};

	real.poll(&item, 1, ARRIVAL_MS);
}

bool fast_receive_slow_path(struct mesh_socket *socket, int fd, void *data, size_t room, int flags,
			    ssize_t *n)
{
	enum fast_result result = FAST_KERNEL;
	size_t some = 0;
	struct visit v;
	int error = 0;

	if (!hook_may_read(data) || !arrive(&v, socket, fd))
		return false;
	enum fast_try try = waits(socket, fd, flags) ? FAST_MAY_WAIT : FAST_LOOK;
	bool here = visit(&v);
	bool coming = here && (flags & ~(MSG_NOSIGNAL | MSG_DONTWAIT)) &&
		      fast_lane_give_up(v.downstream, false);
	while (here) {
		result = fast_lane_receive(v.downstream, try, data, room, &some);
		if (result != FAST_WAIT)
			break;
		bool wait = really_waits(socket, fd, flags);

		if (!wait && try == FAST_MAY_WAIT) {
			try = FAST_LOOK;
			continue;
		}
		error = wait ? wait_outside(&v, fd, false) : EAGAIN;
		try = FAST_WAITED;
		here = v.downstream != NULL;
		if (error == EINTR || error == EAGAIN)
			break;
		error = 0; /* what else there is, the exchange has to hear of */
	}
	if (here)
		bridge_leave(&v.signals);
	if (coming)
		await_arrival(fd);
	guard_leave(&v.guard, error);
	*n = error ? -1 : (ssize_t)some;
	return error || (here && result == FAST_DONE);
}

void fast_leave_slow_path(struct mesh_socket *socket, int fd, enum fast_departure how)
{
	bool coming = false;
	struct visit v;

	if (!arrive(&v, socket, fd))
		return;
	if (visit(&v)) {
		if (how == FAST_BREAK_OFF)
			fast_lane_break_off(v.downstream);
		else
			coming = fast_lane_give_up(v.downstream, how == FAST_RENOUNCE);
		bridge_leave(&v.signals);
	}
	if (coming)
		await_arrival(fd);
	guard_leave(&v.guard, 0);
}

void fast_in_vain_slow_path(struct mesh_socket *socket, int fd)
{
	struct visit v;

	if (!arrive(&v, socket, fd))
		return;
	if (visit(&v)) {
		fast_lane_in_vain(v.downstream);
		bridge_leave(&v.signals);
	}
	guard_leave(&v.guard, 0);
}

bool fast_epoll_ctl(struct mesh_socket *socket, int set, int op, int fd, struct epoll_event *event, int *rc)
{
	struct visit v;
	int error = 0;

	if (!arrive(&v, socket, fd))
		return false;
	bool here = visit(&v);
	if (here) {
		*rc = fast_lane_epoll_ctl(v.downstream, set, op, event);
		error = *rc < 0 ? errno : 0;
		bridge_leave(&v.signals);
	}
	guard_leave(&v.guard, error);
	return here;
}

void fast_close_slow_path(struct mesh_socket *entry, int fd)
{
	struct guard guard = guard_enter();
	struct visit v;

	if (process_check() != PROCESS_OWNER) {
		guard_leave(&guard, 0);
		return;
	}
	/* The others' end is told by the kernel. */
	bool concerned = atomic_load(&entry->bound) ||
			 (atomic_load(&entry->late) && atomic_load(&entry->downstream));

	if (concerned && arrive(&v, entry, fd)) {
		if (visit(&v)) {
			fast_lane_close(v.downstream, fd);
			bridge_leave(&v.signals);
		}
		guard_leave(&v.guard, 0);
	}
	if (atomic_load(&entry->is_set))
		bridge_forget_epoll_set(fd);
	sockets_leave(fd);
	guard_leave(&guard, 0);
}
