/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MeshConfig. Most of it configures what no rule file speaks of, so that only the keys of rule
 * files are taken and the rest is named in a note.
 */
#include <string.h>

#include "rules/suggest.h"
#include "tools/import.h"
#include "tools/import_wrong.h"

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

	wrong_say(root, nested->import->file, &nested->import->diags);
	take(nested->import, root, nested->resource);
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

	/* What ended it early is among the errors. */
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

static const struct yaml_node *member(const struct yaml_node *group, const char *name)
{
	return group ? yaml_member(group, name) : NULL;
}

/* Null is as if it were not there. */
static const struct yaml_node *valued(const struct yaml_node *node)
{
	return node && node->kind != TREE_NONE ? node : NULL;
}

/* What an IstioOperator has: spec.meshConfig, or what becomes the chart's value. */
static const struct yaml_node *operator_config(struct import *import, const struct yaml_node *node)
{
	const struct yaml_node *spec = yaml_member(node, "spec");
	const struct yaml_node *values = member(spec, "values");
	const struct yaml_node *config = valued(member(spec, "meshConfig"));
	const struct yaml_node *value = valued(member(values, "meshConfig"));
	const struct where where = {import->file, value ? value->line : 0};

	if (config && value)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "spec.values.meshConfig and spec.meshConfig (line %d) are both given: "
			 "put all of it into spec.meshConfig",
			 config->line);
	return config ? config : value;
}

/* What is wrong in the parts that are looked at: an operator's other settings are of no concern. */
static void say_wrong(struct import *import, const struct yaml_node *node, const char *part,
		      const struct yaml_node *config)
{
	const struct yaml_node *inner = yaml_member(node, part);
	const struct yaml_node *values = member(inner, "values");
	const struct yaml_node *metadata = yaml_member(node, "metadata");

	wrong_say_own(node, import->file, &import->diags);
	if (metadata)
		wrong_say(metadata, import->file, &import->diags);
	if (inner)
		wrong_say_own(inner, import->file, &import->diags);
	if (values)
		wrong_say_member(values, "meshConfig", import->file, &import->diags);
	wrong_say(config, import->file, &import->diags);
}

/* `text`: it is one, YAML inside of YAML. `before`: how many errors there were without it. */
static void read_mesh(struct import *import, const struct yaml_node *config, bool text,
		      struct resource *resource, size_t before)
{
	const struct mesh_config *other = import->mesh_config;

	if (text)
		take_text(import, config, resource);
	else
		take(import, config, resource);
	if (import->diags.rejected == before && !resource->left_out) {
		import->taken |= import->mesh_config != other;
		return;
	}
	import->mesh_config = other;
	resource->left_out = true;
	if (pointers_add(&import->left_out, resource) < 0)
		import_oom(import);
}

bool import_mesh(struct import *import, const struct yaml_node *node, const char *kind,
		 const char *api)
{
	bool map = is_mesh_map(node, kind, api);
	size_t before = import->diags.rejected;
	const struct yaml_node *config = NULL;
	struct resource *resource;

	if (map)
		config = yaml_member(yaml_member(node, "data"), "mesh");
	else if (!strcmp(kind, "IstioOperator") && !strncmp(api, "install.istio.io/", 17))
		config = operator_config(import, node);
	/* An operator without a meshConfig is of no concern at all. */
	if (!config)
		return false;
	resource = import_resource_new(import, node, kind);
	if (!resource)
		return true;
	say_wrong(import, node, map ? "data" : "spec", config);
	resource->left_out = node->wrong || config->bad;
	read_mesh(import, config, map, resource, before);
	return true;
}
