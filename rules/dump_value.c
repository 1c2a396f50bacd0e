/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/dump_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const void *dump_pointer(const void *value)
{
	const void *group;

	memcpy(&group, value, sizeof(group));
	return group;
}

const void *dump_item(const struct key *key, const struct list *list, size_t i)
{
	return (const char *)list->items + i * key->group->size;
}

bool dump_is_set(const struct key *key, const void *value)
{
	switch (key->kind) {
	case KIND_TEXT:
		return ((const struct text *)value)->s != NULL;
	case KIND_NUMBER:
		return ((const struct number *)value)->set;
	case KIND_DECIMAL:
		return ((const struct decimal *)value)->set;
	case KIND_DURATION:
		return ((const struct duration *)value)->set;
	case KIND_FLAG:
		return ((const struct flag *)value)->set;
	case KIND_CHOICE:
		return ((const struct choice *)value)->set;
	case KIND_TEXTS:
	case KIND_GROUPS:
		return ((const struct list *)value)->where.file != NULL;
	case KIND_GROUP:
		return dump_pointer(value) != NULL;
	case KIND_INLINE:
	case KIND_IGNORED:
	case KIND_REFUSED:
		break;
	}
	return false;
}

/* The first of several names for one value is the canonical one. */
const char *dump_choice(const struct key *key, const struct choice *choice)
{
	for (const struct choice_name *name = key->choices; name->name; name++)
		if (name->value == choice->value && !name->refusal)
			return name->name;
	return "";
}

bool dump_is_relative(const struct key *key, const struct text *text)
{
	return key->path && text->where.file && *text->s && *text->s != '/' &&
	       strcmp(text->s, "system") != 0;
}

/* The directory without symbolic links, so that "../x" keeps its meaning. */
char *dump_absolute(const struct text *text)
{
	const char *slash = strrchr(text->where.file, '/');
	char *beside, *directory, *path = NULL;

	beside =
	    slash ? strndup(text->where.file, (size_t)(slash - text->where.file) + 1) : strdup(".");
	directory = beside ? realpath(beside, NULL) : NULL;
	if (directory &&
	    asprintf(&path, "%s/%s", strcmp(directory, "/") ? directory : "", text->s) < 0)
		path = NULL;
	free(directory);
	free(beside);
	return path;
}
