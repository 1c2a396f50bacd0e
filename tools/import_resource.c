/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From documents to resources. A resource of Istio's is shown to the tables as a rule file has it:
 * one group with the name and the fields of `spec` beside it.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/suggest.h"
#include "tools/import.h"

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

/* Of networking.istio.io, and without a part in what happens to a client's connections, or without
 * a counterpart in a rule file. */
static const char *const other_kinds[] = {
    "Gateway", "Sidecar", "WorkloadEntry", "WorkloadGroup", "EnvoyFilter", "ProxyConfig", NULL};

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
	snprintf(out, size, "%s \"%.253s\"%s%.63s%s", resource->kind,
		 resource->name ? resource->name : "",
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

static void unknown_word(struct import *import, const struct yaml_node *node, const char *what,
			 const char *word, const char *where_in, const char *const *known)
{
	const struct where where = where_of(import, node);
	struct suggestion suggestion;

	suggestion_init(&suggestion, word);
	for (; *known; known++)
		suggestion_offer(&suggestion, *known);
	diag_add(&import->diags, SEVERITY_REJECTED, &where, "unknown %s \"%.200s\" in %s%s%s%s",
		 what, word, where_in, suggestion.best ? " (did you mean \"" : "",
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

static void check_keys(struct import *import, const struct yaml_node *node, const char *kind,
		       const char *const *fields)
{
	for (uint32_t i = 0; i < node->n; i++) {
		const char *const *field = fields;

		while (*field && strcmp(*field, node->items[i].key) != 0)
			field++;
		if (!*field)
			unknown_word(import, &node->items[i], "key", node->items[i].key, kind,
				     fields);
	}
}

/* What stands around the spec. */
static void check_envelope(struct import *import, const struct yaml_node *node, const char *kind)
{
	static const char *const fields[] = {"apiVersion", "kind",   "metadata",
					     "spec",	   "status", NULL};

	check_keys(import, node, kind, fields);
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

static void read_resource(struct import *import, const struct yaml_node *node,
			  enum import_kind kind)
{
	const struct schema *schema = kinds[kind].schema;
	struct reader reader = {.rules = import->rules,
				.diags = &import->diags,
				.ops = &tree_yaml,
				.tree = import->file};
	struct resource *resource = import_resource_new(import, node, kinds[kind].name);
	const struct yaml_node *group;
	size_t before = import->diags.rejected;
	struct pointers *list;

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
	list = resource->left_out ? &import->left_out : &import->resources[kind];
	resource->order = list->n;
	if (pointers_add(list, resource) < 0)
		import_oom(import);
}

/* "networking.istio.io/v1" and its elders. Returns false for other groups. */
static bool is_istio(struct import *import, const struct yaml_node *node, const char *api,
		     bool *known)
{
	static const char *const versions[] = {"v1", "v1beta1", "v1alpha3"};
	static const char group[] = "networking.istio.io";
	const struct where where = where_of(import, node);
	size_t len = strlen(group);

	*known = false;
	if (strncmp(api, group, len) != 0 || (api[len] && api[len] != '/'))
		return false;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		*known |= api[len] && !strcmp(api + len + 1, versions[i]);
	if (!*known)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "apiVersion \"%.100s\" is not known (one of %s/v1, v1beta1, v1alpha3)",
			 api, group);
	return true;
}

static void leave_out(struct import *import, const struct yaml_node *node, const char *kind)
{
	struct resource *resource = import_resource_new(import, node, kind);

	if (resource && pointers_add(&import->left_out, resource) < 0)
		import_oom(import);
}

static void skip(struct import *import, const struct yaml_node *node, const char *kind)
{
	const struct resource *resource = import_resource_new(import, node, kind);
	char text[512];

	if (!resource)
		return;
	import_describe(resource, text, sizeof(text));
	diag_add(&import->diags, SEVERITY_INFO, &resource->where, "%s is skipped", text);
}

static void read_istio(struct import *import, const struct yaml_node *node, const char *kind)
{
	const char *known[IMPORT_KINDS + 8] = {NULL};
	size_t n = 0;

	for (size_t i = 0; i < IMPORT_KINDS; i++) {
		known[n++] = kinds[i].name;
		if (!strcmp(kind, kinds[i].name)) {
			read_resource(import, node, (enum import_kind)i);
			return;
		}
	}
	for (const char *const *other = other_kinds; *other; other++) {
		known[n++] = *other;
		if (!strcmp(kind, *other)) {
			skip(import, node, kind);
			return;
		}
	}
	unknown_word(import, yaml_member(node, "kind"), "kind", kind, "networking.istio.io", known);
	leave_out(import, node, kind);
}

/* ---- documents ---------------------------------------------------------------------------- */

static void read_item(struct import *import, const struct yaml_node *node);

/* kubectl's "List", or one of Istio's own as the API server answers it. */
static bool is_list(const char *kind, const char *api)
{
	static const char group[] = "networking.istio.io/";
	size_t len = strlen(kind);

	return !strcmp(kind, "List") || (len > 4 && !strcmp(kind + len - 4, "List") &&
					 !strncmp(api, group, strlen(group)));
}

static bool read_list(struct import *import, const struct yaml_node *node, const char *kind,
		      const char *api)
{
	static const char *const fields[] = {"apiVersion", "kind", "metadata", "items", NULL};
	const struct yaml_node *items = yaml_member(node, "items");

	if (!is_list(kind, api))
		return false;
	check_keys(import, node, kind, fields);
	if (items && items->kind != TREE_LIST && items->kind != TREE_NONE) {
		const struct where where = where_of(import, items);

		diag_add(&import->diags, SEVERITY_REJECTED, &where, "items must be a list");
	}
	for (uint32_t i = 0; items && items->kind == TREE_LIST && i < items->n; i++)
		read_item(import, &items->items[i]);
	return true;
}

static const char *text_member(struct import *import, const struct yaml_node *node,
			       const char *name)
{
	const struct yaml_node *member = yaml_member(node, name);
	const struct where where = where_of(import, member ? member : node);
	const char *text = yaml_text(member);

	if (text && *text)
		return text;
	diag_add(&import->diags, SEVERITY_REJECTED, &where,
		 member && member->kind != TREE_NONE && !text ? "%s must be a string"
							      : "%s is missing",
		 name);
	return NULL;
}

static void read_item(struct import *import, const struct yaml_node *node)
{
	const struct where where = where_of(import, node);
	const char *kind, *api;
	bool known;

	if (node->kind != TREE_GROUP) {
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "a resource must be a map with apiVersion, kind, metadata and spec");
		return;
	}
	kind = text_member(import, node, "kind");
	api = text_member(import, node, "apiVersion");
	if (!kind || !api)
		leave_out(import, node, kind ? kind : "a resource");
	else if (read_list(import, node, kind, api) || import_mesh(import, node, kind, api))
		return;
	else if (!is_istio(import, yaml_member(node, "apiVersion"), api, &known))
		skip(import, node, kind);
	else if (known)
		read_istio(import, node, kind);
	else
		leave_out(import, node, kind);
}

static void read_document(void *context, const struct yaml_node *root)
{
	struct import *import = context;

	if (root->kind == TREE_NONE)
		return; /* nothing between two "---" */
	import->any = true;
	read_item(import, root);
}

void import_text(struct import *import, const char *file, const char *text, size_t len)
{
	const struct yaml_input input = {.file = file, .text = text, .len = len, .first_line = 1};
	const struct yaml_reading reading = {.region = &import->region,
					     .diags = &import->diags,
					     .document = read_document,
					     .context = import};

	import->file = file;
	/* What ended it early is among the errors. */
	if (yaml_read(&reading, &input) < 0)
		import->any = true;
}
