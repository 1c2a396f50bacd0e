/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump allocator for what lives as long as one request: freed all at once. The first block is
 * kept over a reset, so that a connection in its steady state allocates nothing.
 *
 * Threads: the owner's.
 */
#ifndef SHIM_BRIDGE_ARENA_H
#define SHIM_BRIDGE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* the newest first */
};

/* No memory is taken before the first allocation. */
void arena_init(struct arena *arena);

/* Forget everything that was allocated; keep one block. */
void arena_reset(struct arena *arena);

/* Free everything. The arena can be used again. */
void arena_release(struct arena *arena);

/* `size` bytes, aligned for any type, not cleared. NULL: no memory. */
void *arena_alloc(struct arena *arena, size_t size)
    __attribute__((malloc, warn_unused_result, alloc_size(2)));

/* A NUL-terminated copy of n bytes. NULL: no memory. */
char *arena_strndup(struct arena *arena, const char *text, size_t n)
    __attribute__((warn_unused_result));

#endif
