/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a program, and whether a preloaded library reaches it. */
#include "tools/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/program_elf.h"

#define SCRIPT_LEVELS 5	  /* as many as the kernel follows */
#define SCRIPT_LINE   256 /* and as much of the first line as it reads */

__attribute__((format(printf, 4, 5))) static enum program_status verdict(struct program *program,
									 enum program_status status,
									 const char *reason,
									 const char *format, ...)
{
	va_list args;

	program->reason = reason;
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

	program->path[0] = program->file[0] = program->why[0] = '\0';
	program->reason = NULL;
	if (strchr(name, '/')) {
		if ((size_t)snprintf(program->path, sizeof(program->path), "%s", name) >=
		    sizeof(program->path))
			return verdict(program, PROGRAM_UNFIT, "not-executable", "%s",
				       strerror(ENAMETOOLONG));
		if (is_executable_file(name))
			return PROGRAM_OK;
		if (errno == ENOENT || errno == ENOTDIR)
			return verdict(program, PROGRAM_MISSING, "missing", "%s", strerror(errno));
		return verdict(program, PROGRAM_UNFIT, "not-executable", "%s", strerror(errno));
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
		return verdict(program, PROGRAM_UNFIT, "not-executable", "%s", strerror(denied));
	program->path[0] = '\0';
	return verdict(program, PROGRAM_MISSING, "missing", "no such program in PATH");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The loader drops LD_PRELOAD for programs that have more rights than who runs them. */
static enum program_status check_privileges(struct program *program, int fd, const struct stat *st)
{
	if (st->st_mode & S_ISUID)
		return verdict(program, PROGRAM_UNFIT, "setuid",
			       "%s is setuid: the loader drops LD_PRELOAD for it", program->file);
	if (st->st_mode & S_ISGID)
		return verdict(program, PROGRAM_UNFIT, "setgid",
			       "%s is setgid: the loader drops LD_PRELOAD for it", program->file);
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return verdict(program, PROGRAM_UNFIT, "capabilities",
			       "%s has file capabilities: the loader drops LD_PRELOAD for it",
			       program->file);
	return PROGRAM_OK;
}

/* How a program comes to its system calls: through the C library, or past it. */
static enum program_status check_linkage(struct program *program, const struct elf *elf)
{
	const char *path = program->file;
	char library[PATH_MAX];
	size_t at = 0;

	if (elf->go)
		return verdict(program, PROGRAM_UNFIT, "go",
			       "%s is a Go program: it makes system calls without the C library",
			       path);
	if (!elf->loader[0])
		return verdict(program, PROGRAM_UNFIT, "static",
			       "%s is statically linked: nothing can be preloaded into it", path);
	if (strncmp(base_name(elf->loader), "ld-musl", strlen("ld-musl")) == 0)
		return verdict(program, PROGRAM_UNFIT, "musl",
			       "%s is linked with musl, libmeshshim.so with the GNU C library",
			       path);
	if (!is_executable_file(elf->loader))
		return verdict(program, PROGRAM_UNFIT, "loader", "%s needs the loader %s: %s", path,
			       elf->loader, strerror(errno));
	if (!elf_next_string(elf, DT_NEEDED, &at, library, sizeof(library)))
		return verdict(program, PROGRAM_UNFIT, "static",
			       "%s needs no library: it makes system calls without the C library",
			       path);
	return PROGRAM_OK;
}

static enum program_status check_elf(struct program *program, int fd, const struct stat *st)
{
	enum program_status status;
	struct elf elf;

	switch (elf_read(&elf, fd)) {
	case ELF_OURS:
		break;
	case ELF_OTHER_CLASS:
		return verdict(program, PROGRAM_UNFIT, "class",
			       "%s is for another word size than libmeshshim.so", program->file);
	case ELF_OTHER_MACHINE:
		return verdict(program, PROGRAM_UNFIT, "machine",
			       "%s is for another machine than libmeshshim.so", program->file);
	case ELF_NO_PROGRAM:
		return verdict(program, PROGRAM_UNFIT, "format", "%s is no executable ELF file",
			       program->file);
	case ELF_BROKEN:
		return verdict(program, PROGRAM_UNFIT, "broken", "%s is a broken ELF file",
			       program->file);
	case ELF_UNKNOWN:
		return verdict(program, PROGRAM_UNFIT, "unreadable",
			       "/proc/self/exe cannot be read: %s", strerror(errno));
	}
	status = check_linkage(program, &elf);
	return status == PROGRAM_OK ? check_privileges(program, fd, st) : status;
}

/*
 * program->file becomes the program that its "#!" line runs. "env NAME", also with -S, stands for
 * the program NAME; env's other options and assignments are left to env, which is checked alone.
 */
static enum program_status follow_script(struct program *program, char *line)
{
	char *save, *first = strtok_r(line, " \t\r\n", &save);
	char *word = strtok_r(NULL, " \t\r\n", &save);
	struct program named;

	if (!first)
		return verdict(program, PROGRAM_UNFIT, "script",
			       "%s names no interpreter in its first line", program->file);
	if (strcmp(base_name(first), "env") == 0 && word) {
		if (strcmp(word, "-S") == 0)
			word = strtok_r(NULL, " \t\r\n", &save);
		else if (strncmp(word, "-S", 2) == 0)
			word += 2;
		if (word && *word && *word != '-' && !strchr(word, '=')) {
			enum program_status status = program_find(word, &named);

			if (status != PROGRAM_OK)
				return verdict(program, status, "script", "%s needs %s: %s",
					       program->file, word, named.why);
			first = named.path;
		}
	}
	if (!is_executable_file(first))
		return verdict(program, PROGRAM_UNFIT, "script", "%s needs %s: %s", program->file,
			       first, strerror(errno));
	snprintf(program->file, sizeof(program->file), "%s", first);
	return PROGRAM_OK;
}

/* Judge program->file, open as `fd`. A script gets no verdict: `line` is its first line then, and
 * otherwise empty. */
static enum program_status check_file(struct program *program, int fd, char *line)
{
	struct stat st;
	ssize_t n = fd < 0 ? -1 : pread(fd, line, SCRIPT_LINE, 0);

	if (n < 0 || fstat(fd, &st) < 0) {
		line[0] = '\0';
		return verdict(program, PROGRAM_UNFIT, "unreadable", "%s cannot be looked into: %s",
			       program->file, strerror(errno));
	}
	line[n] = '\0';
	if (strncmp(line, "#!", 2) == 0) {
		line[strcspn(line, "\n")] = '\0';
		return PROGRAM_OK;
	}
	if (n < SELFMAG || memcmp(line, ELFMAG, SELFMAG) != 0) {
		line[0] = '\0';
		return verdict(program, PROGRAM_UNFIT, "format",
			       "%s is neither an ELF file nor a script with a #! line",
			       program->file);
	}
	line[0] = '\0';
	return check_elf(program, fd, &st);
}

enum program_status program_check(struct program *program)
{
	snprintf(program->file, sizeof(program->file), "%s", program->path);
	for (int level = 0; level <= SCRIPT_LEVELS; level++) {
		char line[SCRIPT_LINE + 1];
		int fd = open(program->file, O_RDONLY | O_CLOEXEC);
		enum program_status status = check_file(program, fd, line);

		if (fd >= 0)
			close(fd);
		if (status != PROGRAM_OK || !line[0])
			return status;
		status = follow_script(program, line + 2);
		if (status != PROGRAM_OK)
			return status;
	}
	return verdict(program, PROGRAM_UNFIT, "script", "too many levels of scripts");
}
