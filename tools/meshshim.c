/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meshshim: run a program with libmeshshim.so preloaded. See meshshim.1.
 *
 * The dynamic loader runs a program even when it could not preload what it was told to, and drops
 * LD_PRELOAD silently for setuid programs. So everything that can go wrong is looked at before:
 * the rules, the program, the library's path. What is left is one execv(2).
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"
#include "tools/program.h"

#ifndef LIBDIR
#define LIBDIR "/usr/local/lib"
#endif
#define LIBRARY "libmeshshim.so"

enum {
	EXIT_RULES = 1, /* the rules are not valid */
	EXIT_USAGE = 2,
};

static const char usage_text[] = "usage: meshshim [-r RULES] [-fv] [--] PROGRAM [ARG...]\n";

static const char help_text[] =
    "Run PROGRAM with the egress behaviour that the rule files describe.\n"
    "\n"
    "  -r, --rules RULES  rule files and directories, colon-separated ($MESHSHIM_RULES)\n"
    "  -f, --follow       also into programs that are run with an environment of their own\n"
    "  -v, --verbose      show warnings about the rules; log what the shim does\n"
    "  -h, --help         show this text\n"
    "      --version      show the version\n"
    "\n"
    "Exit status: PROGRAM's own; 1: the rules are not valid; 2: wrong usage; 126: PROGRAM\n"
    "cannot be run or not be intercepted; 127: PROGRAM was not found.\n";

/* printf(3)-like text in memory of its own; ends the program when there is none. */
__attribute__((format(printf, 1, 2))) static char *format(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0) {
		fprintf(stderr, "meshshim: out of memory\n");
		exit(PROGRAM_UNFIT);
	}
	return text;
}

static void set_variable(const char *name, const char *value, int overwrite)
{
	if (setenv(name, value, overwrite) < 0) {
		fprintf(stderr, "meshshim: %s: %s\n", name, strerror(errno));
		exit(PROGRAM_UNFIT);
	}
}

/*
 * The list of rule files with every path absolute, because the program may change its directory
 * before they are read. Symbolic links stay: a reload is to follow them anew. NULL: the working
 * directory cannot be named in such a list.
 */
static char *absolute_rules(const char *rules)
{
	char *cwd = getcwd(NULL, 0), *list = format("%s", "");

	while (*rules) {
		int len = (int)strcspn(rules, ":");
		char *longer;

		if (len > 0 && *rules != '/' && (!cwd || strchr(cwd, ':'))) {
			free(list);
			list = NULL;
			break;
		}
		if (len > 0) {
			longer =
			    format("%s%s%s%s%.*s", list, *list ? ":" : "", *rules == '/' ? "" : cwd,
				   *rules == '/' ? "" : "/", len, rules);
			free(list);
			list = longer;
		}
		rules += len;
		rules += *rules == ':';
	}
	free(cwd);
	return list;
}

/* Validate. Errors are always shown, warnings when asked for. Returns 0 or -1. */
static int check_rules(const char *list, bool verbose)
{
	struct diags diags;
	struct rules *rules;
	int result;

	diags_init(&diags);
	rules = rules_load(list, &diags);
	/* The library refuses what its bridge would leave undone: better said before the program
	 * runs. */
	if (rules && rules_gaps(rules, SEVERITY_REJECTED, &diags)) {
		rules_unref(rules);
		rules = NULL;
	}
	for (const struct diag *diag = diags.first; diag; diag = diag->next) {
		char line[4096];

		if (diag->severity > SEVERITY_ERROR && !verbose)
			continue;
		diag_format(diag, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
	if (diags.lost)
		fprintf(stderr, "meshshim: out of memory\n");
	result = rules ? 0 : -1;
	rules_unref(rules);
	diags_release(&diags);
	return result;
}

/* The library beside this executable, else in ../lib, else where `make install` puts it. The path
 * is absolute and free of links; NULL: there is none. */
static char *find_library(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *places[3], *library = NULL;

	self[n > 0 ? n : 0] = '\0';
	self[strrchr(self, '/') ? strrchr(self, '/') - self : 0] = '\0';
	places[0] = format("%s/" LIBRARY, self);
	places[1] = format("%s/../lib/" LIBRARY, self);
	places[2] = format(LIBDIR "/" LIBRARY);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!library && access(places[i], R_OK) == 0)
			library = realpath(places[i], NULL);
		free(places[i]);
	}
	return library;
}

