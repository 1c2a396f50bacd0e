/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request to a verdict (istio-semantics 2.1-2.4): the virtual host by the authority, then
 * its routes from top to bottom, their blocks in order, all conditions of a block.
 *
 * One walk serves both the bridge and the tools; only the tools ask why a block did not match, so
 * that texts are made for them alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rules/explain.h"
#include "rules/hostname.h"
#include "rules/lookup.h"

#define JOINED_MAX 4096 /* repeated header fields that long are joined on the stack */

struct attempt {
	const struct rules_request *request;
	explain_note_fn *note; /* NULL: nobody asks why */
	void *context;
	size_t path_len; /* without query and fragment */
	char why[256];
};

static bool differs(struct attempt *attempt, const char *field, const struct string_match *match,
		    enum pattern_result result, const char *value, size_t len)
{
	static const char *const kinds[] = {
	    [MATCH_PRESENT] = "present",
	    [MATCH_EXACT] = "exact",
	    [MATCH_PREFIX] = "prefix",
	    [MATCH_REGEX] = "regex",
	};
	const char *wanted = match->exact.s    ? match->exact.s
			     : match->prefix.s ? match->prefix.s
					       : match->regex.s;

	if (attempt->note && result == PATTERN_LIMIT)
		snprintf(attempt->why, sizeof(attempt->why), "%s: regex \"%.100s\" takes too long",
			 field, wanted ? wanted : "");
	else if (attempt->note)
		snprintf(attempt->why, sizeof(attempt->why), "%s \"%.*s\" is not %s \"%.100s\"",
			 field, (int)(len > 80 ? 80 : len), value, kinds[match->kind],
			 wanted ? wanted : "");
	return false;
}

static bool matches(struct attempt *attempt, const char *field, const struct string_match *match,
		    const char *value, size_t len)
{
	enum pattern_result result = PATTERN_NO_MATCH;
	bool same = false;

	switch (match->kind) {
	case MATCH_PRESENT:
		return true;
	case MATCH_EXACT:
		same = len == match->len && !memcmp(value, match->exact.s, len);
		break;
	case MATCH_PREFIX:
		same = len >= match->len && !memcmp(value, match->prefix.s, match->len);
		break;
	case MATCH_REGEX:
		result = pattern_match(match->pattern, value, len);
		same = result == PATTERN_MATCH;
		break;
	}
	return same || differs(attempt, field, match, result, value, len);
}

/* ---- headers ------------------------------------------------------------------------------ */

static bool is_field(const struct field *field, const char *name, size_t len)
{
	return field->name_len == len && !strncasecmp(field->name, name, len);
}

/* The value that a name stands for in the request line, Host included; NULL: it is a field. */
static const char *pseudo_header(const struct rules_request *request, const char *name)
{
	if (!strcasecmp(name, ":method"))
		return request->method;
	if (!strcasecmp(name, ":authority") || !strcasecmp(name, "host"))
		return request->authority;
	if (!strcasecmp(name, ":path"))
		return request->path;
	if (!strcasecmp(name, ":scheme"))
		return "http";
	return NULL;
}

static size_t joined_len(const struct rules_request *request, const char *name, size_t *count)
{
	size_t name_len = strlen(name), len = 0;

	*count = 0;
	for (size_t i = 0; i < request->n_fields; i++)
		if (is_field(&request->fields[i], name, name_len)) {
			len += request->fields[i].value_len + (*count ? 1 : 0);
			++*count;
		}
	return len;
}

/* Envoy's view of a repeated field: the values with commas between them. */
static void join(const struct rules_request *request, const char *name, char *out)
{
	size_t name_len = strlen(name);
	bool first = true;

	for (size_t i = 0; i < request->n_fields; i++) {
		const struct field *field = &request->fields[i];

		if (!is_field(field, name, name_len))
			continue;
		if (!first)
			*out++ = ',';
		memcpy(out, field->value, field->value_len);
		out += field->value_len;
		first = false;
	}
}

static bool header_matches(struct attempt *attempt, const struct header_match *header)
{
	const struct rules_request *request = attempt->request;
	const char *value = pseudo_header(request, header->name.s);
	char small[JOINED_MAX], *joined = small, label[96];
	size_t count, len;
	bool result;

	snprintf(label, sizeof(label), "header %.80s", header->name.s);
	if (value)
		return matches(attempt, label, &header->match, value, strlen(value));
	len = joined_len(request, header->name.s, &count);
	if (!count) {
		if (attempt->note)
			snprintf(attempt->why, sizeof(attempt->why), "%s is missing", label);
		return false;
	}
	if (len > sizeof(small))
		joined = malloc(len);
	if (!joined)
		return false; /* no memory: no match, as where a regex gives up */
	join(request, header->name.s, joined);
	result = matches(attempt, label, &header->match, joined, len);
	if (joined != small)
		free(joined);
	return result;
}

