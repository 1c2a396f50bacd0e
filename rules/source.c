/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scanner for the few things that must be known before libconfig may see a file. It follows the
 * lexical rules of libconfig's scanner.l: comments (#, //, and C's), strings, names, numbers.
 * Text is copied in stretches; an @include ends one.
 */
#include "rules/source.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/slurp.h"

#define MAX_INCLUDES 10 /* libconfig's own limit */
#define MAX_FILES    1000 /* ten files of ten includes each would be 10^10 */
#define MAX_SETTINGS 1000 /* of one group: libconfig compares each name with all before it */

struct source_segment {
	unsigned first; /* line of the joined text */
	struct where where;
};

/* One file on the way through the scanner. */
struct scan {
	struct source *source;
	struct source_set *set;
	const struct scan *parent; /* the file that includes this one */
	const char *file;
	struct slurp bytes;
	const char *at, *end;
	const char *copied; /* everything before it is in the joined text */
	int line;
	unsigned depth; /* of includes */
};

static int scan_path(struct source *source, struct source_set *set, const struct scan *parent,
		     const char *path, const struct where *from);

static int fail(const struct scan *scan, int line, const char *text)
{
	const struct where where = {scan->file, line};

	diag_add(scan->set->diags, SEVERITY_REJECTED, &where, "%s", text);
	return -1;
}

/* ---- the joined text ---------------------------------------------------------------------- */

static int put(struct scan *scan, const char *text, size_t len)
{
	struct source *source = scan->source;

	if (len > SLURP_MAX - source->len)
		return fail(scan, scan->line, "larger than 64 MiB with all included files");
	if (source->len + len >= source->size) {
		size_t size = (source->len + len + 1) * 2;
		char *grown = realloc(source->text, size);

		if (!grown)
			return fail(scan, scan->line, "out of memory");
		source->text = grown;
		source->size = size;
	}
	memcpy(source->text + source->len, text, len);
	source->len += len;
	source->text[source->len] = '\0';
	for (size_t i = 0; i < len; i++)
		source->line += text[i] == '\n';
	return 0;
}

static int put_until(struct scan *scan, const char *end)
{
	const char *from = scan->copied;

	scan->copied = end;
	return put(scan, from, (size_t)(end - from));
}

/* From here on the joined text is this file's from the current line. */
static int begin_segment(struct scan *scan)
{
	struct source *source = scan->source;
	size_t n = source->n_segments;

	if ((n & (n - 1)) == 0) {
		struct source_segment *grown =
		    realloc(source->segments, (n ? n * 2 : 1) * sizeof(*grown));

		if (!grown)
			return fail(scan, scan->line, "out of memory");
		source->segments = grown;
	}
	source->segments[n] = (struct source_segment){source->line, {scan->file, scan->line}};
	source->n_segments++;
	return 0;
}

struct where source_where(const struct source *source, unsigned line)
{
	size_t low = 0, high = source->n_segments;
	struct where where = {NULL, 0};

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (source->segments[middle].first <= line)
			low = middle + 1;
		else
			high = middle;
	}
	if (!source->n_segments)
		return where;
	where = source->segments[low ? low - 1 : 0].where;
	where.line = low ? where.line + (int)(line - source->segments[low - 1].first) : 0;
	return where;
}

size_t source_rank(const void *context, const char *file)
{
	const struct source_set *set = context;

	return (size_t)(uintptr_t)table_get(&set->files, file, strlen(file));
}

/* ---- tokens ------------------------------------------------------------------------------- */

static int is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_line(struct scan *scan)
{
	const char *end = memchr(scan->at, '\n', (size_t)(scan->end - scan->at));

	scan->at = end ? end : scan->end;
}

static int skip_comment(struct scan *scan)
{
	int line = scan->line;

	for (scan->at += 2; scan->at < scan->end; scan->at++) {
		if (scan->at[0] == '*' && scan->at[1] == '/') {
			scan->at += 2;
			return 0;
		}
		scan->line += *scan->at == '\n';
	}
	return fail(scan, line, "unterminated comment");
}

/* libconfig tells the line of the token behind a string, as another string there would go on with
 * it. In a list that may be another line; the names of settings are where they are. */
static int note_list_string(struct scan *scan)
{
	struct source *source = scan->source;
	const struct source_segment *here = &source->segments[source->n_segments - 1];
	size_t n = source->n_list_strings;

	if (!source->token || !strchr("[(,", source->token))
		return 0;
	if ((n & (n - 1)) == 0) {
		unsigned *grown = realloc(source->list_strings, (n ? n * 2 : 1) * sizeof(*grown));

		if (!grown)
			return fail(scan, scan->line, "out of memory");
		source->list_strings = grown;
	}
	source->list_strings[n] = here->first + (unsigned)(scan->line - here->where.line);
	source->n_list_strings++;
	return 0;
}

