/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute.delegate, as Istio's mergeHTTPRoutes does it: each route of the delegate takes the
 * place of the one that names it. Its blocks are those of both, each joined with each; pairs that
 * contradict each other fall away. What the delegate's route leaves unsaid, the root's says.
 *
 * And the static filters: blocks for other gateways, labels or namespaces than this process's own.
 */
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"

struct inliner {
	struct rules *rules;
	struct diags *diags;
	struct table delegates; /* name -> struct virtual_service */
};

/* ---- contradictions ----------------------------------------------------------------------- */

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* Whether nothing, or nothing that can be told, satisfies both. */
static bool contradict(const struct string_match *root, const struct string_match *leaf)
{
	if (!root || !leaf || root->kind == MATCH_PRESENT || leaf->kind == MATCH_PRESENT)
		return false;
	if (root->kind == MATCH_REGEX || leaf->kind == MATCH_REGEX)
		return root->kind != leaf->kind || strcmp(root->regex.s, leaf->regex.s) != 0;
	if (root->kind == MATCH_EXACT)
		return leaf->kind != MATCH_EXACT || strcmp(root->exact.s, leaf->exact.s) != 0;
	return !begins(leaf->kind == MATCH_EXACT ? leaf->exact.s : leaf->prefix.s, root->prefix.s);
}

static bool maps_contradict(const struct list *root, const struct list *leaf)
{
	const struct header_match *roots = root->items, *leaves = leaf->items;

	for (size_t i = 0; i < root->n; i++)
		for (size_t j = 0; j < leaf->n; j++)
			if (roots[i].name.s && leaves[j].name.s &&
			    !strcmp(roots[i].name.s, leaves[j].name.s) &&
			    contradict(&roots[i].match, &leaves[j].match))
				return true;
	return false;
}

static bool blocks_contradict(const struct http_match *root, const struct http_match *leaf)
{
	return contradict(root->uri, leaf->uri) || contradict(root->scheme, leaf->scheme) ||
	       contradict(root->method, leaf->method) ||
	       contradict(root->authority, leaf->authority) ||
	       maps_contradict(&root->headers, &leaf->headers) ||
	       maps_contradict(&root->without_headers, &leaf->without_headers) ||
	       maps_contradict(&root->query_params, &leaf->query_params) ||
	       (root->port.set && leaf->port.set && root->port.value != leaf->port.value) ||
	       (root->uri && leaf->uri &&
		root->ignore_uri_case.value != leaf->ignore_uri_case.value);
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

		while (j < leaf->n && !(roots[i].name.s && leaves[j].name.s &&
					!strcmp(roots[i].name.s, leaves[j].name.s)))
			j++;
		if (j == leaf->n)
			items[out->n++] = roots[i];
	}
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
	if (!leaf->uri) {
		out->uri = root->uri;
		out->ignore_uri_case = root->ignore_uri_case;
	}
	out->scheme = leaf->scheme ?: root->scheme;
	out->method = leaf->method ?: root->method;
	out->authority = leaf->authority ?: root->authority;
	if (!leaf->port.set)
		out->port = root->port;
	if (!leaf->source_labels.n)
		out->source_labels = root->source_labels;
	if (!leaf->source_namespace.s)
		out->source_namespace = root->source_namespace;
	out->gateways = root->gateways;
	out->excluded = root->excluded || leaf->excluded;
	out->catch_all = root->catch_all && leaf->catch_all;
	if (join_maps(region, &root->headers, &leaf->headers, &out->headers) < 0 ||
	    join_maps(region, &root->without_headers, &leaf->without_headers,
		      &out->without_headers) < 0)
		return -1;
	return join_maps(region, &root->query_params, &leaf->query_params, &out->query_params);
}

static int join_matches(struct region *region, const struct list *root, const struct list *leaf,
			struct list *out)
{
	const struct http_match *roots = root->items, *leaves = leaf->items;
	struct http_match *items;

