/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the linker's --wrap makes of malloc(3) and its kin in this library, and in OpenSSL and PCRE2
 * inside of it. Not in a build with sanitizers, which have an allocator of their own to offer.
 *
 * Blocks that libc has allocated for us (vasprintf(3), getaddrinfo(3)) come back here to be freed, and
 * go where they came from. The reverse cannot be: what libc or the program frees has to come from
 * inside of libc.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/memory.h"

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);
void __wrap_qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);

void *__wrap_malloc(size_t size)
{
	return memory_take(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	size_t total;
	void *memory = NULL;

	if (__builtin_mul_overflow(n, size, &total))
		errno = ENOMEM;
	else
		memory = memory_take(total);
	/* A mapping of its own is new, and so are its pages: they need not be touched. */
	return memory && total <= MEMORY_LARGE ? memset(memory, 0, total) : memory;
}

void *__wrap_realloc(void *memory, size_t size)
{
	if (memory && !memory_is_ours(memory))
		return __real_realloc(memory, size);
	size_t before = memory ? memory_size(memory) : 0;

	/* Half of it has to be unused before it is worth moving. */
	if (memory && size <= before && size > before / 2)
		return memory;
	void *other = memory_take(size);

	if (other && memory) {
		memcpy(other, memory, before < size ? before : size);
		memory_give(memory);
	}
	return other;
}

void __wrap_free(void *memory)
{
	if (!memory)
		return;
	if (memory_is_ours(memory))
		memory_give(memory);
	else
		__real_free(memory);
}

static char *copy_text(const char *text, size_t len)
{
	char *copy = memory_take(len + 1);

	if (!copy)
		return NULL;
	copy[len] = '\0';
	return memcpy(copy, text, len);
}

char *__wrap_strdup(const char *text)
{
	return copy_text(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t max)
{
	return copy_text(text, strnlen(text, max));
}

/* ---- qsort(3), for which the libc before 2.37 takes memory -------------------------------- */

static void swap(char *a, char *b, size_t size)
{
	while (size--) {
		char byte = *a;

		*a++ = *b;
		*b++ = byte;
	}
}

/* Of a heap with its greatest on top: let the one at `i` sink to where it belongs. */
static void sink(char *base, size_t i, size_t n, size_t size,
		 int (*compare)(const void *, const void *))
{
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n &&
		    compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + i * size, base + child * size) >= 0)
			return;
		swap(base + i * size, base + child * size, size);
	}
}

void __wrap_qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	for (size_t i = n / 2; i-- > 0;)
		sink(base, i, n, size, compare);
	while (n-- > 1) {
		swap(base, (char *)base + n * size, size);
		sink(base, 0, n, size, compare);
	}
}
