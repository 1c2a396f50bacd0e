/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VirtualService (networking.istio.io/v1): its tables, and the conditions of Istio's
 * ValidateVirtualService that one resource can be checked for by itself. What concerns the order
 * of routes is in reach.c.
 */
#include <ctype.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/reach.h"
#include "rules/schema.h"

#define NO_HOST "virtual service must have at least one host"
#define NO_HTTP "http, tcp or tls must be provided in virtual service"
#define NO_NAME "header name cannot be empty"

/* ---- StringMatch -------------------------------------------------------------------------- */

static const struct key string_match_keys[] = {
    KEY_TEXT(struct string_match, exact, "exact"),
    KEY_TEXT(struct string_match, prefix, "prefix"),
    KEY_TEXT(struct string_match, regex, "regex"),
};
static const struct schema string_match_schema =
    SCHEMA("StringMatch", struct string_match, string_match_keys);

static void compile(struct reader *reader, struct string_match *match, const char *field)
{
	const char *regex = match->regex.s;
	struct pattern_error error;
	struct pattern *pattern;

	if (!*regex) {
		reader_error(reader, &match->regex.where,
			     "\"%s\": regex string match should not be empty", field);
		return;
	}
	if (strlen(regex) > PATTERN_MAX) {
		reader_error(reader, &match->regex.where,
			     "\"%s\": regex is too large, max length allowed is %d", field,
			     PATTERN_MAX);
		return;
	}
	pattern = pattern_new(regex, &error);
	if (!pattern) {
		reader_error(reader, &match->regex.where,
			     "\"%s\": %s; Istio uses RE2 style regex-based match "
			     "(https://github.com/google/re2/wiki/Syntax)",
			     field, error.text);
		return;
	}
	if (pointers_add(&reader->rules->patterns, pattern) < 0) {
		pattern_free(pattern);
		reader_oom(reader);
		return;
	}
	match->pattern = pattern;
}

/* `field` is Istio's name for the place: "uri", "headers" ... */
static void finish_string_match(struct reader *reader, struct string_match *match,
				const char *field)
{
	int set = (match->exact.s != NULL) + (match->prefix.s != NULL) + (match->regex.s != NULL);

	if (set > 1) {
		reader_error(reader, &match->where,
			     "\"%s\": only one of exact, prefix and regex can be set", field);
		return;
	}
	if (match->exact.s) {
		match->kind = MATCH_EXACT;
		match->len = strlen(match->exact.s);
	} else if (match->prefix.s) {
		match->kind = MATCH_PREFIX;
		match->len = strlen(match->prefix.s);
		if (!match->len && strcmp(field, "uri") != 0)
			reader_error(reader, &match->prefix.where,
				     "\"%s\": prefix string match should not be empty", field);
	} else if (match->regex.s) {
		match->kind = MATCH_REGEX;
		/* Not RE2, but Istio reads it as "present". */
		if (!strcmp(field, "headers") && !strcmp(match->regex.s, "*"))
			match->kind = MATCH_PRESENT;
		else
			compile(reader, match, field);
	}
}

/* ---- HTTPMatchRequest --------------------------------------------------------------------- */

static void check_header_name(struct reader *reader, void *value)
{
	const struct text *name = value;
	const char *rest = name->s + (name->s[0] == ':');
	bool pseudo = name->s[0] == ':';

	if (!*name->s) {
		reader_error(reader, &name->where, NO_NAME);
		return;
	}
	if (pseudo)
		pseudo = !strcmp(rest, "method") || !strcmp(rest, "authority") ||
			 !strcmp(rest, "path") || !strcmp(rest, "scheme");
	for (; *rest; rest++)
		if (!isalnum((unsigned char)*rest) && !strchr("!#$%&'*+-.^_`|~", *rest))
			break;
	if (*rest || (name->s[0] == ':' && !pseudo))
		reader_error(reader, &name->where, "header name %s is not a valid header name",
			     name->s);
}

static void check_header_match(struct reader *reader, void *group)
{
	struct header_match *header = group;

	finish_string_match(reader, &header->match, "headers");
}

static const struct key header_match_keys[] = {
    KEY_TEXT(struct header_match, name, "name", .check = check_header_name, .required = NO_NAME),
    KEY_INLINE(struct header_match, match, string_match_schema),
};
static const struct schema header_match_schema =
    SCHEMA("HTTPMatchRequest.headers", struct header_match, header_match_keys,
	   .check = check_header_match);

/* Istio's IsCatchAllRoute: every path, and nothing else asked. The port does not count, as blocks
 * for other ports are left out before. */
static bool is_catch_all(const struct http_match *match)
{
	const struct string_match *uri = match->uri;

	if (match->method || match->authority || match->headers.n)
		return false;
	return !uri || uri->kind == MATCH_PRESENT ||
	       (uri->kind == MATCH_PREFIX && !strcmp(uri->prefix.s, "/")) ||
	       (uri->kind == MATCH_REGEX && !strcmp(uri->regex.s, ".*"));
}

