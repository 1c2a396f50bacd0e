/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to the shim's state when the process forks (process.h says how a child is told).
 *
 * No lock of ours is held over a fork, since a handler of the program's own, or a thread that it
 * waits for, may need us: the child makes the locks anew, drops the bridge, and repairs what another
 * thread was in the middle of. Only before the fork its thread waits, FORK_PATIENCE_MS at the most,
 * until none of our threads is inside a library whose locks the child would inherit (fork_hold()),
 * and they stay out of there until the fork is done, for as long at the most.
 *
 * A child that was made behind the handlers' back (_Fork(3), clone(2)) does its part when it first
 * needs the state.
 */
#ifndef SHIM_FORK_H
#define SHIM_FORK_H

#define FORK_PATIENCE_MS 200

/* Register the handlers. Called once, by the constructor, if there are rules to follow. */
void fork_watch(void);

/* Around what would leave a forked child with a lock that nobody will release: OpenSSL's, the
 * loader's, the thread library's, the resolver's. Any thread; any number at once; may be nested. */
void fork_hold(void);
void fork_release(void);

/* In a child that still holds its parent's state: drop it. Else do nothing. Returns what
 * process_check() says then. errno is preserved. */
enum process fork_recover(void);

#endif
