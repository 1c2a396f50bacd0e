/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/libc.h"
#include "shim/thread.h"

static atomic_bool handled;   /* the program has had a handler */
static atomic_int unblocked;  /* sections, of all threads, that go on with signals as they are */

/* Of this thread: */
static _Thread_local int depth;
static _Thread_local bool blocked;    /* signals are, by its outermost section, */
static _Thread_local sigset_t *outer; /* which has its signals of before here */

static void block(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
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
		atomic_fetch_add(&unblocked, 1);
		/* From here on nobody installs one without waiting for us; was it done before? */
		if (!atomic_load(&handled)) {
			depth = 1;
			blocked = false;
			outer = old;
			return;
		}
		atomic_fetch_sub(&unblocked, 1);
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
		atomic_fetch_sub(&unblocked, 1);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wait_for_sections(void)
{
	const struct timespec briefly = {.tv_nsec = 50000};
	uint64_t end = now_ms() + SIGNALS_PATIENCE_MS;

	/* Not nanosleep(3), in which a thread can be cancelled. */
	while (atomic_load(&unblocked) > 0 && now_ms() < end)
		real.syscall(SYS_nanosleep, &briefly, NULL);
}

static void expect_handlers(void)
{
	int saved = errno;

	atomic_store(&handled, true);
	/* Called from within a section: by a fork handler of the program's. */
	if (!thread_is_ours && depth && !blocked) {
		block(outer);
		blocked = true;
		atomic_fetch_sub(&unblocked, 1);
	}
	if (atomic_load(&unblocked) > 0)
		wait_for_sections();
	errno = saved;
}

static bool is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
	       number == SIGTRAP || number == SIGSYS;
}

void signals_note_handler(int number, void (*handler)(int))
{
	if (handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR && handler != SIG_HOLD &&
	    !is_fault(number))
		expect_handlers();
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
	uint64_t signals;
	int saved = errno;

	if (atomic_load(&handled))
		return;
	signals = caught();
	for (int number = 1; number <= 64; number++)
		if (signals >> (number - 1) & 1 && !is_fault(number) && !is_of_libc(number)) {
			expect_handlers();
			break;
		}
	errno = saved;
}

void signals_fork_child(void)
{
	atomic_store(&unblocked, !thread_is_ours && depth && !blocked);
}
