/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute.delegate, as Istio's mergeHTTPRoutes does it: each route of the delegate takes the
 * place of the one that names it. Its blocks are the delegate's, in their order, each joined with
 * every block of the root that it fits into; a route with a block that fits into none is left out
 * as a whole. What the delegate's route leaves unsaid, the root's says.
 *
 * And the static filters: blocks for other gateways, labels or namespaces than this process's own.
 */
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"

struct inliner {
	struct rules *rules;
	struct diags *diags;
	const struct workload *workload; /* this process; NULL: nothing is known of it */
	struct table delegates;		 /* name -> struct virtual_service */
};

/* ---- static filters ----------------------------------------------------------------------- */

static bool has_mesh(const struct list *gateways)
{
	const struct text *items = gateways->items;

	for (size_t i = 0; i < gateways->n; i++)
		if (!strcmp(items[i].s, "mesh"))
			return true;
	return false;
}

static const struct pair *find_label(const struct list *labels, const struct pair *label)
{
	const struct pair *items = labels->items;

	for (size_t i = 0; i < labels->n; i++)
		if (items[i].name.s && label->name.s && !strcmp(items[i].name.s, label->name.s))
			return &items[i];
	return NULL;
}

static bool same_value(const struct pair *a, const struct pair *b)
{
	return a->value.s && b->value.s && !strcmp(a->value.s, b->value.s);
}

static bool is_source(const struct workload *workload, const struct list *source_labels,
		      const struct text *source_namespace)
{
	const struct pair *labels = source_labels->items;

	if (source_namespace->s && *source_namespace->s &&
	    !(workload && workload->namespace.s &&
	      !strcmp(workload->namespace.s, source_namespace->s)))
		return false;
	for (size_t i = 0; i < source_labels->n; i++) {
		const struct pair *own =
		    workload ? find_label(&workload->labels, &labels[i]) : NULL;

		if (!own || !same_value(own, &labels[i]))
			return false;
	}
	return true;
}

/* Istio's sourceMatchHTTP: where gateways are named, labels and namespace do not count. */
static bool http_excluded(const struct workload *workload, const struct http_match *match)
{
	if (match->gateways.n)
		return !has_mesh(&match->gateways);
	return !is_source(workload, &match->source_labels, &match->source_namespace);
}

/* Its matchTLS and matchTCP: all of them count. */
static bool l4_excluded(const struct workload *workload, const struct l4_match *match)
{
	return (match->gateways.n && !has_mesh(&match->gateways)) ||
	       !is_source(workload, &match->source_labels, &match->source_namespace);
}

static void exclude(const struct workload *workload, struct virtual_service *service)
{
	struct http_route *routes = service->http.items;
	struct list *streams[] = {&service->tls, &service->tcp};

	for (size_t i = 0; i < service->http.n; i++) {
		struct http_match *blocks = routes[i].match.items;

		for (size_t j = 0; j < routes[i].match.n; j++)
			blocks[j].excluded = http_excluded(workload, &blocks[j]);
	}
	for (size_t k = 0; k < 2; k++) {
		struct l4_route *all = streams[k]->items;

		for (size_t i = 0; i < streams[k]->n; i++) {
			struct l4_match *blocks = all[i].match.items;

			for (size_t j = 0; j < all[i].match.n; j++)
				blocks[j].excluded = l4_excluded(workload, &blocks[j]);
		}
	}
}

/* ---- conflicts ---------------------------------------------------------------------------- */

static bool is_set(const struct text *text)
{
	return text->s && *text->s;
}

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/*
 * Istio's stringMatchConflict: whether the leaf's condition is not clearly a part of the root's. A
 * regex is never part of anything, not even of itself, nor is "present" ({}, or an empty text).
 */
