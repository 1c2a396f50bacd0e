/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both forms, text and JSON, are written from one `struct answer`, so that they cannot disagree.
 */
#include "tools/check_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/explain.h"
#include "rules/hostname.h"
#include "tools/check_json.h"

/* What is known after rules_connect() and rules_match(). */
struct answer {
	enum rules_connection connection;
	const char *action; /* DESIGN section 7 */
	struct verdict verdict;
	const char *authority; /* after the rewrite */
	char *target;	       /* after the rewrite; malloc'd */
	size_t n_destinations;
	bool encrypted; /* by the program itself: no TLS of the bridge's own on top */
};

static const char *const protocols[] = {
    [PROTOCOL_HTTP] = "HTTP",
    [PROTOCOL_TLS] = "TLS",
    [PROTOCOL_TCP] = "TCP",
};

static const char *const resolutions[] = {
    [RESOLUTION_STATIC] = "STATIC",
    [RESOLUTION_DNS] = "DNS",
    [RESOLUTION_DNS_ROUND_ROBIN] = "DNS_ROUND_ROBIN",
};

static const char *const tls_modes[] = {
    [TLS_MODE_DISABLE] = "DISABLE",
    [TLS_MODE_SIMPLE] = "SIMPLE",
    [TLS_MODE_MUTUAL] = "MUTUAL",
};

static void rewrite(struct answer *answer, const struct explain_request *request)
{
	size_t len = rules_rewrite_target(&answer->verdict, request->target, NULL, 0);

	answer->authority =
	    answer->verdict.authority ? answer->verdict.authority : request->authority;
	answer->target = malloc(len + 1);
	if (!answer->target) {
		fputs("meshshim-check: out of memory\n", stderr);
		exit(1);
	}
	rules_rewrite_target(&answer->verdict, request->target, answer->target, len + 1);
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

	rules_explain(rules, &asked, &answer->verdict, note, NULL);
	answer->action = answer->verdict.action == RULES_NO_ROUTE ? "notFound" : "route";
}

/* An opaque connection has no request to match, only a destination. */
static void opaque(const struct rules *rules, const struct explain_request *request,
		   const struct cluster *cluster, struct answer *answer)
{
	const struct rules_host *host = rules_find_host(rules, request->name);

	answer->action = "passthrough";
	answer->encrypted = request->https || (cluster && cluster->protocol == PROTOCOL_TLS);
	answer->verdict.host = host ? host->name : NULL;
	answer->verdict.cluster = cluster;
	answer->verdict.destination = cluster ? cluster->host : NULL;
	answer->verdict.where = cluster ? cluster->where : (struct where){NULL, 0};
}

static void find_answer(const struct rules *rules, const struct explain_request *request,
			struct answer *answer, explain_note_fn *note)
{
	const struct cluster *cluster;

	memset(answer, 0, sizeof(*answer));
	answer->verdict.route_index = answer->verdict.match_index = -1;
	answer->connection = rules_connect(rules, request->name, request->port, &cluster);
	if (answer->connection == RULES_HTTP && !request->https)
		match(rules, request, answer, note);
	else
		opaque(rules, request, cluster, answer);
	if (answer->connection == RULES_BLOCKED ||
	    (answer->connection == RULES_HTTP && request->https))
		answer->action = "blocked";
	answer->n_destinations = rules_n_destinations(&answer->verdict);
	rewrite(answer, request);
}

/* The names that the server's certificate is checked for; `own` holds the server name. */
static size_t verified_names(const struct cluster *cluster, const char *own,
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

static bool originates_tls(const struct answer *answer, const struct cluster *cluster)
{
	return cluster && cluster->tls.mode != TLS_MODE_DISABLE && !answer->encrypted;
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_tls(const struct answer *answer, const struct cluster *cluster)
{
	const char *const *names = NULL, *one;
	char name[256];
	size_t n;

	if (!originates_tls(answer, cluster) ||
	    rules_server_name(cluster, answer->authority, name, sizeof(name)) < 0) {
		fputs("{ \"mode\": \"DISABLE\", \"sni\": null, \"subjectAltNames\": [] }", stdout);
		return;
	}
	printf("{ \"mode\": \"%s\", \"sni\": ", tls_modes[cluster->tls.mode]);
	json_text(hostname_is_address(name, NULL) ? NULL : name);
	fputs(", \"subjectAltNames\": [", stdout);
	n = verified_names(cluster, name, &names, &one);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ", " : "", stdout);
		json_text(names[i]);
	}
	fputs("] }", stdout);
}

static void json_destinations(const struct answer *answer, const struct explain_request *request)
{
	fputs("  \"destinations\": [", stdout);
	for (size_t i = 0; i < answer->n_destinations; i++) {
		struct explain_destination to =
		    rules_destination(&answer->verdict, i, request->port);

		printf("%s\n    { \"host\": ", i ? "," : "");
		json_text(to.host);
		if (to.port)
			printf(", \"port\": %u", to.port);
		else
			fputs(", \"port\": null", stdout);
		printf(", \"subset\": null, \"weight\": %u,\n      \"tls\": ", to.weight);
		json_tls(answer, to.cluster);
		fputs(" }", stdout);
	}
	puts(answer->n_destinations ? "\n  ]," : "],");
}

