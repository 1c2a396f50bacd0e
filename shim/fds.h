/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's descriptors in the program's table (the bridge's own are in a table of its own, see
 * thread.h): close-on-exec, never 0-2, high-numbered where the limit allows, and known by number so
 * that the hooks on close() and dup2() can protect them. They are made on the program's own threads,
 * inside its calls: a low number that one has for a moment, nobody meets.
 *
 * The set is read without a lock by hooks that may run in a vfork child or a signal handler; it is
 * changed under the bridge's locks only.
 */
#ifndef SHIM_FDS_H
#define SHIM_FDS_H

#include <stdbool.h>

/*
 * Take over a descriptor that the shim just made: move it to a high number, set close-on-exec and
 * enter it. Returns the new number, or -1 with errno; `fd` is closed in either case. fd -1 gives
 * -1 with errno untouched, so that calls can be nested: fds_adopt(eventfd(...)).
 */
int fds_adopt(int fd) __attribute__((warn_unused_result));

/* Close one of ours and forget it; a number that is the program's by now is only forgotten. -1 is
 * allowed. errno is preserved. */
void fds_close(int fd);

/* Async-signal-safe, no lock; errno is preserved. False for negative numbers, and where the program
 * closed ours by a way that no hook sees and has another file under its number now (eventfds are
 * all alike). */
bool fds_is_ours(int fd);

/* How often the number has been given to one of ours: who has one that the program closed by such a way learns
 * that another has it now. Async-signal-safe. */
unsigned fds_uses(int fd);

/* Give a file of ours flags that others hardly have. Returns what F_GETFL gives from now on, or 0: it has none. errno is
 * not preserved. */
int fds_mark(int fd, int marks);

/* Whether it is ours still, for who has noted fds_uses() and has what fds_mark() returned: costs less than
 * half of what fds_is_ours() does. flags 0: that decides. errno is not preserved. */
bool fds_is_still(int fd, unsigned use, int flags);

/* The lowest of our numbers that is >= fd, or -1. Async-signal-safe. For close_range(2). */
int fds_next(int fd);

/*
 * Give up the number `fd`, because the program is about to dup2(2) onto it: duplicate ours to
 * another number, enter that, forget and do not close `fd`. Returns the new number or -1 with
 * errno (then nothing changed).
 */
int fds_relocate(int fd);

/* Take a number out of the set and leave the descriptor alone, for it is being closed by other
 * means in a forked child that has not dropped its copies yet. Async-signal-safe. */
void fds_forget(int fd);

/* In a forked child: close our copies of all of them and forget them. Async-signal-safe. */
void fds_drop_all(void);

#endif
