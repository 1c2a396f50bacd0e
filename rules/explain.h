/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies behind a verdict, for the tools: every route that was tried, and why it did not match.
 *
 * Threads and ownership: as rules.h.
 */
#ifndef RULES_EXPLAIN_H
#define RULES_EXPLAIN_H

#include "rules/rules.h"

/* One block (or a route without any) that was looked at. */
struct explain_note {
	struct where where;
	int route_index;
	int match_index;    /* -1: the route has no match blocks */
	const char *failed; /* the condition that did not hold; NULL: the block matched. Valid
			     * during the call only */
};

typedef void explain_note_fn(void *context, const struct explain_note *note);

/* rules_match() that calls `note` for each block in order, up to the one that matches. */
void rules_explain(const struct rules *rules, const struct rules_request *request,
		   struct verdict *verdict, explain_note_fn *note, void *context);

/* The same for rules_match_stream(). */
void rules_explain_stream(const struct rules *rules, const struct rules_stream *stream,
			  struct verdict *verdict, explain_note_fn *note, void *context);

/* One of the destinations of a verdict. */
struct explain_destination {
	const char *host;
	const char *subset;	       /* NULL: none */
	uint16_t port;		       /* 0: no such port */
	unsigned weight;	       /* as written; 100 for the only one */
	const struct cluster *cluster; /* NULL: not in the registry */
	struct where where;
};

/* How many destinations the verdict's route can choose from; those of weight 0 do not count. */
size_t rules_n_destinations(const struct verdict *verdict);

/* The i-th of them, for a request on `port`. */
struct explain_destination rules_destination(const struct verdict *verdict, size_t i,
					     uint16_t port);

/* Where the routes of the verdict come from: the VirtualService, else nothing (file NULL). */
struct where rules_routes_where(const struct rules *rules, const struct verdict *verdict);

#endif
