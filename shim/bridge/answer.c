/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that the bridge gives by itself, in Envoy's words (istio-semantics 2.6). Every one of
 * them is made here.
 */
#include "shim/bridge/exchange_state.h"

#include <stdio.h>
#include <string.h>

#include "shim/log.h"

static const char *reason_phrase(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	}
	return "Error";
}

static void log_answer(const struct exchange *x, unsigned status, const char *flag,
		       const char *body)
{
	log_info("%s:%u %s %s -> %s: %u %s%s%s%s%s", x->target.name, (unsigned)x->target.port,
		 x->method ? x->method : "-", x->path ? x->path : "-",
		 x->verdict.destination ? x->verdict.destination : "-", status,
		 x->delayed ? "DI," : "", flag, x->exhausted ? ",URX" : "",
		 body ? " " : "", body ? body : "");
}

/* `fields`: of the answer, without those that frame it. */
static enum step_result answer_with(struct exchange *x, unsigned status, const char *flag,
				    const char *fields, const char *body)
{
	size_t length = body ? strlen(body) : 0;
	char head[256];

	log_answer(x, status, flag, body);
	exchange_release(x, false, true);
	timeout_stop(x);
	/* What is left of the request is not read: the connection cannot be used again. */
	if (!exchange_request_done(x))
		x->keep = false;
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%scontent-length: %zu\r\n%s\r\n",
			 status, reason_phrase(status), fields, length,
			 !x->keep		 ? "connection: close\r\n" :
			 x->request.minor == 0 ? "connection: keep-alive\r\n" :
						   "");
	bool head_only = x->method && !strcmp(x->method, "HEAD");

	if (exchange_room(&x->down_out, (size_t)n + length) < 0 ||
	    buf_put(&x->down_out, head, (size_t)n) < 0 ||
	    (length && !head_only && buf_put(&x->down_out, body, length) < 0))
		return exchange_break(x);
	x->step = &step_answer;
	return STEP_MORE;
}

enum step_result answer_local(struct exchange *x, unsigned status, const char *flag,
			      const char *body)
{
	return answer_with(x, status, flag, body && *body ? "content-type: text/plain\r\n" : "",
			   body);
}

enum step_result answer_fault(struct exchange *x, unsigned status, int grpc_status)
{
	static const char body[] = "fault filter abort";
	char fields[128];

	if (grpc_status < 0 || !head_is_grpc(&x->request))
		return answer_local(x, status, "FI", body);
	snprintf(fields, sizeof(fields),
		 "content-type: application/grpc\r\ngrpc-status: %d\r\ngrpc-message: %s\r\n",
		 grpc_status, body);
	return answer_with(x, status, "FI", fields, NULL);
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
		 "upstream connect error or disconnect/reset before headers. reset reason: %s%s%s",
		 reason, detail && *detail ? ", transport failure reason: " : "",
		 detail ? detail : "");
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
		break;
	}
	snprintf(detail, sizeof(detail), "delayed connect error: %s", reason);
	return answer_reset(x, 503, "UF", "remote connection failure", detail);
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
	x->step = &step_next;
	return STEP_MORE;
}

const struct step step_answer = {"answer", run_answer};
