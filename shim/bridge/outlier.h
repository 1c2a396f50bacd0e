/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passive health checks (DestinationRule OutlierDetection, istio-semantics 1.3): hosts that answer
 * with errors, or not at all, are ejected for a while, within maxEjectionPercent. What counts as what
 * is as Istio configures Envoy:
 *
 * consecutive5xxErrors            5; 0: off. 500 to 599
 * consecutiveGatewayErrors        off. 502, 503, 504, which are 5xx as well
 * splitExternalLocalOriginErrors  false: a connection that failed or broke counts as a 503, a timeout as
 *                                 a 504. true: they are counted apart, as
 * consecutiveLocalOriginFailures  5, also for 0, until a connection is made
 * interval                        10 s between sweeps, which let hosts come back
 * baseEjectionTime                30 s, times the ejections so far; never above 300 s, or
 *                                 baseEjectionTime if that is longer. One ejection is forgotten with
 *                                 each sweep, from an interval after the host's return on
 * maxEjectionPercent              10, also for 0. To the letter: of nine hosts or fewer none
 * minHealthPercent                0: if all hosts are ejected, there is none
 * consecutiveErrors               deprecated: Istio ignores it
 *
 * Pure: time is the caller's. Threads: whoever holds the lock of the hosts. `settings` may be NULL: no
 * host is ever ejected.
 */
#ifndef SHIM_BRIDGE_OUTLIER_H
#define SHIM_BRIDGE_OUTLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/bridge/host.h"

struct outlier_detection; /* rules/destination_rule.h */

/* What became of a request. */
enum outlier_event {
	OUTLIER_STATUS,		/* it was answered, with `status` */
	OUTLIER_CONNECT_FAILED, /* local origin: no connection */
	OUTLIER_RESET,		/* local origin: the connection broke before the answer */
	OUTLIER_TIMEOUT,	/* local origin: a timeout ran out */
	OUTLIER_CONNECTED,	/* local origin: a connection was made, and an answer is awaited */
	OUTLIER_CONNECTED_ONLY, /* the same, and nobody will read an answer: TCP, TLS */
};

/*
 * Note an event of one of the cluster's hosts; `status` is for OUTLIER_STATUS. Returns true if it
 * was ejected now.
 */
bool outlier_note(const struct outlier_detection *settings, struct host *const *hosts, size_t n,
		  struct host *host, enum outlier_event event, int status, uint64_t now);

/* Let hosts whose time is over come back; to be called every outlier_interval() ms. Returns true
 * if one did. */
bool outlier_sweep(const struct outlier_detection *settings, struct host *const *hosts, size_t n,
		   uint64_t now);

/* OutlierDetection.interval in ms, not 0. */
uint64_t outlier_interval(const struct outlier_detection *settings);

/* Whether so few hosts are healthy that all are to be used (minHealthPercent). */
bool outlier_panic(const struct outlier_detection *settings, struct host *const *hosts, size_t n);

#endif
