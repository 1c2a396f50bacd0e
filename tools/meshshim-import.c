/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meshshim-import: Istio's resources, as YAML or JSON, become a rule file. See meshshim-import(1).
 *
 * Everything is read and written in memory before a file is touched.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/check_quote.h"
#include "tools/import.h"
#include "tools/import_output.h"

enum {
	EXIT_DONE = 0,
	EXIT_ERRORS = 1,
	EXIT_USAGE = 2,
};

struct input {
	const char *name;   /* as it is shown */
	struct quote quote; /* has the text, as a pipe cannot be read twice; NULL: not read */
	bool binary;	    /* has NUL bytes: UTF-16 is read, but not shown */
};

struct options {
	const char *output; /* "-": standard output */
	bool keep_going, quiet;
	struct input *inputs;
	size_t n_inputs;
};

static const char usage_text[] =
    "usage: meshshim-import [-o FILE] [--keep-going] [-q] [YAML...]\n"
    "\n"
    "Reads Istio's ServiceEntries, VirtualServices, DestinationRules and MeshConfig from YAML or\n"
    "JSON and writes a rule file for meshshim. Without YAML, or for \"-\", standard input is "
    "read.\n"
    "\n"
    "  -o, --output FILE     write there, whole or not at all; without it, to standard output\n"
    "  --keep-going          leave out resources with errors and write the others\n"
    "  -q, --quiet           errors only\n"
    "  -h, --help            this text\n"
    "  --version             the version\n"
    "\n"
    "Exit status: 0 all was imported, 1 there were errors, 2 wrong usage.\n";

/* ---- diagnostics -------------------------------------------------------------------------- */

static size_t rank(const void *context, const char *file)
{
	const struct options *options = context;
	size_t i = 0;

	while (i < options->n_inputs && strcmp(options->inputs[i].name, file) != 0)
		i++;
	return i;
}

/* The line that a diagnostic is about. Notes are about whole resources. */
static void quote(struct options *options, const struct diag *diag)
{
	size_t i;

	if (!diag->file || diag->severity == SEVERITY_INFO)
		return;
	i = rank(options, diag->file);
	if (i < options->n_inputs && options->inputs[i].quote.text && !options->inputs[i].binary)
		quote_print(&options->inputs[i].quote, diag->file, diag->line, stderr);
}

/* Errors are not crowded out by what is none, nor the other way round. */
static void print_diags(struct options *options, struct diags *diags)
{
	size_t errors = 0, others = 0, more = 0;

	for (const struct diag *diag = diags->first; diag; diag = diag->next) {
		bool error = diag->severity <= SEVERITY_ERROR;
		char line[4096];

		if (options->quiet && !error)
			continue;
		if ((error ? errors++ : others++) >= DIAGS_MAX) {
			more++;
			continue;
		}
		diag_format(diag, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		quote(options, diag);
	}
	if (more)
		fprintf(stderr, "... and %zu more%s\n", more,
			errors > DIAGS_MAX && others > DIAGS_MAX ? ", errors among them"
			: errors > DIAGS_MAX			 ? " errors"
								 : ", no errors");
	if (diags->lost)
		fputs("error: out of memory\n", stderr);
}

/* ---- the work ----------------------------------------------------------------------------- */

static void read_input(struct input *input, struct import *import)
{
	struct quote *quoted = &input->quote;
	const char *wrong = input_read(input->name, &quoted->text, &quoted->len);
	struct where where = {NULL, 0};

	if (!strcmp(input->name, "-"))
		input->name = "<stdin>";
	where.file = input->name;
	if (wrong) {
		diag_add(&import->diags, SEVERITY_REJECTED, &where, "%s", wrong);
		return;
	}
	quoted->file = strdup(input->name);
	quoted->line = 1;
	if (!quoted->file)
		import_oom(import);
	input->binary = !quoted->file || memchr(quoted->text, 0, quoted->len);
	import_text(import, input->name, quoted->text, quoted->len);
}

static void read_inputs(struct options *options, struct import *import)
{
	for (size_t i = 0; i < options->n_inputs; i++)
		read_input(&options->inputs[i], import);
	/* A command that failed to print anything, or the wrong file, must not empty a rule file. */
	if (import->diags.rejected || import->taken)
		return;
	diag_add(&import->diags, SEVERITY_REJECTED, NULL,
		 import->any ? "nothing to import: no ServiceEntry, VirtualService, "
			       "DestinationRule or MeshConfig in the input"
			     : "no resources in the input");
}

/* Returns the input that the output would take the place of; NULL: none. */
static const char *replaced_input(const struct options *options)
{
	struct stat output, input;

	if (!strcmp(options->output, "-") || stat(options->output, &output) < 0 ||
	    !S_ISREG(output.st_mode))
		return NULL;
	for (size_t i = 0; i < options->n_inputs; i++)
		if (!stat(options->inputs[i].name, &input) && input.st_dev == output.st_dev &&
		    input.st_ino == output.st_ino)
			return options->inputs[i].name;
	return NULL;
}

static int write_rules(const struct options *options, const struct import *import)
{
	const char *wrong = "out of memory";
	size_t len = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);
	int status = out ? import_write(import, options->keep_going, out) : -1;

	if (out && fclose(out) != 0)
		status = -1;
	if (!status)
		wrong = output_write(options->output, text, len);
	free(text);
	if (!wrong)
		return EXIT_DONE;
	fprintf(stderr, "meshshim-import: %s: %s\n",
		strcmp(options->output, "-") != 0 ? options->output : "standard output", wrong);
	return EXIT_ERRORS;
}

