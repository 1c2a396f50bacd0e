/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be known of a program from its file alone. The ELF class and machine that the shim
 * serves are those of this very executable, so they are read from it and never spelled out.
 */
#include "tools/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_LEVELS 5	  /* as many as the kernel follows */
#define SCRIPT_LINE   256 /* and as much of the first line as it reads */

__attribute__((format(printf, 3, 4))) static enum program_status
verdict(struct program *program, enum program_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(program->why, sizeof(program->why), format, args);
	va_end(args);
	return status;
}

static bool is_executable_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = EACCES;
		return false;
	}
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

enum program_status program_find(const char *name, struct program *program)
{
	const char *search = getenv("PATH");
	char fallback[256];
	int denied = 0;

	program->path[0] = program->why[0] = '\0';
	if (strchr(name, '/')) {
		if ((size_t)snprintf(program->path, sizeof(program->path), "%s", name) >=
		    sizeof(program->path))
			return verdict(program, PROGRAM_UNFIT, "%s", strerror(ENAMETOOLONG));
		if (is_executable_file(name))
			return PROGRAM_OK;
		return verdict(
		    program, errno == ENOENT || errno == ENOTDIR ? PROGRAM_MISSING : PROGRAM_UNFIT,
		    "%s", strerror(errno));
	}
	if (!search) {
		confstr(_CS_PATH, fallback, sizeof(fallback));
		search = fallback;
	}
	for (const char *dir = search; *name; dir++) {
		size_t len = strcspn(dir, ":");

		/* An empty element is the working directory. */
		if ((size_t)snprintf(program->path, sizeof(program->path), "%.*s%s%s", (int)len,
				     dir, len ? "/" : "./", name) < sizeof(program->path)) {
			if (is_executable_file(program->path))
				return PROGRAM_OK;
			if (errno == EACCES)
				denied = errno;
		}
		dir += len;
		if (!*dir)
			break;
	}
	if (denied)
		return verdict(program, PROGRAM_UNFIT, "%s", strerror(denied));
	return verdict(program, PROGRAM_MISSING, "no such program in PATH");
}

static bool read_at(int fd, void *data, size_t size, off_t offset)
{
	return pread(fd, data, size, offset) == (ssize_t)size;
}

static bool read_ident(const char *path, ElfW(Ehdr) * header)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_at(fd, header, sizeof(*header), 0);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Whether one of the notes in this segment is Go's build id. */
static bool has_go_note(int fd, const ElfW(Phdr) * segment)
{
	off_t at = (off_t)segment->p_offset, end = at + (off_t)segment->p_filesz;

	while (at + (off_t)sizeof(ElfW(Nhdr)) <= end) {
		ElfW(Nhdr) note;
		char name[4];

		if (!read_at(fd, &note, sizeof(note), at))
			return false;
		at += sizeof(note);
		if (note.n_namesz == sizeof(name) && read_at(fd, name, sizeof(name), at) &&
		    memcmp(name, "Go\0", sizeof(name)) == 0)
			return true;
		at += (off_t)((note.n_namesz + 3) & ~(ElfW(Word))3) +
		      (off_t)((note.n_descsz + 3) & ~(ElfW(Word))3);
	}
	return false;
}

/* What the program headers tell: the loader's path, Go's mark. False: the file is cut short. */
static bool read_segments(int fd, const ElfW(Ehdr) * header, char *loader, size_t size, bool *go)
{
	loader[0] = '\0';
	*go = false;
	if (header->e_phentsize != sizeof(ElfW(Phdr)))
		return header->e_phnum == 0;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!read_at(fd, &segment, sizeof(segment),
			     (off_t)(header->e_phoff + i * sizeof(segment))))
			return false;
		if (segment.p_type == PT_NOTE)
			*go |= has_go_note(fd, &segment);
		if (segment.p_type != PT_INTERP)
			continue;
		if (segment.p_filesz == 0 || segment.p_filesz > size ||
		    !read_at(fd, loader, segment.p_filesz, (off_t)segment.p_offset))
			return false;
		loader[segment.p_filesz - 1] = '\0';
	}
	return true;
}

