/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/resilience.h"

#include "shim/log.h"

static uint64_t in_ms(int64_t ns)
{
	return ((uint64_t)ns + 999999) / 1000000;
}

void timeout_request_seen(struct exchange *x)
{
	if (x->clocked || !x->sending.body.done || (x->request.upgrade && x->request.minor >= 1))
		return;
	x->clocked = true;
	if (x->policy.timeout)
		deadline_set(x, DEADLINE_REQUEST, in_ms(x->policy.timeout));
	if (x->up)
		timeout_connected(x);
}

void timeout_connected(struct exchange *x)
{
	if (x->clocked && x->policy.per_try_timeout && !x->have_response)
		deadline_set(x, DEADLINE_TRY, in_ms(x->policy.per_try_timeout));
}

void timeout_stop_try(struct exchange *x)
{
	deadline_clear(x, DEADLINE_TRY);
}

void timeout_stop(struct exchange *x)
{
	timeout_stop_try(x);
	deadline_clear(x, DEADLINE_BACKOFF);
	deadline_clear(x, DEADLINE_REQUEST);
}

bool timeout_ran_out(struct exchange *x)
{
	bool whole = deadline_passed(x, DEADLINE_REQUEST);

	if (!whole && !deadline_passed(x, DEADLINE_TRY))
		return false;
	if (x->have_response) { /* an answer that began cannot be taken back */
		if (x->receiving.body.done) /* only the program is not done with it */
			return timeout_stop(x), false;
		log_info("%s:%u %s %s -> %s: timeout within the response (UT)", x->target.name,
			 (unsigned)x->target.port, x->method, x->path, x->verdict.destination);
		exchange_break(x);
		return true;
	}
	if (x->up)
		x->ops->report(x, x->up, OUTCOME_TIMEOUT);
	if (whole || !retry_after_reset(x, "timeout of an attempt"))
		answer_local(x, 504, "UT", "upstream request timeout");
	return true;
}
