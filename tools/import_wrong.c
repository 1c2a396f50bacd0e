/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Complaints hang on a node in a ring, of which it has the last, so that they stay in order and a
 * map with a million doubles takes no longer than it should. Aliases share the ring, and with it
 * the mark that all of it was said.
 */
#include "tools/import_wrong.h"

#include <string.h>

struct yaml_wrong {
	struct yaml_wrong *next;
	const char *key;
	const char *text; /* NULL: what is wrong in `part` */
	int line;
	const struct yaml_node *part;
	bool said;     /* this one */
	bool all_said; /* the ring, told by its last */
};

static struct yaml_wrong *append(struct region *region, struct yaml_node *node)
{
	struct yaml_wrong *wrong = region_alloc(region, sizeof(*wrong));

	node->bad = true;
	if (!wrong)
		return NULL;
	wrong->next = wrong;
	if (node->wrong) {
		wrong->next = node->wrong->next;
		node->wrong->next = wrong;
	}
	node->wrong = wrong;
	return wrong;
}

int wrong_add(struct region *region, struct yaml_node *node, int line, const char *key,
	      const char *text)
{
	struct yaml_wrong *wrong = append(region, node);

	if (!wrong)
		return -1;
	wrong->key = key;
	wrong->text = text;
	wrong->line = line;
	return 0;
}

int wrong_adopt(struct region *region, struct yaml_node *node, const char *key,
		const struct yaml_node *part)
{
	struct yaml_wrong *wrong;
	struct yaml_node *copy;

	if (!part->bad)
		return 0;
	wrong = append(region, node);
	copy = region_alloc(region, sizeof(*copy));
	if (!wrong || !copy)
		return -1;
	*copy = *part;
	wrong->key = key;
	wrong->part = copy;
	return 0;
}

static void say(struct yaml_wrong *wrong, const char *file, struct diags *diags)
{
	const struct where where = {file, wrong->line};

	if (wrong->said)
		return;
	wrong->said = true;
	if (wrong->text)
		diag_add(diags, SEVERITY_REJECTED, &where, "%s", wrong->text);
	else if (wrong->part)
		wrong_say(wrong->part, file, diags);
}

void wrong_say_own(const struct yaml_node *node, const char *file, struct diags *diags)
{
	struct yaml_wrong *last = node->wrong, *wrong = last;

	if (!last || last->all_said)
		return;
	last->all_said = true;
	do {
		wrong = wrong->next;
		say(wrong, file, diags);
	} while (wrong != last);
}

void wrong_say(const struct yaml_node *node, const char *file, struct diags *diags)
{
	if (!node->bad)
		return;
	wrong_say_own(node, file, diags);
	for (uint32_t i = 0; i < node->n; i++)
		wrong_say(&node->items[i], file, diags);
}

void wrong_say_member(const struct yaml_node *group, const char *name, const char *file,
		      struct diags *diags)
{
	struct yaml_wrong *last = group->wrong, *wrong = last;
	const struct yaml_node *member = yaml_member(group, name);

	if (member)
		wrong_say(member, file, diags);
	if (!last)
		return;
	do {
		wrong = wrong->next;
		if (wrong->key && !strcmp(wrong->key, name))
			say(wrong, file, diags);
	} while (wrong != last);
}
