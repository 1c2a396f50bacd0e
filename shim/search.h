/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other names that a name stands for: what libc's resolver would go on to ask for, by
 * resolv.conf(5) and its variables (LOCALDOMAIN, RES_OPTIONS, HOSTALIASES). libc does that inside,
 * where no hook sees it, and would come back with the real address of a registry host.
 *
 * Threads: any; no lock is held. errno is not preserved.
 */
#ifndef SHIM_SEARCH_H
#define SHIM_SEARCH_H

#include <stdbool.h>

#include "shim/registry.h"

/*
 * The registry name that `name`, which is none itself, stands for, into `found`. In this order:
 *
 *   - the name that HOSTALIASES has for it, if it is without dots;
 *   - the name under each search domain, the first one counts. With wildcard hosts only where the
 *     name is without dots: "*.corp.example" makes no mesh host of "www.debian.org";
 *   - the name without the first search domain: in a mesh, the client asks for it before the name
 *     itself, and Istio's DNS proxy answers both (istio-semantics 3). Not with wildcard hosts.
 *
 * A final dot says that a name is whole, so that only the last of them applies. No names of
 * /etc/hosts or of this machine, to which libc would not go on. False: none, or out of memory.
 */
bool search_find(const struct rules *rules, const char *name, char found[REGISTRY_NAME_MAX + 1]);

#endif