static void check_http_match(struct reader *reader, void *group)
{
	struct http_match *match = group;

	if (match->uri)
		finish_string_match(reader, match->uri, "uri");
	if (match->method)
		finish_string_match(reader, match->method, "method");
	if (match->authority)
		finish_string_match(reader, match->authority, "authority");
	match->catch_all = is_catch_all(match);
}

static const struct key http_match_keys[] = {
    KEY_TEXT(struct http_match, name, "name"),
    KEY_GROUP(struct http_match, uri, "uri", string_match_schema),
    KEY_GROUP(struct http_match, method, "method", string_match_schema),
    KEY_GROUP(struct http_match, authority, "authority", string_match_schema),
    KEY_GROUPS(struct http_match, headers, "headers", header_match_schema),
    KEY_NUMBER(struct http_match, port, "port", .check = check_port_number),
    KEY_REFUSED("scheme", NULL),
    KEY_REFUSED("withoutHeaders", NULL),
    KEY_REFUSED("queryParams", NULL),
    KEY_REFUSED("ignoreUriCase", NULL),
    KEY_REFUSED("sourceLabels", NULL),
    KEY_REFUSED("sourceNamespace", NULL),
    KEY_REFUSED("gateways", NULL),
    KEY_IGNORED("statPrefix", NULL),
};
static const struct schema http_match_schema =
    SCHEMA("HTTPMatchRequest", struct http_match, http_match_keys, .check = check_http_match);

/* ---- HTTPRewrite -------------------------------------------------------------------------- */

/* Both go into the head of a request as they are. */
static void check_no_space(struct reader *reader, void *value)
{
	const struct text *text = value;

	if (strchr(text->s, ' '))
		reader_error(reader, &text->where, "rewrite \"%s\" must not hold a space", text->s);
}

static void check_rewrite(struct reader *reader, void *group)
{
	const struct http_rewrite *rewrite = group;

	if ((!rewrite->uri.s || !*rewrite->uri.s) &&
	    (!rewrite->authority.s || !*rewrite->authority.s) && !rewrite->refused)
		reader_error(reader, &rewrite->where,
			     "rewrite must specify at least one of URI, UriRegexRewrite, or "
			     "authority");
}

static const struct key http_rewrite_keys[] = {
    KEY_TEXT(struct http_rewrite, uri, "uri", .check = check_no_space),
    KEY_TEXT(struct http_rewrite, authority, "authority", .check = check_no_space),
    KEY_REFUSED("uriRegexRewrite", NULL, .offset = offsetof(struct http_rewrite, refused)),
};
static const struct schema http_rewrite_schema =
    SCHEMA("HTTPRewrite", struct http_rewrite, http_rewrite_keys, .check = check_rewrite);

/* ---- destinations ------------------------------------------------------------------------- */

static void check_destination_host(struct reader *reader, void *value)
{
	struct text *host = value;
	struct hostname_error error;
	char name[256];

	if (!strcmp(host->s, "*")) {
		reader_error(reader, &host->where, "invalid destination host *");
	} else if (hostname_is_address(host->s, NULL) ||
		   hostname_is_wildcard_domain(host->s, &error)) {
		hostname_normalize(host->s, strlen(host->s), name);
		host->s = region_strdup(&reader->rules->region, name);
		return;
	} else {
		reader_error(reader, &host->where, "%s", error.text);
	}
	host->s = NULL;
}

static const struct key port_selector_keys[] = {
    KEY_NUMBER(struct port_selector, number, "number", .check = check_port_number,
	       .required = "port must have a number"),
};
const struct schema port_selector_schema =
    SCHEMA("PortSelector", struct port_selector, port_selector_keys);

static const struct key destination_keys[] = {
    KEY_TEXT(struct destination, host, "host", .check = check_destination_host,
	     .required = "destination must have a host"),
    KEY_GROUP(struct destination, port, "port", port_selector_schema),
    KEY_REFUSED("subset", NULL),
};
static const struct schema destination_schema =
    SCHEMA("Destination", struct destination, destination_keys);

static void check_weight(struct reader *reader, void *value)
{
	struct number *weight = value;

	if (weight->value < 0)
		reader_error(reader, &weight->where, "weight %lld < 0", weight->value);
	else if (weight->value > INT32_MAX)
		reader_error(reader, &weight->where, "weight %lld is out of range", weight->value);
	else
		return;
	weight->value = 0;
}

static const struct key route_destination_keys[] = {
    KEY_GROUP(struct route_destination, destination, "destination", destination_schema,
	      .required = "destination is required"),
    KEY_NUMBER(struct route_destination, weight, "weight", .check = check_weight),
    KEY_REFUSED("headers", NULL),
};
static const struct schema route_destination_schema =
    SCHEMA("HTTPRouteDestination", struct route_destination, route_destination_keys);

/* ---- HTTPRoute ---------------------------------------------------------------------------- */

