/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/check_app.h"

#include <stdio.h>

#include "tools/check_json.h"
#include "tools/program.h"

static void report_text(const char *name, const struct program *program,
			const struct program_note *notes)
{
	if (program->reason)
		printf("%s: cannot be intercepted: %s\n", name, program->why);
	else
		printf("%s: can be intercepted\n", name);
	for (; notes; notes = notes->next)
		printf("  note: %s\n", notes->text);
}

static void report_json(const char *name, const struct program *program,
			const struct program_note *notes)
{
	const char *separator = "";

	fputs("{ \"program\": ", stdout);
	json_text(name);
	fputs(", \"path\": ", stdout);
	json_text(program->path[0] ? program->path : NULL);
	fputs(", \"file\": ", stdout);
	json_text(program->file[0] ? program->file : NULL);
	printf(",\n  \"interceptable\": %s, \"reason\": ", program->reason ? "false" : "true");
	json_text(program->reason);
	fputs(", \"message\": ", stdout);
	json_text(program->reason ? program->why : NULL);
	fputs(",\n  \"notes\": [", stdout);
	for (; notes; notes = notes->next) {
		printf("%s\n    { \"note\": \"%s\", \"message\": ", separator, notes->code);
		json_text(notes->text);
		fputs(" }", stdout);
		separator = ",";
	}
	puts(*separator ? "\n  ] }" : "] }");
}

bool app_report(const char *name, bool json, bool quiet)
{
	struct program_note *notes = NULL;
	struct program program;
	int lost = 0;

	if (program_find(name, &program) == PROGRAM_OK && program_check(&program) == PROGRAM_OK &&
	    !quiet)
		notes = program_notes(&program, &lost);
	if (json)
		report_json(name, &program, notes);
	else
		report_text(name, &program, notes);
	if (lost)
		fputs("meshshim-check: out of memory: notes may be missing\n", stderr);
	program_notes_free(notes);
	return !program.reason;
}
