/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step between route and acquire: HTTPFaultInjection, as Envoy's fault filter does it. The delay is
 * decided first, the abort when it is over. What is not aborted goes on its way, once: here its
 * policy is looked up and its mirrors get their copies.
 */
#include "shim/bridge/exchange_state.h"

#include "shim/log.h"

bool fault_strikes(struct exchange *x, double percentage)
{
	if (percentage <= 0 || percentage >= 100)
		return percentage > 0;
	return rules_chance(percentage, x->ops->random(x));
}

static enum step_result go_on(struct exchange *x)
{
	if (!x->verdict.cluster)
		return answer_local(x, 503, "NC", NULL);
	/* Timeouts and retries do not hold for what is faulted (HTTPFaultInjection), nor for
	 * a copy. */
	if (!x->delayed && !x->target.cluster)
		rules_resilience(&x->verdict, &x->policy);
	timeout_request_seen(x);
	mirror_start(x);
	x->step = &step_acquire;
	return STEP_MORE;
}

static enum step_result run_fault(struct exchange *x)
{
	struct fault fault;

	if (!rules_fault(&x->verdict, &fault))
		return go_on(x);
	if (!x->delayed && fault.delay && fault_strikes(x, fault.delay_percentage)) {
		x->delayed = true;
		deadline_set(x, DEADLINE_DELAY, (uint64_t)(fault.delay + 999999) / 1000000);
		log_debug("%s %s: delayed (DI)", x->method, x->path);
	}
	if (x->delayed && !deadline_passed(x, DEADLINE_DELAY))
		return STEP_WAIT;
	deadline_clear(x, DEADLINE_DELAY);
	if (fault.abort_status && fault_strikes(x, fault.abort_percentage))
		return answer_fault(x, fault.abort_status, fault.grpc_status);
	return go_on(x);
}

const struct step step_fault = {"fault", run_fault};
