/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/choose.h"

#include "rules/explain.h"
#include "rules/resilience.h"

/* Of several, those with a weight; a single one whatever its weight. */
static bool takes_part(const struct list *list, const struct route_destination *destination)
{
	return list->n == 1 || destination->weight.value > 0;
}

static const struct cluster *destination_cluster(const struct destination *destination,
						 uint16_t port)
{
	if (destination->cluster || !destination->service)
		return destination->cluster;
	if (destination->port && destination->port->number.set)
		return NULL; /* check.c did not find it */
	if (destination->subset.s)
		return service_subset(destination->service, destination->subset.s, port);
	return service_cluster(destination->service, port);
}

void choose_destination(const struct list *list, uint64_t total, uint32_t random, uint16_t port,
			struct verdict *verdict)
{
	const struct route_destination *all = list->items, *chosen = NULL;
	/* Scaled, not reduced modulo: every share is as wide as its weight says. */
	uint64_t at = (uint64_t)(((unsigned __int128)random * total) >> 32);

	for (size_t i = 0; i < list->n; i++) {
		if (!takes_part(list, &all[i]))
			continue;
		chosen = &all[i];
		if (at < (uint64_t)all[i].weight.value)
			break;
		at -= (uint64_t)all[i].weight.value;
	}
	verdict->chosen = chosen;
	verdict->destination = chosen->destination->host.s;
	verdict->subset = chosen->destination->subset.s;
	verdict->cluster = destination_cluster(chosen->destination, port);
	verdict->action = verdict->cluster ? RULES_ROUTE : RULES_NO_CLUSTER;
}

static const struct list *destinations_of(const struct verdict *verdict)
{
	static const struct list none;

	if (verdict->route)
		return &verdict->route->route;
	return verdict->l4_route ? &verdict->l4_route->route : &none;
}

size_t rules_n_destinations(const struct verdict *verdict)
{
	const struct list *list = destinations_of(verdict);
	const struct route_destination *all = list->items;
	size_t n = 0;

	if (!verdict->route && !verdict->l4_route)
		return verdict->cluster != NULL;
	for (size_t i = 0; i < list->n; i++)
		n += takes_part(list, &all[i]);
	return n;
}

struct explain_destination rules_destination(const struct verdict *verdict, size_t i, uint16_t port)
{
	const struct list *list = destinations_of(verdict);
	const struct route_destination *at = list->items;
	struct explain_destination out = {.weight = 100};

	if (at) {
		for (; !takes_part(list, at) || i-- > 0; at++)
			;
		out.host = at->destination->host.s;
		out.subset = at->destination->subset.s;
		out.cluster = destination_cluster(at->destination, port);
		out.where = at->destination->where;
		if (list->n > 1)
			out.weight = (unsigned)at->weight.value;
	} else {
		out.cluster = verdict->cluster;
		out.host = verdict->destination;
		out.where = verdict->where;
	}
	out.port = out.cluster ? out.cluster->port : 0;
	return out;
}

/* Of all requests, where nothing is said. */
static double share(const struct percent *percentage, const struct number *percent)
{
	if (percentage)
		return percentage->value.value;
	return percent->set ? (double)percent->value : 100;
}

bool rules_next_mirror(const struct verdict *verdict, uint16_t port, size_t *at,
		       struct mirror *out)
{
	static const struct number none;
	const struct http_route *route = verdict->route;
	const struct http_mirror *mirrors = route ? route->mirrors.items : NULL;

	/* 0 is `mirror`, then come `mirrors`. */
	while (route && *at <= route->mirrors.n) {
		const struct http_mirror *mirror = *at ? &mirrors[*at - 1] : NULL;
		const struct destination *to = mirror ? mirror->destination : route->mirror;

		++*at;
		if (!to)
			continue;
		*out = (struct mirror){
		    .host = to->host.s,
		    .subset = to->subset.s,
		    .cluster = destination_cluster(to, port),
		    .percentage = mirror ? share(mirror->percentage, &none)
					 : share(route->mirror_percentage, &route->mirror_percent),
		};
		if (out->percentage > 0)
			return true;
	}
	return false;
}
