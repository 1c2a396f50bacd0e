/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader behind the tables. A value of the wrong type is reported and left out, and the reader
 * goes on: all errors of a file come in one run, so whatever follows must cope with absent values.
 */
#include "rules/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/decimal.h"
#include "rules/duration.h"
#include "rules/suggest.h"
#include "rules/utf8.h"

/* ---- the tree ----------------------------------------------------------------------------- */

static enum tree_kind kind_of(const struct reader *reader, const void *node)
{
	return reader->ops->kind(reader->tree, node);
}

static size_t length_of(const struct reader *reader, const void *node)
{
	return reader->ops->length(reader->tree, node);
}

static const void *child_of(const struct reader *reader, const void *node, size_t i)
{
	return reader->ops->child(reader->tree, node, i);
}

static const char *name_of(const struct reader *reader, const void *node)
{
	return reader->ops->name(reader->tree, node);
}

static struct where where_of(const struct reader *reader, const void *node)
{
	return reader->ops->where(reader->tree, node);
}

const void *reader_member(const struct reader *reader, const void *group, const char *name)
{
	size_t n = length_of(reader, group);

	for (size_t i = 0; i < n; i++) {
		const void *member = child_of(reader, group, i);

		if (!strcmp(name_of(reader, member), name))
			return member;
	}
	return NULL;
}

static void wrong_type(struct reader *reader, const struct schema *schema, const struct key *key,
		       const void *node, const char *wanted)
{
	static const char *const names[] = {
	    [TREE_NONE] = "nothing",
	    [TREE_TEXT] = "a string",
	    [TREE_INTEGER] = "an integer",
	    [TREE_DECIMAL] = "a floating-point number",
	    [TREE_FLAG] = "a boolean",
	    [TREE_LIST] = "a list",
	    [TREE_GROUP] = "a group",
	};
	const struct where where = where_of(reader, node);
	bool top = schema == &rule_file_schema;

	reader_refuse(reader, &where, "%s%s%s must be %s, not %s", top ? "" : schema->name,
	       top ? "" : ".", key->name, wanted, names[kind_of(reader, node)]);
}

/* ---- values ------------------------------------------------------------------------------- */

/* Control characters have no business in any name, path or header, and would let a value break
 * out of the line that it is written into. */
static const char *take_text(struct reader *reader, const struct schema *schema,
			     const struct key *key, const void *node, const char *text)
{
	const struct where where = where_of(reader, node);
	size_t len = strlen(text);

	for (size_t i = 0; i < len && !key->plain; i++) {
		if ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
			continue;
		reader_refuse(reader, &where, "%s.%s holds a control character", schema->name, key->name);
		return NULL;
	}
	if (utf8_valid_prefix(text, len) < len) {
		reader_refuse(reader, &where, "%s.%s is not valid UTF-8", schema->name, key->name);
		return NULL;
	}
	return region_strndup(&reader->rules->region, text, len);
}

static void read_text(struct reader *reader, const struct schema *schema, const struct key *key,
		      const void *node, struct text *out)
{
	if (kind_of(reader, node) != TREE_TEXT) {
		wrong_type(reader, schema, key, node, "a string");
		return;
	}
	out->where = where_of(reader, node);
	out->s = take_text(reader, schema, key, node, reader->ops->text(reader->tree, node));
	if (out->s && key->check)
		key->check(reader, out);
}

/* An integer; a text of digits too, where the notation is loose (protobuf's JSON allows it). */
static bool take_integer(struct reader *reader, const void *node, long long *value)
{
	enum tree_kind kind = kind_of(reader, node);
	const char *text;
	char *end;

	if (kind == TREE_INTEGER)
		*value = reader->ops->integer(reader->tree, node);
	if (kind == TREE_DECIMAL && reader->ops->loose) { /* 80.0, 1e3 */
		double decimal = reader->ops->decimal(reader->tree, node);

		if (!(decimal >= -0x1p53 && decimal <= 0x1p53))
			return false;
		*value = (long long)decimal;
		return (double)*value == decimal;
	}
	if (kind != TREE_TEXT || !reader->ops->loose)
		return kind == TREE_INTEGER;
	text = reader->ops->text(reader->tree, node);
	errno = 0;
	*value = strtoll(text, &end, 10);
	return (ascii_is_digit(*text) || *text == '-') && end != text && !*end && !errno;
}

static void read_number(struct reader *reader, const struct schema *schema, const struct key *key,
			const void *node, struct number *out)
{
	if (!take_integer(reader, node, &out->value)) {
		wrong_type(reader, schema, key, node, "an integer");
		return;
	}
	out->where = where_of(reader, node);
	out->set = true;
	if (key->check)
		key->check(reader, out);
}

