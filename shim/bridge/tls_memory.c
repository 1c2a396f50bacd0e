/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large a block is stands before it: malloc_usable_size(3) is not for memory that comes from a
 * program's own malloc.
 */
#include "shim/bridge/tls_memory.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
	_Alignas(max_align_t) size_t size;
};

static bool wiping;

static struct block *block_of(void *memory)
{
	return (struct block *)memory - 1;
}

static void *take(size_t size, const char *file, int line)
{
	struct block *block = size && size <= SIZE_MAX - sizeof(*block)
				  ? malloc(sizeof(*block) + size)
				  : NULL;

	(void)file;
	(void)line;
	if (!block)
		return NULL;
	block->size = size;
	return block + 1;
}

static void give(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	if (!memory)
		return;
	if (wiping)
		OPENSSL_cleanse(memory, block_of(memory)->size);
	free(block_of(memory));
}

/* Not by realloc(3), which leaves what it moves behind. */
static void *change(void *memory, size_t size, const char *file, int line)
{
	void *other = take(size, file, line);
	size_t kept = memory ? block_of(memory)->size : 0;

	if (!other && size)
		return NULL;
	if (other && kept)
		memcpy(other, memory, kept < size ? kept : size);
	give(memory, file, line);
	return other;
}

void tls_memory_init(void)
{
	CRYPTO_set_mem_functions(take, change, give);
}

void tls_memory_wipe(bool wipe)
{
	wiping = wipe;
}
