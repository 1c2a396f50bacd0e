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

#include "rules/ascii.h"
#include "rules/choose.h"
#include "rules/explain.h"
#include "rules/header_edit.h"
#include "rules/hostname.h"
#include "rules/lookup.h"
#include "rules/path.h"

#define JOINED_MAX 4096 /* repeated header fields that long are joined on the stack */

struct attempt {
	const struct rules_request *request;
	explain_note_fn *note; /* NULL: nobody asks why */
	void *context;
	struct path path; /* normalized */
	bool limit;	  /* a pattern hit its bounds */
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

	attempt->limit |= result == PATTERN_LIMIT;
	if (attempt->note && result == PATTERN_LIMIT)
		snprintf(attempt->why, sizeof(attempt->why), "%s: regex \"%.100s\" takes too long",
			 field, wanted ? wanted : "");
	else if (attempt->note)
		snprintf(attempt->why, sizeof(attempt->why), "%s \"%.*s\" is not %s \"%.100s\"",
			 field, (int)(len > 80 ? 80 : len), value, kinds[match->kind],
			 wanted ? wanted : "");
	return false;
}

/* The answer alone; `*result` tells more where a regex was asked. */
static bool holds(const struct string_match *match, const char *value, size_t len, bool any_case,
		  enum pattern_result *result)
{
	switch (match->kind) {
	case MATCH_PRESENT:
		return true;
	case MATCH_EXACT:
		return len == match->len &&
		       (any_case ? ascii_equal_nocase_n(value, match->exact.s, len)
				 : !memcmp(value, match->exact.s, len));
	case MATCH_PREFIX:
		return len >= match->len &&
		       (any_case ? ascii_equal_nocase_n(value, match->prefix.s, match->len)
				 : !memcmp(value, match->prefix.s, match->len));
	case MATCH_REGEX:
		*result = pattern_match(match->pattern, value, len);
		return *result == PATTERN_MATCH;
	}
	return false;
}

static bool matches(struct attempt *attempt, const char *field, const struct string_match *match,
		    const char *value, size_t len, bool any_case)
{
	enum pattern_result result = PATTERN_NO_MATCH;

	return holds(match, value, len, any_case, &result) ||
	       differs(attempt, field, match, result, value, len);
}

/* ---- headers ------------------------------------------------------------------------------ */

static bool is_field(const struct field *field, const char *name, size_t len)
{
	return field->name_len == len && ascii_equal_nocase_n(field->name, name, len);
}

/* The value that a name stands for in the request line, Host included; NULL: it is a field, or
 * ":path". */