/* A number in quotes, where the notation is loose. */
static bool take_decimal(struct reader *reader, const void *node, double *value)
{
	const char *text;
	char *end;

	if (kind_of(reader, node) != TREE_TEXT || !reader->ops->loose)
		return false;
	text = reader->ops->text(reader->tree, node);
	*value = decimal_parse(text, &end);
	return end != text && !*end && !text[strspn(text, "+-.0123456789eE")];
}

static void read_decimal(struct reader *reader, const struct schema *schema, const struct key *key,
			 const void *node, struct decimal *out)
{
	long long integer;

	if (kind_of(reader, node) == TREE_DECIMAL) {
		out->value = reader->ops->decimal(reader->tree, node);
	} else if (take_integer(reader, node, &integer)) {
		out->value = (double)integer;
	} else if (take_decimal(reader, node, &out->value)) {
		; /* done */
	} else {
		wrong_type(reader, schema, key, node, "a number");
		return;
	}
	out->where = where_of(reader, node);
	out->set = true;
	if (key->check)
		key->check(reader, out);
}

static void read_duration(struct reader *reader, const struct schema *schema, const struct key *key,
			  const void *node, struct duration *out)
{
	const struct where where = where_of(reader, node);
	const char *text;

	if (kind_of(reader, node) != TREE_TEXT) {
		wrong_type(reader, schema, key, node, "a duration like \"1.5s\"");
		return;
	}
	text = take_text(reader, schema, key, node, reader->ops->text(reader->tree, node));
	if (!text)
		return;
	if (!duration_parse(text, &out->ns)) {
		reader_refuse(reader, &where,
		       "%s.%s: \"%.64s\" is no duration (write \"1.5s\", \"250ms\", \"1h30m\")",
		       schema->name, key->name, text);
		return;
	}
	out->where = where;
	out->set = true;
	if (key->check)
		key->check(reader, out);
}

static void read_flag(struct reader *reader, const struct schema *schema, const struct key *key,
		      const void *node, struct flag *out)
{
	if (kind_of(reader, node) != TREE_FLAG) {
		wrong_type(reader, schema, key, node, "a boolean");
		return;
	}
	out->where = where_of(reader, node);
	out->value = reader->ops->flag(reader->tree, node);
	out->set = true;
	if (key->check)
		key->check(reader, out);
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
		if (!choice->refusal && !choice->deprecated && *choice->name && len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", choice->name);
	}
	snprintf(what, sizeof(what), "%s.%s: unknown value", schema->name, key->name);
	/* Where the text is Istio's own, the code is, too. */
	if (suggestion.best)
		reader_say(reader, SEVERITY_REJECTED, key->unknown ? "IST0106" : NULL, where,
			   "%s \"%.200s\" (did you mean \"%s\"?)",
			   key->unknown ? key->unknown : what, text, suggestion.best);
	else
		reader_say(reader, SEVERITY_REJECTED, key->unknown ? "IST0106" : NULL, where,
			   "%s \"%.200s\" (one of %s)", key->unknown ? key->unknown : what, text,
			   list);
}

static void read_choice(struct reader *reader, const struct schema *schema, const struct key *key,
			const void *node, struct choice *out)
{
	const char *text;

	out->where = where_of(reader, node); /* it was there, whatever it was */
	if (kind_of(reader, node) != TREE_TEXT) {
		wrong_type(reader, schema, key, node, "a string");
		return;
	}
	text = take_text(reader, schema, key, node, reader->ops->text(reader->tree, node));
	if (!text)
		return;
	for (const struct choice_name *choice = key->choices; choice->name; choice++) {
		if (!(key->any_case ? ascii_equal_nocase(text, choice->name)
				    : !strcmp(text, choice->name)))
			continue;
		if (choice->refusal) {
			reader_refuse(reader, &out->where, "%s.%s: %s", schema->name, key->name,
			       choice->refusal);
			return;
		}
		if (choice->gap)
			reader_gap(reader, &out->where, schema->name, key->name, choice->name);
		if (choice->deprecated)
			reader_say(reader, SEVERITY_WARNING, "IST0002", &out->where,
				   "Deprecated: %s.%s %s", schema->name, key->name, choice->name);
		out->value = choice->value;
		out->set = true;
		if (key->check)
			key->check(reader, out);
		return;
	}
	unknown_choice(reader, schema, key, &out->where, text);
}