/* What the command line says. */
struct options {
	const char *rules;
	bool follow;
	bool verbose;
};

/* LD_PRELOAD with the library at its end; what is there already stays in front of it. */
static void preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *list;

	if (!old || !*old) {
		set_variable("LD_PRELOAD", library, 1);
		return;
	}
	list = format(":%s:", old);
	for (char *p = list; *p; p++)
		if (*p == ' ')
			*p = ':';
	char *entry = format(":%s:", library);
	if (!strstr(list, entry)) {
		free(list);
		list = format("%s:%s", old, library);
		set_variable("LD_PRELOAD", list, 1);
	}
	free(entry);
	free(list);
}

static void parse_options(int argc, char **argv, struct options *chosen)
{
	static const struct option options[] = {
	    {"follow", no_argument, NULL, 'f'},
	    {"rules", required_argument, NULL, 'r'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	/* "+": the first word that is no option is the program. */
	while ((option = getopt_long(argc, argv, "+r:fvh", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			chosen->rules = optarg;
			break;
		case 'f':
			chosen->follow = true;
			break;
		case 'v':
			chosen->verbose = true;
			break;
		case 'h':
			printf("%s%s", usage_text, help_text);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("meshshim %s\n", VERSION);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage_text, stderr);
			exit(EXIT_USAGE);
		}
	}
}

int main(int argc, char **argv)
{
	struct options chosen = {.rules = getenv("MESHSHIM_RULES")};
	enum program_status status;
	struct program program;
	char *list, *library;

	parse_options(argc, argv, &chosen);
	const char *rules = chosen.rules;
	if (optind >= argc) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	list = rules ? absolute_rules(rules) : NULL;
	if (!list || !*list) {
		if (rules && *rules)
			fprintf(stderr,
				"meshshim: %s: the working directory's name has a colon; give "
				"absolute paths\n",
				rules);
		else
			fprintf(stderr,
				"meshshim: no rules: give -r RULES or set MESHSHIM_RULES\n");
		return EXIT_USAGE;
	}
	if (check_rules(list, chosen.verbose) < 0)
		return EXIT_RULES;

	status = program_find(argv[optind], &program);
	if (status == PROGRAM_OK)
		status = program_check(&program);
	if (status != PROGRAM_OK) {
		fprintf(stderr, "meshshim: %s: %s\n", argv[optind], program.why);
		return status;
	}

	library = find_library();
	if (!library) {
		fprintf(stderr,
			"meshshim: " LIBRARY " is neither beside meshshim, nor in ../lib, nor "
			"in " LIBDIR "\n");
		return PROGRAM_UNFIT;
	}
	if (strpbrk(library, " :")) {
		fprintf(stderr,
			"meshshim: %s: LD_PRELOAD cannot hold a path with a space or a colon\n",
			library);
		return PROGRAM_UNFIT;
	}
	preload(library);
	set_variable("MESHSHIM_RULES", list, 1);
	if (chosen.follow)
		set_variable("MESHSHIM_FOLLOW", "1", 1);
	if (chosen.verbose)
		set_variable("MESHSHIM_LOG_LEVEL", "info", 0);

	execv(program.path, argv + optind);
	status = errno == ENOENT ? PROGRAM_MISSING : PROGRAM_UNFIT;
	fprintf(stderr, "meshshim: %s: %s\n", argv[optind], strerror(errno));
	return status;
}
