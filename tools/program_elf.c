/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF class and machine that the shim serves are those of this very executable, so they are
 * read from it and never spelled out. Files are read with pread(2) and not mapped: one that
 * somebody cuts short meanwhile is an error then, and no SIGBUS.
 */
#include "tools/program_elf.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many bytes of program headers as the kernel accepts (fs/binfmt_elf.c, load_elf_phdrs()). */
#define SEGMENTS_SIZE 65536

/* Bounds against files that were made to keep us busy. */
#define NOTES_MAX   64
#define DYNAMIC_MAX 4096
#define NAMES_MAX   (64 << 20)

#define NAME_HEAD 64 /* of a symbol: enough to know it by */

static bool read_at(int fd, void *data, size_t size, ElfW(Off) offset)
{
	return pread(fd, data, size, (off_t)offset) == (ssize_t)size;
}

static bool read_own_ident(unsigned char *ident, ElfW(Half) * machine)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_at(fd, ident, EI_NIDENT, 0) &&
		  read_at(fd, machine, sizeof(*machine), offsetof(ElfW(Ehdr), e_machine));

	if (fd >= 0)
		close(fd);
	return ok;
}

/* ---- Go's marks --------------------------------------------------------------------------- */

/* Whether one of the notes in this segment is Go's build id. */
static bool has_go_note(int fd, const ElfW(Phdr) * segment)
{
	ElfW(Off) at = 0;

	for (int i = 0; i < NOTES_MAX && at < segment->p_filesz; i++) {
		ElfW(Nhdr) note;
		char name[4];

		if (!read_at(fd, &note, sizeof(note), segment->p_offset + at))
			return false;
		at += sizeof(note);
		if (note.n_namesz == sizeof(name) &&
		    read_at(fd, name, sizeof(name), segment->p_offset + at) &&
		    memcmp(name, "Go\0", sizeof(name)) == 0)
			return true;
		at += ((ElfW(Off))note.n_namesz + 3) & ~(ElfW(Off))3;
		at += ((ElfW(Off))note.n_descsz + 3) & ~(ElfW(Off))3;
	}
	return false;
}

/* The build id can be left out of a program, and then its sections tell. They may be missing, and
 * nothing but Go's marks depends on them. */
static bool has_go_section(const struct elf *elf)
{
	const ElfW(Ehdr) *header = &elf->header;
	ElfW(Shdr) names, section;

	if (header->e_shentsize != sizeof(section) ||
	    !read_at(elf->fd, &names, sizeof(names),
		     header->e_shoff + (ElfW(Off))header->e_shstrndx * sizeof(section)))
		return false;
	for (ElfW(Off) i = 0; i < header->e_shnum; i++) {
		char name[sizeof(".note.go.buildid")] = "";

		if (!read_at(elf->fd, &section, sizeof(section),
			     header->e_shoff + i * sizeof(section)))
			return false;
		if (pread(elf->fd, name, sizeof(name),
			  (off_t)(names.sh_offset + section.sh_name)) <= 0)
			continue;
		name[sizeof(name) - 1] = '\0';
		if (!strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid"))
			return true;
	}
	return false;
}

/* ---- segments ----------------------------------------------------------------------------- */

static bool read_segment(const struct elf *elf, size_t i, ElfW(Phdr) * segment)
{
	return read_at(elf->fd, segment, sizeof(*segment),
		       elf->header.e_phoff + i * sizeof(*segment));
}

/* A file whose copying was interrupted still begins well. */
static bool is_whole(int fd, const ElfW(Phdr) * segment)
{
	struct stat st;

	return fstat(fd, &st) == 0 && segment->p_offset <= (ElfW(Off))st.st_size &&
	       segment->p_filesz <= (ElfW(Off))st.st_size - segment->p_offset;
}

/* The loader's path, as the kernel accepts it. */
static bool read_loader(struct elf *elf, const ElfW(Phdr) * segment)
{
	char *loader = elf->loader;
	size_t size = segment->p_filesz;

	return size >= 2 && size <= sizeof(elf->loader) &&
	       read_at(elf->fd, loader, size, segment->p_offset) && loader[size - 1] == '\0' &&
	       loader[0];
}

/* Where in the file an address is. */
static bool find_offset(const struct elf *elf, ElfW(Addr) address, ElfW(Off) * offset)
{
	for (size_t i = 0; i < elf->header.e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!read_segment(elf, i, &segment) || segment.p_type != PT_LOAD ||
		    address < segment.p_vaddr || address - segment.p_vaddr >= segment.p_filesz)
			continue;
		*offset = segment.p_offset + (address - segment.p_vaddr);
		return true;
	}
	return false;
}

