/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process is this? The shim's threads and descriptors belong to the process that started
 * them; a child made by fork(2) has copies of the memory and the descriptors but not the threads,
 * a child made by vfork(2) shares the memory and must change nothing in it.
 *
 * Told apart by one word in a page that the kernel wipes on fork (MADV_WIPEONFORK, Linux 4.14)
 * and holds the owner's process id: equal to getpid(): the owner; zero: a forked child, however
 * it was made (_Fork(3), clone(2)); anything else: a vfork child.
 */
#ifndef SHIM_PROCESS_H
#define SHIM_PROCESS_H

#include <stdatomic.h>

enum process {
	PROCESS_OWNER, /* state is ours */
	PROCESS_FORKED, /* state is a copy of our parent's: to be dropped before use */
	PROCESS_VFORKED, /* state is our parent's own: read it, never change it */
};

/* Make this process the owner: by the constructor, and by a forked child that has dropped its
 * parent's state. Returns 0, or -1 with errno. */
int process_own(void);

/* A counter in that page, which is 0 again in a forked child. Async-signal-safe. NULL as long as nobody called
 * process_own(). */
atomic_int *process_counter(void);

/* Async-signal-safe. PROCESS_OWNER as long as nobody called process_own(). */
enum process process_check(void);

#endif
