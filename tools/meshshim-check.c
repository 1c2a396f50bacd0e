/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meshshim-check: validates rule files and explains what they would do. See meshshim-check(1).
 *
 * Diagnostics go to standard error, or as JSON to standard output; answers go to standard output.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/diag.h"
#include "rules/dump.h"
#include "rules/graph.h"
#include "rules/keys.h"
#include "tools/check_app.h"
#include "tools/check_explain.h"
#include "tools/check_json.h"
#include "tools/check_quote.h"

enum {
	EXIT_USABLE = 0,
	EXIT_ERRORS = 1,
	EXIT_USAGE = 2,
};

enum mode {
	MODE_VALIDATE,
	MODE_EXPLAIN,
	MODE_DUMP,
	MODE_GRAPH,
	MODE_APP,
};

struct options {
	bool strict, json, quiet;
	enum mode mode;
	char *paths;	 /* colon-separated; malloc'd */
	const char *app; /* --app's program */
	struct explain_request request;
};

static const char usage_text[] =
    "usage: meshshim-check [--strict] [--format text|json] [-q] [RULES...]\n"
    "       meshshim-check --explain [METHOD] URL [-H 'Name: value']... [RULES...]\n"
    "       meshshim-check --dump [--format text|json] [RULES...]\n"
    "       meshshim-check --graph [RULES...]\n"
    "       meshshim-check --app [--format text|json] [-q] PROGRAM\n"
    "       meshshim-check --keys\n"
    "\n"
    "Validates rule files, or explains what would happen to a request. RULES are files and\n"
    "directories; without any, $MESHSHIM_RULES is used.\n"
    "\n"
    "  --strict              warnings count as errors\n"
    "  --format text|json    json: on standard output, for programs\n"
    "  -q, --quiet           errors only; no notes\n"
    "  --explain             say where a request would go, and why; nothing is sent\n"
    "  -H 'Name: value'      a header of that request\n"
    "  --dump                the rule set as read: a rule file in canonical form, or JSON\n"
    "  --graph               hosts, routes, destinations and TLS, for Graphviz (dot)\n"
    "  --app                 say whether a program can be intercepted, and why not\n"
    "  --keys                list the keys that rule files may hold\n"
    "  -h, --help            this text\n"
    "  --version             the version\n"
    "\n"
    "Exit status: 0 the rules have no errors (for --explain, --dump, --graph: can be used; for\n"
    "--app: the program can be intercepted), 1 they have (it cannot), 2 wrong usage.\n";

static int usage_error(const char *what, const char *detail)
{
	fprintf(stderr, "meshshim-check: %s%s%s\nTry 'meshshim-check --help'.\n", what,
		detail ? ": " : "", detail ? detail : "");
	return EXIT_USAGE;
}

/* ---- diagnostics -------------------------------------------------------------------------- */

static bool is_shown(const struct diag *diag, const struct options *options)
{
	if (diag->severity <= SEVERITY_ERROR)
		return true;
	return !options->quiet || (options->strict && diag->severity == SEVERITY_WARNING);
}

