/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program that can be intercepted does past the hooks, as far as its files show it.
 *
 * Libraries are looked for where the loader does, without its cache: what is missed by that, or
 * loaded with dlopen(3), costs a note and never a verdict. A library is asked what it needs and
 * whether it is Go's; its symbols say nothing of this program (libkrb5 imports res_search, and half
 * of the system's programs need libkrb5).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/program.h"
#include "tools/program_elf.h"

#define LIBRARIES_MAX 1024

/* Beginnings of library names and of symbols. A name that ends in "$" is meant as a whole. */
static const char *const resolver_libraries[] = {
    "libcares.so", "libunbound.so", "libadns.so", "libgetdns.so", "libldns.so", "libudns.so", NULL,
};
static const char *const resolver_symbols[] = {
    "ares_",	   "ub_resolve",     "adns_",	       "evdns_",
    "getdns_",	   "ldns_resolver_", "getaddrinfo_a$", "res_query$",
    "res_nquery$", "res_search$",    "res_nsearch$",   "res_send$",
    "res_nsend$",  "__res_query$",   "__res_nquery$",  NULL,
};
static const char *const uring_libraries[] = {"liburing", NULL};
static const char *const uring_symbols[] = {"io_uring_", NULL};

struct library {
	char *path;
	struct library *next;
};

struct search {
	struct program_note *notes, **end;
	struct library *libraries, **last;
	int n_libraries;
	int lost;
	bool resolver, uring, go; /* one note of each is enough */
};

static bool is_one_of(const char *name, const char *const *list)
{
	for (; *list; list++) {
		size_t len = strcspn(*list, "$");

		if (strncmp(name, *list, len) == 0 && (!(*list)[len] || !name[len]))
			return true;
	}
	return false;
}

__attribute__((format(printf, 3, 4))) static void note(struct search *search, const char *code,
						       const char *format, ...)
{
	struct program_note *new = malloc(sizeof(*new));
	va_list args;

	if (!new) {
		search->lost = 1;
		return;
	}
	new->code = code;
	new->next = NULL;
	va_start(args, format);
	vsnprintf(new->text, sizeof(new->text), format, args);
	va_end(args);
	*search->end = new;
	search->end = &new->next;
}

static void note_resolver(struct search *search, const char *what)
{
	if (!search->resolver)
		note(search, "resolver",
		     "it may ask a resolver of its own (%s), which knows no mesh host", what);
	search->resolver = true;
}

static void note_uring(struct search *search, const char *what)
{
	if (!search->uring)
		note(search, "io_uring",
		     "it may use io_uring (%s): a connect through it is not seen", what);
	search->uring = true;
}

static void see_symbol(void *context, const char *name)
{
	if (is_one_of(name, resolver_symbols))
		note_resolver(context, name);
	else if (is_one_of(name, uring_symbols))
		note_uring(context, name);
}

/* ---- libraries ---------------------------------------------------------------------------- */

static void add_library(struct search *search, const char *path)
{
	struct library *new = search->n_libraries < LIBRARIES_MAX ? malloc(sizeof(*new)) : NULL;

	if (new)
		new->path = strdup(path);
	if (!new || !new->path) {
		search->lost = 1;
		free(new);
		return;
	}
	new->next = NULL;
	search->n_libraries++;
	*search->last = new;
	search->last = &new->next;
}

static bool is_ours(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct elf elf;
	bool ours = fd >= 0 && elf_read(&elf, fd) == ELF_OURS;

	if (fd >= 0)
		close(fd);
	return ours;
}

/* Whether `name` is in a directory of a run path, with $ORIGIN for the directory of `owner`. */
static bool in_run_path(const char *run_path, const char *owner, const char *name, char *path,
			size_t size)
{
	const char *slash = strrchr(owner, '/');
	int n_origin = slash ? (int)(slash - owner) : 1;
	const char *origin = slash ? owner : ".";

	for (const char *dir = run_path; *dir;) {
		size_t len = strcspn(dir, ":"), origin_len = 0;

		if (!strncmp(dir, "$ORIGIN", strlen("$ORIGIN")))
			origin_len = strlen("$ORIGIN");
		else if (!strncmp(dir, "${ORIGIN}", strlen("${ORIGIN}")))
			origin_len = strlen("${ORIGIN}");
		if ((size_t)snprintf(path, size, "%.*s%.*s/%s", origin_len ? n_origin : 0, origin,
				     (int)(len - origin_len), dir + origin_len, name) < size &&
		    is_ours(path))
			return true;
		dir += len;
		dir += *dir == ':';
	}
	return false;
}

