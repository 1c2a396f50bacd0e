/* SPDX-License-Identifier: Apache-2.0 */
/* YAML's nodes through the eyes of the tables. */
#include <string.h>

#include "tools/import_yaml.h"

const struct yaml_node *yaml_member(const struct yaml_node *group, const char *name)
{
	if (group->kind != TREE_GROUP)
		return NULL;
	for (uint32_t i = 0; i < group->n; i++)
		if (!strcmp(group->items[i].key, name))
			return &group->items[i];
	return NULL;
}

const char *yaml_text(const struct yaml_node *node)
{
	return node && node->kind == TREE_TEXT ? node->text : NULL;
}

static enum tree_kind kind(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->kind;
}

static size_t length(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->n;
}

static const void *child(const void *tree, const void *node, size_t i)
{
	(void)tree;
	return ((const struct yaml_node *)node)->items + i;
}

static const char *name(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->key;
}

static const char *text(const void *tree, const void *node)
{
	const struct yaml_node *scalar = node;

	(void)tree;
	return scalar->kind == TREE_LIST || scalar->kind == TREE_GROUP ? "" : scalar->text;
}

static long long integer(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->integer;
}

static double decimal(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->decimal;
}

static bool flag(const void *tree, const void *node)
{
	(void)tree;
	return ((const struct yaml_node *)node)->flag;
}

static struct where where(const void *tree, const void *node)
{
	return (struct where){tree, ((const struct yaml_node *)node)->line};
}

const struct tree_ops tree_yaml = {
    .kind = kind,
    .length = length,
    .child = child,
    .name = name,
    .text = text,
    .integer = integer,
    .decimal = decimal,
    .flag = flag,
    .where = where,
    .free_keys = true,
    .loose = true,
};
