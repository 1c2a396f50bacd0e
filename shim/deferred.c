/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/deferred.h"

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* Written by tools/link/defer.c, so not what the compiler thinks it is. */
static const volatile struct deferred_index index_written_later
    __attribute__((section(DEFERRED_INDEX_SECTION), used)) = {0};

/* The linker's name for where the library is mapped. */
extern char image[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));

/* The pages that nothing else is on. */
static void protect(const struct deferred_index *index, int protection)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)image + index->start + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)image + index->end) & ~(page - 1);

	/* Read-only is a matter of caution: where it cannot be had, all works without. */
	if (start < end)
		(void)!mprotect((void *)start, end - start, protection);
}

void deferred_relocate(void)
{
	static bool done;
	struct deferred_index index = {
	    .start = index_written_later.start,
	    .end = index_written_later.end,
	    .relocations = index_written_later.relocations,
	    .n_relocations = index_written_later.n_relocations,
	};
	const Elf64_Rela *relocation = (const Elf64_Rela *)(image + index.relocations);

	if (done || !index.n_relocations)
		return;
	protect(&index, PROT_READ | PROT_WRITE); /* our parent may have been further */
	for (uint64_t i = 0; i < index.n_relocations; i++)
		*(Elf64_Addr *)(image + relocation[i].r_offset) =
		    (Elf64_Addr)image + (Elf64_Addr)relocation[i].r_addend;
	protect(&index, PROT_READ);
	done = true;
}
