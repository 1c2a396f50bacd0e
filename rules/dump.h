/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule set as text again, by the tables that read it: the canonical rule file, which reads back
 * to the same bytes, and JSON in Istio's own shape.
 *
 * Canonical: only what was written, keys in the order of the tables, Istio's spelling of names,
 * durations as protobuf's JSON has them, files that were relative to their rule file absolute. A
 * value that fits into 100 columns stands on one line. What has no effect here is left out.
 */
#ifndef RULES_DUMP_H
#define RULES_DUMP_H

#include <stdbool.h>
#include <stdio.h>

struct rules;
struct schema;

/* The whole set. Returns 0, or -1: out of memory, or `out` failed. */
int rules_dump(const struct rules *rules, FILE *out) __attribute__((warn_unused_result));

/* The same as one JSON object: lists of resources with `name` beside the fields of their spec, maps
 * as objects. */
int rules_dump_json(const struct rules *rules, FILE *out) __attribute__((warn_unused_result));

/*
 * The fields of one group, a line or more each, indented by `indent` columns; `group` is what
 * `schema` filled. `absolute`: make file names absolute, else leave them as written.
 */
int dump_fields(const struct schema *schema, const void *group, unsigned indent, bool absolute,
		FILE *out) __attribute__((warn_unused_result));

#endif
