/* SPDX-License-Identifier: Apache-2.0 */
/* Header operations of a verdict (istio-semantics 1.2), beside rules_header_edits(). */
#ifndef RULES_HEADER_EDIT_H
#define RULES_HEADER_EDIT_H

#include "rules/model.h"

/* The authority that rewrite.authority, else header operations give; NULL: none does. */
const char *edited_authority(const struct verdict *verdict);

/* Header fields with the texts that edits made. */
struct edited_fields {
	struct field *items;
	size_t n, size;
	char **texts; /* malloc'd values */
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

void edited_fields_release(struct edited_fields *fields);

#endif
