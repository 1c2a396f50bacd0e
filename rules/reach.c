/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio's analyzeUnreachableHTTPRules, in one pass: each match block is written down as text, and
 * a table of these texts finds equal ones. A block that asks for a path prefix and nothing else is
 * noted under its prefix too, so that a later, longer prefix finds it.
 */
#include "rules/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/schema.h"

struct reach {
	struct reader *reader;
	const struct virtual_service *service;
	struct table seen;		    /* text of a block -> struct http_route */
	struct table prefixes;		    /* bare prefix -> struct http_route */
	const struct http_route *bare;	    /* a route without matches */
	const struct http_match *catch_all; /* a block that leaves nothing over */
};

static const char *rule_name(char out[64], const struct reach *reach,
			     const struct http_route *route)
{
	const struct http_route *routes = reach->service->http.items;

	if (route->name.s)
		snprintf(out, 64, "\"%.60s\"", route->name.s);
	else
		snprintf(out, 64, "#%zu", (size_t)(route - routes));
	return out;
}

static const char *match_name(char out[64], const struct http_route *route,
			      const struct http_match *match)
{
	const struct http_match *matches = route->match.items;

	if (match->name.s)
		snprintf(out, 64, "\"%.60s\"", match->name.s);
	else
		snprintf(out, 64, "#%zu", (size_t)(match - matches));
	return out;
}

static void unreachable(struct reach *reach, const struct http_route *route, const char *reason)
{
	char name[64];

	reader_say(reach->reader, SEVERITY_WARNING, "IST0130", &route->where,
		   "VirtualService rule %s not used (%s)", rule_name(name, reach, route), reason);
}

static void write_string_match(FILE *out, const char *field, const struct string_match *match)
{
	const char *text = match->exact.s    ? match->exact.s
			   : match->prefix.s ? match->prefix.s
					     : match->regex.s;

	fprintf(out, "%s %d %zu %s\n", field, match->kind, text ? strlen(text) : 0,
		text ? text : "");
}

static void write_map(FILE *out, const char *field, const struct list *list)
{
	const struct header_match *items = list->items;

	fprintf(out, "%s %zu\n", field, list->n);
	for (size_t i = 0; i < list->n; i++)
		write_string_match(out, items[i].name.s ? items[i].name.s : "", &items[i].match);
}

static void write_text(FILE *out, const char *field, const char *text)
{
	fprintf(out, "%s %zu %s\n", field, text ? strlen(text) : 0, text ? text : "");
}

static void write_filters(FILE *out, const struct http_match *match)
{
	const struct pair *labels = match->source_labels.items;
	const struct text *gateways = match->gateways.items;

	for (size_t i = 0; i < match->source_labels.n; i++) {
		write_text(out, "label", labels[i].name.s);
		write_text(out, "is", labels[i].value.s);
	}
	for (size_t i = 0; i < match->gateways.n; i++)
		write_text(out, "gateway", gateways[i].s);
	write_text(out, "namespace", match->source_namespace.s);
	fprintf(out, "port %lld case %d\n", match->port.set ? match->port.value : 0,
		match->ignore_uri_case.value);
}

