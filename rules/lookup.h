/* SPDX-License-Identifier: Apache-2.0 */
/* Which host serves a port, private to rules/ and the tools. */
#ifndef RULES_LOOKUP_H
#define RULES_LOOKUP_H

#include "rules/model.h"

/*
 * The most specific host that covers a name (in the form of hostname_normalize()) and knows the
 * port, or whose address the name is; NULL: none. `*http` tells whether requests are read; `*cluster` is the port's own cluster,
 * NULL if the port is open for a VirtualService only.
 */
const struct host *lookup_serving(const struct rules *rules, const char *name, uint16_t port,
				  const struct cluster **cluster, bool *http);

/*
 * The VirtualService whose http routes take the requests for a host on a port. `own` is the port's
 * cluster as above. NULL: none, the default route.
 */
const struct virtual_service *lookup_http_routes(const struct rules *rules, const struct host *host,
						 const struct cluster *own, uint16_t port);

/* All VirtualServices that apply to a registered host: those that name it, in file order, then those
 * with wildcards, the longest first. One with several hosts may come more than once. */
struct routes_walk {
	struct hostmap_walk hosts;
	const struct route_host *at;
};

void routes_walk_init(struct routes_walk *walk, const struct rules *rules, const struct host *host);

/* NULL: no more. */
const struct virtual_service *routes_walk_next(struct routes_walk *walk);

#endif
