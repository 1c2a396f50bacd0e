/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>

/* Enough for getaddrinfo(3) with name service plug-ins and for a TLS handshake. */
#define STACK_SIZE (512 * 1024)

_Thread_local bool thread_is_ours;

void thread_enter(void)
{
	thread_is_ours = true;
	prctl(PR_SET_NAME, "meshshim");
}

void thread_block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}

void thread_restore_signals(const sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

int thread_start(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t old;
	int saved = errno;
	int error = pthread_attr_init(&attr);

	if (error)
		return error;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	thread_block_signals(&old);
	error = pthread_create(&thread, &attr, run, arg);
	thread_restore_signals(&old);
	pthread_attr_destroy(&attr);
	errno = saved;
	return error;
}
