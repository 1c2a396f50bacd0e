/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a request is sent again. By HTTPRetry, as Envoy's router does it: the policy's conditions
 * tell after what, its attempts how often, and in between is the step backoff. And without any policy
 * when a pooled connection turns out to have died: then only if the request is safe, or the
 * destination has seen nothing of it.
 *
 * A response that calls for another attempt is decided on by its head, before any of it reaches the
 * program; the rest is dropped with its connection.
 */
#include "shim/bridge/resilience.h"

#include <string.h>

#include "shim/log.h"

/* What a connection that broke or was never made fulfils: Envoy counts it as a 5xx. */
#define ON_ANY_RESET (RETRY_ON_RESET | RETRY_ON_5XX | RETRY_ON_GATEWAY_ERROR)

/* Forget what the last attempt came to. */
static void begin_again(struct exchange *x)
{
	exchange_release(x, false, true);
	timeout_stop_try(x);
	buf_take(&x->up_in, buf_len(&x->up_in));
	arena_reset(&x->up_arena);
	memset(&x->response, 0, sizeof(x->response));
	x->up_scanned = 0;
	x->responding = false;
}

static bool again(struct exchange *x, const char *why)
{
	if (!resend_possible(x) || !x->policy.attempts)
		return false;
	if (x->attempt >= x->policy.attempts || !x->ops->may_retry(x, x->verdict.cluster)) {
		x->exhausted = true;
		return false;
	}
	begin_again(x);
	x->ops->retry(x);
	x->retrying = true;
	x->attempt++;
	uint64_t ms = rules_backoff(&x->policy, x->attempt, x->ops->random(x));
	log_debug("%s: %s, retry %u in %llu ms", x->verdict.destination, why, x->attempt,
		  (unsigned long long)ms);
	if (ms)
		deadline_set(x, DEADLINE_BACKOFF, ms);
	x->step = &step_backoff;
	return true;
}

bool retry_after_failure(struct exchange *x)
{
	/* There is no host, or there are too many requests: a retry would only be one more. */
	if (x->failure == UPSTREAM_NO_HOST || x->failure == UPSTREAM_OVERFLOW)
		return false;
	if (!(x->policy.conditions &
	      (RETRY_ON_CONNECT_FAILURE | RETRY_ON_RESET_BEFORE_REQUEST | ON_ANY_RESET)))
		return false;
	return again(x, x->reason);
}

bool retry_after_reset(struct exchange *x, const char *why)
{
	unsigned fulfilled = ON_ANY_RESET | (x->head_sent ? 0 : RETRY_ON_RESET_BEFORE_REQUEST);

	return x->policy.conditions & fulfilled && again(x, why);
}

/* The condition that the grpc-status of the response fulfils; 0: none. */
static unsigned on_grpc_status(const struct http1_head *response)
{
	static const struct status {
		const char *text;
		unsigned bit;
	} known[] = {
	    {"1", RETRY_ON_GRPC_CANCELLED},
	    {"4", RETRY_ON_GRPC_DEADLINE_EXCEEDED},
	    {"8", RETRY_ON_GRPC_RESOURCE_EXHAUSTED},
	    {"13", RETRY_ON_GRPC_INTERNAL},
	    {"14", RETRY_ON_GRPC_UNAVAILABLE},
	};
	const struct field *field = head_find(response, "grpc-status", 0);

	for (size_t i = 0; field && i < sizeof(known) / sizeof(known[0]); i++)
		if (field->value_len == strlen(known[i].text) &&
		    !memcmp(field->value, known[i].text, field->value_len))
			return known[i].bit;
	return 0;
}

static bool calls_for_retry(const struct exchange *x)
{
	unsigned on = x->policy.conditions, status = x->response.status;

	/* Another Envoy's, which sheds load: that has a condition of its own. */
	if (head_find(&x->response, "x-envoy-ratelimited", 0))
		return on & RETRY_ON_RATELIMITED;
	return (on & RETRY_ON_5XX && status >= 500 && status <= 599) ||
	       (on & RETRY_ON_GATEWAY_ERROR && status >= 502 && status <= 504) ||
	       (on & RETRY_ON_RETRIABLE_4XX && status == 409) ||
	       (on & RETRY_ON_STATUS_CODES && rules_retries_status(&x->policy, status)) ||
	       (on & RETRY_ON_GRPC && on & on_grpc_status(&x->response));
}

bool retry_after_response(struct exchange *x)
{
	if (!calls_for_retry(x))
		return false;
	if (again(x, "its answer calls for it"))
		return true;
	if (x->exhausted)
		log_info("%s:%u %s %s -> %s: %u URX", x->target.name, (unsigned)x->target.port,
			 x->method, x->path, x->verdict.destination, x->response.status);
	return false;
}

bool retry_is_safe(const struct exchange *x)
{
	static const char *const list[] = {"GET", "HEAD", "OPTIONS", "TRACE"};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(x->method, list[i]))
			return true;
	return false;
}

bool retry_stale(struct exchange *x)
{
	if (!x->up->reused || x->responding || !resend_possible(x))
		return false;
	if (x->head_sent && !retry_is_safe(x) && !x->ops->unseen(x, x->up))
		return false;
	begin_again(x);
	x->want_fresh = true;
	x->step = &step_acquire;
	return true;
}

bool retry_needs_body(const struct exchange *x)
{
	unsigned on = x->policy.conditions &
		      ~(unsigned)(RETRY_ON_CONNECT_FAILURE | RETRY_ON_RESET_BEFORE_REQUEST);

	if (x->attempt >= x->policy.attempts)
		return false;
	/* Istio's default has conditions for gRPC: no reason to keep every upload of others. */
	if (on & ~(unsigned)RETRY_ON_GRPC)
		return true;
	return on && head_is_grpc(&x->request);
}

static enum step_result run_backoff(struct exchange *x)
{
	if (timeout_ran_out(x))
		return x->gone ? STEP_DONE : STEP_MORE;
	if (x->deadlines[DEADLINE_BACKOFF] && !deadline_passed(x, DEADLINE_BACKOFF)) {
		relay_read_ahead(x);
		return STEP_WAIT;
	}
	deadline_clear(x, DEADLINE_BACKOFF);
	x->step = &step_acquire;
	return STEP_MORE;
}

const struct step step_backoff = {"backoff", run_backoff};
