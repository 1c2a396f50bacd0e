/* SPDX-License-Identifier: Apache-2.0 */
/*
 * close(2), close_range(2), closefrom(3), dup2(2), dup3(2): a program that closes everything it did
 * not open must not close what the bridge opened.
 *
 * To the owner, our descriptors do not exist: EBADF. A child made by vfork(2) closes them like
 * any other, in its own table; so does a forked child that still has copies, and forgets them. What
 * is not ours takes no lock, allocates nothing and costs one look at a bit: these run in vfork
 * children and in signal handlers.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sys/resource.h>

#include "shim/bridge/bridge.h"
#include "shim/fast.h"
#include "shim/fds.h"
#include "shim/hook.h"
#include "shim/process.h"

/* Whether a descriptor is one that the program must not touch. */
static bool is_protected(int fd)
{
	if (!fds_is_ours(fd) || thread_is_ours)
		return false;
	switch (process_check()) {
	case PROCESS_OWNER:
		return true;
	case PROCESS_FORKED:
		fds_forget(fd);
		return false;
	case PROCESS_VFORKED:
		break;
	}
	return false;
}

/* The same for the lowest of ours from `first` to `last`; -1: there is none. */
static int next_protected(unsigned first, unsigned last)
{
	if (first > INT_MAX)
		return -1;
	for (int fd = fds_next((int)first); fd >= 0 && (unsigned)fd <= last; fd = fds_next(fd + 1))
		if (is_protected(fd))
			return fd;
	return -1;
}

int hook_close(int fd)
{
	if (!is_protected(fd)) {
		fast_close(fd);
		return real.close(fd);
	}
	errno = EBADF;
	return -1;
}
EXPORT(close)

/* Close what lies between ours. The table is unshared once, with the first piece. */
static int close_around(unsigned first, unsigned last, int flags, int ours)
{
	while (ours >= 0) {
		if (first < (unsigned)ours) {
			if (real.close_range(first, (unsigned)ours - 1, flags) < 0)
				return -1;
			flags &= ~CLOSE_RANGE_UNSHARE;
		}
		first = (unsigned)ours + 1;
		ours = next_protected(first, last);
	}
	return first <= last ? real.close_range(first, last, flags) : 0;
}

int hook_close_range(unsigned first, unsigned last, int flags)
{
	/* Ours are close-on-exec already; and what the kernel refuses, it shall refuse. */
	bool closes = first <= last && (flags & ~CLOSE_RANGE_UNSHARE) == 0;
	int ours = closes ? next_protected(first, last) : -1;

	if (first <= last && flags == 0)
		fast_close_range(first, last);

	return ours < 0 ? real.close_range(first, last, flags)
			: close_around(first, last, flags, ours);
}
EXPORT(close_range)

void hook_closefrom(int first)
{
	int ours = next_protected(first < 0 ? 0 : (unsigned)first, INT_MAX);

	fast_close_range(first < 0 ? 0 : (unsigned)first, INT_MAX);
	/* Below ours piece by piece; the rest has an end that only libc and the kernel know. */
	for (first = first < 0 ? 0 : first; ours >= 0;
	     ours = next_protected((unsigned)first, INT_MAX)) {
		if (first < ours &&
		    real.close_range((unsigned)first, (unsigned)ours - 1, 0) < 0)
			for (; first < ours; first++)
				real.close(first); /* a kernel before 5.9 */
		first = ours + 1;
	}
	real.closefrom(first);
}
EXPORT(closefrom)

/* Make the number `to` free for the program. Returns 0, or -1 with errno. */
static int give_up(int from, int to, bool *moved)
{
	if (is_protected(from)) {
		errno = EBADF;
		return -1;
	}
	*moved = is_protected(to);
	/* Not before it is certain that dup2(2) would do it. */
	if (!*moved)
		return 0;
	if (real.fcntl(from, F_GETFD) < 0)
		return -1;
	return bridge_relocate(to);
}

/* After a failure, the number that was given up is still open. */
static int take_up(int rc, int to, bool moved)
{
	if (rc < 0 && moved) {
		int saved = errno;

		real.close(to);
		errno = saved;
	}
	return rc;
}

/* What has that number is closed, if it is certain that dup2(2) will do it. */
static void leave(int from, int to)
{
	struct rlimit limit;

	if (from != to && sockets_know(to) && real.fcntl(from, F_GETFD) >= 0 &&
	    getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)to < limit.rlim_cur)
		fast_close(to);
}

int hook_dup2(int from, int to)
{
	int saved = errno;
	bool moved;

	if (give_up(from, to, &moved) < 0)
		return -1;
	if (moved)
		errno = saved;
	leave(from, to);
	sockets_share(from);
	return take_up(real.dup2(from, to), to, moved);
}
EXPORT(dup2)

int hook_dup3(int from, int to, int flags)
{
	int saved = errno;
	bool moved = false;

	/* What dup3(2) refuses anyway must not move anything. */
	if (from != to && (flags & ~O_CLOEXEC) == 0 && give_up(from, to, &moved) < 0)
		return -1;
	if (moved)
		errno = saved;
	if ((flags & ~O_CLOEXEC) == 0)
		leave(from, to);
	sockets_share(from);
	return take_up(real.dup3(from, to, flags), to, moved);
}
EXPORT(dup3)
