/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an HTTPRoute does with a request (networking.istio.io/v1): destinations, header operations,
 * rewrites, redirects, direct responses; with the conditions of Istio's validateHTTPRoute.
 */
#include <string.h>

#include "rules/ascii.h"
#include "rules/header_command.h"
#include "rules/header_edit.h"
#include "rules/hostname.h"
#include "rules/schema.h"

static bool is_given(const struct text *text)
{
	return text->s && *text->s;
}

/* ---- Headers ------------------------------------------------------------------------------ */

static bool is_token(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!ascii_is_alnum(*c) && !strchr("!#$%&'*+-.^_`|~", *c))
			return false;
	return *name;
}

static bool is_authority(const char *name)
{
	return ascii_equal_nocase(name, "host") || ascii_equal_nocase(name, ":authority");
}

/* Envoy's formatter: commands, and %% for the sign itself. */
static bool is_header_value(const char *value)
{
	for (const char *at = strchr(value, '%'); at; at = strchr(at, '%')) {
		size_t len = at[1] == '%' ? 2 : header_command_read(at, NULL);

		if (!len)
			return false;
		at += len;
	}
	return true;
}

/* Commands that Envoy may know, but the bridge does not. */
static void check_commands(struct reader *reader, const struct text *text)
{
	struct header_command command;
	size_t len;

	for (const char *at = strchr(text->s, '%'); at; at = strchr(at + len, '%')) {
		len = at[1] == '%' ? 2 : header_command_read(at, &command);
		if (at[1] != '%' && command.kind == COMMAND_UNKNOWN)
			reader_gap(reader, &text->where, "Header", "value",
				   region_printf(&reader->rules->region, "%.*s", (int)len, at));
	}
}

static void check_value(struct reader *reader, void *value)
{
	const struct text *text = value;

	for (const char *at = text->s; *at; at++)
		if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f) {
			reader_refuse(reader, &text->where, "Header.value holds a control character");
			return;
		}
	if (!is_header_value(text->s))
		reader_error(reader, &text->where,
			     "header value configuration %s is invalid (write %%%% for a percent "
			     "sign)",
			     text->s);
	else
		check_commands(reader, text);
}

static void check_name_present(struct reader *reader, void *value)
{
	const struct text *name = value;

	if (!*name->s)
		reader_error(reader, &name->where, "header name cannot be empty");
	else if (!is_token(name->s + (name->s[0] == ':')))
		reader_refuse(reader, &name->where, "header name %s is not a valid header name",
			     name->s);
}

static const struct key header_keys[] = {
    KEY_TEXT(struct pair, name, "name", .check = check_name_present,
	     .required = "header name cannot be empty"),
    KEY_TEXT(struct pair, value, "value", .check = check_value, .plain = true,
	     .required = "header must have a value"),
};
static const struct schema header_schema = SCHEMA("Header", struct pair, header_keys);

static const struct key header_operations_keys[] = {
    KEY_MAP(struct header_operations, set, "set", header_schema),
    KEY_MAP(struct header_operations, add, "add", header_schema),
    KEY_TEXTS(struct header_operations, remove, "remove"),
};
static const struct schema header_operations_schema =
    SCHEMA("HeaderOperations", struct header_operations, header_operations_keys);

/* In requests Host may be set, as ":authority" or "host". */
static void check_request_names(struct reader *reader, const struct list *list)
{
	const struct pair *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct text *name = &items[i].name;

		if (name->s && name->s[0] == ':' && !is_authority(name->s))
			reader_error(reader, &name->where,
				     "invalid header \"%s\": header cannot have \":\" prefix",
				     name->s);
	}
}

static void check_authorities(struct reader *reader, const struct list *list,
			      const struct text **authority)
{
	const struct pair *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct text *value = &items[i].value;

		if (!items[i].name.s || !is_authority(items[i].name.s) || !value->s)
			continue;
		if (*authority)
			reader_error(reader, &value->where,
				     "authority header cannot be set multiple times: have \"%s\", "
				     "attempting to set \"%s\"",
				     (*authority)->s, value->s);
		else
			*authority = value;
	}
}

void check_authority(struct reader *reader, const struct http_route *route)
{
	const struct header_operations *request = route->headers ? route->headers->request : NULL;
	const struct text *authority = NULL;

	if (route->rewrite && is_given(&route->rewrite->authority))
		authority = &route->rewrite->authority;
	if (!request)
		return;
	check_authorities(reader, &request->set, &authority);
	check_authorities(reader, &request->add, &authority);
}

