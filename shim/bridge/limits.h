/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connectionPool of a cluster's policy comes to (DestinationRule ConnectionPoolSettings,
 * istio-semantics 1.3), defaults filled in. Pure.
 */
#ifndef SHIM_BRIDGE_LIMITS_H
#define SHIM_BRIDGE_LIMITS_H

#include <stdint.h>

#include "rules/rules.h"

#define IDLE_TIMEOUT_MS 3600000 /* Istio's default: one hour */

/* UINT64_MAX: no limit. */
struct limits {
	uint64_t connections; /* tcp.maxConnections */
	uint64_t pending;     /* http.http1MaxPendingRequests */
	uint64_t requests;    /* http.http2MaxRequests: of HTTP/1.1 too, as in Envoy */
	uint64_t retries;     /* http.maxRetries */
	uint64_t served;      /* http.maxRequestsPerConnection */
	uint64_t idle_ms;     /* http.idleTimeout */
	uint64_t life_ms;     /* tcp.maxConnectionDuration */
};

void limits_of(const struct connection_pool *pool, struct limits *limits);

#endif
