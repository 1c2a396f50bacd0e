/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rules/dump.h"
#include "rules/dump_value.h"
#include "rules/schema.h"

#define INDENT 2

struct json {
	FILE *out;
	unsigned indent;
	bool first; /* nothing was written into the present object or list yet */
	bool failed;
};

static void put_fields(struct json *json, const struct schema *schema, const void *group,
		       const char *without);

static void put_string(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void open_part(struct json *json, char bracket)
{
	putc(bracket, json->out);
	json->indent += INDENT;
	json->first = true;
}

static void next_item(struct json *json)
{
	fprintf(json->out, "%s\n%*s", json->first ? "" : ",", (int)json->indent, "");
	json->first = false;
}

static void close_part(struct json *json, char bracket)
{
	json->indent -= INDENT;
	if (!json->first)
		fprintf(json->out, "\n%*s", (int)json->indent, "");
	putc(bracket, json->out);
	json->first = false;
}

static void put_key(struct json *json, const char *name)
{
	next_item(json);
	put_string(json->out, name);
	fputs(": ", json->out);
}

static void put_object(struct json *json, const struct schema *schema, const void *group,
		       const char *without)
{
	open_part(json, '{');
	put_fields(json, schema, group, without);
	close_part(json, '}');
}

static const struct key *key_named(const struct schema *schema, const char *name)
{
	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++)
		if (!strcmp(key->name, name))
			return key;
	return NULL;
}

static void put_value(struct json *json, const struct key *key, const void *value);

/* {"name": value} or {"name": {the other fields}} */
static void put_map(struct json *json, const struct schema *schema, const struct list *list)
{
	const struct key *name = key_named(schema, "name"), *value = key_named(schema, "value");

	open_part(json, '{');
	for (size_t i = 0; i < list->n; i++) {
		const char *group = (const char *)list->items + i * schema->size;
		const struct text *text = (const struct text *)(group + name->offset);

		put_key(json, text->s ? text->s : "");
		if (value && dump_is_set(value, group + value->offset))
			put_value(json, value, group + value->offset);
		else if (value)
			fputs("null", json->out);
		else
			put_object(json, schema, group, "name");
	}
	close_part(json, '}');
}

static void put_list(struct json *json, const struct schema *schema, const struct list *list)
{
	open_part(json, '[');
	for (size_t i = 0; i < list->n; i++) {
		next_item(json);
		put_object(json, schema, (const char *)list->items + i * schema->size, NULL);
	}
	close_part(json, ']');
}

static void put_texts(struct json *json, const struct list *list)
{
	const struct text *items = list->items;

	putc('[', json->out);
	for (size_t i = 0; i < list->n; i++) {
		fputs(i ? ", " : "", json->out);
		put_string(json->out, items[i].s);
	}
	putc(']', json->out);
}

static void put_text(struct json *json, const struct key *key, const struct text *text)
{
	bool relative = dump_is_relative(key, text);
	char *path = relative ? dump_absolute(text) : NULL;

	json->failed |= relative && !path;
	put_string(json->out, path ? path : text->s);
	free(path);
}

static void put_value(struct json *json, const struct key *key, const void *value)
{
	char text[DURATION_MAX > DECIMAL_MAX ? DURATION_MAX : DECIMAL_MAX];

	switch (key->kind) {
	case KIND_TEXT:
		put_text(json, key, value);
		break;
	case KIND_NUMBER:
		fprintf(json->out, "%lld", ((const struct number *)value)->value);
		break;
	case KIND_DECIMAL:
		fputs(decimal_format(((const struct decimal *)value)->value, text), json->out);
		break;
	case KIND_DURATION:
		put_string(json->out, duration_format(((const struct duration *)value)->ns, text));
		break;
	case KIND_FLAG:
		fputs(((const struct flag *)value)->value ? "true" : "false", json->out);
		break;
	case KIND_CHOICE:
		put_string(json->out, dump_choice(key, value));
		break;
	case KIND_TEXTS:
		put_texts(json, value);
		break;
	case KIND_GROUP:
		put_object(json, key->group, dump_pointer(value), NULL);
		break;
	case KIND_GROUPS:
		if (key->map)
			put_map(json, key->group, value);
		else
			put_list(json, key->group, value);
		break;
	case KIND_INLINE:
	case KIND_IGNORED:
	case KIND_REFUSED:
		break;
	}
}

static void put_fields(struct json *json, const struct schema *schema, const void *group,
		       const char *without)
{
	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		const void *value = (const char *)group + key->offset;

		if (key->kind == KIND_INLINE) {
			put_fields(json, key->group, value, NULL);
		} else if (dump_is_set(key, value) && (!without || strcmp(key->name, without))) {
			put_key(json, key->name);
			put_value(json, key, value);
		}
	}
}

static void put_resources(struct json *json, const char *name, const struct schema *schema,
			  const struct pointers *list)
{
	put_key(json, name);
	open_part(json, '[');
	for (size_t i = 0; i < list->n; i++) {
		next_item(json);
		put_object(json, schema, list->items[i], NULL);
	}
	close_part(json, ']');
}

int rules_dump_json(const struct rules *rules, FILE *out)
{
	struct json json = {out, 0, true, false};

	open_part(&json, '{');
	put_resources(&json, "serviceEntries", &service_entry_schema, &rules->service_entries);
	put_resources(&json, "virtualServices", &virtual_service_schema, &rules->virtual_services);
	put_resources(&json, "destinationRules", &destination_rule_schema,
		      &rules->destination_rules);
	put_key(&json, "meshConfig");
	if (rules->mesh_config)
		put_object(&json, &mesh_config_schema, rules->mesh_config, NULL);
	else
		fputs("{}", out);
	close_part(&json, '}');
	putc('\n', out);
	return json.failed || ferror(out) ? -1 : 0;
}