/* The directories in which the loader looked for our own libraries; those of every program. */
static bool in_own_path(const char *name, char *path, size_t size)
{
	void *self = dlopen(NULL, RTLD_LAZY);
	Dl_serinfo head, *info = NULL;
	bool found = false;

	if (self && dlinfo(self, RTLD_DI_SERINFOSIZE, &head) == 0)
		info = malloc(head.dls_size);
	if (info) {
		*info = head;
		if (dlinfo(self, RTLD_DI_SERINFO, info) < 0)
			info->dls_cnt = 0;
	}
	for (unsigned i = 0; info && i < info->dls_cnt && !found; i++)
		found = (size_t)snprintf(path, size, "%s/%s", info->dls_serpath[i].dls_name, name) <
			    size &&
			is_ours(path);
	free(info);
	if (self)
		dlclose(self);
	return found;
}

/* As the loader does, which takes one file for all that need the same name. */
static void find_library(struct search *search, const struct elf *elf, const char *owner,
			 const char *name)
{
	char run_path[PATH_MAX], path[PATH_MAX];
	size_t runpath_at = 0, rpath_at = 0;

	for (const struct library *known = search->libraries; known; known = known->next) {
		const char *slash = strrchr(known->path, '/');

		if (strcmp(strchr(name, '/') || !slash ? known->path : slash + 1, name) == 0)
			return;
	}
	if (strchr(name, '/')) {
		if (is_ours(name))
			add_library(search, name);
		return;
	}
	if ((elf_next_string(elf, DT_RUNPATH, &runpath_at, run_path, sizeof(run_path)) ||
	     elf_next_string(elf, DT_RPATH, &rpath_at, run_path, sizeof(run_path))) &&
	    in_run_path(run_path, owner, name, path, sizeof(path)))
		add_library(search, path);
	else if (in_own_path(name, path, sizeof(path)))
		add_library(search, path);
}

/* What one file, the program or a library, says. */
static void look_into(struct search *search, const char *path, bool is_library)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char name[PATH_MAX];
	struct elf elf;
	size_t at = 0;

	if (fd < 0)
		return;
	if (elf_read(&elf, fd) != ELF_OURS) {
		close(fd);
		return;
	}
	while (elf_next_string(&elf, DT_NEEDED, &at, name, sizeof(name))) {
		if (is_one_of(name, resolver_libraries))
			note_resolver(search, name);
		if (is_one_of(name, uring_libraries))
			note_uring(search, name);
		find_library(search, &elf, path, name);
	}
	if (!is_library)
		elf_each_name(&elf, see_symbol, search);
	if (is_library && elf.go && !search->go) {
		search->go = true;
		note(search, "go",
		     "its library %s is written in Go: what that connects is not seen", path);
	}
	close(fd);
}

struct program_note *program_notes(const struct program *program, int *lost)
{
	struct search search = {0};

	search.end = &search.notes;
	search.last = &search.libraries;
	if (strcmp(program->file, program->path) != 0)
		note(&search, "script",
		     "it is a script: its interpreter %s was looked at, and not what it starts",
		     program->file);
	look_into(&search, program->file, false);
	/* The list grows at its end while it is read. */
	for (const struct library *library = search.libraries; library; library = library->next)
		look_into(&search, library->path, true);
	while (search.libraries) {
		struct library *next = search.libraries->next;

		free(search.libraries->path);
		free(search.libraries);
		search.libraries = next;
	}
	*lost = search.lost;
	return search.notes;
}

void program_notes_free(struct program_note *notes)
{
	while (notes) {
		struct program_note *next = notes->next;

		free(notes);
		notes = next;
	}
}
