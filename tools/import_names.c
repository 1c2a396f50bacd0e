/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule files have no namespaces, and their order stands for age. So a name that several namespaces
 * have becomes "name.namespace", and where all resources of a kind tell when they were created, the
 * oldest comes first.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/import.h"

static int compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

/* Istio's order: age, name, namespace. The time is RFC 3339 in UTC, which sorts as text. */
static int by_age(const void *a, const void *b)
{
	const struct resource *left = *(struct resource *const *)a;
	const struct resource *right = *(struct resource *const *)b;
	int order = compare_texts(left->created, right->created);

	if (!order)
		order = compare_texts(left->name, right->name);
	if (!order)
		order = compare_texts(left->namespace, right->namespace);
	return order ? order : (left->order > right->order) - (left->order < right->order);
}

static void sort(struct pointers *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!((const struct resource *)list->items[i])->created)
			return;
	if (list->n)
		qsort(list->items, list->n, sizeof(list->items[0]), by_age);
}

/* Of one kind, by name in the rule file. `*table` maps a name to the first that has it. */
static struct resource *first_of(struct import *import, struct table *table, const char *name,
				 struct resource *resource)
{
	struct resource *first = table_get(table, name, strlen(name));

	if (!first && table_put(table, name, strlen(name), resource) < 0)
		import_oom(import);
	return first ? first : resource;
}

/* Marks the names that several namespaces have. */
static void find_shared(struct import *import, struct pointers *list)
{
	struct table names;

	table_init(&names);
	for (size_t i = 0; i < list->n; i++) {
		struct resource *resource = list->items[i];
		struct resource *first = first_of(import, &names, resource->name, resource);

		if (compare_texts(first->namespace, resource->namespace) != 0)
			first->shared = resource->shared = true;
	}
	/* The first was marked by whoever came later; the others follow it. */
	for (size_t i = 0; i < list->n; i++) {
		struct resource *resource = list->items[i];

		resource->shared |= first_of(import, &names, resource->name, resource)->shared;
	}
	table_release(&names);
}

static void rename_shared(struct import *import, struct resource *resource)
{
	char text[512];

	if (!resource->shared || !resource->namespace)
		return;
	resource->spec_name->s =
	    region_printf(&import->rules->region, "%s.%s", resource->name, resource->namespace);
	if (!resource->spec_name->s) {
		resource->spec_name->s = resource->name;
		import_oom(import);
		return;
	}
	import_describe(resource, text, sizeof(text));
	diag_add(&import->diags, SEVERITY_INFO, &resource->where,
		 "%s becomes \"%s\", as the name is in several namespaces", text,
		 resource->spec_name->s);
}

static bool is_same(const struct resource *a, const struct resource *b)
{
	return !compare_texts(a->name, b->name) && !compare_texts(a->namespace, b->namespace);
}

static void complain_double(struct import *import, const struct resource *first,
			    const struct resource *resource)
{
	char text[512], other[512];

	import_describe(resource, text, sizeof(text));
	import_describe(first, other, sizeof(other));
	if (is_same(first, resource))
		diag_add(&import->diags, SEVERITY_REJECTED, &resource->where,
			 "%s is already given (%s:%d)", text, first->where.file, first->where.line);
	else
		diag_add(&import->diags, SEVERITY_REJECTED, &resource->where,
			 "%s and %s (%s:%d) would both be \"%s\" in the rule file: rename one",
			 text, other, first->where.file, first->where.line, first->spec_name->s);
}

/* What has the name of an earlier one is left out. */
static void drop_doubles(struct import *import, struct pointers *list)
{
	struct table names;
	size_t kept = 0;

	table_init(&names);
	for (size_t i = 0; i < list->n; i++) {
		struct resource *resource = list->items[i];
		const struct resource *first =
		    first_of(import, &names, resource->spec_name->s, resource);

		if (first == resource) {
			list->items[kept++] = resource;
			continue;
		}
		complain_double(import, first, resource);
		resource->left_out = true;
		if (pointers_add(&import->left_out, resource) < 0)
			import_oom(import);
	}
	list->n = kept;
	table_release(&names);
}

void import_finish(struct import *import)
{
	for (size_t kind = 0; kind < IMPORT_KINDS; kind++) {
		struct pointers *list = &import->resources[kind];

		find_shared(import, list);
		for (size_t i = 0; i < list->n; i++)
			rename_shared(import, list->items[i]);
		drop_doubles(import, list);
		if (kind == IMPORT_VIRTUAL_SERVICE)
			import_place_delegates(import);
		sort(list);
	}
}
