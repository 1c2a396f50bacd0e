/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader's rules apply: of several LD_PRELOAD in one environment the last counts, and its
 * entries are parted by colons and spaces. An entry is ours if its last component is the name of our
 * file: nobody wants two builds of it in one process.
 */
#include "shim/follow.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/log.h"
#include "shim/mesh.h"

#define PRELOAD "LD_PRELOAD="
#define RULES   "MESHSHIM_RULES="
#define LOG     "MESHSHIM_LOG="
#define OURS    "MESHSHIM_"

/* Set by the constructor, then constant. */
static bool wanted;
static char *preload;    /* "LD_PRELOAD=entry" */
static const char *base; /* the last component of the entry */
static char **variables; /* every MESHSHIM_ variable */
static size_t n_variables;

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Whether two NAME=value have one name. */
static bool same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return a[len] && strncmp(a, b, len + 1) == 0;
}

/* ---- at start ---------------------------------------------------------------------------- */

static char *join(const char *a, const char *b, const char *c)
{
	char *text = malloc(strlen(a) + strlen(b) + strlen(c) + 1);

	if (text)
		stpcpy(stpcpy(stpcpy(text, a), b), c);
	return text;
}

/* A path under the current directory of now, unless LD_PRELOAD cannot hold that one's name. */
static char *absolute(const char *name, const char *path)
{
	char here[PATH_MAX];

	if (*path == '/' || !getcwd(here, sizeof(here) - 1) || strpbrk(here, ": "))
		return join(name, path, "");
	strcat(here, "/");
	return join(name, here, path);
}

/* A relative name in a variable would mean another file in another directory. */
static char *copy_variable(const char *variable)
{
	if (starts_with(variable, RULES))
		return mesh_paths() ? join(RULES, mesh_paths(), "") : NULL;
	if (starts_with(variable, LOG) && log_file())
		return join(LOG, log_file(), "");
	return strdup(variable);
}

static bool take_note(void)
{
	Dl_info self;
	size_t n = 0;

	if (!dladdr((void *)follow_init, &self) || !self.dli_fname)
		return false;
	preload = absolute(PRELOAD, self.dli_fname);
	for (char **env = environ; *env; env++)
		n += starts_with(*env, OURS);
	variables = calloc(n + 1, sizeof(*variables));
	if (!preload || !variables)
		return false;
	base = strrchr(preload, '/') ? strrchr(preload, '/') + 1 : preload + strlen(PRELOAD);
	for (char **env = environ; *env && n_variables < n; env++) {
		if (!starts_with(*env, OURS))
			continue;
		variables[n_variables] = copy_variable(*env);
		if (!variables[n_variables++])
			return false;
	}
	return true;
}

void follow_init(void)
{
	const char *follow = secure_getenv("MESHSHIM_FOLLOW");
	int saved = errno;

	if (!mesh_active() || !follow || strcmp(follow, "1") != 0)
		return;
	wanted = take_note();
	if (!wanted)
		log_error("MESHSHIM_FOLLOW: out of memory: programs with an environment of their "
			  "own are not followed");
	errno = saved;
}

bool follow_wanted(void)
{
	return wanted;
}

/* ---- at exec(2) -------------------------------------------------------------------------- */

/* What an environment has. */
struct look {
	size_t count;     /* variables */
	size_t preload;   /* the number of the LD_PRELOAD that counts; `count`: there is none */
	bool complete;    /* nothing to do */
};

static bool has_entry(const char *list)
{
	const size_t len = strlen(base);

	while (*list) {
		const char *entry = list;
		size_t entry_len = strcspn(list, ": ");

		list += entry_len + (list[entry_len] != '\0');
		if (entry_len >= len && memcmp(entry + entry_len - len, base, len) == 0 &&
		    (entry_len == len || entry[entry_len - len - 1] == '/'))
			return true;
	}
	return false;
}

static struct look look_at(char *const env[])
{
	struct look look = {0};
	bool rules = false, disabled = false;

	look.preload = SIZE_MAX;
	for (; env && env[look.count]; look.count++) {
		const char *variable = env[look.count];

		if (starts_with(variable, PRELOAD))
			look.preload = look.count;
		rules |= starts_with(variable, RULES);
		disabled |= strcmp(variable, "MESHSHIM_DISABLE=1") == 0;
	}
	bool preloaded = look.preload != SIZE_MAX &&
			 has_entry(env[look.preload] + strlen(PRELOAD));

	if (look.preload == SIZE_MAX)
		look.preload = look.count;
	look.complete = disabled || (rules && preloaded);
	return look;
}

/* The LD_PRELOAD that is to be written anew, or NULL. */
static const char *list_to_extend(char *const env[], const struct look *look)
{
	if (look->preload == look->count)
		return NULL;
	const char *variable = env[look->preload];

	return variable[strlen(PRELOAD)] && !has_entry(variable + strlen(PRELOAD)) ? variable
										    : NULL;
}

size_t follow_size(char *const env[])
{
	struct look look = look_at(env);

	if (look.complete)
		return 0;
	const char *list = list_to_extend(env, &look);
	size_t size = (look.count + n_variables + 2) * sizeof(char *) +
		      (list ? strlen(list) + strlen(preload) + 1 : 0);

	if (size <= FOLLOW_STACK_MAX)
		return size;
	log_warn("MESHSHIM_FOLLOW: an environment too large to be completed is passed on as it is");
	return 0;
}

static bool has_variable(char *const env[], size_t count, const char *variable)
{
	for (size_t i = 0; i < count; i++)
		if (same_name(variable, env[i]))
			return true;
	return false;
}

char *const *follow_fill(char *const env[], void *memory, size_t size)
{
	struct look look = look_at(env);
	const char *list = list_to_extend(env, &look);
	const size_t head = (look.count + n_variables + 2) * sizeof(char *);
	char **new = memory, *text = (char *)memory + head;
	size_t n = look.count;

	if (head + (list ? strlen(list) + strlen(preload) + 1 : 0) > size)
		return env; /* another thread calls setenv(3) */
	for (size_t i = 0; i < look.count; i++)
		new[i] = env[i];
	if (list) {
		new[look.preload] = text;
		stpcpy(stpcpy(stpcpy(text, list), ":"), preload + strlen(PRELOAD));
	} else if (look.preload == look.count) {
		new[n++] = preload;
	} else if (!env[look.preload][strlen(PRELOAD)]) {
		new[look.preload] = preload;
	}
	for (size_t i = 0; i < n_variables; i++)
		if (!has_variable(env, look.count, variables[i]))
			new[n++] = variables[i];
	new[n] = NULL;
	return new;
}
