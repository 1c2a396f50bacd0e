/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader behind the tables. A value of the wrong type is reported and left out, and the reader
 * goes on: all errors of a file come in one run, so whatever follows must cope with absent values.
 */
#include "rules/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rules/suggest.h"
#include "rules/utf8.h"

static void say(struct reader *reader, enum severity severity, const struct where *where,
		const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void say(struct reader *reader, enum severity severity, const struct where *where,
		const char *format, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	diag_add(reader->diags, severity, where, "%s", text);
}

void reader_error(struct reader *reader, const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, SEVERITY_ERROR, where, format, args);
	va_end(args);
}

void reader_warning(struct reader *reader, const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, SEVERITY_WARNING, where, format, args);
	va_end(args);
}

void reader_oom(struct reader *reader)
{
	/* The region remembers; rules_load() reports it. */
	reader->rules->region.failed = true;
}

static struct where where_of(struct reader *reader, const config_setting_t *setting)
{
	return source_where(reader->source, config_setting_source_line(setting));
}

static const char *type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "an integer";
	case CONFIG_TYPE_FLOAT:
		return "a floating-point number";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "a boolean";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	case CONFIG_TYPE_LIST:
		return "a list";
	default:
		return "nothing";
	}
}

static void wrong_type(struct reader *reader, const struct schema *schema, const struct key *key,
		       const config_setting_t *setting, const char *wanted)
{
	const struct where where = where_of(reader, setting);
	bool top = schema == &rule_file_schema;

	reader_error(reader, &where, "%s%s%s must be %s, not %s", top ? "" : schema->name,
		     top ? "" : ".", key->name, wanted, type_name(setting));
}

/* Control characters have no business in any name, path or header, and would let a value break
 * out of the line that it is written into. */
static const char *take_text(struct reader *reader, const struct schema *schema,
			     const struct key *key, const config_setting_t *setting)
{
	const char *text = config_setting_get_string(setting);
	const struct where where = where_of(reader, setting);
	size_t len = strlen(text);
	char *copy;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
			continue;
		reader_error(reader, &where, "%s.%s holds a control character", schema->name,
			     key->name);
		return NULL;
	}
	if (utf8_valid_prefix(text, len) < len) {
		reader_error(reader, &where, "%s.%s is not valid UTF-8", schema->name, key->name);
		return NULL;
	}
	copy = region_strndup(&reader->rules->region, text, len);
	return copy;
}

static void read_text(struct reader *reader, const struct schema *schema, const struct key *key,
		      config_setting_t *setting, struct text *out)
{
	if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
		wrong_type(reader, schema, key, setting, "a string");
		return;
	}
	out->where = where_of(reader, setting);
	out->s = take_text(reader, schema, key, setting);
	if (out->s && key->check)
		key->check(reader, out);
}

static void read_number(struct reader *reader, const struct schema *schema, const struct key *key,
			config_setting_t *setting, struct number *out)
{
	int type = config_setting_type(setting);

	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
		wrong_type(reader, schema, key, setting, "an integer");
		return;
	}
	out->where = where_of(reader, setting);
	out->value = type == CONFIG_TYPE_INT ? config_setting_get_int(setting)
					     : config_setting_get_int64(setting);
	out->set = true;
	if (key->check)
		key->check(reader, out);
}

static void read_flag(struct reader *reader, const struct schema *schema, const struct key *key,
		      config_setting_t *setting, struct flag *out)
{
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL) {
		wrong_type(reader, schema, key, setting, "a boolean");
		return;
	}
	out->where = where_of(reader, setting);
	out->value = config_setting_get_bool(setting);
}

