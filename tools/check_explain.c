/* SPDX-License-Identifier: Apache-2.0 */
/* --explain as text: each decision with its place, in the order in which it is made. */
#include "tools/check_explain.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/duration.h"
#include "rules/hostname.h"
#include "rules/model.h"
#include "tools/check_answer.h"

static void place(const struct where *where)
{
	if (where->file)
		printf("  (%s:%d)", where->file, where->line);
	putchar('\n');
}

static void print_note(void *context, const struct explain_note *note)
{
	(void)context;
	printf("  route %d", note->route_index);
	if (note->match_index >= 0)
		printf(", match %d", note->match_index);
	else
		fputs(", without conditions", stdout);
	if (note->failed)
		printf(": no, %s", note->failed);
	else
		fputs(": yes", stdout);
	place(&note->where);
}

static void print_tls(const struct answer *answer, const struct cluster *cluster)
{
	const char *const *names = NULL, *one;
	const struct client_tls *tls = &cluster->tls;
	char name[256];
	size_t n;

	if (answer->encrypted) {
		puts("    TLS: the program's own, passed through unread");
		return;
	}
	if (!answer_originates_tls(answer, cluster) ||
	    rules_server_name(cluster, answer->authority, name, sizeof(name)) < 0) {
		puts("    TLS: none, plain text");
		return;
	}
	printf("    TLS: %s, SNI %s\n", tls_mode_names[tls->mode],
	       hostname_is_address(name, NULL) ? "none (an address)" : name);
	if (tls->mode == TLS_MODE_MUTUAL)
		printf("    certificate shown: %s\n", tls->client_certificate);
	if (tls->insecure_skip_verify) {
		puts("    NOT verified: insecureSkipVerify");
		return;
	}
	printf("    verified against: %s\n",
	       tls->ca_certificates && strcmp(tls->ca_certificates, "system") != 0
		   ? tls->ca_certificates
		   : "the system's CA store");
	fputs("    verified names:", stdout);
	n = answer_verified_names(cluster, name, &names, &one);
	for (size_t i = 0; i < n; i++)
		printf(" %s", names[i]);
	putchar('\n');
}

static void print_endpoints(const struct cluster *cluster)
{
	static const char *const balancing[] = {
	    [LB_UNSPECIFIED] = "LEAST_REQUEST", [LB_LEAST_CONN] = "LEAST_REQUEST",
	    [LB_RANDOM] = "RANDOM",		[LB_PASSTHROUGH] = "PASSTHROUGH",
	    [LB_ROUND_ROBIN] = "ROUND_ROBIN",	[LB_LEAST_REQUEST] = "LEAST_REQUEST",
	};
	const struct load_balancer *balancer = cluster->load_balancer;

	printf("    endpoints (%s):", resolution_names[cluster->resolution]);
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		const struct endpoint *endpoint = &cluster->endpoints[i];

		if (!strncmp(endpoint->address, "unix://", 7))
			printf(" %s", endpoint->address);
		else
			printf(strchr(endpoint->address, ':') ? " [%s]:%u" : " %s:%u",
			       endpoint->address, endpoint->port);
		if (endpoint->weight != 1)
			printf(" (weight %u)", endpoint->weight);
	}
	if (!cluster->n_endpoints)
		fputs(cluster->resolution == RESOLUTION_NONE ? " the address that was dialled"
		      : cluster->resolution == RESOLUTION_DYNAMIC_DNS
			  ? " the name that was asked for"
			  : " none, answered 503",
		      stdout);
	putchar('\n');
	if (balancer && balancer->consistent_hash)
		puts("    balanced by: consistent hash");
	else if (cluster->n_endpoints > 1 && balancer)
		printf("    balanced by: %s\n", balancing[balancer->simple.value]);
}

static void print_destination(const struct answer *answer, const struct explain_destination *to)
{
	const struct cluster *cluster = to->cluster;

	if (!cluster) {
		printf("destination: %s%s%s: no such %s, answered 503", to->host,
		       to->subset ? " subset " : "", to->subset ? to->subset : "",
		       to->subset ? "port or subset" : "port");
		place(&to->where);
		return;
	}
	printf("destination: %s%s%s port %u (%s), weight %u", to->host,
	       to->subset ? " subset " : "", to->subset ? to->subset : "", to->port,
	       protocol_names[cluster->protocol], to->weight);
	place(&cluster->where);
	print_endpoints(cluster);
	print_tls(answer, cluster);
}

