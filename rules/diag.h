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
	SEVERITY_REJECTED, /* an error, and the rules cannot be used: Istio's validation refuses */
	SEVERITY_ERROR,	   /* an error of Istio's analysis: the rules can be used, but hardly as meant */
	SEVERITY_WARNING,
	SEVERITY_INFO,
};

/* "error", "warning" or "info". */
const char *severity_name(enum severity severity);

/* What a diagnostic is about, beside its place. Both may be NULL. */
struct topic {
	const char *code;     /* Istio's: "IST0101" */
	const char *resource; /* "VirtualService webserver" */
};

struct diag {
	enum severity severity;
	char *file; /* NULL: no file */
	int line;   /* from 1; 0: the file as a whole */
	char *resource, *code; /* NULL: none */
	char *text; /* one line, no full stop */
	struct diag *next;
};

struct diags {
	struct diag *first, *last;
	size_t errors;	 /* those that reject included */
	size_t rejected; /* while this is 0, the rules can be used */
	size_t warnings, infos;
	/* Memory ran out while a diagnostic was added: it is counted in rejected and errors, its text is lost. */
	int lost;
};

/* Start an empty list. */
void diags_init(struct diags *diags);

/* Free all texts; the list is empty again. */
void diags_release(struct diags *diags);

/* Add one. `where` and `topic` may be NULL. All texts are copied. */
void diag_about(struct diags *diags, enum severity severity, const struct topic *topic,
		const struct where *where, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same without a topic. */
void diag_add(struct diags *diags, enum severity severity, const struct where *where,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * "file:line: error: [code] text" into `out`, as snprintf(3). Without a line "file: error: text", without
 * a file "error: text". Control characters and what is no UTF-8 become "?".
 */
int diag_format(const struct diag *diag, char *out, size_t size);

/*
 * Put the list in order of file, then line; what has no file comes first, and the order of equals
 * stays. `rank` says how early a file was read. Out of memory leaves the list as it is.
 */
void diags_sort(struct diags *diags, size_t (*rank)(const void *context, const char *file),
		const void *context);

/*
 * What these rules ask for and the bridge does not carry out (yet): each place goes into `diags`
 * with `severity`. Returns how many. Who is going to use the rules must refuse them if there are
 * any, since a rule that is read and ignored is worse than one that is refused.
 */
size_t rules_gaps(const struct rules *rules, enum severity severity, struct diags *diags);

#endif
