/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VirtualService (networking.istio.io/v1) as it was written; see value.h. Filled by
 * spec_virtual.c (the resource), spec_match.c, spec_action.c and spec_l4.c.
 */
#ifndef RULES_VIRTUAL_SERVICE_H
#define RULES_VIRTUAL_SERVICE_H

#include "rules/pattern.h"
#include "rules/port_set.h"
#include "rules/value.h"

struct service;
struct cluster;

/* ---- matches ------------------------------------------------------------------------------ */

enum match_kind {
	MATCH_PRESENT, /* nothing was asked of the value */
	MATCH_EXACT,
	MATCH_PREFIX,
	MATCH_REGEX,
};

/* StringMatch */
struct string_match {
	struct where where;
	struct text exact, prefix, regex;
	enum match_kind kind;
	size_t len; /* of the exact text or prefix */
	const struct pattern *pattern;
};

/* An entry of headers, withoutHeaders or queryParams. */
struct header_match {
	struct where where;
	struct text name;
	struct string_match match;
};

/* HTTPMatchRequest; pointers are NULL when absent. */
struct http_match {
	struct where where;
	struct text name;
	struct string_match *uri, *scheme, *method, *authority;
	struct list headers, without_headers, query_params; /* struct header_match */
	struct number port;
	struct flag ignore_uri_case;
	struct list source_labels; /* struct pair */
	struct text source_namespace;
	struct list gateways; /* struct text */
	bool catch_all;	      /* matches every path: nothing after it is reached */
	bool excluded;	      /* gateways, sourceLabels or sourceNamespace are not this process's:
			       * as if it were not there. Decided by build.c */
};

/* ---- actions ------------------------------------------------------------------------------ */

/* Percent; an integer is allowed too. */
struct percent {
	struct where where;
	struct decimal value;
};

/* Headers.HeaderOperations */
struct header_operations {
	struct where where;
	struct list set, add; /* struct pair */
	struct list remove;   /* struct text */
};

struct headers {
	struct where where;
	struct header_operations *request, *response;
};

struct port_selector {
	struct where where;
	struct number number;
};

struct destination {
	struct where where;
	struct text host, subset;
	struct port_selector *port;
	/* Found by check.c: */
	const struct service *service; /* NULL: not in the registry */
	const struct cluster *cluster; /* NULL: decided by the dialled port */
};

/* HTTPRouteDestination; RouteDestination of tls and tcp routes has no headers. */
struct route_destination {
	struct where where;
	struct destination *destination;
	struct number weight;
	struct headers *headers;
};

/* RegexRewrite */
struct regex_rewrite {
	struct where where;
	struct text match, rewrite;
	const struct pattern *pattern; /* made for pattern_replace() */
};

struct http_rewrite {
	struct where where;
	struct text uri, authority;
	struct regex_rewrite *uri_regex_rewrite;
};

enum derive_port {
	DERIVE_NONE,
	DERIVE_FROM_PROTOCOL_DEFAULT,
	DERIVE_FROM_REQUEST_PORT,
};

struct http_redirect {
	struct where where;
	struct text uri, prefix_rewrite, authority, scheme;
	struct number port;
	struct choice derive_port;    /* enum derive_port */
	struct number redirect_code; /* absent or 0: 301 */
};

/* The status that a redirectCode comes to: of those that Envoy can send, else 301. */
static inline int redirect_status(const struct number *code)
{
	switch (code->value) {
	case 302:
	case 303:
	case 307:
	case 308:
		return (int)code->value;
	default:
		return 301;
	}
}

/* HTTPBody: one of both. `bytes` is base64; `body` is what is sent, whichever it was. */
struct http_body {
	struct where where;
	struct text string, bytes;
	const char *body;
	size_t body_len;
};

struct direct_response {
	struct where where;
	struct number status;
	struct http_body *body;
};

struct fault_delay {
	struct where where;
	struct duration fixed_delay;
	struct percent *percentage; /* absent: `percent`, else never */
	struct number percent;	    /* deprecated */
	struct where exponential;   /* of exponentialDelay, which is refused */
};

struct fault_abort {
	struct where where;
	struct number http_status;
	struct text grpc_status;
	int grpc_number; /* of grpc_status; -1: none */
	struct percent *percentage; /* absent: never */
	struct where http2_error;   /* refused */
};

struct http_fault {
	struct where where;
	struct fault_delay *delay;
	struct fault_abort *abort;
};

/* HTTPRetry */
struct http_retry {
	struct where where;
	struct number attempts; /* 0: none; Istio's default is 2 */
	struct duration per_try_timeout, backoff;
	struct text retry_on;
	unsigned conditions; /* of retry_on: enum retry_on */
	struct flag retry_remote_localities, retry_ignore_previous_hosts;
};

struct http_mirror {
	struct where where;
	struct destination *destination;
	struct percent *percentage; /* absent: all */
};

/* CorsPolicy: checked, without effect. */
struct cors_policy {
	struct where where;
	struct list allow_origins; /* struct cors_origin, spec_retry.c */
	struct list allow_origin, allow_methods, allow_headers, expose_headers; /* struct text */
	struct duration max_age;
	struct flag allow_credentials;
	struct choice unmatched_preflights;
};

struct delegate {
	struct where where;
	struct text name, namespace;
};

struct http_route {
	struct where where;
	struct text name;
	struct list match; /* struct http_match */
	struct list route; /* struct route_destination */
	struct http_redirect *redirect;
	struct direct_response *direct_response;
	struct delegate *delegate;
	struct http_rewrite *rewrite;
	struct duration timeout; /* absent: none */
	struct http_retry *retries;
	struct http_fault *fault;
	struct destination *mirror;
	struct list mirrors; /* struct http_mirror */
	struct percent *mirror_percentage;
	struct number mirror_percent; /* deprecated */
	struct headers *headers;
	struct cors_policy *cors_policy;
	uint64_t total_weight; /* 0 for a single destination */
	/* build.c: when this route came in through a delegate, the resource that it stands in. */
	const struct virtual_service *origin;
};

/* ---- tls and tcp --------------------------------------------------------------------------- */

/* TLSMatchAttributes and L4MatchAttributes (which has no sniHosts). */
struct l4_match {
	struct where where;
	struct list sni_hosts;		 /* struct text, lower case */
	struct list destination_subnets; /* struct text */
	struct rules_address *subnets;	 /* the parsed ones */
	size_t n_subnets;
	struct number port;
	struct list source_labels; /* struct pair */
	struct text source_namespace;
	struct list gateways; /* struct text */
	bool excluded;	      /* as in struct http_match */
};

/* TLSRoute, TCPRoute */
struct l4_route {
	struct where where;
	struct list match; /* struct l4_match */
	struct list route; /* struct route_destination */
	uint64_t total_weight;
};

struct virtual_service {
	struct where where;
	struct text name;
	struct list hosts;    /* struct text, lower case, no trailing dot; none: a delegate */
	struct list gateways; /* struct text */
	struct list http;     /* struct http_route, as written */
	struct list merged;   /* the same with delegates in their places: what requests meet */
	struct list tls, tcp; /* struct l4_route */
	struct list export_to; /* struct text; checked, without effect */
	bool inert;	      /* bound to gateways only */
	struct port_set http_ports; /* hosts.c: of the registered hosts that its hosts cover */
};

#endif