static void unknown_choice(struct reader *reader, const struct schema *schema,
			   const struct key *key, const struct where *where, const char *text)
{
	struct suggestion suggestion;
	char list[256] = "", what[128];
	size_t len = 0;

	suggestion_init(&suggestion, text);
	for (const struct choice_name *choice = key->choices; choice->name; choice++) {
		suggestion_offer(&suggestion, choice->name);
		if (!choice->refusal && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", choice->name);
	}
	snprintf(what, sizeof(what), "%s.%s: unknown value", schema->name, key->name);
	if (suggestion.best)
		reader_error(reader, where, "%s \"%s\" (did you mean \"%s\"?)",
			     key->unknown ? key->unknown : what, text, suggestion.best);
	else
		reader_error(reader, where, "%s \"%s\" (one of %s)",
			     key->unknown ? key->unknown : what, text, list);
}

static void read_choice(struct reader *reader, const struct schema *schema, const struct key *key,
			config_setting_t *setting, struct choice *out)
{
	const char *text;

	out->where = where_of(reader, setting); /* it was there, whatever it was */
	if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
		wrong_type(reader, schema, key, setting, "a string");
		return;
	}
	text = config_setting_get_string(setting);
	for (const struct choice_name *choice = key->choices; choice->name; choice++) {
		if (key->any_case ? strcasecmp(text, choice->name) : strcmp(text, choice->name))
			continue;
		if (choice->refusal) {
			reader_error(reader, &out->where, "%s.%s: %s", schema->name, key->name,
				     choice->refusal);
			return;
		}
		out->value = choice->value;
		out->set = true;
		return;
	}
	unknown_choice(reader, schema, key, &out->where, text);
}

static void read_texts(struct reader *reader, const struct schema *schema, const struct key *key,
		       config_setting_t *setting, struct list *out)
{
	int type = config_setting_type(setting);
	int n = type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY
		    ? config_setting_length(setting)
		    : -1;
	struct text *items;

	if (n < 0) {
		wrong_type(reader, schema, key, setting, "a list of strings");
		return;
	}
	out->where = where_of(reader, setting);
	out->items = items = region_array(&reader->rules->region, (size_t)n, sizeof(*items));
	for (int i = 0; items && i < n; i++) {
		config_setting_t *item = config_setting_get_elem(setting, (unsigned)i);

		if (config_setting_type(item) != CONFIG_TYPE_STRING) {
			wrong_type(reader, schema, key, item, "a list of strings");
			continue;
		}
		items[out->n].where = where_of(reader, item);
		items[out->n].s = take_text(reader, schema, key, item);
		out->n += items[out->n].s != NULL;
	}
	if (key->check)
		key->check(reader, out);
}

static void read_group(struct reader *reader, const struct schema *schema, const struct key *key,
		       config_setting_t *setting, void *out)
{
	void *group;

	if (config_setting_type(setting) != CONFIG_TYPE_GROUP) {
		wrong_type(reader, schema, key, setting, "a group");
		return;
	}
	group = region_alloc(&reader->rules->region, key->group->size);
	/* A pointer of another type lies there. */
	memcpy(out, &group, sizeof(group));
	if (group)
		schema_read(reader, key->group, setting, group);
}

static void read_groups(struct reader *reader, const struct schema *schema, const struct key *key,
			config_setting_t *setting, struct list *out)
{
	int type = config_setting_type(setting);
	int n = type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY
		    ? config_setting_length(setting)
		    : -1;
	char *items;

	if (n < 0) {
		wrong_type(reader, schema, key, setting, "a list of groups");
		return;
	}
	out->where = where_of(reader, setting);
	out->items = items = region_array(&reader->rules->region, (size_t)n, key->group->size);
	for (int i = 0; items && i < n; i++) {
		config_setting_t *item = config_setting_get_elem(setting, (unsigned)i);

		if (config_setting_type(item) != CONFIG_TYPE_GROUP) {
			wrong_type(reader, schema, key, item, "a list of groups");
			continue;
		}
		schema_read(reader, key->group, item, items + out->n * key->group->size);
		out->n++;
	}
	if (key->check)
		key->check(reader, out);
}

