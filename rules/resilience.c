/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "rules/ascii.h"
#include "rules/explain.h"
#include "rules/model.h"

#define DEFAULT_ATTEMPTS 2
#define STATUS_CODES	 "retriable-status-codes"
#define DEFAULT_RETRY_ON "connect-failure,refused-stream,unavailable,cancelled," STATUS_CODES

/* Istio sends numbers apart from the conditions, and adds the condition that has Envoy read them. */
static bool implies_status_codes(const char *retry_on)
{
	if (strstr(retry_on, STATUS_CODES))
		return false;
	for (const char *at = retry_on; at; at = strchr(at, ',')) {
		at += strspn(at, ", ");
		if (ascii_is_digit(*at) && strspn(at, "0123456789") == 3)
			return true;
	}
	return false;
}

void rules_resilience(const struct verdict *verdict, struct explain_resilience *out)
{
	const struct http_route *route = verdict->route;
	const struct mesh_config *mesh = verdict->rules ? verdict->rules->mesh_config : NULL;
	const struct http_retry *retries = NULL;

	*out = (struct explain_resilience){.retry_on = ""};
	/* Nothing is sent, or not by HTTP; and what is faulted gets neither. */
	if ((verdict->action != RULES_ROUTE && verdict->action != RULES_NO_CLUSTER) ||
	    verdict->l4_route)
		return;
	if (route && route->timeout.set)
		out->timeout = route->timeout.ns;
	if (route && route->retries)
		retries = route->retries;
	else if (mesh)
		retries = mesh->default_http_retry_policy;
	out->attempts = DEFAULT_ATTEMPTS;
	out->retry_on = DEFAULT_RETRY_ON;
	if (!retries)
		return;
	out->where = retries->where;
	out->attempts = retries->attempts.value;
	out->per_try_timeout = retries->per_try_timeout.ns;
	if (retries->retry_on.s && *retries->retry_on.s)
		out->retry_on = retries->retry_on.s;
	if (!out->attempts)
		out->retry_on = "";
	out->status_codes = implies_status_codes(out->retry_on);
}