static int skip_string(struct scan *scan)
{
	int line = scan->line;

	for (scan->at++; scan->at < scan->end; scan->at++) {
		if (*scan->at == '"') {
			scan->at++;
			return 0;
		}
		scan->line += *scan->at == '\n';
		if (*scan->at != '\\')
			continue;
		if (scan->at[1] == 'x' && scan->at[2] == '0' && scan->at[3] == '0')
			return fail(scan, scan->line, "NUL character in a string");
		if (scan->at[1] == '\\' || scan->at[1] == '"')
			scan->at++;
	}
	return fail(scan, line, "unterminated string");
}

/* libconfig reads "[-+]?[0-9]+" with atoi(3) and hexadecimal without L into 32 bits, both in
 * silence; with L both saturate. Numbers with a point or exponent are left alone. */
static void check_number(struct scan *scan)
{
	const char *from = scan->at;
	int hex = from[0] == '0' && (from[1] == 'x' || from[1] == 'X');
	char *end;
	long long value;

	errno = 0;
	value = strtoll(from, &end, hex ? 16 : 10);
	if (end == from || (!hex && (*end == '.' || *end == 'e' || *end == 'E'))) {
		for (scan->at++; ascii_is_alnum(*scan->at) || *scan->at == '.';)
			scan->at++;
		return;
	}
	scan->at = end;
	if (*end == 'L')
		scan->at += end[1] == 'L' ? 2 : 1;
	else if (value < INT32_MIN || value > INT32_MAX)
		errno = ERANGE;
	if (errno == ERANGE) {
		const struct where where = {scan->file, scan->line};

		diag_add(scan->set->diags, SEVERITY_REJECTED, &where, "integer %.*s is out of range",
			 (int)(end - from > 40 ? 40 : end - from), from);
		scan->source->failed = true;
	}
}

/* A sign of assignment behind a name. */
static int count_setting(struct scan *scan)
{
	struct source *source = scan->source;

	if (source->token == 'a' && ++source->settings[source->nesting] > MAX_SETTINGS)
		return fail(scan, scan->line, "more than 1000 settings in one group");
	return 0;
}

static int skip_mark(struct scan *scan, char c)
{
	struct source *source = scan->source;

	scan->at++;
	if ((c == '=' || c == ':') && count_setting(scan) < 0)
		return -1;
	source->token = c;
	if (strchr("({[", c)) {
		if (++source->nesting > SOURCE_NESTING)
			return fail(scan, scan->line, "nested deeper than 64 levels");
		source->settings[source->nesting] = 0;
	}
	if (strchr(")}]", c) && source->nesting)
		source->nesting--;
	return 0;
}

static int skip_token(struct scan *scan)
{
	char c = *scan->at;

	if (c == '#' || (c == '/' && scan->at[1] == '/')) {
		skip_line(scan);
		return 0;
	}
	if (c == '/' && scan->at[1] == '*')
		return skip_comment(scan);
	if (strchr(" \t\r\f", c)) {
		scan->at++;
		return 0;
	}
	if (c == '"') {
		if (note_list_string(scan) < 0)
			return -1;
		scan->source->token = '"';
		return skip_string(scan);
	}
	if (ascii_is_digit(c) || c == '-' || c == '+') {
		scan->source->token = '0';
		check_number(scan);
		return 0;
	}
	if (ascii_is_alpha(c) || c == '*') {
		scan->source->token = 'a';
		while (*scan->at && (ascii_is_alnum(*scan->at) || strchr("*-_", *scan->at)))
			scan->at++;
		return 0;
	}
	return skip_mark(scan, c);
}

/* ---- @include ----------------------------------------------------------------------------- */

/* The place of the opening quote of an @include at the start of this line; NULL: there is none. */
static const char *find_include(const char *at)
{
	while (is_blank(*at))
		at++;
	if (strncmp(at, "@include", 8) != 0 || !is_blank(at[8]))
		return NULL;
	for (at += 8; is_blank(*at);)
		at++;
	return *at == '"' ? at : NULL;
}