static void check_response_names(struct reader *reader, const struct list *list)
{
	const struct pair *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct text *name = &items[i].name;

		if (name->s && name->s[0] == ':')
			reader_error(reader, &name->where,
				     "invalid header \"%s\": header cannot have \":\" prefix",
				     name->s);
		else if (name->s && is_authority(name->s))
			reader_error(reader, &name->where,
				     "invalid header \"%s\": cannot set Host header", name->s);
	}
}

static void check_framing(struct reader *reader, const struct text *name)
{
	if (name->s && header_is_framing(name->s))
		reader_say(reader, SEVERITY_WARNING, NULL, &name->where,
			   "header %s says how a message is carried and is left to libmeshshim.so: "
			   "this has no effect",
			   name->s);
}

static void check_carriage(struct reader *reader, const struct header_operations *operations)
{
	const struct pair *set = operations->set.items, *add = operations->add.items;
	const struct text *removed = operations->remove.items;

	for (size_t i = 0; i < operations->set.n; i++)
		check_framing(reader, &set[i].name);
	for (size_t i = 0; i < operations->add.n; i++)
		check_framing(reader, &add[i].name);
	for (size_t i = 0; i < operations->remove.n; i++)
		check_framing(reader, &removed[i]);
}

static void check_removed(struct reader *reader, const struct list *list)
{
	const struct text *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		if (!*items[i].s)
			reader_error(reader, &items[i].where, "header name cannot be empty");
		else if (items[i].s[0] == ':')
			reader_error(reader, &items[i].where,
				     "invalid header \"%s\": header cannot have \":\" prefix",
				     items[i].s);
		else if (is_authority(items[i].s))
			reader_error(reader, &items[i].where,
				     "invalid header \"%s\": cannot set Host header", items[i].s);
		else if (!is_token(items[i].s))
			reader_refuse(reader, &items[i].where,
				     "header name %s is not a valid header name", items[i].s);
	}
}

static void check_headers(struct reader *reader, void *group)
{
	const struct headers *headers = group;

	if (headers->request) {
		check_request_names(reader, &headers->request->set);
		check_request_names(reader, &headers->request->add);
		check_removed(reader, &headers->request->remove);
		check_carriage(reader, headers->request);
	}
	if (headers->response) {
		check_response_names(reader, &headers->response->set);
		check_response_names(reader, &headers->response->add);
		check_removed(reader, &headers->response->remove);
		check_carriage(reader, headers->response);
	}
}

static const struct key headers_keys[] = {
    KEY_GROUP(struct headers, request, "request", header_operations_schema),
    KEY_GROUP(struct headers, response, "response", header_operations_schema),
};
const struct schema headers_schema =
    SCHEMA("Headers", struct headers, headers_keys, .check = check_headers);

/* ---- destinations ------------------------------------------------------------------------- */

static void check_destination_host(struct reader *reader, void *value)
{
	struct text *host = value;
	struct hostname_error error;
	char name[256];

	if (!strcmp(host->s, "*")) {
		reader_error(reader, &host->where, "invalid destination host *");
	} else if (hostname_is_wildcard_domain(host->s, &error)) {
		hostname_normalize(host->s, strlen(host->s), name);
		host->s = region_strdup(&reader->rules->region, name);
		return;
	} else {
		reader_error(reader, &host->where, "%s", error.text);
	}
	host->s = NULL;
}

static void check_subset(struct reader *reader, void *value)
{
	struct text *subset = value;

	if (*subset->s && !hostname_is_label(subset->s))
		reader_error(reader, &subset->where, "subset name is invalid: \"%s\"", subset->s);
	else if (*subset->s)
		return;
	subset->s = NULL;
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
    KEY_TEXT(struct destination, subset, "subset", .check = check_subset),
    KEY_GROUP(struct destination, port, "port", port_selector_schema),
};
const struct schema destination_schema =
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
    KEY_GROUP(struct route_destination, headers, "headers", headers_schema),
};
const struct schema route_destination_schema =
    SCHEMA("HTTPRouteDestination", struct route_destination, route_destination_keys);

static const struct key l4_destination_keys[] = {
    KEY_GROUP(struct route_destination, destination, "destination", destination_schema,
	      .required = "destination is required"),
    KEY_NUMBER(struct route_destination, weight, "weight", .check = check_weight),
};
const struct schema l4_destination_schema =
    SCHEMA("RouteDestination", struct route_destination, l4_destination_keys);

uint64_t check_weights(struct reader *reader, const struct list *list)
{
	const struct route_destination *destinations = list->items;
	uint64_t total = 0;

	if (list->n < 2)
		return 0;
	for (size_t i = 0; i < list->n; i++)
		total += (uint64_t)destinations[i].weight.value;
	if (!total)
		reader_error(reader, &list->where, "total destination weight = 0");
	return total;
}