static void check_http_route(struct reader *reader, void *group)
{
	struct http_route *route = group;
	const struct route_destination *destinations = route->route.items;

	if (!route->route.n && !route->refused)
		reader_error(reader, &route->where,
			     "HTTP route, redirect or direct_response is required");
	if (route->route.n < 2)
		return;
	for (size_t i = 0; i < route->route.n; i++)
		route->total_weight += (uint64_t)destinations[i].weight.value;
	if (!route->total_weight)
		reader_error(reader, &route->route.where, "total destination weight = 0");
}

#define REFUSED_ACTION(key) KEY_REFUSED(key, NULL, .offset = offsetof(struct http_route, refused))

static const struct key http_route_keys[] = {
    KEY_TEXT(struct http_route, name, "name"),
    KEY_GROUPS(struct http_route, match, "match", http_match_schema),
    KEY_GROUPS(struct http_route, route, "route", route_destination_schema),
    KEY_GROUP(struct http_route, rewrite, "rewrite", http_rewrite_schema),
    REFUSED_ACTION("redirect"),
    REFUSED_ACTION("directResponse"),
    REFUSED_ACTION("delegate"),
    KEY_REFUSED("timeout", NULL),
    KEY_REFUSED("retries", NULL),
    KEY_REFUSED("fault", NULL),
    KEY_REFUSED("mirror", NULL),
    KEY_REFUSED("mirrors", NULL),
    KEY_REFUSED("mirrorPercentage", NULL),
    KEY_REFUSED("mirrorPercent", NULL),
    KEY_REFUSED("headers", NULL),
    KEY_IGNORED("corsPolicy", "it concerns servers"),
};
static const struct schema http_route_schema =
    SCHEMA("HTTPRoute", struct http_route, http_route_keys, .check = check_http_route);

/* ---- VirtualService ----------------------------------------------------------------------- */

/* Each host against what the others cover, wildcards included. */
static void check_overlap(struct reader *reader, const struct list *hosts)
{
	struct text *items = hosts->items;
	struct hostmap map;

	hostmap_init(&map);
	for (size_t i = 0; i < hosts->n; i++) {
		const struct text *twin = hostmap_get(&map, items[i].s);

		if (twin)
			reader_error(reader, &items[i].where,
				     "duplicate hosts in virtual service: %s & %s", twin->s,
				     items[i].s);
		else if (hostmap_put(&map, items[i].s, &items[i]) < 0)
			reader_oom(reader);
	}
	for (size_t i = 0; i < hosts->n; i++) {
		struct hostmap_walk walk;
		const struct text *cover;

		hostmap_walk_init(&walk, &map, items[i].s);
		while ((cover = hostmap_walk_next(&walk)))
			if (strcmp(cover->s, items[i].s) != 0)
				reader_error(reader, &items[i].where,
					     "duplicate hosts in virtual service: %s & %s",
					     cover->s, items[i].s);
	}
	hostmap_release(&map);
}

static void check_virtual_hosts(struct reader *reader, void *value)
{
	struct list *hosts = value;
	struct text *items = hosts->items;
	size_t kept = 0;

	if (!hosts->n)
		reader_error(reader, &hosts->where, NO_HOST);
	for (size_t i = 0; i < hosts->n; i++) {
		if (!strcmp(items[i].s, "*"))
			reader_error(reader, &items[i].where,
				     "wildcard host * is not allowed for virtual services bound to "
				     "the mesh gateway");
		else
			items[kept++] = items[i];
	}
	hosts->n = kept;
	check_host_list(reader, hosts);
	check_overlap(reader, hosts);
}

static void check_virtual_service(struct reader *reader, void *group)
{
	struct virtual_service *service = group;
	const struct text *gateways = service->gateways.items;

	service->inert = service->gateways.n > 0;
	for (size_t i = 0; i < service->gateways.n; i++)
		if (!strcmp(gateways[i].s, "mesh"))
			service->inert = false;
	if (service->inert)
		reader_warning(reader, &service->gateways.where,
			       "virtual service has no effect here: its gateways do not include "
			       "\"mesh\"");
	if (!service->http.n && !service->refused)
		reader_error(reader, &service->where, NO_HTTP);
	reach_check(reader, service);
}

static const struct key virtual_service_keys[] = {
    KEY_TEXT(struct virtual_service, name, "name", .required = "virtual service must have a name"),
    KEY_TEXTS(struct virtual_service, hosts, "hosts", .check = check_virtual_hosts,
	      .required = NO_HOST),
    KEY_TEXTS(struct virtual_service, gateways, "gateways"),
    KEY_GROUPS(struct virtual_service, http, "http", http_route_schema),
    KEY_REFUSED("tls", NULL, .offset = offsetof(struct virtual_service, refused)),
    KEY_REFUSED("tcp", NULL, .offset = offsetof(struct virtual_service, refused)),
    KEY_IGNORED("exportTo", "there are no namespaces"),
};
const struct schema virtual_service_schema = SCHEMA(
    "VirtualService", struct virtual_service, virtual_service_keys, .check = check_virtual_service);