/* Behind a value with commands of Envoy's. */
static const char *later(bool commands)
{
	return commands ? "  (commands are left for run time)" : "";
}

static void print_edit(enum header_edit edit, const char *name, const char *value)
{
	static const char *const words[] = {"removed", "set", "added"};
	struct edited_text text;

	if (!value) {
		printf("    header %s: %s\n", words[edit], name);
		return;
	}
	text = header_unescape(value);
	printf("    header %s: %s: %s%s\n", words[edit], name, text.text ? text.text : value,
	       later(text.commands));
	free(text.text);
}

static void print_response_edit(void *context, enum header_edit edit, const char *name,
				const char *value)
{
	bool *first = context;

	if (*first)
		puts("response:");
	*first = false;
	print_edit(edit, name, value);
}

static void print_fields(const struct edited_fields *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		const struct field *field = &fields->items[i];

		printf("    %.*s: %.*s%s\n", (int)field->name_len, field->name,
		       (int)field->value_len, field->value,
		       later(edited_field_has_commands(fields, field)));
	}
}

static void print_request(const struct answer *answer, const struct explain_request *request)
{
	puts("request:");
	printf("    %s %s HTTP/1.1\n    Host: %s\n", request->method,
	       answer->target ? answer->target : "(uriRegexRewrite takes too long: answered 500)",
	       answer->authority);
	print_fields(&answer->fields);
}

static void print_local(const struct answer *answer)
{
	const struct verdict *verdict = &answer->verdict;
	const struct http_body *body;

	if (verdict->action == RULES_REDIRECT) {
		printf("action: redirect, answered %d\n", answer->status);
	} else {
		body = verdict->route->direct_response->body;
		printf("action: direct response, answered %d with %zu bytes\n", answer->status,
		       body ? body->body_len : 0);
	}
	print_fields(&answer->response);
}

static void print_mirrors(const struct answer *answer, uint16_t port)
{
	struct mirror mirror;

	for (size_t at = 0; rules_next_mirror(&answer->verdict, port, &at, &mirror);) {
		printf("mirrored to: %s%s%s", mirror.host, mirror.subset ? " subset " : "",
		       mirror.subset ? mirror.subset : "");
		if (mirror.cluster)
			printf(" port %u", mirror.cluster->port);
		else
			printf(": no such %s", mirror.subset ? "port or subset" : "port");
		printf(", %g %% of requests\n", mirror.percentage);
	}
}

static void print_fault(const struct http_fault *fault)
{
	char text[DURATION_MAX];

	if (fault->delay)
		printf("fault: delayed by %s, %g %% of requests\n",
		       duration_format(fault->delay->fixed_delay.ns, text),
		       fault->delay->percentage  ? fault->delay->percentage->value.value
		       : fault->delay->percent.set ? (double)fault->delay->percent.value
						   : 0);
	if (fault->abort)
		printf("fault: aborted with %lld, %g %% of requests\n",
		       fault->abort->http_status.set ? fault->abort->http_status.value : 200,
		       fault->abort->percentage ? fault->abort->percentage->value.value : 0);
}

/* Istio's default goes without saying. */
static void print_retries(const struct answer *answer)
{
	const struct resilience *resilience = &answer->resilience;
	char text[DURATION_MAX];

	if (!resilience->where.file)
		return;
	if (!resilience->attempts) {
		fputs("retries: none", stdout);
	} else {
		printf("retries: %lld, on %s%s", resilience->attempts, resilience->retry_on,
		       resilience->status_codes ? ",retriable-status-codes" : "");
		if (resilience->per_try_timeout)
			printf(", each within %s",
			       duration_format(resilience->per_try_timeout, text));
	}
	place(&resilience->where);
}

