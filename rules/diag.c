/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void diags_init(struct diags *diags)
{
	memset(diags, 0, sizeof(*diags));
}

static void diag_free(struct diag *diag)
{
	free(diag->file);
	free(diag->text);
	free(diag);
}

void diags_release(struct diags *diags)
{
	struct diag *diag = diags->first;

	while (diag) {
		struct diag *next = diag->next;

		diag_free(diag);
		diag = next;
	}
	diags_init(diags);
}

static struct diag *diag_new(const struct where *where)
{
	struct diag *diag = calloc(1, sizeof(*diag));

	if (!diag)
		return NULL;
	if (where && where->file) {
		diag->file = strdup(where->file);
		diag->line = where->line;
		if (!diag->file) {
			free(diag);
			return NULL;
		}
	}
	return diag;
}

void diag_add(struct diags *diags, enum severity severity, const struct where *where,
	      const char *format, ...)
{
	struct diag *diag = diag_new(where);
	va_list args;

	if (diag) {
		va_start(args, format);
		if (vasprintf(&diag->text, format, args) < 0) {
			diag->text = NULL;
			diag_free(diag);
			diag = NULL;
		}
		va_end(args);
	}
	if (!diag) {
		/* A warning that cannot be kept is an error: something is wrong with this load. */
		diags->lost++;
		diags->errors++;
		return;
	}
	diag->severity = severity;
	if (severity == SEVERITY_ERROR)
		diags->errors++;
	else
		diags->warnings++;
	if (diags->last)
		diags->last->next = diag;
	else
		diags->first = diag;
	diags->last = diag;
}

int diag_format(const struct diag *diag, char *out, size_t size)
{
	const char *severity = diag->severity == SEVERITY_ERROR ? "error" : "warning";

	if (!diag->file)
		return snprintf(out, size, "%s: %s", severity, diag->text);
	if (!diag->line)
		return snprintf(out, size, "%s: %s: %s", diag->file, severity, diag->text);
	return snprintf(out, size, "%s:%d: %s: %s", diag->file, diag->line, severity, diag->text);
}

/* A diagnostic with what decides its place. */
struct ranked {
	struct diag *diag;
	size_t file;  /* place of the file in reading order */
	size_t order; /* place in the list so far: equal lines keep it */
};

static int compare_ranked(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->diag->line != b->diag->line)
		return a->diag->line < b->diag->line ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void diags_sort(struct diags *diags, size_t (*rank)(const void *context, const char *file),
		const void *context)
{
	size_t n = 0, i = 0;
	struct ranked *all;

	for (struct diag *diag = diags->first; diag; diag = diag->next)
		n++;
	all = n ? calloc(n, sizeof(*all)) : NULL;
	if (!all)
		return; /* in the order of discovery, then */
	for (struct diag *diag = diags->first; diag; diag = diag->next, i++)
		all[i] = (struct ranked){diag, diag->file ? rank(context, diag->file) : 0, i};
	qsort(all, n, sizeof(*all), compare_ranked);
	for (i = 0; i < n; i++)
		all[i].diag->next = i + 1 < n ? all[i + 1].diag : NULL;
	diags->first = all[0].diag;
	diags->last = all[n - 1].diag;
	free(all);
}
