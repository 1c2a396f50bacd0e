/* SPDX-License-Identifier: Apache-2.0 */
/* Which host serves a port, private to rules/. */
#ifndef RULES_LOOKUP_H
#define RULES_LOOKUP_H

#include "rules/model.h"

/*
 * The most specific host that covers a name (in the form of hostname_normalize()) and knows the
 * port; NULL: none. `*http` tells whether requests are read; `*cluster` is the port's own cluster,
 * NULL if the port is open for a VirtualService only.
 */
const struct host *lookup_serving(const struct rules *rules, const char *name, uint16_t port,
				  const struct cluster **cluster, bool *http);

#endif
