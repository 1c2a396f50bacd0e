/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MeshConfig. Most of it configures what no rule file speaks of, so that only the keys of rule
 * files are taken and the rest is named in a note.
 */
#include <string.h>

#include "rules/suggest.h"
#include "tools/import.h"

/* `workload` is a key of rule files only. */
static bool is_known(const char *name)
{
	const struct schema *schema = &mesh_config_schema;

	for (size_t i = 0; i < schema->n_keys; i++)
		if (!strcmp(schema->keys[i].name, name))
			return strcmp(name, "workload") != 0;
	return false;
}

/* A key that is nearly one of ours is a slip, and REGISTRY_ONLY would be lost with it. */
static bool is_slip(struct import *import, const struct yaml_node *key)
{
	const struct schema *schema = &mesh_config_schema;
	const struct where where = {import->file, key->line};
	struct suggestion suggestion;

	if (!strcmp(key->key, "inboundTrafficPolicy"))
		return false; /* Istio has it */
	suggestion_init(&suggestion, key->key);
	for (size_t i = 0; i < schema->n_keys; i++)
		if (schema->keys[i].kind != KIND_IGNORED && is_known(schema->keys[i].name))
			suggestion_offer(&suggestion, schema->keys[i].name);
	if (suggestion.best)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "unknown key \"%.200s\" in MeshConfig (did you mean \"%s\"?)", key->key,
			 suggestion.best);
	return suggestion.best;
}

static struct yaml_node *known_part(struct import *import, const struct yaml_node *node)
{
	struct yaml_node *group = region_alloc(&import->region, sizeof(*group));
	struct yaml_node *items = region_array(&import->region, node->n, sizeof(*items));
	const struct where where = {import->file, node->line};
	char names[200] = "";
	size_t len = 0;

	if (!group || !items) {
		import_oom(import);
		return NULL;
	}
	*group = *node;
	group->n = 0;
	group->items = items;
	for (uint32_t i = 0; i < node->n; i++) {
		if (is_known(node->items[i].key))
			items[group->n++] = node->items[i];
		else if (!is_slip(import, &node->items[i]) && len < sizeof(names))
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", node->items[i].key);
	}
	if (len)
		diag_add(&import->diags, SEVERITY_INFO, &where, "MeshConfig: %s%s skipped", names,
			 len < sizeof(names) ? "" : "... is");
	return group;
}

static void take(struct import *import, const struct yaml_node *node,
		 const struct resource *resource)
{
	struct reader reader = {.rules = import->rules,
				.diags = &import->diags,
				.ops = &tree_yaml,
				.tree = import->file};
	const struct where where = {import->file, node->line};
	const struct yaml_node *group;
	struct mesh_config *config;

	if (node->kind == TREE_NONE)
		return;
	if (node->kind != TREE_GROUP) {
		diag_add(&import->diags, SEVERITY_REJECTED, &where, "meshConfig must be a map");
		return;
	}
	if (import->mesh_config) {
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "meshConfig is already given (%s:%d)", import->mesh_config->where.file,
			 import->mesh_config->where.line);
		return;
	}
	config = region_alloc(&import->rules->region, sizeof(*config));
	group = known_part(import, node);
	if (!config || !group) {
		import_oom(import);
		return;
	}
	schema_read(&reader, &mesh_config_schema, group, config);
	import->mesh_config = config;
	import->mesh_resource = resource;
}

/* ---- a ConfigMap's text ------------------------------------------------------------------- */

struct nested {
	struct import *import;
	const struct resource *resource;
};

static void take_document(void *context, const struct yaml_node *root)
{
	struct nested *nested = context;

	take(nested->import, root, nested->resource);
	/* The text's own nodes are part of no document that could carry the mark. */
	if (root->bad)
		nested->import->mesh_config = NULL;
}

static void take_text(struct import *import, const struct yaml_node *text,
		      const struct resource *resource)
{
	struct nested nested = {import, resource};
	const struct yaml_input input = {.file = import->file,
					 .text = text->text,
					 .len = strlen(text->text),
					 .first_line = text->line + text->literal,
					 .one_line = !text->literal};
	const struct yaml_reading reading = {.region = &import->region,
					     .diags = &import->diags,
					     .document = take_document,
					     .context = &nested};

	if (yaml_read(&reading, &input) < 0)
		import->mesh_config = NULL;
}

/* ---- resources ---------------------------------------------------------------------------- */

/* "istio", or "istio-canary" of a revision. */
static bool is_mesh_map(const struct yaml_node *node, const char *kind, const char *api)
{
	const struct yaml_node *metadata = yaml_member(node, "metadata");
	const struct yaml_node *data = yaml_member(node, "data");
	const char *name = metadata ? yaml_text(yaml_member(metadata, "name")) : NULL;

	return !strcmp(kind, "ConfigMap") && !strcmp(api, "v1") && name && data &&
	       (!strcmp(name, "istio") || !strncmp(name, "istio-", 6)) &&
	       yaml_text(yaml_member(data, "mesh"));
}

bool import_mesh(struct import *import, const struct yaml_node *node, const char *kind,
		 const char *api)
{
	bool operator= !strcmp(kind, "IstioOperator") && !strncmp(api, "install.istio.io/", 17);
	bool map = !operator&& is_mesh_map(node, kind, api);
	const struct yaml_node *spec = operator? yaml_member(node, "spec") : NULL;
	const struct yaml_node *config = spec ? yaml_member(spec, "meshConfig") : NULL;
	const struct mesh_config *other = import->mesh_config;
	size_t before = import->diags.rejected;
	struct resource *resource;

	/* An operator's other settings are of no concern; without a meshConfig all of it is. */
	if (!map && !config)
		return false;
	resource = import_resource_new(import, node, kind);
	if (!resource)
		return true;
	if (map)
		take_text(import, yaml_member(yaml_member(node, "data"), "mesh"), resource);
	else
		take(import, config, resource);
	if (import->diags.rejected == before && !node->bad)
		return true;
	import->mesh_config = other;
	resource->left_out = true;
	if (pointers_add(&import->left_out, resource) < 0)
		import_oom(import);
	return true;
}
