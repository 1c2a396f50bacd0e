/* SPDX-License-Identifier: Apache-2.0 */
/* A rule file as libconfig read it, as a tree for the tables. */
#ifndef RULES_TREE_LIBCONFIG_H
#define RULES_TREE_LIBCONFIG_H

#include "rules/source.h"
#include "rules/tree.h"

/* The operations on nodes that are config_setting_t; the tree is the struct source that the text
 * came from. */
extern const struct tree_ops tree_libconfig;

/* Before the tree is read: note the lines of strings in lists, which libconfig gets wrong. */
void tree_libconfig_place(const struct source *source, const void *root);

#endif
