/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that the bridge gives by itself, in Envoy's words (istio-semantics 2.6). Every one of
 * them is made here.
 */
#include "shim/bridge/exchange_state.h"

#include <stdio.h>
#include <string.h>

#include "rules/virtual_service.h"
#include "shim/bridge/resilience.h"
#include "shim/log.h"

/* What is left of a request's body when its answer is here, is read away up to this length; behind that
 * the connection is closed. */
#define READ_AWAY_MAX 65536

/* Room for content-type, content-length and connection. */
#define OWN_FIELDS 3

static void log_answer(const struct exchange *x, unsigned status, const char *flag,
		       const char *body)
{
	log_info("%s:%u %s %s -> %s: %u %s%s%s%s%s", x->target.name, (unsigned)x->target.port,
		 x->method ? x->method : "-", x->path ? x->path : "-",
		 x->verdict.destination ? x->verdict.destination : "-", status,
		 x->delayed ? "DI," : "", flag, x->exhausted ? ",URX" : "",
		 body ? " " : "", body ? body : "");
}

/* Whether the rest of the request is known to be short. A program that waits for 100 (Continue) may
 * send it or not (RFC 9110 10.1.1): nobody could tell it from the next request. */
static bool can_read_away(const struct exchange *x)
{
	const struct http1_body *body = &x->sending.body;

	return body->framing == HTTP1_LENGTH && !body->why && body->left <= READ_AWAY_MAX &&
	       !x->request.expect_continue && !x->down_eof;
}

/* RFC 9110 15.3.5, 15.3.6 and 15.4.5 */
static bool has_content(unsigned status)
{
	return status != 204 && status != 205 && status != 304;
}

/* Put an answer with these fields, and room for OWN_FIELDS more, into down_out. */
static enum step_result put_answer(struct exchange *x, struct http1_head *head, size_t max_fields,
				   const char *body, size_t length)
{
	char number[24];
	int failed = 0;

	exchange_release(x, false, true);
	timeout_stop(x);
	if (!exchange_request_done(x) && !can_read_away(x))
		x->keep = false;
	if (!has_content(head->status))
		length = 0;
	head->reason = http1_reason(head->status);
	head->reason_len = (uint32_t)strlen(head->reason);
	snprintf(number, sizeof(number), "%zu", length);
	if (length && !head_find(head, "content-type", 0))
		failed |= head_add(head, max_fields, "content-type", "text/plain");
	if (head->status != 204 && head->status != 304)
		failed |= head_add(head, max_fields, "content-length", number);
	if (!x->keep)
		failed |= head_add(head, max_fields, "connection", "close");
	else if (x->request.minor == 0)
		failed |= head_add(head, max_fields, "connection", "keep-alive");
	bool head_only = x->method && !strcmp(x->method, "HEAD");
	if (failed || exchange_room(&x->down_out, head_length(head) + length) < 0 ||
	    head_write(head, &x->down_out) < 0 ||
	    (length && !head_only && buf_put(&x->down_out, body, length) < 0))
		return exchange_break(x);
	x->step = &step_answer;
	return STEP_MORE;
}

/* Let a head be one of an answer of our own. The operations of the route are carried out on these too,
 * if one has been chosen: Envoy does so before it says what the body is. */
static int begin_answer(struct exchange *x, struct http1_head *head, size_t *max_fields,
			const char *flag)
{
	x->flag = flag;
	return exchange_edit_head(x, head, max_fields, true);
}

enum step_result answer_local(struct exchange *x, unsigned status, const char *flag,
			      const char *body)
{
	struct field fields[OWN_FIELDS];
	struct http1_head head = {.status = (uint16_t)status, .fields = fields};
	size_t max_fields = OWN_FIELDS;

	log_answer(x, status, flag, body);
	if (begin_answer(x, &head, &max_fields, flag) < 0)
		return exchange_break(x);
	return put_answer(x, &head, max_fields, body, body ? strlen(body) : 0);
}

enum step_result answer_fault(struct exchange *x, unsigned status, int grpc_status)
{
	static const char body[] = "fault filter abort";
	struct field fields[3 + OWN_FIELDS];
	struct http1_head head = {.status = (uint16_t)status, .fields = fields};
	size_t max_fields = 3 + OWN_FIELDS;
	char number[12];

	if (grpc_status < 0 || !head_is_grpc(&x->request))
		return answer_local(x, status, "FI", body);
	snprintf(number, sizeof(number), "%d", grpc_status);
	log_answer(x, status, "FI", body);
	if (begin_answer(x, &head, &max_fields, "FI") < 0 ||
	    head_set(&head, max_fields, "content-type", "application/grpc") < 0 ||
	    head_set(&head, max_fields, "grpc-status", number) < 0 ||
	    head_set(&head, max_fields, "grpc-message", body) < 0)
		return exchange_break(x);
	return put_answer(x, &head, max_fields, NULL, 0);
}