/* All that a block asks for, as text; equal texts ask for the same. NULL: out of memory. */
static char *block_text(const struct http_match *match, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	if (match->uri)
		write_string_match(out, "uri", match->uri);
	if (match->scheme)
		write_string_match(out, "scheme", match->scheme);
	if (match->method)
		write_string_match(out, "method", match->method);
	if (match->authority)
		write_string_match(out, "authority", match->authority);
	write_map(out, "headers", &match->headers);
	write_map(out, "without", &match->without_headers);
	write_map(out, "query", &match->query_params);
	write_filters(out, match);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* The prefix of a block that asks for nothing else; NULL: it asks for more, or other things. */
static const char *bare_prefix(const struct http_match *match)
{
	if (!match->uri || match->uri->kind != MATCH_PREFIX || match->scheme || match->method ||
	    match->authority || match->headers.n || match->without_headers.n ||
	    match->query_params.n || match->port.set || match->ignore_uri_case.value ||
	    match->source_labels.n || match->source_namespace.s || match->gateways.n)
		return NULL;
	return match->uri->prefix.s;
}

static const struct http_route *covering(const struct reach *reach, const char *prefix)
{
	const struct http_route *route = NULL;

	for (size_t len = 1, end = strlen(prefix); len < end && !route; len++)
		route = table_get(&reach->prefixes, prefix, len);
	return route;
}

/* Returns whether the block is a repetition of an earlier one. */
static bool check_block(struct reach *reach, const struct http_route *route,
			const struct http_match *match)
{
	struct region *region = &reach->reader->rules->region;
	const char *prefix = bare_prefix(match), *kept = NULL;
	const struct http_route *earlier;
	char rule[64], block[64], other[64];
	bool repeated;
	size_t len;
	char *text = block_text(match, &len);

	if (!text) {
		reader_oom(reach->reader);
		return false;
	}
	earlier = table_get(&reach->seen, text, len);
	repeated = earlier != NULL;
	if (!repeated) {
		kept = region_strndup(region, text, len);
		if (!kept || table_put(&reach->seen, kept, len, (void *)route) < 0)
			reader_oom(reach->reader);
		earlier = prefix ? covering(reach, prefix) : NULL;
		if (prefix && *prefix && !table_get(&reach->prefixes, prefix, strlen(prefix)) &&
		    table_put(&reach->prefixes, prefix, strlen(prefix), (void *)route) < 0)
			reader_oom(reach->reader);
	}
	free(text);
	if (earlier)
		reader_say(reach->reader, SEVERITY_INFO, "IST0131", &match->where,
			   "VirtualService rule %s match %s is not used (duplicate/overlapping "
			   "match in rule %s)",
			   rule_name(rule, reach, route), match_name(block, route, match),
			   rule_name(other, reach, earlier));
	return repeated;
}

/* A catch-all whatever this process is and whatever port is dialled. */
static bool is_final(const struct http_match *match)
{
	return match->catch_all && !match->port.set && !match->source_labels.n &&
	       !match->source_namespace.s && !match->gateways.n;
}

static void check_rule(struct reach *reach, const struct http_route *route)
{
	const struct http_match *matches = route->match.items;
	size_t repeated = 0;
	char reason[256];

	if (reach->bare) {
		unreachable(reach, route,
			    route->match.n ? "route without matches defined before"
					   : "only the last rule can have no matches");
		return;
	}
	if (reach->catch_all) {
		snprintf(reason, sizeof(reason),
			 "a match of everything is defined before, %.180s:%d",
			 reach->catch_all->where.file, reach->catch_all->where.line);
		unreachable(reach, route, reason);
		return;
	}
	if (!route->match.n) {
		reach->bare = route;
		return;
	}
	for (size_t i = 0; i < route->match.n; i++) {
		repeated += check_block(reach, route, &matches[i]);
		if (is_final(&matches[i]) && !reach->catch_all)
			reach->catch_all = &matches[i];
	}
	if (repeated == route->match.n)
		unreachable(reach, route, "all matches used by prior rules");
}

/* Of tcp routes this only can be said: what follows a route that takes everything. */
static void check_tcp(struct reader *reader, const struct list *list)
{
	const struct l4_route *routes = list->items;
	const struct l4_route *all = NULL;

	for (size_t i = 0; i < list->n; i++) {
		if (all)
			reader_say(reader, SEVERITY_WARNING, "IST0130", &routes[i].where,
				   "VirtualService rule tcp #%zu not used (%s)", i,
				   routes[i].match.n ? "route without matches defined before"
						     : "only the last rule can have no matches");
		else if (!routes[i].match.n)
			all = &routes[i];
	}
}

void reach_check(struct reader *reader, const struct virtual_service *service)
{
	const struct http_route *routes = service->http.items;
	struct reach reach = {.reader = reader, .service = service};

	table_init(&reach.seen);
	table_init(&reach.prefixes);
	for (size_t i = 0; i < service->http.n; i++)
		check_rule(&reach, &routes[i]);
	table_release(&reach.seen);
	table_release(&reach.prefixes);
	check_tcp(reader, &service->tcp);
}
