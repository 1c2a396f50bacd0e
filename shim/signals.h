/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections in which the program's signal handlers must not run: one that came while its thread holds a lock
 * of ours could want the same lock, or leave by longjmp(3).
 *
 * As long as the program has no handler there is nothing to keep off, and a section costs no system call. Who
 * installs the first one (hook_signal.c) waits until the sections are over that go on without blocking. Signals
 * that a thread brings upon itself do not count, but for those of the program's own memory (SIGSEGV, SIGBUS),
 * which sections look at.
 *
 * Threads: any. errno is preserved. On the shim's own threads, where all is blocked, nothing happens.
 */
#ifndef SHIM_SIGNALS_H
#define SHIM_SIGNALS_H

#include <pthread.h>
#include <signal.h>

/* From here on, until signals_let_in() with the same `old`, no handler runs on the calling thread. Sections may
 * be nested. */
void signals_keep_off(sigset_t *old);
void signals_let_in(const sigset_t *old);

/* The section may be a long one from here on, or wait for one: block signals after all, for nobody waits longer
 * than SIGNALS_PATIENCE_MS for those that do not. */
void signals_block(void);

/* Lock it. Who has to wait for it does not know how long. */
void signals_lock(pthread_mutex_t *lock);

/* The program is about to install a handler of a signal. For signal handlers and vfork children, too. */
#define SIGNALS_PATIENCE_MS 500
void signals_expect_handler(int number);

/* Look for handlers that were installed by ways that no hook sees. */
void signals_look(void);

/* In the child of fork(3), where the calling thread is alone: before it comes to an end of its section. (Other
 * children begin with no sections, see process_counter().) */
void signals_fork_child(void);

#endif
