/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ketama's ring, with Envoy's points (ConsistentHashLB.ringHash): host number i stands on it at the
 * hashes of "<name>_0", "<name>_1" ..., as often as its weight asks, and a key belongs to the first
 * point at or behind its hash. So a host that comes or goes moves its own share of the keys only.
 *
 * Immutable. Threads: the balancer's.
 */
#ifndef SHIM_BRIDGE_RING_HASH_H
#define SHIM_BRIDGE_RING_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "shim/bridge/host.h"

#define RING_SIZE     1024    /* minimumRingSize */
#define RING_SIZE_MAX 1048576 /* 12 MiB; Envoy's own limit is eight times that */

struct ring;

/*
 * The ring of these hosts, in the order of their names, with at least `minimum` points; above
 * RING_SIZE_MAX it has as many as that, and very light hosts may have none. NULL: no memory, or n
 * is 0.
 */
struct ring *ring_new(struct host *const *hosts, size_t n, uint64_t minimum)
    __attribute__((warn_unused_result));

/* NULL is allowed. */
void ring_free(struct ring *ring);

/* The number of the host that this hash belongs to; `attempt` > 0: of the point so many further on.
 */
size_t ring_find(const struct ring *ring, uint64_t hash, unsigned attempt);

#endif
