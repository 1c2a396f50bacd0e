/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/keys.h"

#include <stdbool.h>
#include <string.h>

#include "rules/schema.h"

#define MAX_SCHEMAS 256

struct visit {
	void (*each)(void *context, const char *message, const char *key);
	void *context;
	const struct schema *seen[MAX_SCHEMAS];
	size_t n_seen;
};

static bool first_visit(struct visit *visit, const struct schema *schema)
{
	for (size_t i = 0; i < visit->n_seen; i++)
		if (visit->seen[i] == schema)
			return false;
	if (visit->n_seen == MAX_SCHEMAS)
		return false;
	visit->seen[visit->n_seen++] = schema;
	return true;
}

/* The keys of one table first, then the tables below it. */
static void visit_schema(struct visit *visit, const struct schema *schema)
{
	const char *message = schema == &rule_file_schema ? "" : schema->name;
	const struct key *end = schema->keys + schema->n_keys;

	if (!first_visit(visit, schema))
		return;
	for (const struct key *key = schema->keys; key < end; key++)
		if (key->kind != KIND_REFUSED && key->kind != KIND_INLINE)
			visit->each(visit->context, message, key->name);
	for (const struct key *key = schema->keys; key < end; key++)
		if (key->group)
			visit_schema(visit, key->group);
}

void rules_keys(void (*each)(void *context, const char *message, const char *key), void *context)
{
	struct visit visit = {.each = each, .context = context};

	visit_schema(&visit, &rule_file_schema);
}