static bool strings_conflict(const struct string_match *root, const struct string_match *leaf)
{
	if (!root || !leaf)
		return false;
	if (is_set(&root->regex) || is_set(&leaf->regex))
		return true;
	if (is_set(&root->exact))
		return !is_set(&leaf->exact) || strcmp(root->exact.s, leaf->exact.s) != 0;
	if (!is_set(&root->prefix))
		return true;
	if (is_set(&leaf->prefix))
		return !begins(leaf->prefix.s, root->prefix.s);
	return !is_set(&leaf->exact) || !begins(leaf->exact.s, root->prefix.s);
}

static bool same_name(const struct header_match *a, const struct header_match *b)
{
	return a->name.s && b->name.s && !strcmp(a->name.s, b->name.s);
}

static bool maps_conflict(const struct list *root, const struct list *leaf)
{
	const struct header_match *roots = root->items, *leaves = leaf->items;

	for (size_t i = 0; i < root->n; i++)
		for (size_t j = 0; j < leaf->n; j++)
			if (same_name(&roots[i], &leaves[j]) &&
			    strings_conflict(&roots[i].match, &leaves[j].match))
				return true;
	return false;
}

static bool labels_conflict(const struct list *root, const struct list *leaf)
{
	const struct pair *leaves = leaf->items;

	for (size_t i = 0; i < leaf->n; i++) {
		const struct pair *other = find_label(root, &leaves[i]);

		if (other && !same_value(other, &leaves[i]))
			return true;
	}
	return false;
}

/* Where both name gateways, the leaf's have to be among the root's. */
static bool gateways_conflict(const struct list *root, const struct list *leaf)
{
	const struct text *roots = root->items, *leaves = leaf->items;

	if (!root->n || !leaf->n)
		return false;
	if (root->n < leaf->n)
		return true;
	for (size_t i = 0; i < leaf->n; i++) {
		size_t j = 0;

		while (j < root->n && strcmp(roots[j].s, leaves[i].s) != 0)
			j++;
		if (j == root->n)
			return true;
	}
	return false;
}

/* Istio's hasConflict: ignoreUriCase counts without a uri too, and a namespace that the root names
 * has to be named by the leaf again. */
static bool blocks_conflict(const struct http_match *root, const struct http_match *leaf)
{
	if (is_set(&root->source_namespace) &&
	    (!leaf->source_namespace.s ||
	     strcmp(root->source_namespace.s, leaf->source_namespace.s) != 0))
		return true;
	return strings_conflict(root->uri, leaf->uri) ||
	       strings_conflict(root->scheme, leaf->scheme) ||
	       strings_conflict(root->method, leaf->method) ||
	       strings_conflict(root->authority, leaf->authority) ||
	       maps_conflict(&root->headers, &leaf->headers) ||
	       maps_conflict(&root->without_headers, &leaf->without_headers) ||
	       maps_conflict(&root->query_params, &leaf->query_params) ||
	       root->ignore_uri_case.value != leaf->ignore_uri_case.value ||
	       (root->port.value && leaf->port.value && root->port.value != leaf->port.value) ||
	       labels_conflict(&root->source_labels, &leaf->source_labels) ||
	       gateways_conflict(&root->gateways, &leaf->gateways);
}

/* ---- joining ------------------------------------------------------------------------------ */

/* Both lists; of one name, the leaf's. */
static int join_maps(struct region *region, const struct list *root, const struct list *leaf,
		     struct list *out)
{
	const struct header_match *roots = root->items, *leaves = leaf->items;
	struct header_match *items;

	*out = leaf->n ? *leaf : *root;
	if (!root->n || !leaf->n)
		return 0;
	out->items = items = region_array(region, root->n + leaf->n, sizeof(*items));
	if (!items)
		return -1;
	memcpy(items, leaves, leaf->n * sizeof(*items));
	out->n = leaf->n;
	for (size_t i = 0; i < root->n; i++) {
		size_t j = 0;

		while (j < leaf->n && !same_name(&roots[i], &leaves[j]))
			j++;
		if (j == leaf->n)
			items[out->n++] = roots[i];
	}
	return 0;
}