/* ---- routes ------------------------------------------------------------------------------- */

static bool fits_port(struct attempt *attempt, const struct http_match *match)
{
	if (!match->port.set || match->port.value == attempt->request->port)
		return true;
	if (attempt->note)
		snprintf(attempt->why, sizeof(attempt->why), "port %u is not %lld",
			 attempt->request->port, match->port.value);
	return false;
}

static bool block_matches(struct attempt *attempt, const struct http_match *match)
{
	const struct rules_request *request = attempt->request;
	const struct header_match *headers = match->headers.items;

	if (!fits_port(attempt, match))
		return false;
	if (match->uri && !matches(attempt, "path", match->uri, request->path, attempt->path_len))
		return false;
	if (match->method &&
	    !matches(attempt, "method", match->method, request->method, strlen(request->method)))
		return false;
	if (match->authority && !matches(attempt, "authority", match->authority, request->authority,
					 strlen(request->authority)))
		return false;
	for (size_t i = 0; i < match->headers.n; i++)
		if (!header_matches(attempt, &headers[i]))
			return false;
	return true;
}

static void note(struct attempt *attempt, const struct where *where, int route, int match, bool hit)
{
	const struct explain_note text = {*where, route, match, hit ? NULL : attempt->why};

	if (attempt->note)
		attempt->note(attempt->context, &text);
}

/* How much of the path a rewrite replaces (istio-semantics 2.5). */
static size_t rewritten_len(const struct http_match *match)
{
	if (match && match->uri && match->uri->kind == MATCH_PREFIX)
		return match->uri->len;
	if (match && match->uri && match->uri->kind != MATCH_PRESENT)
		return SIZE_MAX;
	return 1; /* the implicit prefix "/" */
}

static void take_route(struct verdict *verdict, const struct http_route *route,
		       const struct http_match *match)
{
	const struct http_rewrite *rewrite = route->rewrite;

	verdict->route = route;
	verdict->where = match ? match->where : route->where;
	if (rewrite && rewrite->authority.s && *rewrite->authority.s)
		verdict->authority = rewrite->authority.s;
	if (rewrite && rewrite->uri.s && *rewrite->uri.s) {
		verdict->rewrite_uri = rewrite->uri.s;
		verdict->rewrite_prefix = rewritten_len(match);
	}
}

/* Returns whether the search is over: a block matched, or one that leaves nothing to the others
 * (Istio drops what follows a catch-all, even for a path that it does not match, as "*"). */
static bool try_route(struct attempt *attempt, const struct http_route *route, int index,
		      struct verdict *verdict)
{
	const struct http_match *blocks = route->match.items;

	if (!route->match.n) {
		verdict->route_index = index;
		note(attempt, &route->where, index, -1, true);
		take_route(verdict, route, NULL);
		return true;
	}
	for (size_t i = 0; i < route->match.n; i++) {
		bool hit = block_matches(attempt, &blocks[i]);

		note(attempt, &blocks[i].where, index, (int)i, hit);
		if (hit) {
			verdict->route_index = index;
			verdict->match_index = (int)i;
			take_route(verdict, route, &blocks[i]);
			return true;
		}
		if (blocks[i].catch_all && fits_port(attempt, &blocks[i]))
			return true;
	}
	return false;
}

/* ---- destinations ------------------------------------------------------------------------- */

/* Of several, those with a weight; a single one whatever its weight. */
static bool takes_part(const struct http_route *route, const struct route_destination *destination)
{
	return route->route.n == 1 || destination->weight.value > 0;
}

static const struct cluster *destination_cluster(const struct destination *destination,
						 uint16_t port)
{
	if (destination->cluster || !destination->service)
		return destination->cluster;
	return service_cluster(destination->service, port);
}

