/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll(2) and select(2) for sockets whose request is in the fast lane: the answer comes to another
 * descriptor, which is waited for beside the program's own. An epoll set is told when it changes (fast_lane.c);
 * epoll_wait(2) is no business of ours.
 *
 * For all other descriptors: one look at each of their numbers, and the real call.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "shim/fast.h"
#include "shim/hook.h"

#define FEW 64

#define DATA (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)

/* What the program waits for, and behind it the upstream sockets. */
struct wait {
	struct pollfd *fds;
	nfds_t n, all;
	struct mesh_socket **sockets; /* of fds[n..all) */
	nfds_t *owners;		      /* whose place in fds[0..n) each of them stands for */
	bool at_once;		      /* something is at hand already */
	struct pollfd few[FEW];
	struct mesh_socket *few_sockets[FEW];
	nfds_t few_owners[FEW];
};

static nfds_t count_fast(const struct pollfd *fds, nfds_t n)
{
	nfds_t fast = 0;

	for (nfds_t i = 0; i < n; i++)
		fast += fast_find(fds[i].fd) != NULL;
	return fast;
}

static bool wait_init(struct wait *w, nfds_t n, nfds_t fast)
{
	w->n = w->all = n;
	w->at_once = false;
	w->fds = w->few;
	w->sockets = w->few_sockets;
	w->owners = w->few_owners;
	if (n + fast <= FEW)
		return true;
	w->fds = malloc((n + fast) * (sizeof(*w->fds) + sizeof(*w->sockets) + sizeof(*w->owners)));
	if (!w->fds)
		return false;
	w->sockets = (struct mesh_socket **)(w->fds + n + fast);
	w->owners = (nfds_t *)(w->sockets + n + fast);
	return true;
}

static void wait_release(struct wait *w)
{
	if (w->fds != w->few)
		free(w->fds);
}

/* Of the program's descriptor at place `i`: what its upstream socket has to say. What the program may
 * send, that one says alone: its own has room while the fast lane has none. */
static void add_upstream(struct wait *w, nfds_t i, nfds_t most)
{
	struct mesh_socket *socket = sockets_find(w->fds[i].fd);
	int upstream = socket ? atomic_load(&socket->upstream) : 0;

	if (upstream <= 0 || w->all == most || !(w->fds[i].events & DATA))
		return;
	atomic_fetch_add(&socket->polling, 1);
	if (atomic_load(&socket->holds) && (w->fds[i].events & POLLIN))
		w->at_once = true;
	w->sockets[w->all] = socket;
	w->owners[w->all] = i;
	w->fds[w->all++] = (struct pollfd){
	    .fd = upstream, .events = w->fds[i].events & DATA};
	w->fds[i].events &= (short)~(POLLOUT | POLLWRNORM);
}

static void prepare(struct wait *w, const struct pollfd *fds, nfds_t most)
{
	memcpy(w->fds, fds, w->n * sizeof(*fds));
	for (nfds_t i = 0; i < w->n; i++)
		add_upstream(w, i, most);
}

/* Returns how many of the program's descriptors have something to say. */
static int conclude(struct wait *w, struct pollfd *fds)
{
	int ready = 0;

	for (nfds_t i = 0; i < w->n; i++)
		fds[i].revents = w->fds[i].revents;
	for (nfds_t i = w->n; i < w->all; i++) {
		struct pollfd *own = &fds[w->owners[i]];
		short wanted = own->events, seen = w->fds[i].revents;

		/* It says that the matter is the bridge's now: then the program's own one counts. */
		if (atomic_load(&w->sockets[i]->upstream) != w->fds[i].fd)
			continue;

		if (atomic_load(&w->sockets[i]->holds))
			seen |= POLLIN | POLLRDNORM;
		/* What became of that socket is to be learnt by sending or receiving on this one. */
		if (seen & (POLLHUP | POLLERR | POLLNVAL))
			seen |= DATA;
		own->revents |= seen & wanted & DATA;
	}
	for (nfds_t i = 0; i < w->n; i++)
		ready += fds[i].revents != 0;
	return ready;
}

static void let_go(struct wait *w)
{
	for (nfds_t i = w->n; i < w->all; i++)
		atomic_fetch_sub(&w->sockets[i]->polling, 1);
}

/* ---- time ------------------------------------------------------------------------------- */

static struct timespec now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts;
}

/* What is left of `timeout` since `start`. */
static struct timespec left_of(const struct timespec *timeout, const struct timespec *start)
{
	struct timespec end = now(), left;

	left.tv_sec = timeout->tv_sec - (end.tv_sec - start->tv_sec);
	left.tv_nsec = timeout->tv_nsec - (end.tv_nsec - start->tv_nsec);
	while (left.tv_nsec < 0) {
		left.tv_nsec += 1000000000;
		left.tv_sec--;
	}
	while (left.tv_nsec >= 1000000000) {
		left.tv_nsec -= 1000000000;
		left.tv_sec++;
	}
	return left.tv_sec < 0 ? (struct timespec){0} : left;
}

/* ---- the wait ---------------------------------------------------------------------------- */

/*
 * ppoll(2) with the upstream sockets. An upstream socket may have something to say that is none of the
 * program's business (its request is the bridge's by now): then it waits on, for what is left of the time.
 */