/* Both lists; what both have is the same. */
static int join_labels(struct region *region, const struct list *root, const struct list *leaf,
		       struct list *out)
{
	struct pair *items;

	*out = leaf->n ? *leaf : *root;
	if (!root->n || !leaf->n)
		return 0;
	out->items = items = region_array(region, root->n + leaf->n, sizeof(*items));
	if (!items)
		return -1;
	memcpy(items, leaf->items, leaf->n * sizeof(*items));
	out->n = root->n + leaf->n;
	memcpy(items + leaf->n, root->items, root->n * sizeof(*items));
	return 0;
}

static int join_blocks(struct region *region, const struct http_match *root,
		       const struct http_match *leaf, struct http_match *out)
{
	*out = *leaf;
	if (root->name.s && leaf->name.s)
		out->name.s = region_printf(region, "%s-%s", root->name.s, leaf->name.s);
	else if (root->name.s)
		out->name = root->name;
	out->uri = leaf->uri ?: root->uri;
	out->scheme = leaf->scheme ?: root->scheme;
	out->method = leaf->method ?: root->method;
	out->authority = leaf->authority ?: root->authority;
	if (!leaf->port.value)
		out->port = root->port;
	if (!leaf->gateways.n)
		out->gateways = root->gateways;
	out->catch_all = root->catch_all && leaf->catch_all;
	if (join_maps(region, &root->headers, &leaf->headers, &out->headers) < 0 ||
	    join_maps(region, &root->without_headers, &leaf->without_headers,
		      &out->without_headers) < 0 ||
	    join_labels(region, &root->source_labels, &leaf->source_labels, &out->source_labels) <
		0)
		return -1;
	return join_maps(region, &root->query_params, &leaf->query_params, &out->query_params);
}

/* Returns 1: joined, 0: a block of the leaf fits into none of the root's, -1: out of memory. */
static int join_matches(const struct inliner *inliner, const struct list *root,
			const struct list *leaf, struct list *out)
{
	struct region *region = &inliner->rules->region;
	const struct http_match *roots = root->items, *leaves = leaf->items;
	struct http_match *items;

	*out = leaf->n ? *leaf : *root;
	if (!root->n || !leaf->n)
		return 1;
	out->n = 0;
	out->items = items = region_array(region, root->n * leaf->n, sizeof(*items));
	if (!items)
		return -1;
	for (size_t i = 0; i < leaf->n; i++) {
		size_t before = out->n;

		for (size_t j = 0; j < root->n; j++) {
			struct http_match *joined = &items[out->n];

			if (blocks_conflict(&roots[j], &leaves[i]))
				continue;
			if (join_blocks(region, &roots[j], &leaves[i], joined) < 0)
				return -1;
			joined->excluded = http_excluded(inliner->workload, joined);
			out->n++;
		}
		if (out->n == before)
			return 0;
	}
	return 1;
}

/* As join_matches(). */
static int join_routes(const struct inliner *inliner, const struct http_route *root,
		       const struct http_route *leaf, const struct virtual_service *origin,
		       struct http_route *out)
{
	*out = *leaf;
	if (root->name.s && leaf->name.s)
		out->name.s =
		    region_printf(&inliner->rules->region, "%s-%s", root->name.s, leaf->name.s);
	else if (root->name.s)
		out->name = root->name;
	out->origin = origin;
	out->rewrite = leaf->rewrite ?: root->rewrite;
	out->retries = leaf->retries ?: root->retries;
	out->fault = leaf->fault ?: root->fault;
	out->headers = leaf->headers ?: root->headers;
	out->direct_response = leaf->direct_response ?: root->direct_response;
	if (!leaf->timeout.set)
		out->timeout = root->timeout;
	if (!leaf->mirror)
		out->mirror = root->mirror;
	if (!leaf->mirrors.n)
		out->mirrors = root->mirrors;
	out->mirror_percentage = leaf->mirror_percentage ?: root->mirror_percentage;
	if (!leaf->mirror_percent.set)
		out->mirror_percent = root->mirror_percent;
	return join_matches(inliner, &root->match, &leaf->match, &out->match);
}

