/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with an allocator of its own, as those with jemalloc or PartitionAlloc inside have:
 * allocator HOST PORT BODY. Fetches /anything?x=1 and insists on 200 and BODY; memory that is not
 * from this allocator ends the program when it comes back. guest-ldflags: -rdynamic
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/preload/guest.h"

/* Memory is handed out once, and given back never. */
static char space[64 << 20] __attribute__((aligned(4096)));
static atomic_size_t used, n_freed;

struct header {
	_Alignas(max_align_t) size_t size;
};

static struct header *header_of(void *memory)
{
	if ((char *)memory < space || (char *)memory >= space + sizeof(space)) {
		static const char text[] = "foreign memory came back\n";

		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(99);
		abort();
	}
	return (struct header *)memory - 1;
}

static void *take(size_t alignment, size_t size)
{
	size_t need = sizeof(struct header) + alignment + size;
	size_t at = atomic_fetch_add(&used, need);
	uintptr_t address = (uintptr_t)space + at + sizeof(struct header);

	if (size > sizeof(space) || at > sizeof(space) - need) {
		errno = ENOMEM;
		return NULL;
	}
	address = (address + alignment - 1) & ~(uintptr_t)(alignment - 1);
	header_of((void *)address)->size = size;
	return (void *)address;
}

/* What a replacement has to define (the manual of libc, "Replacing malloc"). */
#pragma GCC visibility push(default)
void *malloc(size_t size)
{
	return take(_Alignof(max_align_t), size);
}

void free(void *memory)
{
	if (memory) {
		header_of(memory)->size = 0;
		atomic_fetch_add(&n_freed, 1);
	}
}

void *calloc(size_t n, size_t size)
{
	return size && n > sizeof(space) / size ? NULL : malloc(n * size);
}

void *realloc(void *memory, size_t size)
{
	void *new = malloc(size);
	size_t old = memory ? header_of(memory)->size : 0;

	if (new &&memory) {
		memcpy(new, memory, old < size ? old : size);
		free(memory);
	}
	return new;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return take(alignment, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
	return take(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	*memory = take(alignment, size);
	return *memory ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *memory);
size_t malloc_usable_size(void *memory)
{
	return memory ? header_of(memory)->size : 0;
}

#pragma GCC visibility pop

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: allocator HOST PORT BODY");
	expect(argv[1], argv[2], "/anything?x=1", argv[3]);
	printf("%zu times memory came back, all of it our own\n", (size_t)n_freed);
	return 0;
}