/* Read the quoted name and leave scan->at behind it. Returns a malloc'd path. */
static char *include_path(struct scan *scan, const char *quote)
{
	const char *slash = strrchr(scan->file, '/');
	size_t dir = slash ? (size_t)(slash + 1 - scan->file) : 0;
	char *path, *out;
	const char *at;

	path = malloc(dir + (size_t)(scan->end - quote) + 1);
	if (!path) {
		fail(scan, scan->line, "out of memory");
		return NULL;
	}
	if (quote[1] == '/')
		dir = 0;
	memcpy(path, scan->file, dir);
	for (out = path + dir, at = quote + 1; *at && *at != '"' && *at != '\n'; at++) {
		if (*at == '\\' && (at[1] == '\\' || at[1] == '"'))
			at++;
		*out++ = *at;
	}
	*out = '\0';
	if (*at != '"' || out == path + dir) {
		fail(scan, scan->line, "@include needs a file name in quotes");
		free(path);
		return NULL;
	}
	scan->at = at + 1;
	return path;
}

static int include(struct scan *scan, const char *quote)
{
	const struct where where = {scan->file, scan->line};
	char *path;
	int status;

	if (put_until(scan, scan->at) < 0)
		return -1;
	path = include_path(scan, quote);
	if (!path)
		return -1;
	scan->copied = scan->at;
	status = scan_path(scan->source, scan->set, scan, path, &where);
	free(path);
	if (status < 0 || begin_segment(scan) < 0)
		return -1;
	while (is_blank(*scan->at))
		scan->at++;
	/* libconfig would take a second one here for text; joined, it would begin a line. */
	if (*scan->at == '@')
		return fail(scan, scan->line, "unexpected text after @include");
	return 0;
}

/* ---- files -------------------------------------------------------------------------------- */

static int scan_text(struct scan *scan)
{
	int line_start = 1;

	if (begin_segment(scan) < 0)
		return -1;
	while (scan->at < scan->end) {
		const char *quote = line_start ? find_include(scan->at) : NULL;

		line_start = *scan->at == '\n';
		if (quote) {
			if (include(scan, quote) < 0)
				return -1;
			line_start = 0;
		} else if (line_start) {
			scan->line++;
			scan->at++;
		} else if (skip_token(scan) < 0) {
			return -1;
		}
	}
	if (put_until(scan, scan->end) < 0)
		return -1;
	/* So that whatever follows an included file begins a line of its own. */
	return put(scan, "\n", 1);
}

static int open_failed(struct scan *scan, const char *path, const struct where *from,
		       const char *wrong)
{
	struct where where = {scan->file, scan->bytes.bad_line};

	if (!from || where.line)
		diag_add(scan->set->diags, SEVERITY_REJECTED, &where, "%s", wrong);
	else
		diag_add(scan->set->diags, SEVERITY_REJECTED, from, "cannot include \"%s\": %s", path,
			 wrong);
	return -1;
}

static int begin_file(struct scan *scan, const char *path)
{
	struct table *files = &scan->set->files;

	scan->file = region_strdup(scan->set->region, path);
	if (!scan->file)
		return -1;
	if (table_get(files, path, strlen(path)))
		return 0;
	return table_put(files, scan->file, strlen(path), (void *)(uintptr_t)(files->n + 1));
}

static int scan_path(struct source *source, struct source_set *set, const struct scan *parent,
		     const char *path, const struct where *from)
{
	struct scan scan = {.source = source, .set = set, .parent = parent, .line = 1};
	const char *wrong;
	int status;

	scan.depth = parent ? parent->depth + 1 : 0;
	if (begin_file(&scan, path) < 0) {
		diag_add(set->diags, SEVERITY_REJECTED, from, "out of memory");
		return -1;
	}
	if (++source->n_files > MAX_FILES)
		return open_failed(&scan, path, from, "more than 1000 files are included");
	if (scan.depth > MAX_INCLUDES)
		return open_failed(&scan, path, from, "include files nested too deeply");
	wrong = slurp_file(path, &scan.bytes);
	for (const struct scan *above = parent; above && !wrong; above = above->parent)
		if (above->bytes.device == scan.bytes.device &&
		    above->bytes.inode == scan.bytes.inode)
			wrong = "it includes itself";
	if (wrong) {
		/* What comes behind the @include is looked at all the same. */
		open_failed(&scan, path, from, wrong);
		source->failed = true;
		status = 0;
	} else {
		scan.at = scan.copied = scan.bytes.text;
		scan.end = scan.bytes.text + scan.bytes.len;
		status = scan_text(&scan);
	}
	free(scan.bytes.text);
	return status;
}

int source_read(struct source *source, struct source_set *set, const char *path)
{
	memset(source, 0, sizeof(*source));
	source->line = 1;
	return scan_path(source, set, NULL, path, NULL) < 0 || source->failed ? -1 : 0;
}

void source_release(struct source *source)
{
	free(source->text);
	free(source->segments);
	free(source->list_strings);
	memset(source, 0, sizeof(*source));
}
