/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's own memory. Every malloc(3) of ours, of OpenSSL's and of PCRE2's is linked to come
 * here (memory_wrap.c), because the program's allocator cannot serve us: send(2) and connect(2) may
 * be called from a signal handler that has interrupted malloc(3), whose locks and lists are then in
 * no state to be used, neither by that thread nor by the bridge's, for which the handler waits.
 *
 * Blocks of one size class share a span of SPAN bytes, which is where its address is a multiple
 * of that; what is larger than MEMORY_LARGE has a mapping of its own.
 *
 * Threads: any. Handlers are kept off while the lock, a leaf, is held.
 */
#ifndef SHIM_MEMORY_H
#define SHIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

enum { MEMORY_LARGE = 65536 };

/* `size` bytes, aligned for any type, of any content. NULL: there is none; errno is ENOMEM. */
void *memory_take(size_t size);

/* Give back what memory_take() returned. errno is preserved. */
void memory_give(void *memory);

/* How much there is at `memory`, at least what was asked for. */
size_t memory_size(const void *memory);

/* Whether it came from memory_take(). */
bool memory_is_ours(const void *memory);

/* Between the two, what the calling thread gives back stays at hand, and is taken from there without a lock: for
 * sections in which handlers are kept off (signals.h), of one thread at a time. Others gain nothing. */
void memory_hold(void);
void memory_let_go(void);

/* For the child of a fork(2), which another thread of the parent may have been in here at: blocks
 * stay what they are, but are given back never, and new ones come from elsewhere. */
void memory_fork_child(void);

#endif
