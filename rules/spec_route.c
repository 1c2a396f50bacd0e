/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPRoute (networking.istio.io/v1): its table, and which of its parts go together. */
#include <stdio.h>
#include <string.h>

#include "rules/schema.h"

static const struct key delegate_keys[] = {
    KEY_TEXT(struct delegate, name, "name", .required = "delegate must have a name"),
    KEY_TEXT(struct delegate, namespace, "namespace"),
};
static const struct schema delegate_schema = SCHEMA("Delegate", struct delegate, delegate_keys);

static void check_pairs(struct reader *reader, const struct http_route *route)
{
	/* Where the second of them stands; NULL: it does not. */
	const struct where *redirect = route->redirect ? &route->redirect->where : NULL;
	const struct where *response =
	    route->direct_response ? &route->direct_response->where : NULL;
	const struct where *mirrors = route->mirrors.n ? &route->mirrors.where : NULL;
	const struct pair_rule {
		bool one;
		const struct where *other;
		const char *text;
	} pairs[] = {
	    {route->route.n, redirect, "HTTP route cannot contain both route and redirect"},
	    {route->fault, redirect, "HTTP route cannot contain both fault and redirect"},
	    {route->rewrite, redirect, "HTTP route rule cannot contain both rewrite and redirect"},
	    {route->direct_response, redirect,
	     "HTTP route cannot contain both direct_response and redirect"},
	    {route->route.n, response, "HTTP route cannot contain both route and direct_response"},
	    {route->fault, response, "HTTP route cannot contain both fault and direct_response"},
	    {route->rewrite, response,
	     "HTTP route rule cannot contain both rewrite and direct_response"},
	    {route->mirror, mirrors, "HTTP route cannot contain both mirror and mirrors"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].one && pairs[i].other)
			reader_error(reader, pairs[i].other, "%s", pairs[i].text);
}

static void check_action(struct reader *reader, const struct http_route *route)
{
	char name[80] = "";

	if (route->name.s)
		snprintf(name, sizeof(name), "%.60s ", route->name.s);
	if (!route->delegate) {
		if (!route->route.n && !route->redirect && !route->direct_response)
			reader_error(reader, &route->where,
				     "HTTP route, redirect or direct_response is required");
		return;
	}
	if (route->redirect)
		reader_error(reader, &route->redirect->where,
			     "root HTTP route %smust not specify redirect", name);
	if (route->direct_response)
		reader_error(reader, &route->direct_response->where,
			     "root HTTP route %smust not specify direct_response", name);
	if (route->route.n)
		reader_error(reader, &route->route.where,
			     "root HTTP route %smust not specify route", name);
}

/* A prefix can be replaced only where one was matched. */
static void check_prefix_rewrite(struct reader *reader, const struct http_route *route)
{
	const struct http_match *blocks = route->match.items;

	if (!route->redirect || !route->redirect->prefix_rewrite.s)
		return;
	for (size_t i = 0; i < route->match.n; i++)
		if (!blocks[i].uri || blocks[i].uri->kind != MATCH_PREFIX) {
			reader_error(reader, &route->redirect->prefix_rewrite.where,
				     "redirect prefix_rewrite requires all URI matches to use prefix "
				     "match type");
			return;
		}
}

static void check_http_route(struct reader *reader, void *group)
{
	struct http_route *route = group;

	check_action(reader, route);
	check_pairs(reader, route);
	check_prefix_rewrite(reader, route);
	check_authority(reader, route);
	route->total_weight = check_weights(reader, &route->route);
}

static void check_mirror_percent(struct reader *reader, void *value)
{
	struct number *percent = value;

	if (percent->value >= 0 && percent->value <= 100)
		return;
	reader_error(reader, &percent->where,
		     "mirror percentage must have a max value of 100, and a min value of 0");
	percent->set = false;
}

static const struct key http_route_keys[] = {
    KEY_TEXT(struct http_route, name, "name"),
    KEY_GROUPS(struct http_route, match, "match", http_match_schema),
    KEY_GROUP(struct http_route, rewrite, "rewrite", http_rewrite_schema),
    KEY_GROUPS(struct http_route, route, "route", route_destination_schema),
    KEY_GROUP(struct http_route, redirect, "redirect", redirect_schema),
    KEY_GROUP(struct http_route, direct_response, "directResponse", direct_response_schema),
    KEY_GROUP(struct http_route, delegate, "delegate", delegate_schema),
    KEY_DURATION(struct http_route, timeout, "timeout", .check = check_duration),
    KEY_GROUP(struct http_route, retries, "retries", http_retry_schema),
    KEY_GROUP(struct http_route, fault, "fault", http_fault_schema),
    KEY_GROUP(struct http_route, mirror, "mirror", destination_schema),
    KEY_GROUPS(struct http_route, mirrors, "mirrors", mirror_schema),
    KEY_GROUP(struct http_route, mirror_percentage, "mirrorPercentage", mirror_percent_schema),
    KEY_NUMBER(struct http_route, mirror_percent, "mirrorPercent", .check = check_mirror_percent,
	       .deprecated = "use mirrorPercentage"),
    KEY_GROUP(struct http_route, headers, "headers", headers_schema),
    KEY_GROUP(struct http_route, cors_policy, "corsPolicy", cors_schema),
};
const struct schema http_route_schema =
    SCHEMA("HTTPRoute", struct http_route, http_route_keys, .check = check_http_route);
