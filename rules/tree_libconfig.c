/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/tree_libconfig.h"

#include <stdint.h>

#include <libconfig.h>

static enum tree_kind kind(const void *tree, const void *node)
{
	(void)tree;
	switch (config_setting_type((const config_setting_t *)node)) {
	case CONFIG_TYPE_GROUP:
		return TREE_GROUP;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return TREE_INTEGER;
	case CONFIG_TYPE_FLOAT:
		return TREE_DECIMAL;
	case CONFIG_TYPE_STRING:
		return TREE_TEXT;
	case CONFIG_TYPE_BOOL:
		return TREE_FLAG;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return TREE_LIST;
	default:
		return TREE_NONE;
	}
}

static size_t length(const void *tree, const void *node)
{
	int n = config_setting_length(node);

	(void)tree;
	return n > 0 ? (size_t)n : 0;
}

static const void *child(const void *tree, const void *node, size_t i)
{
	(void)tree;
	return config_setting_get_elem((config_setting_t *)node, (unsigned)i);
}

static const char *name(const void *tree, const void *node)
{
	(void)tree;
	return config_setting_name((const config_setting_t *)node);
}

static const char *text(const void *tree, const void *node)
{
	(void)tree;
	return config_setting_get_string(node);
}

static long long integer(const void *tree, const void *node)
{
	(void)tree;
	/* libconfig answers 0 for the other of its two widths. */
	return config_setting_type((const config_setting_t *)node) == CONFIG_TYPE_INT
		   ? config_setting_get_int(node)
		   : config_setting_get_int64(node);
}

static double decimal(const void *tree, const void *node)
{
	(void)tree;
	return config_setting_get_float(node);
}

static bool flag(const void *tree, const void *node)
{
	(void)tree;
	return config_setting_get_bool(node);
}

static struct where where(const void *tree, const void *node)
{
	const config_setting_t *setting = node;
	unsigned line = (unsigned)(uintptr_t)config_setting_get_hook(setting);

	return source_where(tree, line ? line : config_setting_source_line(setting));
}

/* Strings in lists come in the order in which the scanner met them. Nesting is bounded by it. */
static void place(const struct source *source, config_setting_t *setting, size_t *at)
{
	int n = config_setting_length(setting);

	for (int i = 0; i < n; i++) {
		config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);

		if (config_setting_type(member) != CONFIG_TYPE_STRING)
			place(source, member, at);
		else if (config_setting_type(setting) != CONFIG_TYPE_GROUP &&
			 *at < source->n_list_strings)
			member->hook = (void *)(uintptr_t)source->list_strings[(*at)++];
	}
}

void tree_libconfig_place(const struct source *source, const void *root)
{
	size_t at = 0;

	place(source, (config_setting_t *)root, &at);
}

const struct tree_ops tree_libconfig = {
    .kind = kind,
    .length = length,
    .child = child,
    .name = name,
    .text = text,
    .integer = integer,
    .decimal = decimal,
    .flag = flag,
    .where = where,
};
