/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources. One of Istio's is shown to the tables as a rule file has it: one group with the name
 * and the fields of `spec` beside it.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/suggest.h"
#include "tools/import.h"
#include "tools/import_wrong.h"

static const struct {
	const char *name;
	const struct schema *schema;
	size_t name_offset;
} kinds[IMPORT_KINDS] = {
    [IMPORT_SERVICE_ENTRY] = {"ServiceEntry", &service_entry_schema,
			      offsetof(struct service_entry, name)},
    [IMPORT_VIRTUAL_SERVICE] = {"VirtualService", &virtual_service_schema,
				offsetof(struct virtual_service, name)},
    [IMPORT_DESTINATION_RULE] = {"DestinationRule", &destination_rule_schema,
				 offsetof(struct destination_rule, name)},
};

enum import_kind import_kind_of(const char *name)
{
	size_t i = 0;

	while (i < IMPORT_KINDS && strcmp(name, kinds[i].name) != 0)
		i++;
	return (enum import_kind)i;
}

const char *import_kind_name(enum import_kind kind)
{
	return kinds[kind].name;
}

int import_init(struct import *import)
{
	memset(import, 0, sizeof(*import));
	region_init(&import->region);
	diags_init(&import->diags);
	import->rules = rules_new();
	return import->rules ? 0 : -1;
}

void import_release(struct import *import)
{
	for (size_t i = 0; i < IMPORT_KINDS; i++)
		pointers_release(&import->resources[i]);
	pointers_release(&import->left_out);
	rules_unref(import->rules);
	region_release(&import->region);
	diags_release(&import->diags);
}

void import_oom(struct import *import)
{
	if (!import->rules->region.failed)
		diag_add(&import->diags, SEVERITY_REJECTED, NULL, "out of memory");
	import->rules->region.failed = true;
}

static struct where where_of(const struct import *import, const struct yaml_node *node)
{
	return (struct where){import->file, node->line};
}

void import_describe(const struct resource *resource, char *out, size_t size)
{
	bool named = resource->name && *resource->name;

	snprintf(out, size, "%s %s%.253s%s%s%.63s%s", resource->kind, named ? "\"" : "",
		 named ? resource->name : "without a name", named ? "\"" : "",
		 resource->namespace ? " in namespace \"" : "",
		 resource->namespace ? resource->namespace : "", resource->namespace ? "\"" : "");
}

struct resource *import_resource_new(struct import *import, const struct yaml_node *node,
				     const char *kind)
{
	struct resource *resource = region_alloc(&import->region, sizeof(*resource));
	const struct yaml_node *metadata = yaml_member(node, "metadata");

	if (!resource) {
		import_oom(import);
		return NULL;
	}
	resource->where = where_of(import, node);
	resource->kind = kind;
	if (metadata) {
		resource->name = yaml_text(yaml_member(metadata, "name"));
		resource->namespace = yaml_text(yaml_member(metadata, "namespace"));
		if (resource->namespace && !*resource->namespace)
			resource->namespace = NULL;
		resource->created = yaml_text(yaml_member(metadata, "creationTimestamp"));
	}
	return resource;
}

/* ---- Istio's resources -------------------------------------------------------------------- */

void import_unknown_word(struct import *import, const struct yaml_node *node, const char *what,
			 const char *word, const char *place, const char *const *known)
{
	const struct where where = where_of(import, node);
	struct suggestion suggestion;

	suggestion_init(&suggestion, word);
	for (; *known; known++)
		suggestion_offer(&suggestion, *known);
	diag_add(&import->diags, SEVERITY_REJECTED, &where, "unknown %s \"%.200s\" in %s%s%s%s",
		 what, word, place, suggestion.best ? " (did you mean \"" : "",
		 suggestion.best ? suggestion.best : "", suggestion.best ? "\"?)" : "");
}

static void check_metadata(struct import *import, const struct yaml_node *node)
{
	const struct yaml_node *metadata = yaml_member(node, "metadata");
	const struct yaml_node *name = metadata ? yaml_member(metadata, "name") : NULL;
	const struct yaml_node *space = metadata ? yaml_member(metadata, "namespace") : NULL;
	struct where where = where_of(import, name ? name : metadata ? metadata : node);
	const char *text = yaml_text(name);

	if (metadata && metadata->kind != TREE_GROUP)
		diag_add(&import->diags, SEVERITY_REJECTED, &where, "metadata must be a map");
	else if (!text || !*text)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 name && name->kind != TREE_NONE && !text ? "metadata.name must be a string"
								  : "metadata.name is missing");
	if (!space || space->kind == TREE_NONE)
		return;
	where = where_of(import, space);
	text = yaml_text(space);
	if (!text)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "metadata.namespace must be a string");
	else if (*text && !hostname_is_label(text))
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "metadata.namespace: invalid namespace: \"%.100s\"", text);
}

