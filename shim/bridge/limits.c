/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/limits.h"

#include "rules/destination_rule.h"

#define NS_PER_MS 1000000

/* Istio hands only what is above 0 to Envoy. */
static uint64_t number(const struct number *number)
{
	return number->set && number->value > 0 ? (uint64_t)number->value : UINT64_MAX;
}

static uint64_t duration(const struct duration *duration, uint64_t absent)
{
	if (!duration->set)
		return absent;
	return duration->ns >= NS_PER_MS ? (uint64_t)duration->ns / NS_PER_MS : UINT64_MAX;
}

void limits_of(const struct connection_pool *pool, struct limits *limits)
{
	*limits = (struct limits){UINT64_MAX, UINT64_MAX,      UINT64_MAX, UINT64_MAX,
				  UINT64_MAX, IDLE_TIMEOUT_MS, UINT64_MAX};
	if (pool && pool->tcp) {
		limits->connections = number(&pool->tcp->max_connections);
		limits->life_ms = duration(&pool->tcp->max_connection_duration, UINT64_MAX);
	}
	if (pool && pool->http) {
		limits->pending = number(&pool->http->http1_max_pending_requests);
		limits->requests = number(&pool->http->http2_max_requests);
		limits->retries = number(&pool->http->max_retries);
		limits->served = number(&pool->http->max_requests_per_connection);
		limits->idle_ms = duration(&pool->http->idle_timeout, IDLE_TIMEOUT_MS);
	}
}
