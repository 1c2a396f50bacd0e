/* SPDX-License-Identifier: Apache-2.0 */
/*
 * res_ninit(3) reads resolv.conf and the variables as libc does for itself; the state is our own,
 * so that the program's `_res` stays what it is. It takes some microseconds, a file only where
 * resolv.conf changed. The files of local names are read when a name was found, which is rare.
 */
#include "shim/search.h"

#include <limits.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/ascii.h"

#define BLANK " \t\r\n"

/* "name.domain"; false: no name has this length. */
static bool join(const char *name, const char *domain, char out[REGISTRY_NAME_MAX + 1])
{
	size_t len = strlen(name), more = strlen(domain);

	if (more == 0 || len + 1 + more > REGISTRY_NAME_MAX)
		return false;
	memcpy(out, name, len);
	out[len] = '.';
	memcpy(out + len + 1, domain, more + 1);
	return true;
}

/* Whether a name belongs to an exact host, or to any. */
static bool knows(const struct rules *rules, const char *name, bool wildcards)
{
	const struct rules_host *host = rules_find_host(rules, name);

	return host && (wildcards || !host->wildcard);
}

/* ---- names of this machine -------------------------------------------------------------- */

/* What a line says: with `target`, the second word of the line that begins with the name
 * (hostname(7), HOSTALIASES); without, whether the name is a word after the first (hosts(5)). */
static bool line_has(char *line, const char *name, char *target)
{
	char *rest = NULL;

	line[strcspn(line, "#")] = '\0';
	const char *first = strtok_r(line, BLANK, &rest);
	const char *word = first ? strtok_r(NULL, BLANK, &rest) : NULL;

	if (target) {
		if (!word || !ascii_equal_nocase(first, name) || strlen(word) > REGISTRY_NAME_MAX)
			return false;
		memcpy(target, word, strlen(word) + 1);
		return true;
	}
	while (word && !ascii_equal_nocase(word, name))
		word = strtok_r(NULL, BLANK, &rest);
	return word != NULL;
}

static bool file_has(const char *path, const char *name, char *target)
{
	FILE *file = fopen(path, "rce");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (!file)
		return false;
	while (!found && getline(&line, &size, file) >= 0)
		found = line_has(line, name, target);
	free(line);
	fclose(file);
	return found;
}

static bool is_local(const char *name)
{
	char here[HOST_NAME_MAX + 1];

	if (gethostname(here, sizeof(here)) == 0 && ascii_equal_nocase(name, here))
		return true;
	return ascii_equal_nocase(name, "localhost") || file_has("/etc/hosts", name, NULL);
}

/* ---- the search ------------------------------------------------------------------------- */

/* What comes out of adding something to a name that is not whole. */
static bool extend(const struct rules *rules, const struct __res_state *state, const char *name,
		   char found[REGISTRY_NAME_MAX + 1])
{
	bool dots = strchr(name, '.');
	const char *aliases = dots ? NULL : secure_getenv("HOSTALIASES");

	if (aliases && !(state->options & RES_NOALIASES) && file_has(aliases, name, found))
		return knows(rules, found, true);
	if (!(state->options & (dots ? RES_DNSRCH : RES_DNSRCH | RES_DEFNAMES)))
		return false;
	for (int i = 0; i < MAXDNSRCH && state->dnsrch[i]; i++)
		if (join(name, state->dnsrch[i], found) && knows(rules, found, !dots))
			return true;
	return false;
}

static bool reduce(const struct rules *rules, const struct __res_state *state, const char *name,
		   char found[REGISTRY_NAME_MAX + 1])
{
	const char *domain = state->dnsrch[0];
	size_t len = strlen(name), tail = domain ? strlen(domain) : 0;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (tail == 0 || len <= tail + 1 || len > REGISTRY_NAME_MAX ||
	    name[len - tail - 1] != '.' || !ascii_equal_nocase_n(name + len - tail, domain, tail))
		return false;
	memcpy(found, name, len - tail - 1);
	found[len - tail - 1] = '\0';
	return knows(rules, found, false);
}

bool search_find(const struct rules *rules, const char *name, char found[REGISTRY_NAME_MAX + 1])
{
	struct __res_state state = {0};
	size_t len = strlen(name);
	bool whole = len > 0 && name[len - 1] == '.';

	if (rules_n_hosts(rules) == 0 || res_ninit(&state) < 0)
		return false;
	bool any = (!whole && extend(rules, &state, name, found)) ||
		   reduce(rules, &state, name, found);

	res_nclose(&state);
	return any && !is_local(name);
}
