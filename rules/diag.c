/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/diag.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/utf8.h"

void diags_init(struct diags *diags)
{
	memset(diags, 0, sizeof(*diags));
}

static void diag_free(struct diag *diag)
{
	free(diag->file);
	free(diag->resource);
	free(diag->code);
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

static bool copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static struct diag *diag_new(const struct topic *topic, const struct where *where)
{
	struct diag *diag = calloc(1, sizeof(*diag));

	if (!diag)
		return NULL;
	diag->line = where && where->file ? where->line : 0;
	if (copy(&diag->file, where ? where->file : NULL) &&
	    copy(&diag->code, topic ? topic->code : NULL) &&
	    copy(&diag->resource, topic ? topic->resource : NULL))
		return diag;
	diag_free(diag);
	return NULL;
}

static void count(struct diags *diags, enum severity severity)
{
	diags->rejected += severity == SEVERITY_REJECTED;
	diags->errors += severity == SEVERITY_REJECTED || severity == SEVERITY_ERROR;
	diags->warnings += severity == SEVERITY_WARNING;
	diags->infos += severity == SEVERITY_INFO;
}

static void add(struct diags *diags, enum severity severity, const struct topic *topic,
		const struct where *where, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void add(struct diags *diags, enum severity severity, const struct topic *topic,
		const struct where *where, const char *format, va_list args)
{
	struct diag *diag = diag_new(topic, where);

	if (diag && vasprintf(&diag->text, format, args) < 0) {
		diag->text = NULL;
		diag_free(diag);
		diag = NULL;
	}
	if (!diag) {
		/* A warning that cannot be kept rejects: something is wrong with this load. */
		diags->lost++;
		count(diags, SEVERITY_REJECTED);
		return;
	}
	diag->severity = severity;
	count(diags, severity);
	if (diags->last)
		diags->last->next = diag;
	else
		diags->first = diag;
	diags->last = diag;
}

void diag_about(struct diags *diags, enum severity severity, const struct topic *topic,
		const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diags, severity, topic, where, format, args);
	va_end(args);
}

void diag_add(struct diags *diags, enum severity severity, const struct where *where,
	      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(diags, severity, NULL, where, format, args);
	va_end(args);
}

const char *severity_name(enum severity severity)
{
	return severity == SEVERITY_WARNING ? "warning" : severity == SEVERITY_INFO ? "info" : "error";
}

/* One line that no terminal acts on, whatever files and texts are called. Bytes are replaced one by
 * one, so that lengths stay. */
static void disarm(char *text)
{
	for (size_t len = strlen(text), n = 1; *text; text += n, len -= n) {
		n = utf8_char_len(text, len);
		if (n && !utf8_is_control(utf8_decode(text, n)))
			continue;
		n = n ? n : 1;
		memset(text, '?', n);
	}
}

int diag_format(const struct diag *diag, char *out, size_t size)
{
	const char *severity = severity_name(diag->severity);
	char line[16] = "", code[32] = "";
	int len;

	if (diag->file && diag->line)
		snprintf(line, sizeof(line), ":%d", diag->line);
	if (diag->code)
		snprintf(code, sizeof(code), "[%s] ", diag->code);
	len = snprintf(out, size, "%s%s%s%s: %s%s", diag->file ? diag->file : "", line,
		       diag->file ? ": " : "", severity, code, diag->text);
	if (len >= 0 && size)
		disarm(out);
	return len;
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