void import_check_keys(struct import *import, const struct yaml_node *node, const char *kind,
		       const char *const *fields)
{
	for (uint32_t i = 0; i < node->n; i++) {
		const char *const *field = fields;

		while (*field && strcmp(*field, node->items[i].key) != 0)
			field++;
		if (!*field)
			import_unknown_word(import, &node->items[i], "key",
					    node->items[i].key, kind, fields);
	}
}

/* What stands around the spec. */
static void check_envelope(struct import *import, const struct yaml_node *node, const char *kind)
{
	static const char *const fields[] = {"apiVersion", "kind",   "metadata",
					     "spec",	   "status", NULL};

	import_check_keys(import, node, kind, fields);
	check_metadata(import, node);
}

/* The group that a rule file would have: the name, and the fields of the spec. */
static const struct yaml_node *joined(struct import *import, const struct yaml_node *node,
				      const char *kind)
{
	const struct yaml_node *metadata = yaml_member(node, "metadata");
	const struct yaml_node *name = metadata ? yaml_member(metadata, "name") : NULL;
	const struct yaml_node *spec = yaml_member(node, "spec");
	uint32_t n = spec && spec->kind == TREE_GROUP ? spec->n : 0;
	struct yaml_node *group = region_alloc(&import->region, sizeof(*group));
	struct yaml_node *items = region_array(&import->region, n + 1, sizeof(*items));
	struct where where;

	if (!group || !items) {
		import_oom(import);
		return NULL;
	}
	group->kind = TREE_GROUP;
	group->line = node->line;
	group->items = items;
	if (name && name->kind != TREE_NONE)
		items[group->n++] = *name;
	for (uint32_t i = 0; i < n; i++) {
		where = where_of(import, &spec->items[i]);
		if (spec->items[i].kind == TREE_NONE)
			continue; /* as if it were not there */
		if (strcmp(spec->items[i].key, "name") != 0)
			items[group->n++] = spec->items[i];
		else
			diag_add(&import->diags, SEVERITY_REJECTED, &where,
				 "unknown key \"name\" in %s: the name stands in metadata", kind);
	}
	if (spec && spec->kind != TREE_GROUP && spec->kind != TREE_NONE) {
		where = where_of(import, spec);
		diag_add(&import->diags, SEVERITY_REJECTED, &where, "spec must be a map");
	}
	return group;
}

/* Where it belongs, once it is known what is wrong with it. */
static void keep(struct import *import, struct resource *resource, enum import_kind kind)
{
	struct pointers *list = &import->resources[kind];

	if (resource->left_out) {
		list = &import->left_out;
	} else {
		import->taken = true;
		if (!import_leave_ineffective(import, kind, resource->spec))
			return;
	}
	resource->order = list->n;
	if (pointers_add(list, resource) < 0)
		import_oom(import);
}

void import_resource(struct import *import, const struct yaml_node *node, enum import_kind kind)
{
	const struct schema *schema = kinds[kind].schema;
	struct reader reader = {.rules = import->rules,
				.diags = &import->diags,
				.ops = &tree_yaml,
				.tree = import->file};
	struct resource *resource = import_resource_new(import, node, kinds[kind].name);
	const struct yaml_node *group;
	size_t before = import->diags.rejected;

	wrong_say(node, import->file, &import->diags);
	check_envelope(import, node, kinds[kind].name);
	group = joined(import, node, kinds[kind].name);
	if (!resource || !group)
		return;
	resource->spec = region_alloc(&import->rules->region, schema->size);
	if (!resource->spec) {
		import_oom(import);
		return;
	}
	resource->spec_name = (struct text *)((char *)resource->spec + kinds[kind].name_offset);
	/* Without a name or a spec enough was said. */
	if (import->diags.rejected == before || yaml_member(node, "spec"))
		schema_read(&reader, schema, group, resource->spec);
	resource->left_out = node->bad || import->diags.rejected > before;
	keep(import, resource, kind);
}
