/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections in which the program's signal handlers must not run: one that came while its thread holds a lock
 * of ours could want the same lock, or leave by longjmp(3).
 *
 * As long as the program has no handler there is nothing to keep off, and a section costs no system call. Faults
 * (SIGSEGV and the like) do not count: a section brings none upon itself.
 *
 * Threads: any. errno is preserved. On the shim's own threads, where all is blocked, nothing happens.
 */
#ifndef SHIM_SIGNALS_H
#define SHIM_SIGNALS_H

#include <signal.h>

/* From here on, until signals_let_in() with the same `old`, no handler runs on the calling thread. Sections may
 * be nested. */
void signals_keep_off(sigset_t *old);
void signals_let_in(const sigset_t *old);

/* The program is about to install that as the handler of a signal: whatever section goes on without blocking is
 * waited for, SIGNALS_PATIENCE_MS at the most. For signal handlers and vfork children, too. */
#define SIGNALS_PATIENCE_MS 200
void signals_note_handler(int number, void (*handler)(int));

/* Look for handlers that were installed by ways that no hook sees. */
void signals_look(void);

/* In a forked child, where the calling thread is alone. */
void signals_fork_child(void);

#endif
