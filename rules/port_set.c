/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/port_set.h"

#include <string.h>

/* Where a port is, or would be. */
static size_t find(const struct port_set *set, uint16_t port)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->items[middle] < port)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
	size_t at = find(set, port);

	return at < set->n && set->items[at] == port;
}

int port_set_add(struct port_set *set, struct region *region, uint16_t port)
{
	size_t at = find(set, port);

	if (at < set->n && set->items[at] == port)
		return 0;
	if (set->n == set->size) {
		size_t size = set->size ? set->size * 2 : 4;
		uint16_t *items = region_array(region, size, sizeof(*items));

		if (!items)
			return -1;
		if (set->n)
			memcpy(items, set->items, set->n * sizeof(*items));
		set->items = items;
		set->size = size;
	}
	memmove(set->items + at + 1, set->items + at, (set->n - at) * sizeof(*set->items));
	set->items[at] = port;
	set->n++;
	return 0;
}
