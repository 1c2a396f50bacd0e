/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load balancing (DestinationRule LoadBalancerSettings), as Envoy does it: LEAST_REQUEST (two random
 * choices; by weight where weights differ), ROUND_ROBIN, RANDOM, and consistentHash over a ring or a
 * Maglev table.
 *
 * Pure: no clock, and random bits come from the caller. Threads: whoever holds the lock of the hosts.
 */
#ifndef SHIM_BRIDGE_BALANCE_H
#define SHIM_BRIDGE_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/bridge/host.h"

struct load_balancer; /* rules/destination_rule.h */
struct balancer;

/* `settings` is to outlive the balancer; NULL: LEAST_REQUEST. NULL: no memory. */
struct balancer *balancer_new(const struct load_balancer *settings)
    __attribute__((warn_unused_result));

/* NULL is allowed. */
void balancer_free(struct balancer *balancer);

/*
 * These are the hosts now: they, not the array, are to stay until the next call, with their names and
 * weights. Their order does not matter to consistent hashing, whose table is made here. To be called
 * as well when the health of one has changed. `panic`: pick among all of them, ejected or not.
 * Returns 0, or -1: no memory, nothing is picked until it succeeds.
 */
int balancer_set_hosts(struct balancer *balancer, struct host *const *hosts, size_t n, bool panic)
    __attribute__((warn_unused_result));

/* What a request asks of the choice. */
struct pick {
	bool hashed; /* `hash` counts. A consistentHash without one is random */
	uint64_t hash;
	/* Hosts that are taken only if there is no other: those where the request has been. May be
	 * NULL. */
	bool (*avoid)(void *arg, const struct host *host);
	uint32_t (*random)(void *arg); /* uniform bits */
	void *arg;
};

/* The host for one request; `active` is for the caller to count. NULL: there is none. */
struct host *balancer_pick(struct balancer *balancer, const struct pick *pick);

/* The hash of a text as Envoy makes it (XXH64, seed 0): header and cookie values, addresses. */
uint64_t balance_hash(const void *text, size_t len);

#endif