/* ---- finding ------------------------------------------------------------------------------ */

static const struct virtual_service *find_delegate(const struct inliner *inliner,
						   const struct delegate *delegate)
{
	struct region *region = &inliner->rules->region;
	const struct virtual_service *found = NULL;
	const char *full;

	if (!delegate->name.s)
		return NULL;
	/* Rule files have no namespaces; an import makes "name.namespace" of names that collide. */
	full = delegate->namespace.s
		   ? region_printf(region, "%s.%s", delegate->name.s, delegate->namespace.s)
		   : NULL;
	if (full)
		found = table_get(&inliner->delegates, full, strlen(full));
	return found ?: table_get(&inliner->delegates, delegate->name.s, strlen(delegate->name.s));
}

static void unknown_delegate(struct inliner *inliner, const struct virtual_service *service,
			     const struct delegate *delegate)
{
	const struct topic topic = {"IST0101",
				    region_printf(&inliner->rules->region, "VirtualService %s",
						  service->name.s ? service->name.s : "")};

	if (delegate->name.s)
		diag_about(inliner->diags, SEVERITY_ERROR, &topic, &delegate->name.where,
			   "Referenced delegate not found: \"%s\" (a VirtualService without hosts)",
			   delegate->name.s);
}

static int inline_service(struct inliner *inliner, struct virtual_service *service)
{
	struct http_route *routes = service->http.items, *out;
	size_t total = 0;

	for (size_t i = 0; i < service->http.n; i++) {
		const struct virtual_service *to =
		    routes[i].delegate ? find_delegate(inliner, routes[i].delegate) : NULL;

		total += to ? to->http.n : 1;
	}
	out = region_array(&inliner->rules->region, total, sizeof(*out));
	if (!out)
		return -1;
	total = 0;
	for (size_t i = 0; i < service->http.n; i++) {
		const struct virtual_service *to;
		const struct http_route *leaves;

		if (!routes[i].delegate) {
			out[total++] = routes[i];
			continue;
		}
		to = find_delegate(inliner, routes[i].delegate);
		if (!to)
			unknown_delegate(inliner, service, routes[i].delegate);
		leaves = to ? to->http.items : NULL;
		for (size_t j = 0; to && j < to->http.n; j++) {
			int joined = leaves[j].delegate ? 0
							: join_routes(inliner, &routes[i],
								      &leaves[j], to, &out[total]);

			if (joined < 0)
				return -1;
			total += (size_t)joined;
		}
	}
	service->merged.items = out;
	service->merged.n = total;
	return 0;
}

int rules_inline_delegates(struct rules *rules, struct diags *diags)
{
	struct inliner inliner = {.rules = rules, .diags = diags};
	const struct pointers *all = &rules->virtual_services;
	int status = 0;

	if (rules->mesh_config)
		inliner.workload = rules->mesh_config->workload;
	table_init(&inliner.delegates);
	for (size_t i = 0; i < all->n && status == 0; i++) {
		struct virtual_service *service = all->items[i];

		exclude(inliner.workload, service);
		if (!service->hosts.n && service->name.s &&
		    !table_get(&inliner.delegates, service->name.s, strlen(service->name.s)))
			status = table_put(&inliner.delegates, service->name.s,
					   strlen(service->name.s), service);
	}
	for (size_t i = 0; i < all->n && status == 0; i++) {
		struct virtual_service *service = all->items[i];

		service->merged = service->http;
		for (size_t j = 0; j < service->http.n && service->hosts.n; j++)
			if (((struct http_route *)service->http.items)[j].delegate) {
				status = inline_service(&inliner, service);
				break;
			}
	}
	table_release(&inliner.delegates);
	return status;
}
