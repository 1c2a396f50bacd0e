/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verdict says of its request beside the destination: how long it may take, when it is sent
 * again (istio-semantics 2.6), what fault is injected, and who gets copies (1.2).
 *
 * Threads and ownership: as rules.h. Nothing here allocates.
 */
#ifndef RULES_RESILIENCE_H
#define RULES_RESILIENCE_H

#include "rules/rules.h"

/* HTTPRetry.retryOn: Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on as a set. Conditions that
 * nothing can fulfil in HTTP/1.1 or without a list of headers (refused-stream, retriable-headers,
 * http3-post-connect-failure) have no bit. */
enum retry_on {
	RETRY_ON_5XX = 1 << 0,
	RETRY_ON_GATEWAY_ERROR = 1 << 1,
	RETRY_ON_RESET = 1 << 2,
	RETRY_ON_RESET_BEFORE_REQUEST = 1 << 3,
	RETRY_ON_CONNECT_FAILURE = 1 << 4,
	RETRY_ON_RETRIABLE_4XX = 1 << 5,
	RETRY_ON_STATUS_CODES = 1 << 6, /* there are numbers: rules_retries_status() */
	RETRY_ON_RATELIMITED = 1 << 7,
	RETRY_ON_GRPC_CANCELLED = 1 << 8,
	RETRY_ON_GRPC_DEADLINE_EXCEEDED = 1 << 9,
	RETRY_ON_GRPC_INTERNAL = 1 << 10,
	RETRY_ON_GRPC_RESOURCE_EXHAUSTED = 1 << 11,
	RETRY_ON_GRPC_UNAVAILABLE = 1 << 12,

	RETRY_ON_GRPC = 31 << 8, /* any of the last five */
};

/* How long, and how often. */
struct resilience {
	int64_t timeout;	 /* ns; 0: none */
	int64_t per_try_timeout; /* ns; 0: that of the whole */
	int64_t backoff;	 /* ns: the base of rules_backoff() */
	long long attempts;	 /* after the first; 0: none */
	unsigned conditions;	 /* enum retry_on; 0 without attempts */
	const char *retry_on;	 /* as written; "" without attempts */
	bool status_codes;	 /* numbers in it imply "retriable-status-codes", which it lacks */
	bool other_host;	 /* retryIgnorePreviousHosts: not where it has been */
	struct where where;	 /* of the policy; file NULL: Istio's */
};

/* What holds for the verdict's route: its own, else meshConfig's, else Istio's. A request that was
 * faulted has none of it: that is the caller's to know. */
void rules_resilience(const struct verdict *verdict, struct resilience *out);

/* Whether the numbers in retryOn have this status. */
bool rules_retries_status(const struct resilience *resilience, unsigned status);

/*
 * How many ms to wait before the n-th retry (n >= 1), in Envoy's fully jittered way: below (2^n - 1)
 * times the base, and below ten times. `random` is uniform over its 32 bits.
 */
uint64_t rules_backoff(const struct resilience *resilience, unsigned n, uint32_t random);

/* Whether an event of this percentage happens, in steps of 0.0001 % as in Envoy. `random` as above;
 * 100 always does, 0 never. */
bool rules_chance(double percentage, uint32_t random);

/* HTTPFaultInjection. Delay and abort are decided independently of each other, the delay first. */
struct fault {
	int64_t delay;		 /* ns; 0: none */
	double delay_percentage; /* of the requests */
	unsigned abort_status;	 /* of HTTP, 200 with a gRPC status; 0: none */
	int grpc_status;	 /* -1: none */
	double abort_percentage;
};

/* The fault of the verdict's route. False: none, or none that could ever happen. */
bool rules_fault(const struct verdict *verdict, struct fault *out);

/* Who gets copies of the requests. */
struct mirror {
	const char *host;
	const char *subset;	       /* NULL: none */
	const struct cluster *cluster; /* NULL: not in the registry, or no such port or subset */
	double percentage;	       /* of the requests */
};

/*
 * Step through the mirrors of the verdict's route for a request on `port`; those with a percentage
 * of 0 do not count. `*at` is 0 at first. False: no more.
 */
bool rules_next_mirror(const struct verdict *verdict, uint16_t port, size_t *at,
		       struct mirror *out);

#endif