static bool read_entry(const struct elf *elf, size_t i, ElfW(Dyn) * entry)
{
	return i < elf->n_dynamic &&
	       read_at(elf->fd, entry, sizeof(*entry), elf->dynamic + i * sizeof(*entry)) &&
	       entry->d_tag != DT_NULL;
}

static bool read_dynamic(struct elf *elf, const ElfW(Phdr) * segment)
{
	ElfW(Addr) names = 0;
	ElfW(Dyn) entry;

	elf->dynamic = segment->p_offset;
	elf->n_dynamic = segment->p_filesz / sizeof(entry);
	if (elf->n_dynamic > DYNAMIC_MAX)
		return false;
	for (size_t i = 0; read_entry(elf, i, &entry); i++) {
		if (entry.d_tag == DT_STRTAB)
			names = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRSZ)
			elf->names_size = entry.d_un.d_val;
	}
	return find_offset(elf, names, &elf->names) && elf->names_size <= NAMES_MAX;
}

/* What the program headers tell. False: the kernel or the loader would refuse the file. */
static bool read_segments(struct elf *elf)
{
	const ElfW(Ehdr) *header = &elf->header;
	bool dynamic = false;

	if (header->e_phentsize != sizeof(ElfW(Phdr)) || !header->e_phnum ||
	    header->e_phnum * sizeof(ElfW(Phdr)) > SEGMENTS_SIZE)
		return false;
	for (size_t i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!read_segment(elf, i, &segment))
			return false;
		if (segment.p_type == PT_LOAD && !is_whole(elf->fd, &segment))
			return false;
		if (segment.p_type == PT_NOTE)
			elf->go |= has_go_note(elf->fd, &segment);
		if (segment.p_type == PT_INTERP && !elf->loader[0] && !read_loader(elf, &segment))
			return false;
		if (segment.p_type == PT_DYNAMIC && !dynamic) {
			dynamic = true;
			if (!read_dynamic(elf, &segment))
				return false;
		}
	}
	elf->go |= has_go_section(elf);
	return true;
}

enum elf_kind elf_read(struct elf *elf, int fd)
{
	unsigned char own[EI_NIDENT];
	ElfW(Half) own_machine;
	ElfW(Ehdr) *header = &elf->header;

	memset(elf, 0, sizeof(*elf));
	elf->fd = fd;
	if (!read_own_ident(own, &own_machine))
		return ELF_UNKNOWN;
	/* Type and machine have one place in both classes; their byte order is the file's. */
	if (!read_at(fd, header, offsetof(ElfW(Ehdr), e_version), 0) ||
	    memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] == ELFCLASSNONE || header->e_ident[EI_CLASS] > ELFCLASS64)
		return ELF_BROKEN;
	if (header->e_ident[EI_DATA] != own[EI_DATA])
		return ELF_OTHER_MACHINE;
	if (header->e_ident[EI_CLASS] != own[EI_CLASS])
		return ELF_OTHER_CLASS;
	if (header->e_machine != own_machine)
		return ELF_OTHER_MACHINE;
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return ELF_NO_PROGRAM;
	if (!read_at(fd, header, sizeof(*header), 0) || !read_segments(elf))
		return ELF_BROKEN;
	return ELF_OURS;
}

/* ---- the dynamic section ------------------------------------------------------------------ */

bool elf_next_string(const struct elf *elf, ElfW(Sxword) tag, size_t *at, char *text, size_t size)
{
	ElfW(Dyn) entry;

	while (read_entry(elf, *at, &entry)) {
		ssize_t n;

		(*at)++;
		if (entry.d_tag != tag || entry.d_un.d_val >= elf->names_size)
			continue;
		n = pread(elf->fd, text, size, (off_t)(elf->names + entry.d_un.d_val));
		if (n > 0 && memchr(text, '\0', (size_t)n))
			return true;
	}
	return false;
}

void elf_each_name(const struct elf *elf, elf_name_fn *see, void *context)
{
	char block[16384], name[NAME_HEAD];
	size_t len = 0, done = 0;

	while (done < elf->names_size) {
		size_t want = elf->names_size - done;
		ssize_t n = pread(elf->fd, block, want < sizeof(block) ? want : sizeof(block),
				  (off_t)(elf->names + done));

		if (n <= 0)
			return;
		for (ssize_t i = 0; i < n; i++) {
			if (block[i] && len < sizeof(name) - 1) {
				name[len++] = block[i];
			} else if (!block[i]) {
				name[len] = '\0';
				if (len)
					see(context, name);
				len = 0;
			}
		}
		done += (size_t)n;
	}
}