/* ---- HTTPRewrite -------------------------------------------------------------------------- */

/* It goes into the head of a request as it is. */
static void check_no_space(struct reader *reader, void *value)
{
	const struct text *text = value;

	if (strchr(text->s, ' '))
		reader_refuse(reader, &text->where, "\"%s\" must not hold a space", text->s);
}

static void check_regex_rewrite(struct reader *reader, void *group)
{
	struct regex_rewrite *rewrite = group;
	struct pattern_error error;
	struct pattern *pattern;

	if (!is_given(&rewrite->match) || !is_given(&rewrite->rewrite)) {
		reader_error(reader, &rewrite->where,
			     "UriRegexRewrite requires both Rewrite and Match fields to be "
			     "specified");
		return;
	}
	if (strlen(rewrite->match.s) > PATTERN_MAX) {
		reader_error(reader, &rewrite->match.where,
			     "\"match\": regex is too large, max length allowed is %d",
			     PATTERN_MAX);
		return;
	}
	pattern = pattern_new_search(rewrite->match.s, &error);
	if (!pattern) {
		reader_error(reader, &rewrite->match.where,
			     "\"match\": %s; Istio uses RE2 style regex-based match "
			     "(https://github.com/google/re2/wiki/Syntax)",
			     error.text);
		return;
	}
	if (pointers_add(&reader->rules->patterns, pattern) < 0) {
		pattern_free(pattern);
		reader_oom(reader);
		return;
	}
	if (!pattern_check_rewrite(pattern, rewrite->rewrite.s, &error)) {
		reader_error(reader, &rewrite->rewrite.where, "\"rewrite\": %s", error.text);
		return;
	}
	rewrite->pattern = pattern;
	if (pattern_risky(pattern))
		reader_say(reader, SEVERITY_WARNING, NULL, &rewrite->match.where,
			   "\"match\": this regular expression can take too long on a long path; "
			   "where it does, the request is answered 500");
}

static const struct key regex_rewrite_keys[] = {
    KEY_TEXT(struct regex_rewrite, match, "match"),
    KEY_TEXT(struct regex_rewrite, rewrite, "rewrite", .check = check_no_space),
};
static const struct schema regex_rewrite_schema =
    SCHEMA("RegexRewrite", struct regex_rewrite, regex_rewrite_keys, .check = check_regex_rewrite);

static void check_rewrite(struct reader *reader, void *group)
{
	const struct http_rewrite *rewrite = group;
	bool uri = is_given(&rewrite->uri);

	if (!uri && !rewrite->uri_regex_rewrite && !is_given(&rewrite->authority))
		reader_error(reader, &rewrite->where,
			     "rewrite must specify at least one of URI, UriRegexRewrite, or "
			     "authority");
	if (uri && rewrite->uri_regex_rewrite)
		reader_error(reader, &rewrite->where,
			     "rewrite may only contain one of URI or UriRegexRewrite");
}

static const struct key http_rewrite_keys[] = {
    KEY_TEXT(struct http_rewrite, uri, "uri", .check = check_no_space),
    KEY_TEXT(struct http_rewrite, authority, "authority", .check = check_no_space),
    KEY_GROUP(struct http_rewrite, uri_regex_rewrite, "uriRegexRewrite", regex_rewrite_schema),
};
const struct schema http_rewrite_schema =
    SCHEMA("HTTPRewrite", struct http_rewrite, http_rewrite_keys, .check = check_rewrite);

/* ---- HTTPRedirect ------------------------------------------------------------------------- */

static const struct choice_name derive_names[] = {
    {.name = "FROM_PROTOCOL_DEFAULT", .value = DERIVE_FROM_PROTOCOL_DEFAULT},
    {.name = "FROM_REQUEST_PORT", .value = DERIVE_FROM_REQUEST_PORT},
    {.name = NULL},
};

static void check_redirect_code(struct reader *reader, void *value)
{
	const struct number *code = value;

	if (code->value && (code->value < 300 || code->value > 399))
		reader_error(reader, &code->where,
			     "%lld is not a valid redirect code, must be 3xx", code->value);
	else if (code->value && code->value != redirect_status(code))
		reader_say(reader, SEVERITY_WARNING, NULL, &code->where,
			   "redirect code %lld is not one that Envoy can send (301, 302, 303, 307, "
			   "308): 301 is sent",
			   code->value);
}

static void check_redirect_scheme(struct reader *reader, void *value)
{
	const struct text *scheme = value;

	if (*scheme->s && strcmp(scheme->s, "http") != 0 && strcmp(scheme->s, "https") != 0)
		reader_error(reader, &scheme->where,
			     "invalid redirect scheme, must be \"http\" or \"https\"");
}