static void read_texts(struct reader *reader, const struct schema *schema, const struct key *key,
		       const void *node, struct list *out)
{
	struct text *items;
	size_t n;

	if (kind_of(reader, node) != TREE_LIST) {
		wrong_type(reader, schema, key, node, "a list of strings");
		return;
	}
	n = length_of(reader, node);
	out->where = where_of(reader, node);
	out->items = items = region_array(&reader->rules->region, n, sizeof(*items));
	for (size_t i = 0; items && i < n; i++) {
		const void *item = child_of(reader, node, i);

		if (kind_of(reader, item) != TREE_TEXT) {
			wrong_type(reader, schema, key, item, "a list of strings");
			continue;
		}
		items[out->n].where = where_of(reader, item);
		items[out->n].s =
		    take_text(reader, schema, key, item, reader->ops->text(reader->tree, item));
		out->n += items[out->n].s != NULL;
	}
	if (key->check)
		key->check(reader, out);
}

/* ---- groups ------------------------------------------------------------------------------- */

static void read_group(struct reader *reader, const struct schema *schema, const struct key *key,
		       const void *node, void *out)
{
	void *group;

	if (kind_of(reader, node) != TREE_GROUP) {
		wrong_type(reader, schema, key, node, "a group");
		return;
	}
	group = region_alloc(&reader->rules->region, key->group->size);
	/* A pointer of another type lies there. */
	memcpy(out, &group, sizeof(group));
	if (group)
		schema_read(reader, key->group, node, group);
}

static void read_value(struct reader *reader, const struct schema *schema, const struct key *key,
		       const void *node, void *group);
static void read_members(struct reader *reader, const struct schema *schema, const void *node,
			 void *group);
static void finish(struct reader *reader, const struct schema *schema, const void *node,
		   void *group, bool named);

static const struct key *find_key(const struct schema **owner, void **group, const char *name);

/* An entry of a map with free keys: its name is the key, its value the rest. */
static void read_entry(struct reader *reader, const struct schema *schema, const void *node,
		       void *out)
{
	const struct schema *owner = schema;
	void *part = out;
	const struct key *name = find_key(&owner, &part, "name");
	struct text *text = (struct text *)((char *)part + name->offset);
	const struct key *value;

	*(struct where *)out = where_of(reader, node);
	text->where = where_of(reader, node);
	text->s = take_text(reader, owner, name, node, name_of(reader, node));
	if (text->s && name->check)
		name->check(reader, text);
	owner = schema;
	part = out;
	value = find_key(&owner, &part, "value");
	if (value)
		read_value(reader, owner, value, node, part);
	else if (kind_of(reader, node) == TREE_GROUP && reader_member(reader, node, "name"))
		reader_refuse(reader, &text->where, "unknown key \"name\" in %s: the name is \"%.200s\"",
			      schema->name, text->s ? text->s : "");
	else if (kind_of(reader, node) == TREE_GROUP)
		read_members(reader, schema, node, out);
	else if (kind_of(reader, node) == TREE_NONE && schema->null)
		reader_error(reader, &text->where, "%s %.200s cannot be null", schema->null,
			     text->s ? text->s : "");
	else if (kind_of(reader, node) != TREE_NONE)
		reader_refuse(reader, &text->where, "%s: \"%.200s\" must be a group", schema->name,
		       text->s ? text->s : "");
	finish(reader, schema, kind_of(reader, node) == TREE_GROUP ? node : NULL, out, true);
}

static void read_groups(struct reader *reader, const struct schema *schema, const struct key *key,
			const void *node, struct list *out)
{
	bool map = key->map && reader->ops->free_keys;
	char *items;
	size_t n;

	if (kind_of(reader, node) != (map ? TREE_GROUP : TREE_LIST)) {
		wrong_type(reader, schema, key, node, map ? "a map" : "a list of groups");
		return;
	}
	n = length_of(reader, node);
	out->where = where_of(reader, node);
	out->items = items = region_array(&reader->rules->region, n, key->group->size);
	for (size_t i = 0; items && i < n; i++) {
		const void *item = child_of(reader, node, i);
		char *group = items + out->n * key->group->size;

		if (map) {
			read_entry(reader, key->group, item, group);
		} else if (kind_of(reader, item) == TREE_GROUP) {
			schema_read(reader, key->group, item, group);
		} else {
			wrong_type(reader, schema, key, item, "a list of groups");
			continue;
		}
		out->n++;
	}
	if (key->check)
		key->check(reader, out);
}

static void read_ignored(struct reader *reader, const struct schema *schema, const struct key *key,
			 const struct where *where)
{
	if (key->kind == KIND_IGNORED)
		reader_say(reader, SEVERITY_WARNING, NULL, where, "%s.%s has no effect here%s%s",
			   schema->name, key->name, key->advice ? ": " : "",
			   key->advice ? key->advice : "");
	else
		reader_refuse(reader, where, "%s.%s is not supported%s%s", schema->name, key->name,
		       key->advice ? ": " : "", key->advice ? key->advice : "");
}