static int wait_for(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		    const sigset_t *mask)
{
	struct timespec start = timeout ? now() : (struct timespec){0};
	struct timespec none = {0}, left;
	struct wait w;

	for (;;) {
		nfds_t fast = count_fast(fds, n);

		left = timeout ? left_of(timeout, &start) : none;
		if (!fast || !wait_init(&w, n, fast))
			return real.ppoll(fds, n, timeout ? &left : NULL, mask);
		prepare(&w, fds, n + fast);
		int saved = errno;
		int rc = real.ppoll(w.fds, w.all, w.at_once ? &none : timeout ? &left : NULL, mask);
		int error = errno;
		int ready = rc < 0 ? -1 : conclude(&w, fds);

		let_go(&w);
		wait_release(&w);
		if (rc < 0) {
			errno = error;
			return -1;
		}
		errno = saved;
		if (ready || (rc == 0 && !w.at_once))
			return ready;
	}
}

/* ---- poll -------------------------------------------------------------------------------- */

static bool has_fast(const struct pollfd *fds, nfds_t n)
{
	return atomic_load_explicit(&sockets_table, memory_order_relaxed) && hook_may_read(fds) &&
	       count_fast(fds, n) > 0;
}

static struct timespec of_ms(int ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
}

int hook_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = of_ms(timeout);

	if (!has_fast(fds, n))
		return real.poll(fds, n, timeout);
	return wait_for(fds, n, timeout < 0 ? NULL : &ts, NULL);
}
EXPORT(poll)

int hook___poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	if (n > size / sizeof(*fds))
		return real.__poll_chk(fds, n, timeout, size);
	return hook_poll(fds, n, timeout);
}
EXPORT(__poll_chk)

int hook_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!has_fast(fds, n))
		return real.ppoll(fds, n, timeout, mask);
	return wait_for(fds, n, timeout, mask);
}
EXPORT(ppoll)

int hook___ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		     const sigset_t *mask, size_t size)
{
	if (n > size / sizeof(*fds))
		return real.__ppoll_chk(fds, n, timeout, mask, size);
	return hook_ppoll(fds, n, timeout, mask);
}
EXPORT(__ppoll_chk)

/* ---- select ------------------------------------------------------------------------------ */

static bool in_set(int fd, const fd_set *set)
{
	return set && FD_ISSET(fd, set);
}

static bool select_has_fast(int n, const fd_set *in, const fd_set *out)
{
	if (!atomic_load_explicit(&sockets_table, memory_order_relaxed))
		return false;
	for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++)
		if ((in_set(fd, in) || in_set(fd, out)) && fast_find(fd))
			return true;
	return false;
}

/* The sets as poll(2) has them. Returns how many. */
static nfds_t to_poll(int n, const fd_set *in, const fd_set *out, const fd_set *except,
		      struct pollfd *fds)
{
	nfds_t count = 0;

	for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) {
		short events = (short)((in_set(fd, in) ? POLLIN | POLLRDNORM : 0) |
				       (in_set(fd, out) ? POLLOUT | POLLWRNORM : 0) |
				       (in_set(fd, except) ? POLLPRI : 0));
		if (events)
			fds[count++] = (struct pollfd){.fd = fd, .events = events};
	}
	return count;
}

/* One set's answers, as select(2) has them. Returns how many. */
static int from_poll(const struct pollfd *fds, nfds_t n, short wanted, short seen, fd_set *set)
{
	int ready = 0;

	for (nfds_t i = 0; set && i < n; i++) {
		if (!(fds[i].events & wanted))
			continue;
		if (fds[i].revents & seen)
			ready++;
		else
			FD_CLR(fds[i].fd, set);
	}
	return ready;
}

static int select_by_poll(int n, fd_set *in, fd_set *out, fd_set *except,
			  const struct timespec *timeout, const sigset_t *mask)
{
	struct pollfd fds[FD_SETSIZE];
	nfds_t count = to_poll(n, in, out, except, fds);
	int rc = wait_for(fds, count, timeout, mask);

	if (rc < 0)
		return -1;
	for (nfds_t i = 0; i < count; i++)
		if (fds[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	return from_poll(fds, count, POLLIN, POLLIN | POLLRDNORM | POLLHUP | POLLERR, in) +
	       from_poll(fds, count, POLLOUT, POLLOUT | POLLWRNORM | POLLERR, out) +
	       from_poll(fds, count, POLLPRI, POLLPRI, except);
}

int hook_select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	if (!select_has_fast(n, in, out))
		return real.select(n, in, out, except, timeout);
	struct timespec start = now(), ts = {0};

	if (timeout)
		ts = (struct timespec){.tv_sec = timeout->tv_sec,
				       .tv_nsec = timeout->tv_usec * 1000};
	int rc = select_by_poll(n, in, out, except, timeout ? &ts : NULL, NULL);
	if (timeout) { /* Linux tells what is left of it */
		ts = left_of(&ts, &start);
		timeout->tv_sec = ts.tv_sec;
		timeout->tv_usec = ts.tv_nsec / 1000;
	}
	return rc;
}
EXPORT(select)

int hook_pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		 const sigset_t *mask)
{
	if (!select_has_fast(n, in, out))
		return real.pselect(n, in, out, except, timeout, mask);
	return select_by_poll(n, in, out, except, timeout, mask);
}
EXPORT(pselect)

/* ---- epoll ------------------------------------------------------------------------------- */

int hook_epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	struct mesh_socket *socket = sockets_find(fd);
	int rc;

	if (!mesh_fast_lane() || thread_is_ours || (op != EPOLL_CTL_DEL && !hook_may_read(event)))
		return real.epoll_ctl(set, op, fd, event);
	if (socket && fast_epoll_ctl(socket, set, op, fd, event, &rc))
		return rc;
	rc = real.epoll_ctl(set, op, fd, event);
	if (rc == 0) { /* it may be connected later */
		int saved = errno;

		sockets_note_epoll(set, op, fd, event);
		errno = saved;
	}
	return rc;
}
EXPORT(epoll_ctl)
