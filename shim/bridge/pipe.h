/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two streams joined over memory inside of the bridge: what is written to one end is read from the
 * other. So one exchange can be the client of another one.
 *
 * There is no descriptor to be watched. Instead each end has a `ready` callback, for when it is worth
 * trying again what wanted to wait: the other end has written, was shut down or closed, or has read and
 * so made room. It is called by the loop, never from inside of a call to either end, and once for all
 * that has happened since.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_PIPE_H
#define SHIM_BRIDGE_PIPE_H

#include <stddef.h>

#include "shim/bridge/io.h"
#include "shim/bridge/loop.h"

/*
 * Make both ends. Each direction holds up to `limit` bytes that were not read, and takes memory as they
 * come; where there is none left it holds fewer, and a write fails only if it could hold nothing.
 * Each end is closed on its own, in any order; closed without a reset, the other end reads what was
 * written before IO_EOF, but what it writes from then on is an error. The loop is to outlive both, and
 * to run its tasks once more after the last one was closed.
 * Returns 0, or -1: no memory.
 */
int pipe_new(struct loop *loop, struct io *ends[2], size_t limit)
    __attribute__((warn_unused_result));

/* Call this from now on, also for what is there already; NULL: nothing. It may close the end. */
void pipe_on_ready(struct io *end, void (*ready)(void *arg), void *arg);

#endif
