/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegates. To Istio a delegate is a name and a namespace, its root's own unless it says another.
 * A rule file has names only, and looks for "name.namespace", then for "name" (rules/delegate.c),
 * which could be found in a namespace that was not meant. So each delegate is looked up both ways,
 * and gets a name that leads to the right one, or to none.
 *
 * A resource that tells no namespace may be in any: it depends on how it is applied.
 */
#include <string.h>

#include "tools/import.h"

struct namesakes {
	const struct resource *first;
	bool several;
};

struct places {
	struct import *import;
	struct table by_pair;	   /* "namespace/name" -> struct resource */
	struct table by_name;	   /* -> struct namesakes */
	struct table by_spec_name; /* -> struct resource */
};

/* Of a region; NULL: out of memory, which is said. */
static const char *join(struct import *import, const char *left, char between, const char *right)
{
	const char *text = region_printf(&import->region, "%s%c%s", left ? left : "", between, right);

	if (!text)
		import_oom(import);
	return text;
}

static void put(struct places *places, struct table *table, const char *key, void *value)
{
	if (!table_get(table, key, strlen(key)) && table_put(table, key, strlen(key), value) < 0)
		import_oom(places->import);
}

static void add(struct places *places, struct resource *resource)
{
	const char *pair = join(places->import, resource->namespace, '/', resource->name);
	struct namesakes *namesakes =
	    table_get(&places->by_name, resource->name, strlen(resource->name));

	put(places, &places->by_spec_name, resource->spec_name->s, resource);
	if (pair)
		put(places, &places->by_pair, pair, resource);
	if (namesakes) {
		namesakes->several = true;
		return;
	}
	namesakes = region_alloc(&places->import->region, sizeof(*namesakes));
	if (!namesakes) {
		import_oom(places->import);
		return;
	}
	namesakes->first = resource;
	put(places, &places->by_name, resource->name, namesakes);
}

static const struct namesakes *namesakes_of(const struct places *places, const char *name)
{
	return table_get(&places->by_name, name, strlen(name));
}

static const struct resource *find_pair(const struct places *places, const char *namespace,
					const char *name)
{
	const char *pair = join(places->import, namespace, '/', name);

	return pair ? table_get(&places->by_pair, pair, strlen(pair)) : NULL;
}

/* Whom Istio finds; `namespace` may be NULL: not known. */
static const struct resource *meant(const struct places *places, const char *namespace,
				    const char *name)
{
	const struct resource *found = find_pair(places, namespace, name);
	const struct namesakes *namesakes = namesakes_of(places, name);

	if (found)
		return found;
	if (namespace)
		return find_pair(places, NULL, name);
	return namesakes && !namesakes->several ? namesakes->first : NULL;
}

static const struct resource *by_spec_name(const struct places *places, const char *name)
{
	return table_get(&places->by_spec_name, name, strlen(name));
}

/* Whom the rule file's reader finds. */
static const struct resource *found(const struct places *places, const struct delegate *delegate)
{
	const char *full = NULL;
	const struct resource *resource = NULL;

	if (delegate->namespace.s)
		full = join(places->import, delegate->name.s, '.', delegate->namespace.s);
	if (full)
		resource = by_spec_name(places, full);
	return resource ? resource : by_spec_name(places, delegate->name.s);
}

static void warn(const struct places *places, const struct delegate *delegate,
		 const char *namespace)
{
	const struct namesakes *others = namesakes_of(places, delegate->name.s);
	const char *place = others ? others->first->namespace : NULL;

	if (!others)
		return; /* nothing to mistake: meshshim-check finds what is missing */
	if (!namespace)
		diag_add(&places->import->diags, SEVERITY_WARNING, &delegate->where,
			 "delegate \"%s\" is in several namespaces, and none is named: it is not "
			 "found, and its route is dropped",
			 delegate->name.s);
	else
		diag_add(&places->import->diags, SEVERITY_WARNING, &delegate->where,
			 "delegate \"%s\" is not in namespace \"%s\" (there is one in \"%s\"): as "
			 "Istio, meshshim does not find it, and drops its route",
			 delegate->name.s, namespace, place ? place : "");
}

/* A name that nobody has, as like the one that was written as can be. */
static const char *free_name(const struct places *places, const char *name, const char *namespace)
{
	const char *text = namespace ? join(places->import, name, '.', namespace) : name;

	while (text && by_spec_name(places, text))
		text = join(places->import, text, '.', "missing");
	return text ? text : name;
}

static void place(const struct places *places, const struct resource *root,
		  struct delegate *delegate)
{
	const char *namespace = delegate->namespace.s;
	const struct resource *wanted;

	if (!delegate->name.s)
		return;
	if (namespace && !*namespace)
		delegate->namespace.s = namespace = NULL;
	if (!namespace)
		namespace = root->namespace;
	wanted = meant(places, namespace, delegate->name.s);
	/* As it was written, if it can be. */
	if (wanted && wanted->shared && wanted->namespace)
		delegate->namespace = (struct text){delegate->where, wanted->namespace};
	if (!wanted)
		warn(places, delegate, namespace);
	if (found(places, delegate) == wanted)
		return;
	delegate->name.s = wanted ? wanted->spec_name->s
				  : free_name(places, delegate->name.s, namespace);
	delegate->namespace.s = NULL;
}

void import_place_delegates(struct import *import)
{
	const struct pointers *list = &import->resources[IMPORT_VIRTUAL_SERVICE];
	struct places places = {.import = import};

	table_init(&places.by_pair);
	table_init(&places.by_name);
	table_init(&places.by_spec_name);
	for (size_t i = 0; i < list->n; i++) {
		struct resource *resource = list->items[i];

		if (!((const struct virtual_service *)resource->spec)->hosts.n)
			add(&places, resource);
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct resource *root = list->items[i];
		const struct virtual_service *service = root->spec;
		const struct http_route *routes = service->http.items;

		for (size_t j = 0; j < service->http.n; j++)
			if (routes[j].delegate)
				place(&places, root, routes[j].delegate);
	}
	table_release(&places.by_pair);
	table_release(&places.by_name);
	table_release(&places.by_spec_name);
}