/* What was written about time and failures. */
static void print_resilience(const struct answer *answer, uint16_t port)
{
	const struct http_route *route = answer->verdict.route;
	const struct resilience *resilience = &answer->resilience;
	char text[DURATION_MAX];

	if (resilience->timeout)
		printf("timeout: %s\n", duration_format(resilience->timeout, text));
	print_retries(answer);
	if (!route)
		return;
	if (route->fault)
		print_fault(route->fault);
	print_mirrors(answer, port);
}

/* Why there is nothing to match. */
static void print_connection(const struct rules *rules, const struct answer *answer,
			     const struct explain_request *request)
{
	const struct rules_host *host = rules_find_host(rules, request->name);

	if (!host)
		printf("host: \"%s\" is not in the registry\n", request->name);
	else if (answer->connection == RULES_PASSTHROUGH || answer->connection == RULES_BLOCKED)
		printf("host: \"%s\" has no port %u in the registry\n", host->name, request->port);
	if (answer->connection == RULES_BLOCKED)
		puts("action: blocked, outboundTrafficPolicy is REGISTRY_ONLY: the connection is "
		     "refused");
	else if (answer->connection == RULES_PASSTHROUGH)
		puts("action: passed through untouched, outboundTrafficPolicy is ALLOW_ANY");
	else if (answer->verdict.action == RULES_REQUEST_BLOCKED)
		puts("action: blocked, no tls route has this name, and outboundTrafficPolicy is "
		     "REGISTRY_ONLY");
	else if (answer->verdict.action == RULES_REQUEST_DIRECT)
		puts("action: no tls route has this name: passed through untouched, "
		     "outboundTrafficPolicy is ALLOW_ANY");
	else if (answer->connection == RULES_HTTP && !answer->n_destinations)
		printf("action: port %u speaks HTTP here, a TLS handshake is closed\n",
		       request->port);
	else if (request->scheme == EXPLAIN_HTTPS)
		puts("action: TLS is passed through opaque to the destination, http routes do not "
		     "apply to it");
	else
		puts("action: bytes are passed through opaque to the destination, http routes do "
		     "not "
		     "apply to this port");
}

static void print_answer(const struct rules *rules, const struct answer *answer,
			 const struct explain_request *request)
{
	const struct verdict *verdict = &answer->verdict;
	bool first = true;

	if (!answer->http) {
		print_connection(rules, answer, request);
	} else if (verdict->action == RULES_NO_ROUTE) {
		puts("action: no route matches, answered 404");
		return;
	} else if (answer->status) {
		print_local(answer);
		return;
	} else if (verdict->action == RULES_NO_CLUSTER && answer->n_destinations == 1) {
		puts("action: the route leads nowhere, answered 503");
	} else {
		print_request(answer, request);
	}
	for (size_t i = 0; i < answer->n_destinations; i++) {
		struct explain_destination to = rules_destination(verdict, i, request->port);

		print_destination(answer, &to);
	}
	if (verdict->action == RULES_NO_CLUSTER && answer->n_destinations == 1)
		return;
	print_resilience(answer, request->port);
	if (answer->http)
		rules_header_edits(verdict, true, print_response_edit, &first);
}

void explain_text(const struct rules *rules, const struct explain_request *request)
{
	static const char *const schemes[] = {"http", "https", "tcp"};
	struct answer answer;
	struct where where;

	/* First without notes: the virtual host is said before the routes that were tried. */
	answer_init(&answer, rules, request, NULL);
	if (request->scheme == EXPLAIN_TCP)
		printf("tcp://%s\n", request->authority);
	else
		printf("%s %s://%s%s\n", request->method, schemes[request->scheme],
		       request->authority, request->target);
	if (answer.verdict.host && (answer.http || answer.verdict.virtual_service)) {
		where = rules_routes_where(rules, &answer.verdict);
		printf("host: %s, ", answer.verdict.host);
		if (answer.verdict.virtual_service)
			printf("VirtualService %s", answer.verdict.virtual_service);
		else
			fputs("no VirtualService", stdout);
		place(&where);
		answer_release(&answer);
		answer_init(&answer, rules, request, print_note);
	}
	print_answer(rules, &answer, request);
	answer_release(&answer);
}
