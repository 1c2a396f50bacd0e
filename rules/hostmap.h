/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables keyed by host names, wildcards included, with Istio's order of precedence.
 *
 * Threads and ownership: as table.h.
 */
#ifndef RULES_HOSTMAP_H
#define RULES_HOSTMAP_H

#include <stdint.h>

#include "rules/table.h"

#define HOST_MAX 255 /* RFC 1035 2.3.4: octets in a name */

/*
 * Host names, each exact ("a.example.com") or a wildcard ("*.example.com"; what follows the star is
 * a plain suffix). All names are in lower case without a trailing dot.
 */
struct hostmap {
	struct table exact;
	struct table wildcards;		     /* keyed by the suffix after the star */
	uint64_t lengths[HOST_MAX / 64 + 1]; /* suffix lengths that occur */
};

void hostmap_init(struct hostmap *map);
void hostmap_release(struct hostmap *map);

/* Add a name that is not there yet. Returns 0, or -1: out of memory. */
int hostmap_put(struct hostmap *map, const char *host, void *value)
    __attribute__((warn_unused_result));

/* The value of this very name, wildcard or not; NULL: not there. */
void *hostmap_get(const struct hostmap *map, const char *host);

/* A walk over everything that covers a name, the most specific first: the name itself, then the
 * wildcards from the longest suffix to the shortest. A star stands for at least one character. */
struct hostmap_walk {
	const struct hostmap *map;
	const char *host;
	size_t len;
	size_t at; /* where the next suffix to try begins */
};

void hostmap_walk_init(struct hostmap_walk *walk, const struct hostmap *map, const char *host);

/* The next value; NULL: no more. */
void *hostmap_walk_next(struct hostmap_walk *walk);

/* The most specific value for a name; NULL: none. */
void *hostmap_find(const struct hostmap *map, const char *host);

#endif
