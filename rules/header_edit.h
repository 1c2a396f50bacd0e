/* SPDX-License-Identifier: Apache-2.0 */
/* Header operations of a verdict (istio-semantics 1.2), beside rules_header_edits(). */
#ifndef RULES_HEADER_EDIT_H
#define RULES_HEADER_EDIT_H

#include "rules/model.h"

/* The authority that rewrite.authority, else header operations give; NULL: none does. */
const char *edited_authority(const struct verdict *verdict);

/* Fields that say where a message ends or what is between two hops only. They are the bridge's own:
 * operations on them are warned of and left out of rules_header_edits(). */
bool header_is_framing(const char *name);

/* A value of an edit as a field's. */
struct edited_text {
	char *text;    /* malloc'd; "%%" is resolved, commands stay as they are written */
	bool commands; /* there are some, that only a real request can answer */
};

/* `text` is the caller's to free, NULL: out of memory. */
struct edited_text header_unescape(const char *value);

/* Header fields with the texts that edits made. */
struct edited_fields {
	struct field *items;
	size_t n, size;
	struct edited_text *texts;
	size_t n_texts;
	bool failed; /* out of memory */
};

/*
 * The fields of a request or `response` after all edits of the verdict; texts of `fields` are not
 * copied. `out` is released by edited_fields_release() whatever this returns: 0, or -1: out of
 * memory.
 */
int edited_fields_init(struct edited_fields *out, const struct verdict *verdict, bool response,
		       const struct field *fields, size_t n) __attribute__((warn_unused_result));

/* Whether a field's value has commands in it. */
bool edited_field_has_commands(const struct edited_fields *fields, const struct field *field);

void edited_fields_release(struct edited_fields *fields);

#endif
