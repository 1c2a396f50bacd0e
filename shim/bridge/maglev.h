/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maglev's table (Eisenbud et al., NSDI 2016, section 3.4), weighted as Envoy's is
 * (ConsistentHashLB.maglev): a key's hash, modulo the size of the table, is an entry, which names a
 * host. Quicker to ask than a ring and more even; a host that goes moves a few keys of others.
 *
 * Immutable. Threads: the balancer's.
 */
#ifndef SHIM_BRIDGE_MAGLEV_H
#define SHIM_BRIDGE_MAGLEV_H

#include <stddef.h>
#include <stdint.h>

#include "shim/bridge/host.h"

#define MAGLEV_SIZE	65537	/* tableSize, where it is not set */
#define MAGLEV_SIZE_MAX 5000011 /* a prime, and Envoy's limit: 20 MB */

struct maglev_table;

/*
 * The table of these hosts, in the order of their names, with `size` entries: a prime. Where there
 * are more hosts than entries, the last have none. NULL: no memory, n is 0, or no such size.
 */
struct maglev_table *maglev_new(struct host *const *hosts, size_t n, uint64_t size)
    __attribute__((warn_unused_result));

/* NULL is allowed. */
void maglev_free(struct maglev_table *table);

/* The number of the host that this hash belongs to; `attempt` > 0: another one's, perhaps. */
size_t maglev_find(const struct maglev_table *table, uint64_t hash, unsigned attempt);

#endif