static void print_text(const struct diags *diags, const struct options *options)
{
	struct quote quote = {0};

	for (const struct diag *diag = diags->first; diag; diag = diag->next) {
		char line[8192];

		if (!is_shown(diag, options))
			continue;
		diag_format(diag, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		quote_print(&quote, diag->file, diag->line, stderr);
	}
	quote_release(&quote);
}

static void print_json(const struct diags *diags, const struct options *options)
{
	const char *separator = "";

	putchar('[');
	for (const struct diag *diag = diags->first; diag; diag = diag->next) {
		if (!is_shown(diag, options))
			continue;
		printf("%s\n  { \"file\": ", separator);
		json_text(diag->file);
		if (diag->line)
			printf(", \"line\": %d", diag->line);
		else
			fputs(", \"line\": null", stdout);
		printf(", \"severity\": \"%s\", \"code\": ", severity_name(diag->severity));
		json_text(diag->code);
		fputs(", \"resource\": ", stdout);
		json_text(diag->resource);
		fputs(", \"message\": ", stdout);
		json_text(diag->text);
		fputs(" }", stdout);
		separator = ",";
	}
	puts(*separator ? "\n]" : "]");
}

/* ---- the modes ---------------------------------------------------------------------------- */

/* Returns 0, or -1: out of memory. */
static int answer(const struct rules *rules, struct options *options)
{
	switch (options->mode) {
	case MODE_EXPLAIN:
		explain_find_address(rules, &options->request);
		if (options->json)
			explain_json(rules, &options->request);
		else
			explain_text(rules, &options->request);
		return 0;
	case MODE_DUMP:
		return options->json ? rules_dump_json(rules, stdout) : rules_dump(rules, stdout);
	case MODE_GRAPH:
		return rules_graph(rules, stdout);
	case MODE_VALIDATE:
	case MODE_APP:
		break;
	}
	return 0;
}

static int run(struct options *options)
{
	bool validate = options->mode == MODE_VALIDATE;
	struct diags diags;
	struct rules *rules;
	int status = EXIT_ERRORS;

	diags_init(&diags);
	rules = rules_load(options->paths, &diags);
	if (validate && rules)
		rules_gaps(rules, SEVERITY_INFO, &diags);
	/* An answer has standard output to itself. */
	if (options->json && validate)
		print_json(&diags, options);
	else
		print_text(&diags, options);
	if (diags.lost)
		fputs("error: out of memory\n", stderr);
	/* An answer counts; what could be said against the rules was said. */
	if (rules && (!validate || (!diags.errors && !(options->strict && diags.warnings))))
		status = EXIT_USABLE;
	if (rules && answer(rules, options) < 0 && !ferror(stdout)) {
		fprintf(stderr, "meshshim-check: %s\n", strerror(errno));
		status = EXIT_ERRORS;
	}
	rules_unref(rules);
	diags_release(&diags);
	return status;
}

static int run_app(const struct options *options)
{
	return app_report(options->app, options->json, options->quiet) ? EXIT_USABLE : EXIT_ERRORS;
}

/* ---- command line ------------------------------------------------------------------------- */

static void print_key(void *context, const char *message, const char *key)
{
	(void)context;
	printf("%s%s%s\n", message, *message ? "." : "", key);
}

static bool is_method(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!ascii_is_alnum(*c) && !strchr("!#$%&'*+-.^_`|~", *c))
			return false;
	return *text;
}

/* [METHOD] URL come before the rule files. Returns how many arguments they are, or -1. */
static int take_request(struct options *options, char *const *args, int n)
{
	int at = 0;
	const char *wrong;

	options->request.method = "GET";
	if (n > 1 && is_method(args[0]) && strstr(args[1], "://"))
		options->request.method = args[at++];
	if (at >= n) {
		usage_error("--explain needs a URL", NULL);
		return -1;
	}
	wrong = explain_set_url(&options->request, args[at]);
	if (wrong) {
		usage_error(wrong, args[at]);
		return -1;
	}
	return at + 1;
}

/* RULES, one or several, as the list that rules_load() takes. */
static int take_paths(struct options *options, char *const *args, int n)
{
	const char *environment = getenv("MESHSHIM_RULES");
	size_t size = 1;
	char *end;

	if (!n && (!environment || !*environment))
		return usage_error("no rule file given, and MESHSHIM_RULES is not set", NULL);
	if (!n)
		size += strlen(environment);
	for (int i = 0; i < n; i++)
		size += strlen(args[i]) + 1;
	options->paths = malloc(size);
	if (!options->paths) {
		fputs("meshshim-check: out of memory\n", stderr);
		return EXIT_ERRORS;
	}
	end = stpcpy(options->paths, n ? "" : environment);
	for (int i = 0; i < n; i++)
		end = stpcpy(stpcpy(end, i ? ":" : ""), args[i]);
	return EXIT_USABLE;
}