static int run(struct options *options)
{
	int status = EXIT_ERRORS;
	struct import import;

	if (import_init(&import) < 0) {
		fputs("meshshim-import: out of memory\n", stderr);
		import_release(&import);
		return EXIT_ERRORS;
	}
	read_inputs(options, &import);
	import_finish(&import);
	if (options->keep_going && !import.taken)
		diag_add(&import.diags, SEVERITY_INFO, NULL,
			 "nothing is written, as no resource could be taken");
	diags_sort(&import.diags, rank, options);
	/* Whatever was lost for want of memory, no one knows what it was. */
	if (import.diags.lost || import.rules->region.failed)
		import_oom(&import);
	else if (!import.diags.rejected || (options->keep_going && import.taken))
		status = write_rules(options, &import);
	if (import.diags.rejected)
		status = EXIT_ERRORS;
	print_diags(options, &import.diags);
	import_release(&import);
	return status;
}

/* ---- command line ------------------------------------------------------------------------- */

enum {
	OPTION_KEEP_GOING = 256,
	OPTION_VERSION,
};

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* Returns an exit status, or -1: go on. */
static int parse_options(int argc, char **argv, struct options *options)
{
	int option;

	options->output = "-";
	while ((option = getopt_long(argc, argv, "ho:q", long_options, NULL)) != -1) {
		switch (option) {
		case 'o':
			options->output = optarg;
			break;
		case OPTION_KEEP_GOING:
			options->keep_going = true;
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_DONE;
		case OPTION_VERSION:
			puts("meshshim-import " VERSION);
			return EXIT_DONE;
		default:
			fputs("Try 'meshshim-import --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = parse_options(argc, argv, &options);
	const char *same;

	if (status >= 0)
		return status;
	options.n_inputs = argc > optind ? (size_t)(argc - optind) : 1;
	options.inputs = calloc(options.n_inputs, sizeof(*options.inputs));
	if (!options.inputs) {
		fputs("meshshim-import: out of memory\n", stderr);
		return EXIT_ERRORS;
	}
	options.inputs[0].name = "-";
	for (int i = optind; i < argc; i++)
		options.inputs[i - optind].name = argv[i];
	same = replaced_input(&options);
	if (same)
		fprintf(stderr, "meshshim-import: %s is both input and output\n", same);
	status = same ? EXIT_USAGE : run(&options);
	for (size_t i = 0; i < options.n_inputs; i++)
		quote_release(&options.inputs[i].quote);
	free(options.inputs);
	return status;
}
