/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tables read from: a tree of named values, of libconfig's (rule files) or of anybody
 * else's making (YAML). Nodes are opaque; whoever reads has the operations of their kind.
 *
 * Ownership: nodes and texts belong to the maker and must last as long as the reader works.
 */
#ifndef RULES_TREE_H
#define RULES_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/rules.h"

enum tree_kind {
	TREE_NONE,    /* null, or of no type that is known here */
	TREE_TEXT,
	TREE_INTEGER,
	TREE_DECIMAL,
	TREE_FLAG,
	TREE_LIST,
	TREE_GROUP,   /* named children, in the order in which they were written */
};

struct tree_ops {
	enum tree_kind (*kind)(const void *tree, const void *node);
	size_t (*length)(const void *tree, const void *node); /* children of a LIST or GROUP */
	const void *(*child)(const void *tree, const void *node, size_t i);
	const char *(*name)(const void *tree, const void *node); /* of a GROUP's child */
	const char *(*text)(const void *tree, const void *node);
	long long (*integer)(const void *tree, const void *node);
	double (*decimal)(const void *tree, const void *node);
	bool (*flag)(const void *tree, const void *node);
	struct where (*where)(const void *tree, const void *node);
	/* A map with free keys is a GROUP whose names are the keys (YAML); otherwise it is a list of
	 * groups with `name` (rule files, whose names cannot be free). */
	bool free_keys;
	/* Texts may stand where numbers or flags are wanted, and the other way round, as far as the
	 * notation does not tell them apart (YAML's 1.5 for "1.5"). */
	bool loose;
};

#endif
