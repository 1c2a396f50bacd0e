/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files, as far as they tell what the dynamic loader will do with them. Everything in a file
 * may be wrong: nothing is believed, and nothing is read more often than the kernel would bear.
 *
 * Threads: any. Nothing is allocated.
 */
#ifndef TOOLS_PROGRAM_ELF_H
#define TOOLS_PROGRAM_ELF_H

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>

/* Where the file stands, compared with this very executable. */
enum elf_kind {
	ELF_OURS,
	ELF_OTHER_CLASS,   /* its words have another size */
	ELF_OTHER_MACHINE, /* another processor or byte order */
	ELF_NO_PROGRAM,	   /* neither executable nor shared object */
	ELF_BROKEN,	   /* cut short, or its parts contradict each other */
	ELF_UNKNOWN,	   /* /proc/self/exe cannot be read; errno is set */
};

struct elf {
	int fd; /* the caller's */
	ElfW(Ehdr) header;
	char loader[PATH_MAX]; /* PT_INTERP; "": none, so nothing is loaded into it */
	bool go;	       /* made by the Go toolchain */
	size_t n_dynamic;      /* entries of the dynamic section; 0: it has none */
	ElfW(Off) dynamic;     /* where in the file they are */
	ElfW(Off) names;       /* and where their string table */
	size_t names_size;
};

/* Read what `fd` holds. All fields are set for ELF_OURS only. */
enum elf_kind elf_read(struct elf *elf, int fd);

/*
 * The next string of the dynamic section under `tag` (DT_NEEDED, DT_RUNPATH ...), counting from
 * entry *at, which moves behind it. False: there is no further one. Strings that do not fit into
 * `size` are left out.
 */
bool elf_next_string(const struct elf *elf, ElfW(Sxword) tag, size_t *at, char *text, size_t size);

/*
 * Call `see` for every name in the dynamic string table, which holds the symbols that the file
 * takes from others or offers to them; of long names, for their first 63 bytes.
 */
typedef void elf_name_fn(void *context, const char *name);
void elf_each_name(const struct elf *elf, elf_name_fn *see, void *context);

#endif
