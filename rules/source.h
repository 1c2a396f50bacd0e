/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule file with everything that it includes, as one text for libconfig and a map back to files
 * and lines.
 *
 * `@include` is resolved here, in libconfig's own syntax and places (at the start of a line, not in
 * comments or strings), so that libconfig never opens a file by itself: its scanner ends the
 * process on a read error. Included names are relative to the including file's directory. What
 * libconfig would get wrong in silence is checked on the way: integers that do not fit (it wraps
 * them), strings with an escaped NUL (it cuts them), nesting without end.
 */
#ifndef RULES_SOURCE_H
#define RULES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/diag.h"
#include "rules/table.h"
#include "rules/region.h"

#define SOURCE_NESTING 64 /* brackets within brackets */

struct source_segment;

/* What all files of one load have in common. */
struct source_set {
	struct region *region; /* file names for `struct where` live here */
	struct diags *diags;
	struct table files; /* path -> rank, from 1, in the order of reading */
};

struct source {
	char *text; /* NUL-terminated */
	size_t len, size;
	unsigned line; /* of the next byte of text, from 1 */
	struct source_segment *segments;
	size_t n_segments;
	unsigned n_files;
	/* Brackets may be opened in one file and closed in another, so these go on through all. */
	unsigned nesting;		       /* of brackets */
	unsigned settings[SOURCE_NESTING + 2]; /* seen in each group that is open */
	char token;		/* the last one: a punctuation mark, '"', 'a' or '0'; 0: none yet */
	unsigned *list_strings; /* lines of the text: of each string in a list, in order */
	size_t n_list_strings;
	bool failed; /* something is wrong that does not keep the rest from being scanned */
};

/*
 * Read a file. Returns 0, or -1 with an error in set->diags; source_release() is due either way.
 */
int source_read(struct source *source, struct source_set *set, const char *path)
    __attribute__((warn_unused_result));

void source_release(struct source *source);

/* Where a line of the text was written. Line 0 is the file as a whole. */
struct where source_where(const struct source *source, unsigned line);

/* The rank of a file for diags_sort(); `set` is a struct source_set. */
size_t source_rank(const void *set, const char *file);

#endif
