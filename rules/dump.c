/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/dump.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/dump_value.h"
#include "rules/schema.h"

#define INDENT	4
#define COLUMNS 100

struct dump {
	FILE *out;
	bool absolute;
	bool failed;
};

static void put_fields(struct dump *dump, const struct schema *schema, const void *group);
static void put_group(struct dump *dump, const struct schema *schema, const void *group);
static void put_lines(struct dump *dump, const struct schema *schema, const void *group,
		      unsigned indent);

/* ---- on one line -------------------------------------------------------------------------- */

static void put_string(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\r')
			fputs("\\r", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

/* As a floating-point number: libconfig tells them from integers by the point or exponent. */
static void put_decimal(FILE *out, double value)
{
	char text[DECIMAL_MAX];

	decimal_format(value, text);
	fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static void put_number(FILE *out, long long value)
{
	fprintf(out, "%lld%s", value, value < INT_MIN || value > INT_MAX ? "L" : "");
}

static void put_texts(FILE *out, const struct list *list)
{
	const struct text *items = list->items;

	fputs("[", out);
	for (size_t i = 0; i < list->n; i++) {
		fputs(i ? ", " : " ", out);
		put_string(out, items[i].s);
	}
	fputs(" ]", out);
}

static void put_text(struct dump *dump, const struct key *key, const struct text *text)
{
	bool relative = dump->absolute && dump_is_relative(key, text);
	char *path = relative ? dump_absolute(text) : NULL;

	dump->failed |= relative && !path;
	put_string(dump->out, path ? path : text->s);
	free(path);
}

static void put_value(struct dump *dump, const struct key *key, const void *value)
{
	char text[DURATION_MAX];

	switch (key->kind) {
	case KIND_TEXT:
		put_text(dump, key, value);
		break;
	case KIND_NUMBER:
		put_number(dump->out, ((const struct number *)value)->value);
		break;
	case KIND_DECIMAL:
		put_decimal(dump->out, ((const struct decimal *)value)->value);
		break;
	case KIND_DURATION:
		put_string(dump->out, duration_format(((const struct duration *)value)->ns, text));
		break;
	case KIND_FLAG:
		fputs(((const struct flag *)value)->value ? "true" : "false", dump->out);
		break;
	case KIND_CHOICE:
		put_string(dump->out, dump_choice(key, value));
		break;
	case KIND_TEXTS:
		put_texts(dump->out, value);
		break;
	case KIND_GROUP:
		put_group(dump, key->group, dump_pointer(value));
		break;
	case KIND_GROUPS: {
		const struct list *list = value;

		fputs("(", dump->out);
		for (size_t i = 0; i < list->n; i++) {
			fputs(i ? ", " : " ", dump->out);
			put_group(dump, key->group, dump_item(key, list, i));
		}
		fputs(" )", dump->out);
		break;
	}
	case KIND_INLINE:
	case KIND_IGNORED:
	case KIND_REFUSED:
		break;
	}
}

static void put_group(struct dump *dump, const struct schema *schema, const void *group)
{
	fputs("{ ", dump->out);
	put_fields(dump, schema, group);
	fputs("}", dump->out);
}

static void put_fields(struct dump *dump, const struct schema *schema, const void *group)
{
	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		const void *value = (const char *)group + key->offset;

		if (key->kind == KIND_INLINE) {
			put_fields(dump, key->group, value);
		} else if (dump_is_set(key, value)) {
			fprintf(dump->out, "%s = ", key->name);
			put_value(dump, key, value);
			fputs("; ", dump->out);
		}
	}
}

/* ---- over several lines ------------------------------------------------------------------- */

static void put_indent(struct dump *dump, unsigned indent)
{
	fprintf(dump->out, "%*s", (int)indent, "");
}

/* Text as far as it fits into `room` columns. */
struct line {
	char *text;
	size_t len, size, room;
};

/* For fopencookie(3). Returns `n`, or 0: out of memory, which open_memstream(3) would not tell. */
static ssize_t keep(void *cookie, const char *bytes, size_t n)
{
	struct line *line = cookie;

	if (line->len + n <= line->room) {
		size_t size = line->size ? line->size : COLUMNS;
		char *grown;

		while (size <= line->len + n)
			size *= 2;
		grown = size > line->size ? realloc(line->text, size) : line->text;
		if (!grown)
			return 0;
		line->text = grown;
		line->size = size;
		memcpy(grown + line->len, bytes, n);
		grown[line->len + n] = '\0';
	}
	line->len += n;
	return (ssize_t)n;
}

/*
 * A value of `key`, or without a key a group of `schema`, on one line; NULL when that takes more
 * than `room` columns. malloc'd.
 */
static char *one_line(struct dump *dump, const struct key *key, const struct schema *schema,
		      const void *value, size_t room)
{
	struct line line = {.room = room};
	struct dump inner = {fopencookie(&line, "w", (cookie_io_functions_t){.write = keep}),
			     dump->absolute, false};

	if (inner.out && key)
		put_value(&inner, key, value);
	else if (inner.out)
		put_group(&inner, schema, value);
	if (!inner.out || fclose(inner.out) != 0 || inner.failed)
		dump->failed = true;
	else if (line.len <= room)
		return line.text;
	free(line.text);
	return NULL;
}

/* Columns that are left in a line after `used` ones, and a comma or semicolon. */
static size_t room_after(size_t used)
{
	return used + 1 < COLUMNS ? COLUMNS - 1 - used : 0;
}

/* Returns whether each group of a list fits into a line of its own. */
static bool are_rows(struct dump *dump, const struct key *key, const struct list *list,
		     unsigned indent)
{
	for (size_t i = 0; i < list->n; i++) {
		char *line =
		    one_line(dump, NULL, key->group, dump_item(key, list, i), room_after(indent));

		if (!line)
			return false;
		free(line);
	}
	return list->n > 1;
}

static void put_rows(struct dump *dump, const struct key *key, const struct list *list,
		     unsigned indent)
{
	fputs("(\n", dump->out);
	for (size_t i = 0; i < list->n; i++) {
		put_indent(dump, indent + INDENT);
		put_group(dump, key->group, dump_item(key, list, i));
		fputs(i + 1 < list->n ? ",\n" : "\n", dump->out);
	}
	put_indent(dump, indent);
	fputs(")", dump->out);
}

static void put_broken_list(struct dump *dump, const struct key *key, const struct list *list,
			    unsigned indent)
{
	fputs("( ", dump->out);
	for (size_t i = 0; i < list->n; i++) {
		fputs(i ? ", {\n" : "{\n", dump->out);
		put_lines(dump, key->group, dump_item(key, list, i), indent + INDENT);
		put_indent(dump, indent);
		fputs("}", dump->out);
	}
	fputs(" )", dump->out);
}

static void put_broken_texts(struct dump *dump, const struct list *list, unsigned indent)
{
	const struct text *items = list->items;

	fputs("[\n", dump->out);
	for (size_t i = 0; i < list->n; i++) {
		put_indent(dump, indent + INDENT);
		put_string(dump->out, items[i].s);
		fputs(i + 1 < list->n ? ",\n" : "\n", dump->out);
	}
	put_indent(dump, indent);
	fputs("]", dump->out);
}

static void put_broken(struct dump *dump, const struct key *key, const void *value, unsigned indent)
{
	switch (key->kind) {
	case KIND_TEXTS:
		put_broken_texts(dump, value, indent);
		break;
	case KIND_GROUP:
		fputs("{\n", dump->out);
		put_lines(dump, key->group, dump_pointer(value), indent + INDENT);
		put_indent(dump, indent);
		fputs("}", dump->out);
		break;
	case KIND_GROUPS:
		if (are_rows(dump, key, value, indent + INDENT))
			put_rows(dump, key, value, indent);
		else
			put_broken_list(dump, key, value, indent);
		break;
	default:
		put_value(dump, key, value);
		break;
	}
}

static void put_lines(struct dump *dump, const struct schema *schema, const void *group,
		      unsigned indent)
{
	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		const void *value = (const char *)group + key->offset;
		char *line;

		if (key->kind == KIND_INLINE) {
			put_lines(dump, key->group, value, indent);
			continue;
		}
		if (!dump_is_set(key, value))
			continue;
		put_indent(dump, indent);
		fprintf(dump->out, "%s = ", key->name);
		line = one_line(dump, key, NULL, value,
				room_after(indent + strlen(key->name) + strlen(" = ")));
		if (line)
			fputs(line, dump->out);
		else
			put_broken(dump, key, value, indent);
		free(line);
		fputs(";\n", dump->out);
	}
}

int dump_fields(const struct schema *schema, const void *group, unsigned indent, bool absolute,
		FILE *out)
{
	struct dump dump = {out, absolute, false};

	put_lines(&dump, schema, group, indent);
	return dump.failed || ferror(out) ? -1 : 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void put_resources(struct dump *dump, const char *name, const struct schema *schema,
			  const struct pointers *list)
{
	if (!list->n)
		return;
	fprintf(dump->out, "%s = ( ", name);
	for (size_t i = 0; i < list->n; i++) {
		fputs(i ? ", {\n" : "{\n", dump->out);
		put_lines(dump, schema, list->items[i], INDENT);
		fputs("}", dump->out);
	}
	fputs(" );\n", dump->out);
}

int rules_dump(const struct rules *rules, FILE *out)
{
	struct dump dump = {out, true, false};

	put_resources(&dump, "serviceEntries", &service_entry_schema, &rules->service_entries);
	put_resources(&dump, "virtualServices", &virtual_service_schema, &rules->virtual_services);
	put_resources(&dump, "destinationRules", &destination_rule_schema,
		      &rules->destination_rules);
	if (rules->mesh_config) {
		fputs("meshConfig = {\n", out);
		put_lines(&dump, &mesh_config_schema, rules->mesh_config, INDENT);
		fputs("};\n", out);
	}
	return dump.failed || ferror(out) ? -1 : 0;
}