	*out = leaf->n ? *leaf : *root;
	if (!root->n || !leaf->n)
		return 0;
	out->n = 0;
	out->items = items = region_array(region, root->n * leaf->n, sizeof(*items));
	for (size_t i = 0; items && i < root->n; i++)
		for (size_t j = 0; j < leaf->n; j++) {
			if (blocks_contradict(&roots[i], &leaves[j]))
				continue;
			if (join_blocks(region, &roots[i], &leaves[j], &items[out->n]) < 0)
				return -1;
			out->n++;
		}
	return items ? 0 : -1;
}

/* Returns 1: joined, 0: no block is left, -1: out of memory. */
static int join_routes(struct region *region, const struct http_route *root,
		       const struct http_route *leaf, const struct virtual_service *origin,
		       struct http_route *out)
{
	*out = *leaf;
	if (root->name.s && leaf->name.s)
		out->name.s = region_printf(region, "%s-%s", root->name.s, leaf->name.s);
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
	if (join_matches(region, &root->match, &leaf->match, &out->match) < 0)
		return -1;
	return out->match.n || !(root->match.n && leaf->match.n);
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
			int joined = leaves[j].delegate
					 ? 0
					 : join_routes(&inliner->rules->region, &routes[i],
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

/* ---- static filters ----------------------------------------------------------------------- */

static bool has_mesh(const struct list *gateways)
{
	const struct text *items = gateways->items;

	for (size_t i = 0; i < gateways->n; i++)
		if (!strcmp(items[i].s, "mesh"))
			return true;
	return !gateways->n;
}

static bool has_label(const struct workload *workload, const struct pair *label)
{
	const struct pair *labels = workload ? workload->labels.items : NULL;

	for (size_t i = 0; workload && i < workload->labels.n; i++)
		if (labels[i].name.s && label->name.s && !strcmp(labels[i].name.s, label->name.s))
			return labels[i].value.s && label->value.s &&
			       !strcmp(labels[i].value.s, label->value.s);
	return false;
}

static bool is_excluded(const struct workload *workload, const struct list *gateways,
			const struct list *source_labels, const struct text *source_namespace)
{
	const struct pair *labels = source_labels->items;

	if (!has_mesh(gateways))
		return true;
	if (source_namespace->s && *source_namespace->s &&
	    !(workload && workload->namespace.s &&
	      !strcmp(workload->namespace.s, source_namespace->s)))
		return true;
	for (size_t i = 0; i < source_labels->n; i++)
		if (!has_label(workload, &labels[i]))
			return true;
	return false;
}

static void exclude(const struct workload *workload, struct virtual_service *service)
{
	struct http_route *routes = service->http.items;
	struct list *streams[] = {&service->tls, &service->tcp};

	for (size_t i = 0; i < service->http.n; i++) {
		struct http_match *blocks = routes[i].match.items;

		for (size_t j = 0; j < routes[i].match.n; j++)
			blocks[j].excluded =
			    is_excluded(workload, &blocks[j].gateways, &blocks[j].source_labels,
					&blocks[j].source_namespace);
	}
	for (size_t k = 0; k < 2; k++) {
		struct l4_route *all = streams[k]->items;

		for (size_t i = 0; i < streams[k]->n; i++) {
			struct l4_match *blocks = all[i].match.items;

			for (size_t j = 0; j < all[i].match.n; j++)
				blocks[j].excluded = is_excluded(
				    workload, &blocks[j].gateways, &blocks[j].source_labels,
				    &blocks[j].source_namespace);
		}
	}
}

int rules_inline_delegates(struct rules *rules, struct diags *diags)
{
	const struct workload *workload = rules->mesh_config ? rules->mesh_config->workload : NULL;
	struct inliner inliner = {.rules = rules, .diags = diags};
	const struct pointers *all = &rules->virtual_services;
	int status = 0;

	table_init(&inliner.delegates);
	for (size_t i = 0; i < all->n && status == 0; i++) {
		struct virtual_service *service = all->items[i];

		exclude(workload, service);
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
