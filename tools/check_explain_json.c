/* SPDX-License-Identifier: Apache-2.0 */
/* --explain --format json: DESIGN's object, keys in its order; more keys come after "where". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/duration.h"
#include "rules/hostname.h"
#include "rules/model.h"
#include "tools/check_answer.h"
#include "tools/check_json.h"

static void json_tls(const struct answer *answer, const struct cluster *cluster)
{
	const char *const *names = NULL, *one;
	char name[256];
	size_t n;

	if (!answer_originates_tls(answer, cluster) ||
	    rules_server_name(cluster, answer->authority, name, sizeof(name)) < 0) {
		fputs("{ \"mode\": \"DISABLE\", \"sni\": null, \"subjectAltNames\": [] }", stdout);
		return;
	}
	printf("{ \"mode\": \"%s\", \"sni\": ", tls_mode_names[cluster->tls.mode]);
	json_text(hostname_is_address(name, NULL) ? NULL : name);
	fputs(", \"subjectAltNames\": [", stdout);
	n = answer_verified_names(cluster, name, &names, &one);
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
		fputs(", \"subset\": ", stdout);
		json_text(to.subset);
		printf(", \"weight\": %u,\n      \"tls\": ", to.weight);
		json_tls(answer, to.cluster);
		fputs(" }", stdout);
	}
	puts(answer->n_destinations ? "\n  ]," : "],");
}

static void json_fields(const struct field *fields, size_t n)
{
	putchar('[');
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ", [" : "[", stdout);
		json_bytes(fields[i].name, fields[i].name_len);
		fputs(", ", stdout);
		json_bytes(fields[i].value, fields[i].value_len);
		putchar(']');
	}
	putchar(']');
}

static void json_request(const struct answer *answer, const struct explain_request *request)
{
	fputs("  \"request\": { \"method\": ", stdout);
	json_text(request->method);
	fputs(", \"target\": ", stdout);
	json_text(answer->target);
	fputs(", \"authority\": ", stdout);
	json_text(answer->authority);
	fputs(", \"headers\": ", stdout);
	json_fields(answer->fields.items, answer->fields.n);
	puts(" },");
}

/* What the bridge answers by itself. */
static void json_response(const struct answer *answer)
{
	const struct verdict *verdict = &answer->verdict;
	const struct http_body *body;

	if (!answer->status) {
		puts("  \"response\": null,");
		return;
	}
	printf("  \"response\": { \"status\": %d, \"headers\": ", answer->status);
	json_fields(answer->response.items, answer->response.n);
	fputs(", \"body\": ", stdout);
	body = verdict->action == RULES_DIRECT_RESPONSE ? verdict->route->direct_response->body
							: NULL;
	if (body && body->body)
		json_bytes(body->body, body->body_len);
	else
		fputs("\"\"", stdout);
	puts(" },");
}

static void json_percent(const struct percent *percent, double absent)
{
	printf("%.17g", percent ? percent->value.value : absent);
}

static void json_fault(const struct answer *answer)
{
	const struct http_route *route = answer->verdict.route;
	const struct http_fault *fault = route ? route->fault : NULL;
	char text[DURATION_MAX];

	if (!fault) {
		fputs("null", stdout);
		return;
	}
	fputs("{ \"delay\": ", stdout);
	if (fault->delay) {
		printf("{ \"fixedDelay\": \"%s\", \"percentage\": ",
		       duration_format(fault->delay->fixed_delay.ns, text));
		json_percent(fault->delay->percentage,
			     fault->delay->percent.set ? (double)fault->delay->percent.value : 0);
		fputs(" }", stdout);
	} else {
		fputs("null", stdout);
	}
	fputs(", \"abort\": ", stdout);
	if (fault->abort) {
		if (fault->abort->http_status.set)
			printf("{ \"httpStatus\": %lld", fault->abort->http_status.value);
		else
			printf("{ \"grpcStatus\": \"%s\"",
			       fault->abort->grpc_status.s ? fault->abort->grpc_status.s : "");
		fputs(", \"percentage\": ", stdout);
		json_percent(fault->abort->percentage, 0);
		fputs(" }", stdout);
	} else {
		fputs("null", stdout);
	}
	fputs(" }", stdout);
}

static void json_mirrors(const struct answer *answer, uint16_t port)
{
	struct mirror mirror;
	bool first = true;

	putchar('[');
	for (size_t at = 0; rules_next_mirror(&answer->verdict, port, &at, &mirror);) {
		printf("%s{ \"host\": ", first ? " " : ", ");
		json_text(mirror.host);
		if (mirror.cluster)
			printf(", \"port\": %u", mirror.cluster->port);
		else
			fputs(", \"port\": null", stdout);
		fputs(", \"subset\": ", stdout);
		json_text(mirror.subset);
		printf(", \"percentage\": %.17g }", mirror.percentage);
		first = false;
	}
	fputs(first ? "]" : " ]", stdout);
}

static void json_retries(const struct resilience *resilience)
{
	char text[DURATION_MAX];

	printf("  \"retries\": { \"attempts\": %lld, \"perTryTimeout\": \"%s\", \"retryOn\": ",
	       resilience->attempts, duration_format(resilience->per_try_timeout, text));
	/* Nothing in it has to be escaped: its words are checked. */
	printf("\"%s%s\" },\n", resilience->retry_on,
	       resilience->status_codes ? ",retriable-status-codes" : "");
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
	char text[DURATION_MAX];

	answer_init(&answer, rules, request, NULL);
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
	json_response(&answer);
	printf("  \"timeout\": \"%s\",\n", duration_format(answer.resilience.timeout, text));
	json_retries(&answer.resilience);
	fputs("  \"where\": ", stdout);
	json_where(&answer.verdict.where);
	fputs(",\n  \"fault\": ", stdout);
	json_fault(&answer);
	fputs(",\n  \"mirrors\": ", stdout);
	json_mirrors(&answer, request->port);
	puts("\n}");
	answer_release(&answer);
}
