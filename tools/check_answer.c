/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/check_answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/lookup.h"

const char *const protocol_names[] = {
    [PROTOCOL_HTTP] = "HTTP", [PROTOCOL_TLS] = "TLS",	[PROTOCOL_TCP] = "TCP",
    [PROTOCOL_HTTP2] = "HTTP2", [PROTOCOL_AUTO] = "any",
};

const char *const resolution_names[] = {
    [RESOLUTION_STATIC] = "STATIC",
    [RESOLUTION_DNS] = "DNS",
    [RESOLUTION_DNS_ROUND_ROBIN] = "DNS_ROUND_ROBIN",
    [RESOLUTION_NONE] = "NONE",
    [RESOLUTION_DYNAMIC_DNS] = "DYNAMIC_DNS",
};

const char *const tls_mode_names[] = {
    [TLS_MODE_DISABLE] = "DISABLE",
    [TLS_MODE_SIMPLE] = "SIMPLE",
    [TLS_MODE_MUTUAL] = "MUTUAL",
};

static void *must(void *memory)
{
	if (!memory) {
		fputs("meshshim-check: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

static char *rewritten(const struct verdict *verdict, const char *target)
{
	size_t len = rules_rewrite_target(verdict, target, NULL, 0);
	char *out;

	if (len == SIZE_MAX)
		return NULL;
	out = must(malloc(len + 1));
	rules_rewrite_target(verdict, target, out, len + 1);
	return out;
}

/* An answer without destination: Location and the header operations on it. */
static void respond(struct answer *answer, const struct rules_request *request)
{
	const struct verdict *verdict = &answer->verdict;
	size_t len = rules_location(verdict, request, &answer->status, NULL, 0);
	struct field location = {"location", NULL, 8, 0};

	answer->location = must(len == SIZE_MAX ? NULL : malloc(len + 1));
	rules_location(verdict, request, &answer->status, answer->location, len + 1);
	location.value = answer->location;
	location.value_len = (uint32_t)len;
	if (edited_fields_init(&answer->response, verdict, true, &location, len != 0) < 0)
		must(NULL);
}

static void match(const struct rules *rules, const struct explain_request *request,
		  struct answer *answer, explain_note_fn *note)
{
	const struct rules_request asked = {
	    .method = request->method,
	    .authority = request->authority,
	    .path = request->target,
	    .dialled = request->name,
	    .port = request->port,
	    .fields = request->fields,
	    .n_fields = request->n_fields,
	};
	struct verdict *verdict = &answer->verdict;

	answer->http = true;
	rules_explain(rules, &asked, verdict, note, NULL);
	answer->authority = verdict->authority ? verdict->authority : request->authority;
	if (edited_fields_init(&answer->fields, verdict, false, request->fields,
			       request->n_fields) < 0)
		must(NULL);
	answer->target = rewritten(verdict, request->target);
	switch (verdict->action) {
	case RULES_REDIRECT:
		answer->action = "redirect";
		respond(answer, &asked);
		break;
	case RULES_DIRECT_RESPONSE:
		answer->action = "directResponse";
		respond(answer, &asked);
		break;
	case RULES_NO_ROUTE:
		answer->action = "notFound";
		break;
	default:
		answer->action = "route";
		break;
	}
}

static void match_stream(const struct rules *rules, const struct explain_request *request,
			 struct answer *answer, explain_note_fn *note)
{
	const struct rules_stream asked = {
	    .name = request->name,
	    .address = request->has_address ? &request->address : NULL,
	    .port = request->port,
	    .sni = request->scheme == EXPLAIN_HTTPS ? request->name : NULL,
	};

	rules_explain_stream(rules, &asked, &answer->verdict, note, NULL);
	if (answer->verdict.action == RULES_REQUEST_BLOCKED)
		answer->action = "blocked";
	answer->encrypted =
	    request->scheme == EXPLAIN_HTTPS ||
	    (answer->verdict.cluster && answer->verdict.cluster->protocol == PROTOCOL_TLS);
}

void answer_init(struct answer *answer, const struct rules *rules,
		 const struct explain_request *request, explain_note_fn *note)
{
	bool plain = request->scheme == EXPLAIN_HTTP;
	const struct cluster *cluster;

	memset(answer, 0, sizeof(*answer));
	answer->verdict.route_index = answer->verdict.match_index = -1;
	answer->action = "passthrough";
	answer->authority = request->authority;
	answer->connection = rules_connect(rules, request->name, request->port, &cluster);
	/* A port without protocol carries whatever comes. */
	if ((answer->connection == RULES_HTTP || answer->connection == RULES_SNIFF) && plain)
		match(rules, request, answer, note);
	else if (answer->connection == RULES_OPAQUE || answer->connection == RULES_SNIFF)
		match_stream(rules, request, answer, note);
	else if (answer->connection == RULES_BLOCKED || answer->connection == RULES_HTTP)
		answer->action = "blocked";
	if (!answer->http) {
		const struct rules_host *host = rules_find_host(rules, request->name);

		answer->verdict.host = host ? host->name : NULL;
		if (edited_fields_init(&answer->fields, &answer->verdict, false, request->fields,
				       request->n_fields) < 0)
			must(NULL);
		answer->target = must(strdup(request->target));
	}
	rules_resilience(&answer->verdict, &answer->resilience);
	if (!answer->http)
		answer->resilience = (struct resilience){.retry_on = ""};
	answer->n_destinations = rules_n_destinations(&answer->verdict);
}

void answer_release(struct answer *answer)
{
	free(answer->target);
	free(answer->location);
	edited_fields_release(&answer->fields);
	edited_fields_release(&answer->response);
}

size_t answer_verified_names(const struct cluster *cluster, const char *own,
			     const char *const **names, const char **one)
{
	if (cluster->tls.insecure_skip_verify)
		return 0;
	if (cluster->tls.n_subject_alt_names) {
		*names = cluster->tls.subject_alt_names;
		return cluster->tls.n_subject_alt_names;
	}
	*one = own;
	*names = one;
	return 1;
}

bool answer_originates_tls(const struct answer *answer, const struct cluster *cluster)
{
	return cluster && cluster->tls.mode != TLS_MODE_DISABLE && !answer->encrypted;
}