/* Every member begins at its offset with the type that its kind names (schema.h). */
static void read_value(struct reader *reader, const struct schema *schema, const struct key *key,
		       config_setting_t *setting, void *group)
{
	void *out = (char *)group + key->offset;
	const struct where where = where_of(reader, setting);

	switch (key->kind) {
	case KIND_TEXT:
		read_text(reader, schema, key, setting, out);
		break;
	case KIND_NUMBER:
		read_number(reader, schema, key, setting, out);
		break;
	case KIND_FLAG:
		read_flag(reader, schema, key, setting, out);
		break;
	case KIND_CHOICE:
		read_choice(reader, schema, key, setting, out);
		break;
	case KIND_TEXTS:
		read_texts(reader, schema, key, setting, out);
		break;
	case KIND_GROUP:
		read_group(reader, schema, key, setting, out);
		break;
	case KIND_GROUPS:
		read_groups(reader, schema, key, setting, out);
		break;
	case KIND_IGNORED:
		reader_warning(reader, &where, "%s.%s has no effect here%s%s", schema->name,
			       key->name, key->advice ? ": " : "", key->advice ? key->advice : "");
		break;
	case KIND_REFUSED:
		reader_error(reader, &where, "%s.%s is not supported%s%s", schema->name, key->name,
			     key->advice ? ": " : " by this version",
			     key->advice ? key->advice : "");
		if (key->offset)
			*(bool *)out = true;
		break;
	case KIND_INLINE:
		break;
	}
}

/* The key of that name, here or in a schema whose keys stand here; `*owner` and `*group` become
 * the schema and struct that it belongs to. */
static const struct key *find_key(const struct schema **owner, void **group, const char *name)
{
	const struct schema *schema = *owner;
	const struct schema *inner;
	const struct key *found;
	void *part;

	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		if (key->kind != KIND_INLINE) {
			if (!strcmp(key->name, name))
				return key;
			continue;
		}
		inner = key->group;
		part = (char *)*group + key->offset;
		found = find_key(&inner, &part, name);
		if (found) {
			*owner = inner;
			*group = part;
			return found;
		}
	}
	return NULL;
}

static void offer_keys(struct suggestion *suggestion, const struct schema *schema)
{
	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		if (key->kind == KIND_INLINE)
			offer_keys(suggestion, key->group);
		else
			suggestion_offer(suggestion, key->name);
	}
}

static void unknown_key(struct reader *reader, const struct schema *schema,
			const config_setting_t *setting)
{
	const struct where where = where_of(reader, setting);
	const char *name = config_setting_name(setting);
	struct suggestion suggestion;

	suggestion_init(&suggestion, name);
	offer_keys(&suggestion, schema);
	if (suggestion.best)
		reader_error(reader, &where, "unknown key \"%s\" in %s (did you mean \"%s\"?)",
			     name, schema->name, suggestion.best);
	else
		reader_error(reader, &where, "unknown key \"%s\" in %s", name, schema->name);
}

/* Required keys, and the checks of inline parts (which have no group of their own). */
static void finish(struct reader *reader, const struct schema *schema, config_setting_t *setting,
		   void *group)
{
	const struct where *where = group;

	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		if (key->kind == KIND_INLINE) {
			struct where *inner = (struct where *)((char *)group + key->offset);

			*inner = *where;
			finish(reader, key->group, setting, inner);
		} else if (key->required && !config_setting_get_member(setting, key->name)) {
			reader_error(reader, where, "%s", key->required);
		}
	}
	if (schema->check)
		schema->check(reader, group);
}

void schema_read(struct reader *reader, const struct schema *schema, config_setting_t *setting,
		 void *group)
{
	int n = config_setting_length(setting);

	*(struct where *)group = where_of(reader, setting);
	for (int i = 0; i < n; i++) {
		config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
		const struct schema *owner = schema;
		void *part = group;
		const struct key *key = find_key(&owner, &part, config_setting_name(member));

		if (key)
			read_value(reader, owner, key, member, part);
		else
			unknown_key(reader, schema, member);
	}
	finish(reader, schema, setting, group);
}
