/* SPDX-License-Identifier: Apache-2.0 */
/* What consistentHash hashes of a request (DestinationRule LoadBalancerSettings.ConsistentHashLB). */
#ifndef SHIM_BRIDGE_HASH_POLICY_H
#define SHIM_BRIDGE_HASH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/rules.h"
#include "shim/bridge/arena.h"
#include "shim/bridge/http1.h"

struct hash_policy {
	bool hashed;	    /* the request has what is hashed: */
	uint64_t hash;
	const char *cookie; /* value of a Set-Cookie for the answer, in the arena; NULL: none */
};

/*
 * Hash what the cluster's rule names of a request as it goes upstream. A cookie that is missing and has
 * a ttl is made up, of `random`. Returns 0, or -1: no memory.
 */
int hash_policy_apply(struct hash_policy *out, struct arena *arena, const struct cluster *cluster,
		      const struct http1_head *request, uint32_t (*random)(void *arg), void *arg)
    __attribute__((warn_unused_result));

#endif