static void json_request(const struct answer *answer, const struct explain_request *request)
{
	fputs("  \"request\": { \"method\": ", stdout);
	json_text(request->method);
	fputs(", \"target\": ", stdout);
	json_text(answer->target);
	fputs(", \"authority\": ", stdout);
	json_text(answer->authority);
	fputs(", \"headers\": [", stdout);
	for (size_t i = 0; i < request->n_fields; i++) {
		const struct field *field = &request->fields[i];

		fputs(i ? ", [" : "[", stdout);
		json_bytes(field->name, field->name_len);
		fputs(", ", stdout);
		json_bytes(field->value, field->value_len);
		putchar(']');
	}
	puts("] },");
}

static void json_index(const char *key, int index)
{
	if (index < 0)
		printf("  \"%s\": null,\n", key);
	else
		printf("  \"%s\": %d,\n", key, index);
}

void explain_json(const struct rules *rules, const struct explain_request *request)
{
	struct answer answer;

	find_answer(rules, request, &answer, NULL);
	fputs("{\n  \"host\": ", stdout);
	json_text(answer.verdict.host);
	fputs(",\n  \"virtualService\": ", stdout);
	json_text(answer.verdict.virtual_service);
	puts(",");
	json_index("route", answer.verdict.route_index);
	json_index("match", answer.verdict.match_index);
	printf("  \"action\": \"%s\",\n", answer.action);
	json_request(&answer, request);
	json_destinations(&answer, request);
	puts("  \"response\": null,");
	puts("  \"timeout\": \"0s\",");
	puts("  \"retries\": { \"attempts\": 0, \"retryOn\": \"\" },");
	fputs("  \"where\": ", stdout);
	json_where(&answer.verdict.where);
	puts("\n}");
	free(answer.target);
}

/* ---- text --------------------------------------------------------------------------------- */

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
	if (!originates_tls(answer, cluster) ||
	    rules_server_name(cluster, answer->authority, name, sizeof(name)) < 0) {
		puts("    TLS: none, plain text");
		return;
	}
	printf("    TLS: %s, SNI %s\n", tls_modes[tls->mode],
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
	n = verified_names(cluster, name, &names, &one);
	for (size_t i = 0; i < n; i++)
		printf(" %s", names[i]);
	putchar('\n');
}

static void print_destination(const struct answer *answer, const struct explain_destination *to)
{
	const struct cluster *cluster = to->cluster;

	if (!cluster) {
		printf("destination: %s: no such port, answered 503", to->host);
		place(&to->where);
		return;
	}
	printf("destination: %s port %u (%s), weight %u", to->host, to->port,
	       protocols[cluster->protocol], to->weight);
	place(&cluster->where);
	printf("    endpoints (%s):", resolutions[cluster->resolution]);
	for (size_t i = 0; i < cluster->n_endpoints; i++)
		printf(strchr(cluster->endpoints[i].address, ':') ? " [%s]:%u" : " %s:%u",
		       cluster->endpoints[i].address, cluster->endpoints[i].port);
	putchar('\n');
	print_tls(answer, cluster);
}

static void print_request(const struct answer *answer, const struct explain_request *request)
{
	puts("request:");
	printf("    %s %s HTTP/1.1\n    Host: %s\n", request->method, answer->target,
	       answer->authority);
	for (size_t i = 0; i < request->n_fields; i++)
		printf("    %.*s: %.*s\n", (int)request->fields[i].name_len,
		       request->fields[i].name, (int)request->fields[i].value_len,
		       request->fields[i].value);
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
	else if (answer->connection == RULES_HTTP)
		printf("action: port %u speaks HTTP here, a TLS handshake is answered 400\n",
		       request->port);
	else if (request->https)
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
	bool http = answer->connection == RULES_HTTP && !request->https;

	if (!http) {
		print_connection(rules, answer, request);
	} else if (verdict->action == RULES_NO_ROUTE) {
		puts("action: no route matches, answered 404");
		return;
	} else {
		print_request(answer, request);
	}
	for (size_t i = 0; i < answer->n_destinations; i++) {
		struct explain_destination to = rules_destination(verdict, i, request->port);

		print_destination(answer, &to);
	}
}

void explain_text(const struct rules *rules, const struct explain_request *request)
{
	struct answer answer;
	struct where where;

	/* First without notes: the virtual host is said before the routes that were tried. */
	find_answer(rules, request, &answer, NULL);
	printf("%s %s://%s%s\n", request->method, request->https ? "https" : "http",
	       request->authority, request->target);
	if (answer.verdict.host && answer.connection == RULES_HTTP && !request->https) {
		where = rules_routes_where(rules, &answer.verdict);
		printf("host: %s, ", answer.verdict.host);
		if (answer.verdict.virtual_service)
			printf("VirtualService %s", answer.verdict.virtual_service);
		else
			fputs("no VirtualService", stdout);
		place(&where);
		free(answer.target);
		find_answer(rules, request, &answer, print_note);
	}
	print_answer(rules, &answer, request);
	free(answer.target);
}
