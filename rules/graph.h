/* SPDX-License-Identifier: Apache-2.0 */
/* A rule set as a picture: hosts, routes, destinations and TLS, in Graphviz's language. */
#ifndef RULES_GRAPH_H
#define RULES_GRAPH_H

#include <stdio.h>

struct rules;

/* Write a digraph. Returns 0, or -1 if `out` failed. */
int rules_graph(const struct rules *rules, FILE *out) __attribute__((warn_unused_result));

#endif