/* What the rules say of Location. NULL: it cannot be made; "": there is none. */
static const char *make_location(struct exchange *x, const struct rules_request *request,
				 int *status)
{
	size_t n = rules_location(&x->verdict, request, status, NULL, 0);
	char *location = n != SIZE_MAX ? arena_alloc(&x->arena, n + 1) : NULL;

	if (location && n)
		rules_location(&x->verdict, request, status, location, n + 1);
	else if (location)
		*location = '\0';
	return location;
}

enum step_result answer_rules(struct exchange *x, const struct rules_request *request)
{
	const struct direct_response *direct =
	    x->verdict.action == RULES_DIRECT_RESPONSE ? x->verdict.route->direct_response : NULL;
	const struct http_body *body = direct ? direct->body : NULL;
	size_t max_fields = 1 + OWN_FIELDS;
	struct field *fields = arena_alloc(&x->arena, max_fields * sizeof(*fields));
	struct http1_head head = {.fields = fields};
	int status = 500;
	const char *location = make_location(x, request, &status);

	if (!fields || !location)
		return exchange_break(x);
	head.status = (uint16_t)status;
	if ((*location && head_add(&head, max_fields, "location", location) < 0) ||
	    exchange_edit_head(x, &head, &max_fields, true) < 0)
		return exchange_break(x);
	log_debug("%s:%u %s %s: %d by the rules %s", x->target.name, (unsigned)x->target.port,
		  x->method, x->path, status, location);
	return put_answer(x, &head, max_fields, body ? body->body : NULL, body ? body->body_len : 0);
}

enum step_result answer_bad_request(struct exchange *x, unsigned status, const char *why)
{
	x->keep = false;
	x->sending.body.done = false; /* whatever follows cannot be framed */
	return answer_local(x, status, "DPE", why);
}

enum step_result answer_reset(struct exchange *x, unsigned status, const char *flag,
			      const char *reason, const char *detail)
{
	char body[512];

	snprintf(body, sizeof(body),
		 "upstream connect error or disconnect/reset before headers. %sreset reason: %s%s%s",
		 x->attempt ? "retried and the latest " : "", reason,
		 detail && *detail ? ", transport failure reason: " : "", detail ? detail : "");
	return answer_local(x, status, flag, body);
}

enum step_result answer_failure(struct exchange *x, enum upstream_failure failure,
				const char *reason)
{
	char detail[300];

	switch (failure) {
	case UPSTREAM_NO_HOST:
		log_info("%s: %s", x->verdict.destination, reason);
		return answer_local(x, 503, "UH", "no healthy upstream");
	case UPSTREAM_TIMEOUT:
		return answer_reset(x, 503, "UF", "connection timeout", NULL);
	case UPSTREAM_TLS:
		snprintf(detail, sizeof(detail), "TLS_error: %s", reason);
		return answer_reset(x, 503, "UF", "remote connection failure", detail);
	case UPSTREAM_OVERFLOW:
		return answer_reset(x, 503, "UO", "overflow", NULL);
	case UPSTREAM_CONNECT:
	case UPSTREAM_NOT_READY: /* is no answer */
		break;
	}
	/* Envoy tells what the system said; its words for the call are these. */
	if (!strncmp(reason, "connect: ", 9))
		reason += 9;
	snprintf(detail, sizeof(detail), "delayed connect error: %s", reason);
	return answer_reset(x, 503, "UF", "remote connection failure", detail);
}

/* Read away what is left of the request's body, so that the next request can be found. */
static enum step_result read_away(struct exchange *x)
{
	struct passing *p = &x->sending;

	buf_take(&x->down_in, p->ready + p->skip);
	p->ready = p->skip = 0;
	while (!p->body.done) {
		ssize_t n = http1_body_feed(&p->body, buf_data(&x->down_in), buf_len(&x->down_in),
					    NULL, NULL);

		if (n < 0)
			return STEP_DONE;
		buf_take(&x->down_in, (size_t)n);
		if (p->body.done)
			break;
		n = buf_read_from(&x->down_in, x->down, SIZE_MAX);
		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return STEP_WAIT;
		if (n <= 0)
			return STEP_DONE;
	}
	x->step = &step_next;
	return STEP_MORE;
}

/* Write the answer out. */
static enum step_result run_answer(struct exchange *x)
{
	while (buf_len(&x->down_out)) {
		ssize_t n = buf_write_to(&x->down_out, x->down);

		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return STEP_WAIT;
		if (n < 0)
			return STEP_DONE;
	}
	if (x->keep)
		return read_away(x);
	x->step = &step_next;
	return STEP_MORE;
}

const struct step step_answer = {"answer", run_answer};
