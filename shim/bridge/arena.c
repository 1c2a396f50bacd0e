/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of one size in a list, the one that allocations are cut from at its head. What is too big
 * for a block gets one of its own, which is put behind the head, so that the rest of the head is
 * not wasted and a reset can tell the block worth keeping: only those of the usual size are.
 */
#include "shim/bridge/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_SIZE = 8192, /* a usual request's edits fit into one */
	ALIGNMENT = alignof(max_align_t),
};

struct arena_block {
	struct arena_block *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) char data[];
};

#define USUAL_SIZE (BLOCK_SIZE - sizeof(struct arena_block))

void arena_init(struct arena *arena)
{
	arena->blocks = NULL;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *kept = NULL;
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *next = block->next;
		if (!kept && block->size == USUAL_SIZE) {
			block->used = 0;
			block->next = NULL;
			kept = block;
		} else {
			free(block);
		}
		block = next;
	}
	arena->blocks = kept;
}

void arena_release(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *next = block->next;
		free(block);
		block = next;
	}
	arena->blocks = NULL;
}

static struct arena_block *block_new(size_t size)
{
	struct arena_block *block = NULL;

	if (size <= SIZE_MAX - sizeof(*block))
		block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->next = NULL;
	block->size = size;
	block->used = 0;
	return block;
}

/* A block with room for `size` bytes, in its place in the list. */
static struct arena_block *block_for(struct arena *arena, size_t size)
{
	struct arena_block *head = arena->blocks;

	if (head && size <= head->size - head->used)
		return head;
	struct arena_block *block = block_new(size > USUAL_SIZE ? size : USUAL_SIZE);
	if (!block)
		return NULL;
	if (head && size > USUAL_SIZE) {
		block->next = head->next;
		head->next = block;
	} else {
		block->next = head;
		arena->blocks = block;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX - ALIGNMENT)
		return NULL;
	if (size == 0)
		size = 1; /* no two allocations are the same */
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

	struct arena_block *block = block_for(arena, size);
	if (!block)
		return NULL;
	void *memory = block->data + block->used;
	block->used += size;
	return memory;
}

char *arena_strndup(struct arena *arena, const char *text, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(arena, n + 1) : NULL;

	if (!copy)
		return NULL;
	if (n > 0)
		memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}