/* Every member begins at its offset with the type that its kind names (schema.h). */
static void read_value(struct reader *reader, const struct schema *schema, const struct key *key,
		       const void *node, void *group)
{
	void *out = (char *)group + key->offset;
	const struct where where = where_of(reader, node);

	if (key->gap)
		reader_gap(reader, &where, schema->name, key->name, NULL);
	if (key->deprecated)
		reader_say(reader, SEVERITY_WARNING, "IST0002", &where, "Deprecated: %s.%s (%s)",
			   schema->name, key->name, key->deprecated);
	switch (key->kind) {
	case KIND_TEXT:
		read_text(reader, schema, key, node, out);
		break;
	case KIND_NUMBER:
		read_number(reader, schema, key, node, out);
		break;
	case KIND_DECIMAL:
		read_decimal(reader, schema, key, node, out);
		break;
	case KIND_DURATION:
		read_duration(reader, schema, key, node, out);
		break;
	case KIND_FLAG:
		read_flag(reader, schema, key, node, out);
		break;
	case KIND_CHOICE:
		read_choice(reader, schema, key, node, out);
		break;
	case KIND_TEXTS:
		read_texts(reader, schema, key, node, out);
		break;
	case KIND_GROUP:
		read_group(reader, schema, key, node, out);
		break;
	case KIND_GROUPS:
		read_groups(reader, schema, key, node, out);
		break;
	case KIND_IGNORED:
	case KIND_REFUSED:
		read_ignored(reader, schema, key, &where);
		if (key->offset)
			*(struct where *)out = where;
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

static void unknown_key(struct reader *reader, const struct schema *schema, const void *node)
{
	const struct where where = where_of(reader, node);
	const char *name = name_of(reader, node);
	struct suggestion suggestion;

	suggestion_init(&suggestion, name);
	offer_keys(&suggestion, schema);
	if (suggestion.best)
		reader_refuse(reader, &where, "unknown key \"%.200s\" in %s (did you mean \"%s\"?)", name,
		       schema->name, suggestion.best);
	else
		reader_refuse(reader, &where, "unknown key \"%.200s\" in %s", name, schema->name);
}

static void read_members(struct reader *reader, const struct schema *schema, const void *node,
			 void *group)
{
	size_t n = length_of(reader, node);

	for (size_t i = 0; i < n; i++) {
		const void *member = child_of(reader, node, i);
		const struct schema *owner = schema;
		void *part = group;
		const struct key *key = find_key(&owner, &part, name_of(reader, member));

		if (!key)
			unknown_key(reader, schema, member);
		else if (kind_of(reader, member) != TREE_NONE) /* YAML's null: not set */
			read_value(reader, owner, key, member, part);
	}
}

/* YAML's null is as if the key were not there. */
static bool has_value(const struct reader *reader, const void *node, const char *name)
{
	const void *member = node ? reader_member(reader, node, name) : NULL;

	return member && kind_of(reader, member) != TREE_NONE;
}

/* Required keys, and the checks of inline parts (which have no group of their own). `named`: the
 * key "name" came from elsewhere. `node` may be NULL: nothing else was written. */
static void finish(struct reader *reader, const struct schema *schema, const void *node,
		   void *group, bool named)
{
	const struct where *where = group;

	for (const struct key *key = schema->keys; key < schema->keys + schema->n_keys; key++) {
		if (key->kind == KIND_INLINE) {
			struct where *inner = (struct where *)((char *)group + key->offset);

			*inner = *where;
			finish(reader, key->group, node, inner, named);
		} else if (key->required && !(named && (!strcmp(key->name, "name") ||
							!strcmp(key->name, "value"))) &&
			   !has_value(reader, node, key->name)) {
			reader_error(reader, where, "%s", key->required);
		}
	}
	if (schema->check)
		schema->check(reader, group);
}

/* What diagnostics inside of a resource are about. */
static const char *resource_name(struct reader *reader, const struct schema *schema,
				 const void *node)
{
	const void *name = reader_member(reader, node, "name");

	if (!name || kind_of(reader, name) != TREE_TEXT)
		return schema->name;
	return region_printf(&reader->rules->region, "%s %s", schema->name,
			     reader->ops->text(reader->tree, name));
}

void schema_read(struct reader *reader, const struct schema *schema, const void *node, void *out)
{
	const char *outer = reader->resource;

	if (schema->resource)
		reader->resource = resource_name(reader, schema, node);
	if (schema->prepare)
		schema->prepare(reader, node);
	*(struct where *)out = where_of(reader, node);
	read_members(reader, schema, node, out);
	finish(reader, schema, node, out, false);
	reader->resource = outer;
}