static void choose_destination(const struct rules_request *request, struct verdict *verdict)
{
	const struct http_route *route = verdict->route;
	const struct route_destination *all = route->route.items;
	/* Scaled, not reduced modulo: every share is as wide as its weight says. */
	uint64_t at = (uint64_t)(((unsigned __int128)request->random * route->total_weight) >> 32);
	const struct destination *chosen = NULL;

	for (size_t i = 0; i < route->route.n; i++) {
		if (!takes_part(route, &all[i]))
			continue;
		chosen = all[i].destination;
		if (at < (uint64_t)all[i].weight.value)
			break;
		at -= (uint64_t)all[i].weight.value;
	}
	verdict->destination = chosen->host.s;
	verdict->cluster = destination_cluster(chosen, request->port);
	verdict->action = verdict->cluster ? RULES_ROUTE : RULES_NO_CLUSTER;
}

size_t rules_n_destinations(const struct verdict *verdict)
{
	const struct http_route *route = verdict->route;
	const struct route_destination *all = route ? route->route.items : NULL;
	size_t n = 0;

	if (!route)
		return verdict->cluster != NULL;
	for (size_t i = 0; i < route->route.n; i++)
		n += takes_part(route, &all[i]);
	return n;
}

struct explain_destination rules_destination(const struct verdict *verdict, size_t i, uint16_t port)
{
	const struct http_route *route = verdict->route;
	const struct route_destination *at = route ? route->route.items : NULL;
	struct explain_destination out = {.weight = 100};

	if (route) {
		for (; !takes_part(route, at) || i-- > 0; at++)
			;
		out.host = at->destination->host.s;
		out.cluster = destination_cluster(at->destination, port);
		out.where = at->destination->where;
		if (route->route.n > 1)
			out.weight = (unsigned)at->weight.value;
	} else {
		out.cluster = verdict->cluster;
		out.host = verdict->destination;
		out.where = verdict->where;
	}
	out.port = out.cluster ? out.cluster->port : 0;
	return out;
}

struct where rules_routes_where(const struct rules *rules, const struct verdict *verdict)
{
	const struct host *host = verdict->host ? hostmap_get(&rules->hosts, verdict->host) : NULL;

	return host && host->routes ? host->routes->where : (struct where){NULL, 0};
}

/* ---- requests ----------------------------------------------------------------------------- */

static const struct host *virtual_host(const struct rules *rules,
				       const struct rules_request *request,
				       const struct cluster **own)
{
	const struct host *host = NULL;
	bool http = false;
	char name[256];

	if (hostname_of_authority(request->authority, name))
		host = lookup_serving(rules, name, request->port, own, &http);
	if (host && http)
		return host;
	host = NULL;
	if (request->dialled &&
	    hostname_normalize(request->dialled, strlen(request->dialled), name))
		host = lookup_serving(rules, name, request->port, own, &http);
	return host && http ? host : NULL;
}

static void no_virtual_host(const struct rules *rules, const struct rules_request *request,
			    struct verdict *verdict)
{
	if (request->dialled)
		verdict->action = RULES_NO_ROUTE;
	else if (rules->policy == OUTBOUND_REGISTRY_ONLY)
		verdict->action = RULES_REQUEST_BLOCKED;
	else
		verdict->action = RULES_REQUEST_DIRECT;
}

static void find_route(struct attempt *attempt, const struct host *host, struct verdict *verdict)
{
	const struct virtual_service *service = host->routes;
	const struct http_route *routes = service->http.items;

	verdict->virtual_service = service->name.s;
	verdict->where = service->where;
	for (size_t i = 0; i < service->http.n; i++)
		if (try_route(attempt, &routes[i], (int)i, verdict))
			break;
	if (verdict->route)
		choose_destination(attempt->request, verdict);
	else
		verdict->action = RULES_NO_ROUTE;
}

void rules_explain(const struct rules *rules, const struct rules_request *request,
		   struct verdict *verdict, explain_note_fn *on_note, void *context)
{
	struct attempt attempt = {.request = request, .note = on_note, .context = context};
	const struct cluster *own = NULL;
	const struct host *host;

	*verdict = (struct verdict){.route_index = -1, .match_index = -1};
	attempt.path_len = strcspn(request->path, "?#");
	host = virtual_host(rules, request, &own);
	if (!host) {
		no_virtual_host(rules, request, verdict);
		return;
	}
	verdict->host = host->registry.name;
	if (host->routes) {
		find_route(&attempt, host, verdict);
		return;
	}
	/* Without a VirtualService a host serves a port only through a cluster of its own. */
	verdict->action = RULES_ROUTE;
	verdict->cluster = own;
	verdict->destination = own->host;
	verdict->where = own->where;
}

void rules_match(const struct rules *rules, const struct rules_request *request,
		 struct verdict *verdict)
{
	rules_explain(rules, request, verdict, NULL, NULL);
}
