/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents and lists: who is read, who is skipped with a note, and who is an error because nobody
 * can tell what it is.
 */
#include <stdio.h>
#include <string.h>

#include "rules/suggest.h"
#include "tools/import.h"
#include "tools/import_wrong.h"

static const char istio_group[] = "networking.istio.io";

/* Of this group, and without a part in what happens to a client's connections, or without a
 * counterpart in a rule file. */
static const char *const other_kinds[] = {
    "Gateway", "Sidecar", "WorkloadEntry", "WorkloadGroup", "EnvoyFilter", "ProxyConfig", NULL};

/* What a resource says it is; in a typed list, the list says it. */
struct identity {
	const char *kind, *api; /* NULL: it does not say */
};

/* The place of a member, or of the group where it is missing. */
static struct where where_of(const struct import *import, const struct yaml_node *node,
			     const char *name)
{
	const struct yaml_node *member = name ? yaml_member(node, name) : NULL;

	return (struct where){import->file, member ? member->line : node->line};
}

/* ---- skipped ------------------------------------------------------------------------------ */

static void leave_out(struct import *import, const struct yaml_node *node, const char *kind)
{
	struct resource *resource = import_resource_new(import, node, kind);

	if (resource && pointers_add(&import->left_out, resource) < 0)
		import_oom(import);
}

/* A group that was hardly meant as another one: "netwroking.istio.io", "istio.io". */
static bool is_slip(const char *kind, const char *api)
{
	struct suggestion suggestion;
	char group[128];

	if (import_kind_of(kind) == IMPORT_KINDS)
		return false;
	snprintf(group, sizeof(group), "%.*s", (int)strcspn(api, "/"), api);
	suggestion_init(&suggestion, group);
	suggestion_offer(&suggestion, istio_group);
	return suggestion.best || strstr(group, "istio.io");
}

static void skip(struct import *import, const struct yaml_node *node,
		 const struct identity *identity)
{
	const struct resource *resource = import_resource_new(import, node, identity->kind);
	struct where where;
	char text[512];

	if (!resource)
		return;
	import_describe(resource, text, sizeof(text));
	where = where_of(import, node, "apiVersion");
	if (is_slip(identity->kind, identity->api))
		diag_add(&import->diags, SEVERITY_WARNING, &where,
			 "%s is skipped: apiVersion \"%.100s\" is not Istio's (did you mean "
			 "\"%s/v1\"?)",
			 text, identity->api, istio_group);
	else
		diag_add(&import->diags, SEVERITY_INFO, &resource->where, "%s is skipped", text);
}

/* A Sidecar can do what MeshConfig does, for some: it must not get lost unseen. */
static void skip_sidecar(struct import *import, const struct yaml_node *node,
			 const struct identity *identity)
{
	const struct resource *resource = import_resource_new(import, node, identity->kind);
	const struct yaml_node *spec = yaml_member(node, "spec");
	const struct yaml_node *policy = spec ? yaml_member(spec, "outboundTrafficPolicy") : NULL;
	struct where where;
	char text[512];

	if (!resource)
		return;
	if (!policy || policy->kind == TREE_NONE) {
		skip(import, node, identity);
		return;
	}
	where = (struct where){import->file, policy->line};
	import_describe(resource, text, sizeof(text));
	diag_add(&import->diags, SEVERITY_WARNING, &where,
		 "%s is skipped, its outboundTrafficPolicy too: set "
		 "meshConfig.outboundTrafficPolicy instead",
		 text);
}

/* ---- Istio's ------------------------------------------------------------------------------ */

/* "networking.istio.io/v1" and its elders. Returns false for other groups. */
static bool is_istio(struct import *import, const struct yaml_node *node, const char *api,
		     bool *known)
{
	static const char *const versions[] = {"v1", "v1beta1", "v1alpha3"};
	const struct where where = where_of(import, node, "apiVersion");
	size_t len = strlen(istio_group);

	*known = false;
	if (strncmp(api, istio_group, len) != 0 || (api[len] && api[len] != '/'))
		return false;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		*known |= api[len] && !strcmp(api + len + 1, versions[i]);
	if (!*known)
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "apiVersion \"%.100s\" is not known (one of %s/v1, v1beta1, v1alpha3)",
			 api, istio_group);
	return true;
}

static bool is_other_kind(const char *kind)
{
	for (const char *const *other = other_kinds; *other; other++)
		if (!strcmp(kind, *other))
			return true;
	return false;
}

static void unknown_kind(struct import *import, const struct yaml_node *node, const char *kind)
{
	const char *known[IMPORT_KINDS + sizeof(other_kinds) / sizeof(other_kinds[0])];
	const struct yaml_node *place = yaml_member(node, "kind");
	size_t n = 0;

	for (; n < IMPORT_KINDS; n++)
		known[n] = import_kind_name((enum import_kind)n);
	for (const char *const *other = other_kinds; *other; other++)
		known[n++] = *other;
	known[n] = NULL;
	import_unknown_word(import, place ? place : node, "kind", kind, istio_group, known);
	leave_out(import, node, kind);
}

