/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with single values of a YAML text. It is kept on their nodes until somebody wants
 * the resource that they belong to: what is skipped may hold whatever it likes.
 */
#ifndef TOOLS_IMPORT_WRONG_H
#define TOOLS_IMPORT_WRONG_H

#include "tools/import_yaml.h"

/*
 * Keep a complaint about a node, which becomes bad. `key` is the name that a group has twice, or
 * NULL; texts are not copied. Returns 0, or -1: out of memory.
 */
int wrong_add(struct region *region, struct yaml_node *node, int line, const char *key,
	      const char *text) __attribute__((warn_unused_result));

/*
 * What is wrong in `part`, which has no place in the tree (a value whose key is none), counts for
 * `node` and for its member `key`, if that is not NULL. Returns as above.
 */
int wrong_adopt(struct region *region, struct yaml_node *node, const char *key,
		const struct yaml_node *part) __attribute__((warn_unused_result));

/*
 * Add to `diags` what is wrong with a node and all below it; with the node and not below; with a
 * group's members of one name, which are given twice. Nothing is said again that was said before.
 */
void wrong_say(const struct yaml_node *node, const char *file, struct diags *diags);
void wrong_say_own(const struct yaml_node *node, const char *file, struct diags *diags);
void wrong_say_member(const struct yaml_node *group, const char *name, const char *file,
		      struct diags *diags);

#endif
