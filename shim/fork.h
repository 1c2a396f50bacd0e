/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to the shim's state when the process forks (process.h says how a child is told).
 *
 * The handlers of pthread_atfork(3) hold the one lock whose data the child goes on using (the
 * registry's, a leaf) with signals blocked; everything else the child drops or makes anew. Before
 * that they wait, for FORK_PATIENCE_MS at the most, until none of our threads is inside a library
 * whose locks the child would inherit (OpenSSL, the loader, the resolver). They are
 * registered by the constructor, so that prepare runs after every handler of the program: one that
 * waits there for a thread of its own must not find that thread waiting for us. A child that was
 * made behind the handlers' back (_Fork(3), clone(2)) does its part when it first needs the state.
 */
#ifndef SHIM_FORK_H
#define SHIM_FORK_H

/* Register the handlers. Called once, by the constructor, if there are rules to follow. */
void fork_watch(void);

/*
 * Around a call into libc that would leave a forked child with a lock that nobody will release: the
 * loader's (dlopen(3)), the thread library's, the resolver's. A fork waits for it to end, though no
 * longer than FORK_PATIENCE_MS: the call may itself wait for something that the forking thread
 * holds. Any number of threads may be inside; may be nested.
 */
#define FORK_PATIENCE_MS 200
void fork_hold(void);
void fork_release(void);

/* In a child that still holds its parent's state: drop it. Else do nothing. errno is preserved. */
void fork_recover(void);

#endif
