/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/fork.h"
#include "shim/libc.h"

/* Enough for getaddrinfo(3) with name service plug-ins and for a TLS handshake. The program's static
 * thread-local data comes out of it too: where that does not fit, a larger one is tried. */
#define STACK_SIZE     (512 * 1024)
#define STACK_SIZE_MAX (64 * 1024 * 1024)

_Thread_local bool thread_is_ours;

void thread_enter(void)
{
	thread_is_ours = true;
	prctl(PR_SET_NAME, "meshshim");
}

/* Leave nothing open from `first` to `last`. */
static int close_between(int first, int last)
{
	return first > last ? 0 : real.close_range((unsigned)first, (unsigned)last, 0);
}

int thread_own_descriptors(int keep, int also)
{
	int low = also < 0 || keep < also ? keep : also;
	int high = keep < also ? also : keep;

	/* This way around, the new table is made with the numbers up to `high` only. */
	if (real.close_range((unsigned)high + 1, ~0U, CLOSE_RANGE_UNSHARE) < 0 ||
	    close_between(low + 1, high - 1) < 0 || close_between(0, low - 1) < 0)
		return -1;
	for (int fd = 0; fd <= STDERR_FILENO;) {
		fd = real.fcntl(keep, F_DUPFD, 0);
		if (fd < 0)
			return -1;
		if (fd > STDERR_FILENO) { /* all three are taken: this is the one to use */
			real.close(keep);
			return fd;
		}
	}
	return -1;
}

void thread_pause(void)
{
	const struct timespec ts = {.tv_nsec = 50000};

	real.syscall(SYS_nanosleep, &ts, NULL);
}

int thread_start(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int saved = errno;
	int error = pthread_attr_init(&attr);

	if (error)
		return error;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* which it inherits */
	fork_hold();
	for (size_t size = STACK_SIZE; size <= STACK_SIZE_MAX; size *= 2) {
		pthread_attr_setstacksize(&attr, size);
		error = pthread_create(&thread, &attr, run, arg);
		if (error != EINVAL)
			break;
	}
	fork_release();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	errno = saved;
	return error;
}
