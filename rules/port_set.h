/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of port numbers, sorted; in the region of a snapshot. Private to rules/. */
#ifndef RULES_PORT_SET_H
#define RULES_PORT_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/region.h"

struct port_set {
	uint16_t *items;
	size_t n, size;
};

/* Returns 0, or -1: out of memory. A port may be there already. */
int port_set_add(struct port_set *set, struct region *region, uint16_t port)
    __attribute__((warn_unused_result));

bool port_set_has(const struct port_set *set, uint16_t port);

#endif