static void check_redirect(struct reader *reader, void *group)
{
	const struct http_redirect *redirect = group;

	bool uri = is_given(&redirect->uri), prefix = is_given(&redirect->prefix_rewrite);

	if (uri && prefix)
		reader_error(reader, &redirect->prefix_rewrite.where,
			     "redirect may only specify one of uri or prefix_rewrite");
	if (redirect->port.where.file && redirect->derive_port.where.file)
		reader_error(reader, &redirect->derive_port.where,
			     "redirect may only specify one of port or derivePort");
	if (!uri && !prefix && !is_given(&redirect->authority) && !is_given(&redirect->scheme) &&
	    !redirect->port.where.file && !redirect->derive_port.where.file)
		reader_error(reader, &redirect->where,
			     "redirect must specify URI, authority, scheme, or port");
}

static const struct key redirect_keys[] = {
    KEY_TEXT(struct http_redirect, uri, "uri", .check = check_no_space),
    KEY_TEXT(struct http_redirect, prefix_rewrite, "prefixRewrite", .check = check_no_space),
    KEY_TEXT(struct http_redirect, authority, "authority", .check = check_no_space),
    KEY_TEXT(struct http_redirect, scheme, "scheme", .check = check_redirect_scheme),
    KEY_NUMBER(struct http_redirect, port, "port", .check = check_port_number),
    KEY_CHOICE(struct http_redirect, derive_port, "derivePort", derive_names),
    KEY_NUMBER(struct http_redirect, redirect_code, "redirectCode", .check = check_redirect_code),
};
const struct schema redirect_schema =
    SCHEMA("HTTPRedirect", struct http_redirect, redirect_keys, .check = check_redirect);

/* ---- HTTPDirectResponse ------------------------------------------------------------------- */

#define BODY_WARNING (100 * 1024)
#define BODY_ERROR   (1024 * 1024)

static int base64_digit(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at;

	/* The alphabet for URLs, too, as protobuf's JSON reads both. */
	c = c == '-' ? '+' : c == '_' ? '/' : c;
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* Returns false when the text is no base64. */
static bool decode(struct reader *reader, struct http_body *body)
{
	const char *in = body->bytes.s;
	size_t len = strlen(in), n = 0;
	unsigned long bits = 0;
	char *out = region_alloc(&reader->rules->region, len + 1);

	while (len && in[len - 1] == '=')
		len--;
	if (len % 4 == 1 || strlen(in) - len > 2)
		return false;
	for (size_t i = 0; i < len; i++) {
		int digit = base64_digit(in[i]);

		if (digit < 0)
			return false;
		bits = (bits << 6 | (unsigned)digit) & 0xffffff;
		if (i % 4 && out)
			out[n++] = (char)(bits >> (6 - i % 4 * 2) & 0xff);
	}
	body->body = out;
	body->body_len = out ? n : 0;
	return true;
}

static void check_body(struct reader *reader, void *group)
{
	struct http_body *body = group;

	if (body->string.s && body->bytes.s)
		reader_error(reader, &body->where, "only one of string and bytes can be set");
	if (body->string.s) {
		body->body = body->string.s;
		body->body_len = strlen(body->string.s);
	} else if (body->bytes.s && !decode(reader, body)) {
		reader_error(reader, &body->bytes.where, "bytes: not valid base64");
	}
	if (body->body_len > BODY_ERROR)
		reader_error(reader, &body->where,
			     "large direct_responses may impact control plane performance, must be "
			     "less than 1MB");
	else if (body->body_len > BODY_WARNING)
		reader_warning(reader, &body->where,
			       "large direct_responses may impact control plane performance");
}

static const struct key body_keys[] = {
    KEY_TEXT(struct http_body, string, "string", .plain = true),
    KEY_TEXT(struct http_body, bytes, "bytes"),
};
static const struct schema body_schema =
    SCHEMA("HTTPBody", struct http_body, body_keys, .check = check_body);

static void check_status(struct reader *reader, void *value)
{
	const struct number *status = value;

	if (status->value < 200 || status->value > 599)
		reader_error(reader, &status->where, "HTTP status %lld is not in range 200-599",
			     status->value);
}

static const struct key direct_response_keys[] = {
    KEY_NUMBER(struct direct_response, status, "status", .check = check_status,
	       .required = "HTTP status 0 is not in range 200-599"),
    KEY_GROUP(struct direct_response, body, "body", body_schema),
};
const struct schema direct_response_schema =
    SCHEMA("HTTPDirectResponse", struct direct_response, direct_response_keys);
