/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks are chained and filled front to back. Large requests get a block of their own, so that a
 * long list wastes no more than a short string does.
 */
#include "rules/region.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 16384
#define ALIGNMENT  _Alignof(max_align_t)

struct region_block {
	struct region_block *next;
	_Alignas(max_align_t) char data[];
};

void region_init(struct region *region)
{
	memset(region, 0, sizeof(*region));
}

void region_release(struct region *region)
{
	struct region_block *block = region->blocks;

	while (block) {
		struct region_block *next = block->next;

		free(block);
		block = next;
	}
	region_init(region);
}

static struct region_block *add_block(struct region *region, size_t size)
{
	struct region_block *block = NULL;

	if (size <= SIZE_MAX - sizeof(*block))
		block = calloc(1, sizeof(*block) + size);
	if (!block) {
		region->failed = true;
		return NULL;
	}
	block->next = region->blocks;
	region->blocks = block;
	return block;
}

void *region_alloc(struct region *region, size_t size)
{
	struct region_block *block;
	char *result;

	if (size > SIZE_MAX - ALIGNMENT) {
		region->failed = true;
		return NULL;
	}
	size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (size > BLOCK_SIZE / 4) {
		block = add_block(region, size);
		return block ? block->data : NULL;
	}
	if (size > (size_t)(region->end - region->at)) {
		block = add_block(region, BLOCK_SIZE);
		if (!block)
			return NULL;
		region->at = block->data;
		region->end = block->data + BLOCK_SIZE;
	}
	result = region->at;
	region->at += size;
	return result;
}

void *region_array(struct region *region, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		region->failed = true;
		return NULL;
	}
	return region_alloc(region, bytes ? bytes : 1);
}

char *region_strndup(struct region *region, const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? region_alloc(region, len + 1) : NULL;

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *region_strdup(struct region *region, const char *text)
{
	return region_strndup(region, text, strlen(text));
}

char *region_printf(struct region *region, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = len >= 0 ? region_alloc(region, (size_t)len + 1) : NULL;
	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}
