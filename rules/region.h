/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and dies together: everything a rule set owns. Allocations are zeroed and never
 * freed one by one, so that dropping a snapshot, or a load that failed half way, is one call.
 *
 * Threads: a region belongs to one thread while it is being filled; afterwards it is only read.
 */
#ifndef RULES_REGION_H
#define RULES_REGION_H

#include <stdbool.h>
#include <stddef.h>

struct region_block;

struct region {
	struct region_block *blocks;
	char *at, *end;
	bool failed; /* memory ran out at least once; sticky */
};

void region_init(struct region *region);

/* Free everything. The region is empty again. */
void region_release(struct region *region);

/* `size` zeroed bytes, aligned for any type. NULL: out of memory, and `failed` is set. */
void *region_alloc(struct region *region, size_t size) __attribute__((warn_unused_result));

/* The same for an array; NULL also when the product overflows. Never NULL for n == 0. */
void *region_array(struct region *region, size_t n, size_t size)
    __attribute__((warn_unused_result));

/* Copies of text. NULL: out of memory. */
char *region_strndup(struct region *region, const char *text, size_t len)
    __attribute__((warn_unused_result));
char *region_strdup(struct region *region, const char *text) __attribute__((warn_unused_result));
char *region_printf(struct region *region, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

#endif
