/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's own threads: detached, named "meshshim", every signal blocked (but for those that the
 * libc keeps for setuid(2) in all threads, which sigfillset(3) leaves alone), a stack of their own
 * size whatever the program's default is.
 */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include <stdbool.h>

/* True on the shim's own threads: hooks pass everything straight through there, so that what the
 * shim does (and what the libc's resolver plug-ins do on its behalf) is never steered by itself. */
extern _Thread_local bool thread_is_ours;

/* The first thing that `run` of thread_start() calls. */
void thread_enter(void);

/*
 * Give the calling thread, and the threads that it starts, a descriptor table of their own, with
 * nothing in it but `keep`, and `also` (-1: nothing) under its number. What is opened there has no number in the program's table: a program
 * can neither close it, nor dup2(2) onto it, nor run out of numbers because of it, nor see it; and
 * nothing of the program's is kept open there. The numbers 0-2 are taken (by copies of `keep`), so
 * that no library that writes to standard error meets a socket.
 * Returns the number of `keep` in the new table, or -1 with errno. Needs Linux 5.9 (close_range(2)).
 */
int thread_own_descriptors(int keep, int also) __attribute__((warn_unused_result));

/* For 50 microseconds. Not nanosleep(3), in which a thread can be cancelled. errno is not preserved. */
void thread_pause(void);

/* Start one. Returns 0 or an errno value. errno is preserved. */
int thread_start(void *(*run)(void *), void *arg);

#endif