static int take_positional(struct options *options, char *const *args, int n, char *const *headers,
			   int n_headers)
{
	int used = 0;

	if (options->mode == MODE_GRAPH && options->json)
		return usage_error("--graph has no JSON form", NULL);
	if (options->mode == MODE_EXPLAIN) {
		used = take_request(options, args, n);
		if (used < 0)
			return EXIT_USAGE;
	} else if (n_headers) {
		return usage_error("-H belongs to --explain", NULL);
	}
	for (int i = 0; i < n_headers; i++) {
		const char *wrong = explain_add_header(&options->request, headers[i]);

		if (wrong)
			return usage_error(wrong, headers[i]);
	}
	if (options->mode == MODE_APP) {
		if (n != 1)
			return usage_error("--app needs one program", NULL);
		options->app = args[0];
		return EXIT_USABLE;
	}
	return take_paths(options, args + used, n - used);
}

static int set_format(struct options *options, const char *name)
{
	options->json = !strcmp(name, "json");
	if (!options->json && strcmp(name, "text") != 0)
		return usage_error("--format is text or json, not", name);
	return EXIT_USABLE;
}

enum {
	OPTION_STRICT = 256,
	OPTION_FORMAT,
	OPTION_EXPLAIN,
	OPTION_DUMP,
	OPTION_GRAPH,
	OPTION_APP,
	OPTION_KEYS,
	OPTION_VERSION,
};

static int set_mode(struct options *options, int option)
{
	enum mode mode = option == OPTION_EXPLAIN ? MODE_EXPLAIN
			 : option == OPTION_DUMP  ? MODE_DUMP
			 : option == OPTION_GRAPH ? MODE_GRAPH
						  : MODE_APP;

	if (options->mode != MODE_VALIDATE && options->mode != mode)
		return usage_error("only one of --explain, --dump, --graph and --app can be given",
				   NULL);
	options->mode = mode;
	return EXIT_USABLE;
}

static const struct option long_options[] = {
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"quiet", no_argument, NULL, 'q'},
    {"explain", no_argument, NULL, OPTION_EXPLAIN},
    {"dump", no_argument, NULL, OPTION_DUMP},
    {"graph", no_argument, NULL, OPTION_GRAPH},
    {"app", no_argument, NULL, OPTION_APP},
    {"keys", no_argument, NULL, OPTION_KEYS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* Returns an exit status, or -1: go on. Headers are kept until the URL is known. */
static int parse_options(int argc, char **argv, struct options *options, char **headers,
			 int *n_headers)
{
	int option;

	while ((option = getopt_long(argc, argv, "hqH:", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_STRICT:
			options->strict = true;
			break;
		case OPTION_FORMAT:
			if (set_format(options, optarg) != EXIT_USABLE)
				return EXIT_USAGE;
			break;
		case 'q':
			options->quiet = true;
			break;
		case OPTION_EXPLAIN:
		case OPTION_DUMP:
		case OPTION_GRAPH:
		case OPTION_APP:
			if (set_mode(options, option) != EXIT_USABLE)
				return EXIT_USAGE;
			break;
		case 'H':
			headers[(*n_headers)++] = optarg;
			break;
		case OPTION_KEYS:
			rules_keys(print_key, NULL);
			return EXIT_USABLE;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_USABLE;
		case OPTION_VERSION:
			puts("meshshim-check " VERSION);
			return EXIT_USABLE;
		default:
			fputs("Try 'meshshim-check --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	char **headers = calloc((size_t)argc, sizeof(*headers));
	int n_headers = 0, status = EXIT_ERRORS;

	if (!headers)
		fputs("meshshim-check: out of memory\n", stderr);
	else
		status = parse_options(argc, argv, &options, headers, &n_headers);
	if (status < 0)
		status =
		    take_positional(&options, argv + optind, argc - optind, headers, n_headers);
	else
		goto out;
	if (status == EXIT_USABLE)
		status = options.app ? run_app(&options) : run(&options);
out:
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("meshshim-check: standard output");
		status = EXIT_ERRORS;
	}
	free(options.request.target);
	free(options.paths);
	free(headers);
	return status;
}
