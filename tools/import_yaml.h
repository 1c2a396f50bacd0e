/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML 1.1 (and JSON) as a tree for the tables of rules/: libyaml's events, with anchors, aliases,
 * merge keys and tags worked out, every node with its line.
 *
 * An alias shares the children of what it stands for, so that memory follows the size of the text.
 * Who walks the tree meets them again each time, which is why the nodes that a walk meets are
 * counted and bounded.
 */
#ifndef TOOLS_IMPORT_YAML_H
#define TOOLS_IMPORT_YAML_H

#include <stdint.h>

#include "rules/diag.h"
#include "rules/region.h"
#include "rules/tree.h"

struct yaml_wrong;

struct yaml_node {
	enum tree_kind kind;
	int line;	  /* of the key in a group, else where it begins; from 1 */
	const char *key;  /* in a group; else NULL */
	uint32_t weight;  /* nodes that a walk meets, itself included */
	bool bad : 1;	  /* something is wrong with it or below: import_wrong.h */
	bool plain : 1;	  /* a scalar without quotes or tag */
	bool literal : 1; /* a block scalar that keeps its lines, which begin at `line` + 1 */
	uint32_t n;	  /* children */
	struct yaml_wrong *wrong; /* with it itself; NULL: nothing */
	union {
		const char *text; /* of a scalar, as it was written */
		const struct yaml_node *items;
	};
	union {
		long long integer;
		double decimal;
		bool flag;
	};
};

/* A text to be read. `file` must outlive all that is made of it. */
struct yaml_input {
	const char *file;
	const char *text;
	size_t len;
	int first_line; /* the number of the text's first line */
	bool one_line;	/* the text was itself written in one line: all of it is there */
};

struct yaml_reading {
	struct region *region; /* nodes and their texts live here */
	struct diags *diags;
	/* Called for each document that has a value; it may be null. */
	void (*document)(void *context, const struct yaml_node *root);
	void *context;
};

/*
 * Read a stream of documents. What is wrong with a value stays with its node, for import_wrong.h to
 * say. What leaves the rest of the text without meaning goes to the list, and ends the reading.
 * Returns 0, or -1: it ended early.
 */
int yaml_read(const struct yaml_reading *reading, const struct yaml_input *input)
    __attribute__((warn_unused_result));

/* The child of a group with that name; NULL: none, or no group. */
const struct yaml_node *yaml_member(const struct yaml_node *group, const char *name);

/* The text of a scalar that is one; NULL otherwise. `node` may be NULL. */
const char *yaml_text(const struct yaml_node *node);

/* The operations on these nodes. The tree is the name of the file, a `const char *`. */
extern const struct tree_ops tree_yaml;

#endif
