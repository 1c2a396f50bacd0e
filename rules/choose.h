/* SPDX-License-Identifier: Apache-2.0 */
/* One of a route's weighted destinations, private to rules/. */
#ifndef RULES_CHOOSE_H
#define RULES_CHOOSE_H

#include "rules/model.h"

/*
 * Draw one of `list` (struct route_destination, at least one) by weight: `random` is uniform over
 * its 32 bits, `total` the sum of the weights. Fills in destination, subset, cluster and action of
 * the verdict; without a port of its own the destination has `port`.
 */
void choose_destination(const struct list *list, uint64_t total, uint32_t random, uint16_t port,
			struct verdict *verdict);

#endif
