/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPMatchRequest and StringMatch (networking.istio.io/v1), with Istio's conditions. */
#include <string.h>

#include "rules/ascii.h"
#include "rules/schema.h"

#define NO_NAME "header name cannot be empty"
#define CLAIMS  "@request.auth.claims" /* a header of gateways that verified a token */

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
	if (pattern_risky(pattern))
		reader_say(reader, SEVERITY_WARNING, NULL, &match->regex.where,
			   "\"%s\": this regular expression can take too long on a long text; where "
			   "it does, the route does not match",
			   field);
}

/* `field` is Istio's name for the place: "uri", "headers" ... */
static void finish_string_match(struct reader *reader, struct string_match *match,
				const char *field)
{
	int set = (match->exact.s != NULL) + (match->prefix.s != NULL) + (match->regex.s != NULL);
	bool map = !strcmp(field, "headers") || !strcmp(field, "withoutHeaders");

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
		if (map && !strcmp(match->regex.s, "*"))
			match->kind = MATCH_PRESENT;
		else
			compile(reader, match, field);
	}
}

/* ---- maps of them ------------------------------------------------------------------------- */

static void check_match_name(struct reader *reader, void *value)
{
	const struct text *name = value;
	const char *rest = name->s + (name->s[0] == ':');
	bool pseudo = name->s[0] == ':';

	if (!*name->s) {
		reader_error(reader, &name->where, NO_NAME);
		return;
	}
	if (!strncmp(name->s, CLAIMS, strlen(CLAIMS))) {
		if (!reader->for_gateway)
			reader_error(reader, &name->where,
				     "JWT claim based routing (key: %s) is only supported for "
				     "gateway, found no gateways",
				     name->s);
		return;
	}
	if (pseudo)
		pseudo = !strcmp(rest, "method") || !strcmp(rest, "authority") ||
			 !strcmp(rest, "path") || !strcmp(rest, "scheme");
	for (; *rest; rest++)
		if (!ascii_is_alnum(*rest) && !strchr("!#$%&'*+-.^_`|~", *rest))
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

static void check_without_match(struct reader *reader, void *group)
{
	struct header_match *header = group;

	finish_string_match(reader, &header->match, "withoutHeaders");
}

/* Any key can be in a query. A prefix is none of Istio's choices here, but Envoy can do it. */
static void check_query_match(struct reader *reader, void *group)
{
	struct header_match *parameter = group;

	if (parameter->name.s && !*parameter->name.s)
		reader_error(reader, &parameter->name.where,
			     "query parameter name cannot be empty");
	finish_string_match(reader, &parameter->match, "queryParams");
}

static const struct key header_match_keys[] = {
    KEY_TEXT(struct header_match, name, "name", .check = check_match_name, .required = NO_NAME),
    KEY_INLINE(struct header_match, match, string_match_schema),
};
static const struct schema header_match_schema =
    SCHEMA("HTTPMatchRequest.headers", struct header_match, header_match_keys,
	   .null = "header match", .check = check_header_match);
static const struct schema without_match_schema =
    SCHEMA("HTTPMatchRequest.withoutHeaders", struct header_match, header_match_keys,
	   .check = check_without_match);

static const struct key query_match_keys[] = {
    KEY_TEXT(struct header_match, name, "name",
	     .required = "query parameter name cannot be empty"),
    KEY_INLINE(struct header_match, match, string_match_schema),
};
static const struct schema query_match_schema =
    SCHEMA("HTTPMatchRequest.queryParams", struct header_match, query_match_keys,
	   .check = check_query_match);

/* ---- HTTPMatchRequest --------------------------------------------------------------------- */

/* Istio's IsCatchAllRoute: every path, and nothing else asked. The port does not count, as blocks
 * for other ports are left out before. */
static bool is_catch_all(const struct http_match *match)
{
	const struct string_match *uri = match->uri;

	if (match->scheme || match->method || match->authority || match->headers.n ||
	    match->without_headers.n || match->query_params.n)
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
	if (match->scheme)
		finish_string_match(reader, match->scheme, "scheme");
	if (match->method)
		finish_string_match(reader, match->method, "method");
	if (match->authority)
		finish_string_match(reader, match->authority, "authority");
	match->catch_all = is_catch_all(match);
	if (match->ignore_uri_case.value && match->uri && match->uri->kind == MATCH_REGEX)
		reader_say(reader, SEVERITY_WARNING, NULL, &match->ignore_uri_case.where,
			   "ignoreUriCase has no effect on a regex (write (?i) in front of it)");
}

static const struct key http_match_keys[] = {
    KEY_TEXT(struct http_match, name, "name"),
    KEY_GROUP(struct http_match, uri, "uri", string_match_schema),
    KEY_GROUP(struct http_match, scheme, "scheme", string_match_schema),
    KEY_GROUP(struct http_match, method, "method", string_match_schema),
    KEY_GROUP(struct http_match, authority, "authority", string_match_schema),
    KEY_MAP(struct http_match, headers, "headers", header_match_schema),
    KEY_MAP(struct http_match, without_headers, "withoutHeaders", without_match_schema),
    KEY_MAP(struct http_match, query_params, "queryParams", query_match_schema),
    KEY_NUMBER(struct http_match, port, "port", .check = check_port_number),
    KEY_FLAG(struct http_match, ignore_uri_case, "ignoreUriCase"),
    KEY_MAP(struct http_match, source_labels, "sourceLabels", label_schema),
    KEY_TEXT(struct http_match, source_namespace, "sourceNamespace", .check = check_namespace),
    KEY_TEXTS(struct http_match, gateways, "gateways", .check = check_gateways),
    KEY_IGNORED("statPrefix", "there are no statistics"),
};
const struct schema http_match_schema =
    SCHEMA("HTTPMatchRequest", struct http_match, http_match_keys, .check = check_http_match);
