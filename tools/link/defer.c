/* SPDX-License-Identifier: Apache-2.0 */
/*
 * defer LIBRARY.SO: the last step of its link, see shim/deferred.h. The loader's list of
 * relocations is put into a new order, with those of the deferred sections at the end, and made
 * shorter by them; where they are is written to DEFERRED_INDEX_SECTION. Only relocations that add
 * the base address are moved: what needs a symbol stays with the loader, wherever it is.
 *
 * Files for other machines than it knows are left as they are.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/deferred.h"

static const char *path;
static unsigned char *file;

static void fail(const char *why)
{
	fprintf(stderr, "defer: %s: %s\n", path, why);
	exit(1);
}

static size_t map(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(Elf64_Ehdr)) {
		perror(path);
		exit(1);
	}
	file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	close(fd);
	return (size_t)st.st_size;
}

/* The type of the relocations that add the base address; 0: not known here. */
static unsigned relative_type(void)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)file;
	const unsigned one = 1;
	unsigned char order = *(const unsigned char *)&one ? ELFDATA2LSB : ELFDATA2MSB;

	if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
	    head->e_ident[EI_DATA] != order)
		return 0;
	switch (head->e_machine) {
	case EM_X86_64:
		return R_X86_64_RELATIVE;
	case EM_AARCH64:
		return R_AARCH64_RELATIVE;
	default:
		return 0;
	}
}

static Elf64_Shdr *section(const char *name)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)file;
	Elf64_Shdr *sections = (Elf64_Shdr *)(file + head->e_shoff);
	const char *names = (const char *)file + sections[head->e_shstrndx].sh_offset;

	for (size_t i = 0; i < head->e_shnum; i++)
		if (strcmp(names + sections[i].sh_name, name) == 0)
			return &sections[i];
	fprintf(stderr, "defer: %s: no section %s\n", path, name);
	exit(1);
}

static Elf64_Dyn *dynamic(Elf64_Sxword tag)
{
	const Elf64_Shdr *where = section(".dynamic");
	Elf64_Dyn *entry = (Elf64_Dyn *)(file + where->sh_offset);

	for (size_t i = 0; i < where->sh_size / sizeof(*entry); i++)
		if (entry[i].d_tag == tag)
			return &entry[i];
	fail("a dynamic entry is missing");
	return NULL;
}

static int is_in(const Elf64_Shdr *where, Elf64_Addr address)
{
	return address >= where->sh_addr && address - where->sh_addr < where->sh_size;
}

/* Both parts keep their order, in which those that the loader counts come first. Returns how many
 * the loader keeps; `*n_relative` of them are of that type. */
static size_t split(Elf64_Rela *list, size_t n, unsigned type, size_t *n_relative)
{
	const Elf64_Shdr *constant = section(DEFERRED_SECTION);
	const Elf64_Shdr *data = section(DEFERRED_DATA_SECTION);
	Elf64_Rela *late = malloc(n * sizeof(*late));
	size_t kept = 0, n_late = 0;

	if (!late)
		fail("out of memory");
	*n_relative = 0;
	for (size_t i = 0; i < n; i++) {
		int relative = ELF64_R_TYPE(list[i].r_info) == type;

		if (relative &&
		    (is_in(constant, list[i].r_offset) || is_in(data, list[i].r_offset))) {
			late[n_late++] = list[i];
			continue;
		}
		*n_relative += (size_t)relative;
		list[kept++] = list[i];
	}
	memcpy(list + kept, late, n_late * sizeof(*late));
	free(late);
	return kept;
}

int main(int argc, char **argv)
{
	size_t n_relative;

	if (argc != 2) {
		fprintf(stderr, "usage: defer LIBRARY.SO\n");
		return 2;
	}
	path = argv[1];
	size_t size = map();
	unsigned type = relative_type();

	if (!type)
		return 0;
	const Elf64_Shdr *tables = section(DEFERRED_SECTION);
	const Elf64_Shdr *relocations = section(".rela.dyn");
	const Elf64_Shdr *index_section = section(DEFERRED_INDEX_SECTION);
	struct deferred_index *index = (struct deferred_index *)(file + index_section->sh_offset);
	size_t n = relocations->sh_size / sizeof(Elf64_Rela);

	if (index_section->sh_size != sizeof(*index) ||
	    dynamic(DT_RELA)->d_un.d_ptr != relocations->sh_addr ||
	    dynamic(DT_RELASZ)->d_un.d_val != relocations->sh_size)
		fail("not as it was linked, or done before");
	size_t kept = split((Elf64_Rela *)(file + relocations->sh_offset), n, type, &n_relative);

	dynamic(DT_RELASZ)->d_un.d_val = kept * sizeof(Elf64_Rela);
	dynamic(DT_RELACOUNT)->d_un.d_val = n_relative;
	*index = (struct deferred_index){
	    .start = tables->sh_addr,
	    .end = tables->sh_addr + tables->sh_size,
	    .relocations = relocations->sh_addr + kept * sizeof(Elf64_Rela),
	    .n_relocations = n - kept,
	};
	if (msync(file, size, MS_SYNC) < 0) {
		perror(path);
		return 1;
	}
	return 0;
}
