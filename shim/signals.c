/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/libc.h"
#include "shim/process.h"
#include "shim/thread.h"

static atomic_bool handled; /* the program has had a handler */
/* Sections, of all threads, that go on with signals as they are; see counter(). */
static atomic_int unblocked;

/* Of this thread: */
static _Thread_local int depth;
static _Thread_local bool blocked;	/* signals are, by its outermost section; else */
static _Thread_local atomic_int *counted; /* that is counted here, */
static _Thread_local sigset_t *outer;	/* and is to have its signals of before there */

static void block(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}

/* Of this process, wherever it is a fork. */
static atomic_int *counter(void)
{
	atomic_int *of_process = process_counter();

	return of_process ? of_process : &unblocked;
}

void signals_keep_off(sigset_t *old)
{
	if (thread_is_ours)
		return;
	if (depth) {
		depth++;
		return;
	}
	if (!atomic_load(&handled)) {
		atomic_int *count = counter();

		atomic_fetch_add(count, 1);
		/* From here on nobody installs one without waiting for us; was it done before? */
		if (!atomic_load(&handled)) {
			depth = 1;
			blocked = false;
			counted = count;
			outer = old;
			return;
		}
		atomic_fetch_sub(count, 1);
	}
	/* In this order: until it is done, a handler may have sections of its own. */
	block(old);
	depth = 1;
	blocked = true;
}

void signals_let_in(const sigset_t *old)
{
	if (thread_is_ours || --depth)
		return;
	if (blocked)
		pthread_sigmask(SIG_SETMASK, old, NULL);
	else
		atomic_fetch_sub(counted, 1);
}

void signals_block(void)
{
	if (thread_is_ours || !depth || blocked)
		return;
	block(outer);
	blocked = true;
	atomic_fetch_sub(counted, 1);
}

void signals_lock(pthread_mutex_t *lock)
{
	if (pthread_mutex_trylock(lock) == 0)
		return;
	signals_block();
	pthread_mutex_lock(lock);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool is_any_unblocked(void)
{
	return atomic_load(counter()) > 0 || atomic_load(&unblocked) > 0;
}

static void wait_for_sections(void)
{
	uint64_t end = now_ms() + SIGNALS_PATIENCE_MS;

	while (is_any_unblocked() && now_ms() < end)
		thread_pause();
}

/* A sanitizer has some of its own, which end the program: not what its tests are to be like. */
#ifdef __SANITIZE_ADDRESS__
#define IS_MEMORY_FAULT(number) ((number) == SIGSEGV || (number) == SIGBUS)
#else
#define IS_MEMORY_FAULT(number) 0
#endif

static bool counts(int number)
{
	return number != SIGFPE && number != SIGILL && number != SIGTRAP && number != SIGSYS &&
	       !IS_MEMORY_FAULT(number);
}

void signals_expect_handler(int number)
{
	int saved = errno;

	if (!counts(number))
		return;
	atomic_store(&handled, true);
	/* Called from within a section: by a fork handler of the program's. */
	signals_block();
	if (is_any_unblocked())
		wait_for_sections();
	errno = saved;
}

/* libc's own, which cannot be blocked and call nothing of ours. */
static bool is_of_libc(int number)
{
	return number >= 32 && number < SIGRTMIN;
}

/* The signals that have a handler, as a bit each; all of them where the kernel does not tell. */
static uint64_t caught(void)
{
	char text[4096] = "";
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : real.read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		real.close(fd);
	const char *line = n > 0 ? strstr(text, "\nSigCgt:") : NULL;

	return line ? strtoull(line + strlen("\nSigCgt:"), NULL, 16) : UINT64_MAX;
}

void signals_look(void)
{
	int saved = errno;

	if (atomic_load(&handled))
		return;
	uint64_t signals = caught();

	for (int number = 1; number <= 64; number++)
		if (signals >> (number - 1) & 1 && counts(number) && !is_of_libc(number))
			atomic_store(&handled, true); /* too late to wait for anybody */
	errno = saved;
}

void signals_fork_child(void)
{
	bool open = !thread_is_ours && depth && !blocked;
	atomic_int *count = counter();

	atomic_store(&unblocked, open && counted == &unblocked);
	if (count != &unblocked)
		atomic_store(count, open && counted == count);
}
