/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "rules/ascii.h"
#include "rules/model.h"
#include "rules/resilience.h"

#define DEFAULT_ATTEMPTS 2
#define STATUS_CODES	 "retriable-status-codes"
#define DEFAULT_RETRY_ON "connect-failure,refused-stream,unavailable,cancelled," STATUS_CODES
#define DEFAULT_CONDITIONS                                                                         \
	(RETRY_ON_CONNECT_FAILURE | RETRY_ON_GRPC_UNAVAILABLE | RETRY_ON_GRPC_CANCELLED)
#define DEFAULT_BACKOFF_NS 25000000
#define BACKOFF_MAX	   10 /* times the base */

/* Step through the numbers of a retryOn. False: no more. */
static bool next_status(const char **at, unsigned *status)
{
	while (*at) {
		const char *name = *at + strspn(*at, ", ");

		*at = strchr(name, ',');
		if (ascii_is_digit(*name) && strspn(name, "0123456789") == 3) {
			*status = (unsigned)((name[0] - '0') * 100 + (name[1] - '0') * 10 + name[2] - '0');
			return true;
		}
	}
	return false;
}

/* Istio sends numbers apart from the conditions, and adds the condition that has Envoy read them. */
static bool implies_status_codes(const char *retry_on)
{
	unsigned status;

	return !strstr(retry_on, STATUS_CODES) && next_status(&retry_on, &status);
}

bool rules_retries_status(const struct resilience *resilience, unsigned status)
{
	const char *at = resilience->retry_on;
	unsigned listed;

	while (next_status(&at, &listed))
		if (listed == status)
			return true;
	return false;
}

void rules_resilience(const struct verdict *verdict, struct resilience *out)
{
	const struct http_route *route = verdict->route;
	const struct mesh_config *mesh = verdict->rules ? verdict->rules->mesh_config : NULL;
	const struct http_retry *retries = NULL;

	*out = (struct resilience){.retry_on = ""};
	/* Nothing is sent, or not by HTTP. */
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
	out->conditions = DEFAULT_CONDITIONS;
	out->backoff = DEFAULT_BACKOFF_NS;
	out->other_host = true;
	if (!retries)
		return;
	out->where = retries->where;
	out->attempts = retries->attempts.value;
	out->per_try_timeout = retries->per_try_timeout.ns;
	if (retries->backoff.set)
		out->backoff = retries->backoff.ns;
	if (retries->retry_ignore_previous_hosts.set)
		out->other_host = retries->retry_ignore_previous_hosts.value;
	if (retries->retry_on.s && *retries->retry_on.s) {
		out->retry_on = retries->retry_on.s;
		out->conditions = retries->conditions;
	}
	if (!out->attempts) {
		out->retry_on = "";
		out->conditions = 0;
	}
	out->status_codes = implies_status_codes(out->retry_on);
}

uint64_t rules_backoff(const struct resilience *resilience, unsigned n, uint32_t random)
{
	unsigned times = n < 4 ? (1u << n) - 1 : BACKOFF_MAX;
	unsigned __int128 below = (unsigned __int128)(uint64_t)resilience->backoff * times;

	return (uint64_t)(((below * random) >> 32) / 1000000);
}

bool rules_chance(double percentage, uint32_t random)
{
	/* Istio hands Envoy millionths, and Envoy draws one of a million. */
	uint64_t share = percentage <= 0 ? 0 : percentage >= 100 ? 1000000 : (uint64_t)(percentage * 10000);

	return ((uint64_t)random * 1000000) >> 32 < share;
}

static double of(const struct percent *percentage, double otherwise)
{
	return percentage ? percentage->value.value : otherwise;
}

bool rules_fault(const struct verdict *verdict, struct fault *out)
{
	const struct http_fault *fault = verdict->route ? verdict->route->fault : NULL;

	*out = (struct fault){.grpc_status = -1};
	if (!fault)
		return false;
	if (fault->delay) {
		const struct number *percent = &fault->delay->percent;

		out->delay = fault->delay->fixed_delay.ns;
		out->delay_percentage =
		    of(fault->delay->percentage, percent->set ? (double)percent->value : 0);
	}
	if (fault->abort) {
		out->grpc_status = fault->abort->grpc_number;
		out->abort_status = fault->abort->http_status.set
					? (unsigned)fault->abort->http_status.value
				    : out->grpc_status >= 0 ? 200
							    : 0;
		out->abort_percentage = of(fault->abort->percentage, 0);
	}
	return (out->delay && out->delay_percentage > 0) ||
	       (out->abort_status && out->abort_percentage > 0);
}