static enum program_status check_elf(struct program *program, const char *path, int fd,
				     const struct stat *st)
{
	ElfW(Ehdr) header, own;
	char loader[PATH_MAX];
	const char *base;
	bool go;

	if (!read_ident("/proc/self/exe", &own))
		return verdict(program, PROGRAM_UNFIT, "/proc/self/exe cannot be read: %s",
			       strerror(errno));
	/* e_machine has one place in both classes. */
	if (!read_at(fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident + EI_CLASS, own.e_ident + EI_CLASS, 2) != 0 ||
	    header.e_machine != own.e_machine)
		return verdict(program, PROGRAM_UNFIT,
			       "%s is for another machine or word size than libmeshshim.so", path);
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return verdict(program, PROGRAM_UNFIT, "%s is no executable ELF file", path);
	if (!read_segments(fd, &header, loader, sizeof(loader), &go))
		return verdict(program, PROGRAM_UNFIT, "%s is a broken ELF file", path);
	if (!loader[0])
		return verdict(program, PROGRAM_UNFIT,
			       "%s is statically linked: nothing can be preloaded into it", path);
	base = strrchr(loader, '/');
	base = base ? base + 1 : loader;
	if (strncmp(base, "ld-musl", strlen("ld-musl")) == 0)
		return verdict(program, PROGRAM_UNFIT,
			       "%s is linked with musl, libmeshshim.so with the GNU C library",
			       path);
	if (st->st_mode & (S_ISUID | S_ISGID))
		return verdict(program, PROGRAM_UNFIT,
			       "%s is %s: the loader drops LD_PRELOAD for it", path,
			       st->st_mode & S_ISUID ? "setuid" : "setgid");
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return verdict(program, PROGRAM_UNFIT,
			       "%s has file capabilities: the loader drops LD_PRELOAD for it",
			       path);
	if (go)
		return verdict(program, PROGRAM_UNFIT,
			       "%s is a Go program: it makes system calls without the C library",
			       path);
	return PROGRAM_OK;
}

/*
 * The program that a "#!" line runs, into `path`. "env NAME", also with -S, stands for the
 * program NAME; env's other options and assignments are left to env, which is checked alone.
 */
static enum program_status interpreter(struct program *program, char *line, char *path, size_t size)
{
	char *save, *first = strtok_r(line, " \t\r\n", &save);
	char *word = strtok_r(NULL, " \t\r\n", &save);
	struct program named;
	const char *base;

	if (!first)
		return verdict(program, PROGRAM_UNFIT, "%s names no interpreter in its first line",
			       path);
	base = strrchr(first, '/');
	if (strcmp(base ? base + 1 : first, "env") == 0 && word) {
		if (strcmp(word, "-S") == 0)
			word = strtok_r(NULL, " \t\r\n", &save);
		else if (strncmp(word, "-S", 2) == 0)
			word += 2;
		if (word && *word && *word != '-' && !strchr(word, '=')) {
			enum program_status status = program_find(word, &named);

			if (status != PROGRAM_OK)
				return verdict(program, status, "%s needs %s: %s", path, word,
					       named.why);
			first = named.path;
		}
	}
	if (!is_executable_file(first)) {
		int error = errno;

		return verdict(program, PROGRAM_UNFIT, "%s needs %s: %s", path, first,
			       strerror(error));
	}
	snprintf(path, size, "%s", first);
	return PROGRAM_OK;
}

enum program_status program_check(struct program *program)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", program->path);
	for (int level = 0; level <= SCRIPT_LEVELS; level++) {
		char head[SCRIPT_LINE + 1] = "";
		enum program_status status;
		struct stat st;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? pread(fd, head, SCRIPT_LINE, 0) : -1;

		if (n < 0 || fstat(fd, &st) < 0) {
			status = verdict(program, PROGRAM_UNFIT, "%s cannot be looked into: %s",
					 path, strerror(errno));
			if (fd >= 0)
				close(fd);
			return status;
		}
		if (memcmp(head, ELFMAG, SELFMAG) == 0) {
			status = check_elf(program, path, fd, &st);
			close(fd);
			return status;
		}
		close(fd);
		if (strncmp(head, "#!", 2) != 0)
			return verdict(program, PROGRAM_UNFIT,
				       "%s is neither an ELF file nor a script with a #! line",
				       path);
		head[strcspn(head, "\n")] = '\0';
		status = interpreter(program, head + 2, path, sizeof(path));
		if (status != PROGRAM_OK)
			return status;
	}
	return verdict(program, PROGRAM_UNFIT, "too many levels of scripts");
}
