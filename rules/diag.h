/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: what the rule loader has to say, as a list. Nothing is printed here; the shim and
 * the tools decide what becomes of it.
 *
 * Threads: a list belongs to one thread. Ownership: the list owns its texts.
 */
#ifndef RULES_DIAG_H
#define RULES_DIAG_H

#include <stddef.h>

#include "rules/rules.h"

enum severity {
	SEVERITY_ERROR,
	SEVERITY_WARNING,
};

struct diag {
	enum severity severity;
	char *file; /* NULL: no file */
	int line;   /* from 1; 0: the file as a whole */
	char *text; /* one line, no full stop */
	struct diag *next;
};

struct diags {
	struct diag *first, *last;
	size_t errors, warnings;
	/* Memory ran out while a diagnostic was added: it is counted in errors, its text is lost. */
	int lost;
};

/* Start an empty list. */
void diags_init(struct diags *diags);

/* Free all texts; the list is empty again. */
void diags_release(struct diags *diags);

/* Add one. `where` may be NULL. The text is copied. */
void diag_add(struct diags *diags, enum severity severity, const struct where *where,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * "file:line: error: text" into `out`, as snprintf(3). Without a line "file: error: text", without
 * a file "error: text".
 */
int diag_format(const struct diag *diag, char *out, size_t size);

/*
 * Put the list in order of file, then line; what has no file comes first, and the order of equals
 * stays. `rank` says how early a file was read. Out of memory leaves the list as it is.
 */
void diags_sort(struct diags *diags, size_t (*rank)(const void *context, const char *file),
		const void *context);

#endif