static const char *pseudo_header(const struct rules_request *request, const char *name)
{
	if (ascii_equal_nocase(name, ":method"))
		return request->method;
	if (ascii_equal_nocase(name, ":authority") || ascii_equal_nocase(name, "host"))
		return request->authority;
	if (ascii_equal_nocase(name, ":scheme"))
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

/* The target as it would be sent without a rewrite: the normalized path and the query. As
 * header_value(). */
static const char *path_header(const struct attempt *attempt, char small[JOINED_MAX], char **owned,
			       size_t *len, bool *oom)
{
	const char *target = attempt->request->path, *query = target + strcspn(target, "?#");
	size_t query_len = *query == '?' ? strcspn(query, "#") : 0;
	char *joined = small;

	*len = attempt->path.len + query_len;
	if (attempt->path.s == target) /* nothing to normalize: it is all there */
		return target;
	if (*len > JOINED_MAX)
		joined = *owned = malloc(*len);
	if (!joined) {
		*oom = true;
		return NULL;
	}
	memcpy(joined, attempt->path.s, attempt->path.len);
	memcpy(joined + attempt->path.len, query, query_len);
	return joined;
}

/* A header as Envoy sees it. NULL: there is none, or, with `*oom`, no memory for it. `*owned` is
 * to be freed. */
static const char *header_value(const struct attempt *attempt, const char *name,
				char small[JOINED_MAX], char **owned, size_t *len, bool *oom)
{
	const struct rules_request *request = attempt->request;
	const char *value = pseudo_header(request, name);
	char *joined = small;
	size_t count;

	if (ascii_equal_nocase(name, ":path"))
		return path_header(attempt, small, owned, len, oom);
	if (value) {
		*len = strlen(value);
		return value;
	}
	*len = joined_len(request, name, &count);
	if (!count)
		return NULL;
	if (*len > JOINED_MAX)
		joined = *owned = malloc(*len);
	if (!joined) {
		*oom = true;
		return NULL;
	}
	join(request, name, joined);
	return joined;
}

static bool header_matches(struct attempt *attempt, const struct header_match *header)
{
	char small[JOINED_MAX], label[96], *owned = NULL;
	bool oom = false, result = false;
	const char *value;
	size_t len;

	value = header_value(attempt, header->name.s, small, &owned, &len, &oom);
	if (value) {
		snprintf(label, sizeof(label), "header %.80s", header->name.s);
		result = matches(attempt, label, &header->match, value, len, false);
	} else if (attempt->note && !oom) {
		snprintf(attempt->why, sizeof(attempt->why), "header %.80s is missing",
			 header->name.s);
	}
	free(owned);
	return result; /* without memory no match, as where a regex gives up */
}

/* None of withoutHeaders may match. A missing header counts as an empty one, except where only its
 * presence is asked for. */
static bool lacks_header(struct attempt *attempt, const struct header_match *header)
{
	enum pattern_result result = PATTERN_NO_MATCH;
	char small[JOINED_MAX], *owned = NULL;
	bool oom = false, unwanted = false;
	const char *value;
	size_t len = 0;

	value = header_value(attempt, header->name.s, small, &owned, &len, &oom);
	if (header->match.kind == MATCH_PRESENT)
		unwanted = value || oom;
	else
		unwanted = oom || holds(&header->match, value ? value : "", value ? len : 0, false,
					&result);
	/* A regex that gave up might have matched: no match is the answer that lets less through. */
	unwanted |= result == PATTERN_LIMIT;
	attempt->limit |= result == PATTERN_LIMIT;
	if (unwanted && attempt->note)
		snprintf(attempt->why, sizeof(attempt->why), "withoutHeaders: header %.80s %s",
			 header->name.s, value ? "is there" : "is missing, which counts as empty");
	free(owned);
	return !unwanted;
}

/* ---- query parameters --------------------------------------------------------------------- */

/* The raw value of the first parameter of that name; NULL: there is none. */
static const char *query_value(const char *path, const char *name, size_t *len)
{
	size_t name_len = strlen(name), fragment = strcspn(path, "#");
	const char *end = path + fragment, *at = memchr(path, '?', fragment);

	while (at && at++ < end) {
		const char *next = memchr(at, '&', (size_t)(end - at));
		const char *stop = next ? next : end;
		const char *equals = memchr(at, '=', (size_t)(stop - at));
		const char *key_end = equals ? equals : stop;

		if ((size_t)(key_end - at) == name_len && !memcmp(at, name, name_len)) {
			*len = equals ? (size_t)(stop - equals - 1) : 0;
			return equals ? equals + 1 : stop;
		}
		at = next;
	}
	return NULL;
}

static bool query_matches(struct attempt *attempt, const struct header_match *parameter)
{
	char label[96];
	size_t len;
	const char *value = query_value(attempt->request->path, parameter->name.s, &len);

	snprintf(label, sizeof(label), "query parameter %.70s", parameter->name.s);
	if (value)
		return matches(attempt, label, &parameter->match, value, len, false);
	if (attempt->note)
		snprintf(attempt->why, sizeof(attempt->why), "%s is missing", label);
	return false;
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

static bool text_matches(struct attempt *attempt, const char *field,
			 const struct string_match *match, const char *value)
{
	return !match || matches(attempt, field, match, value, strlen(value), false);
}

static bool maps_match(struct attempt *attempt, const struct http_match *match)
{
	const struct header_match *headers = match->headers.items;
	const struct header_match *without = match->without_headers.items;
	const struct header_match *query = match->query_params.items;

	for (size_t i = 0; i < match->headers.n; i++)
		if (!header_matches(attempt, &headers[i]))
			return false;
	for (size_t i = 0; i < match->without_headers.n; i++)
		if (!lacks_header(attempt, &without[i]))
			return false;
	for (size_t i = 0; i < match->query_params.n; i++)
		if (!query_matches(attempt, &query[i]))
			return false;
	return true;
}

static bool block_matches(struct attempt *attempt, const struct http_match *match)
{
	const struct rules_request *request = attempt->request;

	if (match->excluded) {
		if (attempt->note)
			snprintf(attempt->why, sizeof(attempt->why),
				 "it is for other gateways, labels or namespaces");
		return false;
	}
	return fits_port(attempt, match) &&
	       (!match->uri || matches(attempt, "path", match->uri, attempt->path.s,
				       attempt->path.len, match->ignore_uri_case.value)) &&
	       text_matches(attempt, "scheme", match->scheme, "http") &&
	       text_matches(attempt, "method", match->method, request->method) &&
	       text_matches(attempt, "authority", match->authority, request->authority) &&
	       maps_match(attempt, match);
}

static void note(struct attempt *attempt, const struct where *where, int route, int match, bool hit)
{
	const struct explain_note text = {*where, route, match, hit ? NULL : attempt->why};

	if (attempt->note)
		attempt->note(attempt->context, &text);
}

static void take_route(struct verdict *verdict, const struct http_route *route,
		       const struct http_match *match)
{
	verdict->route = route;
	verdict->match = match;
	verdict->where = match ? match->where : route->where;
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
		if (blocks[i].catch_all && !blocks[i].excluded && fits_port(attempt, &blocks[i]))
			return true;
	}
	return false;
}

/* ---- requests ----------------------------------------------------------------------------- */

struct where rules_routes_where(const struct rules *rules, const struct verdict *verdict)
{
	(void)rules;
	return verdict->routes ? verdict->routes->where : (struct where){NULL, 0};
}

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

static void act(struct attempt *attempt, struct verdict *verdict)
{
	const struct http_route *route = verdict->route;

	if (!route) {
		verdict->action = RULES_NO_ROUTE;
	} else if (route->redirect) {
		verdict->action = RULES_REDIRECT;
	} else if (route->direct_response) {
		verdict->action = RULES_DIRECT_RESPONSE;
	} else if (!route->route.n) {
		verdict->action = RULES_NO_ROUTE; /* rejected by validation */
	} else {
		choose_destination(&route->route, route->total_weight, attempt->request->random,
				   attempt->request->port, verdict);
		verdict->authority = edited_authority(verdict);
	}
}

static void find_route(struct attempt *attempt, const struct virtual_service *service,
		       struct verdict *verdict)
{
	const struct http_route *routes = service->merged.items;

	verdict->routes = service;
	verdict->virtual_service = service->name.s;
	verdict->where = service->where;
	for (size_t i = 0; i < service->merged.n; i++)
		if (try_route(attempt, &routes[i], (int)i, verdict))
			break;
	act(attempt, verdict);
}

static enum normalization normalization_of(const struct rules *rules)
{
	const struct path_normalization *how =
	    rules->mesh_config ? rules->mesh_config->path_normalization : NULL;

	return how && how->normalization.set ? (enum normalization)(how->normalization.value - 1)
					     : NORMALIZATION_BASE;
}

int rules_normalize(const struct rules *rules, const char *target, struct path *path)
{
	return path_init(path, target, rules ? normalization_of(rules) : NORMALIZATION_BASE);
}

void rules_explain(const struct rules *rules, const struct rules_request *request,
		   struct verdict *verdict, explain_note_fn *on_note, void *context)
{
	struct attempt attempt = {.request = request, .note = on_note, .context = context};
	const struct virtual_service *service;
	const struct cluster *own = NULL;
	const struct host *host;

	*verdict = (struct verdict){.rules = rules, .route_index = -1, .match_index = -1};
	host = virtual_host(rules, request, &own);
	if (!host) {
		no_virtual_host(rules, request, verdict);
		return;
	}
	verdict->host = host->registry.name;
	service = lookup_http_routes(rules, host, own, request->port);
	if (service) {
		/* Without memory nothing matches, as where a regex gives up. */
		if (rules_normalize(rules, request->path, &attempt.path) < 0)
			verdict->action = RULES_NO_ROUTE;
		else
			find_route(&attempt, service, verdict);
		path_release(&attempt.path);
		verdict->regex_limit = attempt.limit;
		return;
	}
	/* Without routes a host serves a port only through a cluster of its own. */
	verdict->cluster = own;
	verdict->action = own ? RULES_ROUTE : RULES_NO_ROUTE;
	verdict->destination = own ? own->host : NULL;
	verdict->where = own ? own->where : (struct where){NULL, 0};
}

void rules_match(const struct rules *rules, const struct rules_request *request,
		 struct verdict *verdict)
{
	rules_explain(rules, request, verdict, NULL, NULL);
}
