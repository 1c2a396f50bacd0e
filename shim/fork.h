/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to the shim's state when the process forks (process.h says how a child is told).
 *
 * The handlers of pthread_atfork(3) take every lock of the shim in order (mesh, bridge, registry)
 * with signals blocked, so that the child's copy is whole; the child drops what belongs to the
 * parent. A child that was made behind the handlers' back (_Fork(3), clone(2)) does that part when
 * it first needs the state.
 */
#ifndef SHIM_FORK_H
#define SHIM_FORK_H

/* Register the handlers, once; called before the shim takes its first lock. Never by the
 * constructor (a program that asks nothing of us forks as ever), never inside a handler. */
void fork_watch(void);

/* In a child that still holds its parent's state: drop it. Else do nothing. errno is preserved. */
void fork_recover(void);

#endif