static void read_istio(struct import *import, const struct yaml_node *node,
		       const struct identity *identity)
{
	enum import_kind kind = import_kind_of(identity->kind);

	if (kind != IMPORT_KINDS)
		import_resource(import, node, kind);
	else if (!strcmp(identity->kind, "Sidecar"))
		skip_sidecar(import, node, identity);
	else if (is_other_kind(identity->kind))
		skip(import, node, identity);
	else
		unknown_kind(import, node, identity->kind);
}

/* ---- documents ---------------------------------------------------------------------------- */

static void read_item(struct import *import, const struct yaml_node *node,
		      const struct identity *outer);

/* The kind of a typed list's items, as clients of the API leave it out: "ServiceEntry" of
 * "ServiceEntryList". NULL: out of memory. */
static const char *item_kind(struct import *import, const char *kind)
{
	const char *item =
	    region_strndup(&import->region, kind, strlen(kind) - strlen("List"));

	if (!item)
		import_oom(import);
	return item;
}

/* kubectl's "List", or one of Istio's own as the API server answers it. */
static bool is_list(const struct identity *identity)
{
	size_t len = strlen(identity->kind), group = strlen(istio_group);

	return !strcmp(identity->kind, "List") ||
	       (len > 4 && !strcmp(identity->kind + len - 4, "List") &&
		!strncmp(identity->api, istio_group, group) && identity->api[group] == '/');
}

static bool read_list(struct import *import, const struct yaml_node *node,
		      const struct identity *identity)
{
	static const char *const fields[] = {"apiVersion", "kind", "metadata", "items", NULL};
	const struct yaml_node *items = yaml_member(node, "items");
	struct identity inner = {NULL, NULL};

	if (!is_list(identity))
		return false;
	if (strcmp(identity->kind, "List") != 0) {
		inner.api = identity->api;
		inner.kind = item_kind(import, identity->kind);
	}
	wrong_say_own(node, import->file, &import->diags);
	if (items)
		wrong_say_own(items, import->file, &import->diags);
	import_check_keys(import, node, identity->kind, fields);
	if (items && items->kind != TREE_LIST && items->kind != TREE_NONE) {
		const struct where where = where_of(import, node, "items");

		diag_add(&import->diags, SEVERITY_REJECTED, &where, "items must be a list");
	}
	for (uint32_t i = 0; items && items->kind == TREE_LIST && i < items->n; i++)
		read_item(import, &items->items[i], &inner);
	return true;
}

/* `otherwise`: what it is where it is not said; may be NULL. */
static const char *text_member(struct import *import, const struct yaml_node *node,
			       const char *name, const char *otherwise)
{
	const struct yaml_node *member = yaml_member(node, name);
	const struct where where = where_of(import, node, name);
	const char *text = yaml_text(member);

	if (text && *text)
		return text;
	if (otherwise && (!member || member->kind == TREE_NONE || text))
		return otherwise;
	diag_add(&import->diags, SEVERITY_REJECTED, &where,
		 member && member->kind != TREE_NONE && !text ? "%s must be a string"
							      : "%s is missing",
		 name);
	return NULL;
}

static void read_item(struct import *import, const struct yaml_node *node,
		      const struct identity *outer)
{
	const struct where where = where_of(import, node, NULL);
	struct identity identity;
	bool known;

	if (node->kind != TREE_GROUP) {
		diag_add(&import->diags, SEVERITY_REJECTED, &where,
			 "a resource must be a map with apiVersion, kind, metadata and spec");
		return;
	}
	identity.kind = text_member(import, node, "kind", outer->kind);
	identity.api = text_member(import, node, "apiVersion", outer->api);
	/* Whether it is skipped is not clear unless these are. */
	wrong_say_member(node, "kind", import->file, &import->diags);
	wrong_say_member(node, "apiVersion", import->file, &import->diags);
	if (!identity.kind || !identity.api) {
		wrong_say(node, import->file, &import->diags);
		leave_out(import, node, identity.kind ? identity.kind : "a resource");
	} else if (read_list(import, node, &identity) ||
		   import_mesh(import, node, identity.kind, identity.api)) {
		return;
	} else if (!is_istio(import, node, identity.api, &known)) {
		skip(import, node, &identity);
	} else if (known) {
		read_istio(import, node, &identity);
	} else {
		leave_out(import, node, identity.kind);
	}
}

static void read_document(void *context, const struct yaml_node *root)
{
	static const struct identity none = {NULL, NULL};
	struct import *import = context;

	if (root->kind == TREE_NONE)
		return; /* nothing between two "---" */
	import->any = true;
	read_item(import, root, &none);
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
