/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recursive descent over libyaml's events; its depth is bounded. Children are gathered on one
 * stack of nodes and copied to the region when their list or group is complete.
 *
 * Errors of two sorts: what is wrong with one value is kept on its node and the reading goes on;
 * what leaves the rest without meaning (syntax, nesting, aliases) ends it with -1.
 */
#include "tools/import_yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "rules/table.h"
#include "tools/import_scalar.h"
#include "tools/import_syntax.h"
#include "tools/import_wrong.h"

#define DEPTH_MAX 64	   /* as in rule files */
#define NODES_MAX 2000000u /* of one text, aliases expanded */

struct anchor {
	struct yaml_node node;
	bool open; /* what it names is still being read */
};

struct yaml_reader {
	const struct yaml_reading *reading;
	const struct yaml_input *input;
	yaml_parser_t parser;
	struct table anchors; /* of this document: name -> struct anchor */
	struct yaml_node *stack;
	size_t n_stack, size_stack;
	uint32_t nodes; /* so far */
};

/* ---- diagnostics -------------------------------------------------------------------------- */

static int line_of(const struct yaml_reader *reader, const yaml_mark_t *mark)
{
	return syntax_line(reader->input, mark);
}

static void complain(struct yaml_reader *reader, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct yaml_reader *reader, int line, const char *format, ...)
{
	const struct where where = {reader->input->file, line};
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diag_add(reader->reading->diags, SEVERITY_REJECTED, &where, "%s", text);
}

/* The same about one value; `key` as in wrong_add(). */
static void complain_of(struct yaml_reader *reader, struct yaml_node *node, int line,
			const char *key, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void complain_of(struct yaml_reader *reader, struct yaml_node *node, int line,
			const char *key, const char *format, ...)
{
	struct region *region = reader->reading->region;
	char text[512], *kept;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	kept = region_strdup(region, text);
	/* What cannot be kept for later is said now. */
	if (!kept || wrong_add(region, node, line, key, kept) < 0)
		complain(reader, line, "%s", text);
}

static int out_of_memory(struct yaml_reader *reader)
{
	diag_add(reader->reading->diags, SEVERITY_REJECTED, NULL, "out of memory");
	return -1;
}

static int syntax_error(struct yaml_reader *reader)
{
	char text[512];
	int line;

	if (reader->parser.error == YAML_MEMORY_ERROR)
		return out_of_memory(reader);
	line = syntax_describe(&reader->parser, reader->input, text, sizeof(text));
	complain(reader, line, "%s", text);
	return -1;
}

/* ---- nodes -------------------------------------------------------------------------------- */

static int count(struct yaml_reader *reader, uint32_t nodes, int line)
{
	if (nodes > NODES_MAX - reader->nodes) {
		complain(reader, line,
			 "more than %u values, each alias counted as what it "
			 "stands for",
			 NODES_MAX);
		return -1;
	}
	reader->nodes += nodes;
	return 0;
}

static int push(struct yaml_reader *reader, const struct yaml_node *node)
{
	if (reader->n_stack == reader->size_stack) {
		size_t size = reader->size_stack ? reader->size_stack * 2 : 64;
		struct yaml_node *grown = realloc(reader->stack, size * sizeof(*grown));

		if (!grown)
			return out_of_memory(reader);
		reader->stack = grown;
		reader->size_stack = size;
	}
	reader->stack[reader->n_stack++] = *node;
	return 0;
}

static int next_event(struct yaml_reader *reader, yaml_event_t *event)
{
	return yaml_parser_parse(&reader->parser, event) ? 0 : syntax_error(reader);
}

/* The anchor of a node that begins; NULL in `*anchor`: it has none. */
static int open_anchor(struct yaml_reader *reader, const yaml_char_t *name, struct anchor **anchor)
{
	const char *text = (const char *)name;
	char *key;

	*anchor = NULL;
	if (!name)
		return 0;
	*anchor = table_get(&reader->anchors, text, strlen(text));
	if (!*anchor) {
		*anchor = region_alloc(reader->reading->region, sizeof(**anchor));
		key = region_strdup(reader->reading->region, text);
		if (!*anchor || !key || table_put(&reader->anchors, key, strlen(key), *anchor) < 0)
			return out_of_memory(reader);
	}
	(*anchor)->open = true;
	return 0;
}

static void close_anchor(struct anchor *anchor, const struct yaml_node *node)
{
	if (!anchor)
		return;
	anchor->node = *node;
	anchor->node.literal = false; /* its lines are elsewhere */
	anchor->open = false;
}

static int read_alias(struct yaml_reader *reader, const yaml_event_t *event, struct yaml_node *out)
{
	const char *name = (const char *)event->data.alias.anchor;
	const struct anchor *anchor = table_get(&reader->anchors, name, strlen(name));
	int line = line_of(reader, &event->start_mark);

	if (!anchor) {
		complain(reader, line, "alias *%.100s has no anchor", name);
		return -1;
	}
	if (anchor->open) {
		complain(reader, line, "alias *%.100s stands inside of what it stands for", name);
		return -1;
	}
	*out = anchor->node;
	out->line = line;
	return count(reader, out->weight, line);
}

static int read_scalar(struct yaml_reader *reader, const yaml_event_t *event, struct yaml_node *out)
{
	const char *text = (const char *)event->data.scalar.value;
	const char *tag = (const char *)event->data.scalar.tag;
	bool merge = tag && !strcmp(tag, "tag:yaml.org,2002:merge");
	size_t len = event->data.scalar.length;
	struct scalar scalar = {.kind = TREE_TEXT};
	const char *wrong = NULL;

	out->text = region_strndup(reader->reading->region, text, len);
	if (!out->text)
		return out_of_memory(reader);
	out->literal = event->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
	out->plain = merge || event->data.scalar.plain_implicit;
	if (strlen(text) < len)
		wrong = "NUL in a text";
	else if (merge)
		scalar.kind = TREE_TEXT;
	else if (event->data.scalar.plain_implicit)
		scalar = scalar_plain(out->text);
	else if (tag)
		wrong = scalar_tagged(tag, out->text, &scalar);
	if (wrong)
		complain_of(reader, out, out->line, NULL, "%s%s%.100s", wrong, tag ? ": " : "",
			    tag ? tag : "");
	out->kind = scalar.kind;
	if (scalar.kind == TREE_FLAG)
		out->flag = scalar.flag;
	else if (scalar.kind == TREE_DECIMAL)
		out->decimal = scalar.decimal;
	else
		out->integer = scalar.integer;
	return 0;
}

static void check_tag(struct yaml_reader *reader, const yaml_char_t *tag, const char *wanted,
		      struct yaml_node *out)
{
	if (!tag || !strcmp((const char *)tag, "!") || !strcmp((const char *)tag, wanted))
		return;
	complain_of(reader, out, out->line, NULL, "this tag has no meaning here: %.100s",
		    (const char *)tag);
}

/* ---- lists and groups --------------------------------------------------------------------- */

static int read_node(struct yaml_reader *reader, const yaml_event_t *event, int depth,
		     struct yaml_node *out);

/* The next node. Returns 1: it was the end of the list or group. */
static int read_next(struct yaml_reader *reader, int depth, struct yaml_node *out)
{
	yaml_event_t event;
	int status = 1;

	if (next_event(reader, &event) < 0)
		return -1;
	if (event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT)
		status = read_node(reader, &event, depth, out);
	yaml_event_delete(&event);
	return status;
}

static int finish_list(struct yaml_reader *reader, size_t base, struct yaml_node *out)
{
	size_t n = reader->n_stack - base;
	struct yaml_node *items = region_array(reader->reading->region, n, sizeof(*items));

	if (!items)
		return out_of_memory(reader);
	for (size_t i = 0; i < n; i++) {
		items[i] = reader->stack[base + i];
		out->weight += items[i].weight;
		out->bad |= items[i].bad;
	}
	out->items = items;
	out->n = (uint32_t)n;
	reader->n_stack = base;
	return 0;
}

static int read_list(struct yaml_reader *reader, const yaml_event_t *event, int depth,
		     struct yaml_node *out)
{
	size_t base = reader->n_stack;
	struct yaml_node item;
	int status;

	out->kind = TREE_LIST;
	check_tag(reader, event->data.sequence_start.tag, "tag:yaml.org,2002:seq", out);
	while (!(status = read_next(reader, depth, &item)))
		if (push(reader, &item) < 0)
			return -1;
	return status < 0 ? -1 : finish_list(reader, base, out);
}

/* One entry of a group to be: its own, or of a group that is merged into it. */
struct entry {
	const struct yaml_node *node;
	uint32_t order;
	bool merged, dropped;
};

static int by_key(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	int order = strcmp(left->node->key, right->node->key);

	return order ? order : (left->order > right->order) - (left->order < right->order);
}

static int by_order(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return (left->order > right->order) - (left->order < right->order);
}

/* A merge key has this very text as its name; no other key can. */
static const char merge_key[] = "<<";

static void complain_merge(struct yaml_reader *reader, struct yaml_node *group, int line)
{
	complain_of(reader, group, line, NULL, "the value of << must be a map or a list of maps");
}

/* How many entries a merge key brings; each is passed to `entries` unless that is NULL. */
static uint32_t merge_one(const struct yaml_node *source, struct entry *entries)
{
	for (uint32_t i = 0; entries && i < source->n; i++)
		entries[i] = (struct entry){.node = &source->items[i], .merged = true};
	return source->n;
}

static uint32_t merge_all(struct yaml_reader *reader, struct yaml_node *group,
			  const struct yaml_node *value, struct entry *entries)
{
	uint32_t n = 0;

	if (value->kind == TREE_GROUP)
		return merge_one(value, entries);
	if (value->kind != TREE_LIST && entries)
		complain_merge(reader, group, value->line);
	if (value->kind != TREE_LIST)
		return 0;
	for (uint32_t i = 0; i < value->n; i++) {
		if (value->items[i].kind == TREE_GROUP)
			n += merge_one(&value->items[i], entries ? entries + n : NULL);
		else if (entries)
			complain_merge(reader, group, value->items[i].line);
	}
	return n;
}

/* A group's own entries, then those that merge keys bring. Returns how many. */
static uint32_t gather(struct yaml_reader *reader, size_t base, struct yaml_node *group,
		       struct entry *entries)
{
	uint32_t n = 0;

	for (size_t i = base; i < reader->n_stack; i++) {
		if (reader->stack[i].key == merge_key)
			continue;
		if (entries)
			entries[n] = (struct entry){.node = &reader->stack[i]};
		n++;
	}
	for (size_t i = base; i < reader->n_stack; i++)
		if (reader->stack[i].key == merge_key)
			n += merge_all(reader, group, &reader->stack[i],
				       entries ? entries + n : NULL);
	for (uint32_t i = 0; entries && i < n; i++)
		entries[i].order = i;
	return n;
}

/* The first of a name stays: a group's own comes before what is merged. */
static int drop_doubles(struct yaml_reader *reader, struct entry *entries, uint32_t n,
			struct yaml_node *group)
{
	const struct entry *first = entries;

	qsort(entries, n, sizeof(*entries), by_key);
	for (uint32_t i = 1; i < n; i++) {
		if (strcmp(entries[i].node->key, first->node->key) != 0) {
			first = &entries[i];
			continue;
		}
		entries[i].dropped = true;
		if (entries[i].merged)
			continue;
		complain_of(reader, group, entries[i].node->line, first->node->key,
			    "key \"%.100s\" is already given in line %d", entries[i].node->key,
			    first->node->line);
		if (wrong_adopt(reader->reading->region, group, first->node->key, entries[i].node))
			return -1;
	}
	qsort(entries, n, sizeof(*entries), by_order);
	return 0;
}

/* The entries of what is merged in are seen again; what is wrong with it as a whole is not. */
static int adopt_merged(struct yaml_reader *reader, size_t base, struct yaml_node *group)
{
	for (size_t i = base; i < reader->n_stack; i++)
		if (reader->stack[i].key == merge_key &&
		    wrong_adopt(reader->reading->region, group, NULL, &reader->stack[i]) < 0)
			return -1;
	return 0;
}

static int finish_group(struct yaml_reader *reader, size_t base, struct yaml_node *out)
{
	uint32_t n = gather(reader, base, out, NULL);
	struct entry *entries = calloc(n ? n : 1, sizeof(*entries));
	struct yaml_node *items = region_array(reader->reading->region, n, sizeof(*items));

	if (!entries || !items) {
		free(entries);
		return out_of_memory(reader);
	}
	n = gather(reader, base, out, entries);
	if ((n > 1 && drop_doubles(reader, entries, n, out) < 0) ||
	    adopt_merged(reader, base, out) < 0) {
		free(entries);
		return out_of_memory(reader);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (entries[i].dropped)
			continue;
		items[out->n] = *entries[i].node;
		out->weight += items[out->n].weight;
		out->bad |= items[out->n++].bad;
	}
	out->items = items;
	free(entries);
	reader->n_stack = base;
	return 0;
}

/* The name that a key of the group gives. NULL: none, which is wrong with the group. */
static const char *key_name(struct yaml_reader *reader, const struct yaml_node *key,
			    struct yaml_node *group)
{
	static const char *const kinds[] = {
	    [TREE_NONE] = "null",
	    [TREE_INTEGER] = "a number",
	    [TREE_DECIMAL] = "a number",
	    [TREE_FLAG] = "a boolean",
	};

	if (key->kind == TREE_TEXT)
		return key->plain && !strcmp(key->text, merge_key) ? merge_key : key->text;
	if (key->kind == TREE_LIST || key->kind == TREE_GROUP)
		complain_of(reader, group, key->line, NULL, "a key must be a text");
	else if (key->kind == TREE_INTEGER && (key->text[0] != '0' || !key->text[1]) &&
		 key->text[strspn(key->text, "0123456789")] == '\0')
		return key->text;
	else
		complain_of(
		    reader, group, key->line, NULL,
		    "key \"%.100s\" is %s to YAML: put it in quotes if it is meant as a text",
		    key->text, kinds[key->kind]);
	return NULL;
}

static int read_group(struct yaml_reader *reader, const yaml_event_t *event, int depth,
		      struct yaml_node *out)
{
	size_t base = reader->n_stack;
	struct yaml_node key, value;
	int status;

	out->kind = TREE_GROUP;
	check_tag(reader, event->data.mapping_start.tag, "tag:yaml.org,2002:map", out);
	while (!(status = read_next(reader, depth, &key))) {
		if (read_next(reader, depth, &value) != 0)
			return -1;
		value.key = key_name(reader, &key, out);
		value.literal = value.literal && value.line == key.line;
		value.line = key.line;
		if (wrong_adopt(reader->reading->region, out, value.key, &key) < 0 ||
		    (!value.key &&
		     wrong_adopt(reader->reading->region, out, NULL, &value) < 0))
			return out_of_memory(reader);
		if (value.key && push(reader, &value) < 0)
			return -1;
	}
	return status < 0 ? -1 : finish_group(reader, base, out);
}

static int read_node(struct yaml_reader *reader, const yaml_event_t *event, int depth,
		     struct yaml_node *out)
{
	int line = line_of(reader, &event->start_mark), status;
	const yaml_char_t *name = NULL;
	struct anchor *anchor;

	memset(out, 0, sizeof(*out));
	if (event->type == YAML_ALIAS_EVENT)
		return read_alias(reader, event, out);
	out->line = line;
	out->weight = 1;
	if (event->type == YAML_SCALAR_EVENT)
		name = event->data.scalar.anchor;
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		name = event->data.sequence_start.anchor;
	else
		name = event->data.mapping_start.anchor;
	if (count(reader, 1, line) < 0 || open_anchor(reader, name, &anchor) < 0)
		return -1;
	if (event->type != YAML_SCALAR_EVENT && depth == DEPTH_MAX) {
		complain(reader, line, "nested deeper than %d levels", DEPTH_MAX);
		return -1;
	}
	if (event->type == YAML_SCALAR_EVENT)
		status = read_scalar(reader, event, out);
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		status = read_list(reader, event, depth + 1, out);
	else
		status = read_group(reader, event, depth + 1, out);
	if (!status)
		close_anchor(anchor, out);
	return status;
}

/* ---- the stream --------------------------------------------------------------------------- */

static int read_document(struct yaml_reader *reader)
{
	yaml_event_t end;
	struct yaml_node root;
	int status;

	table_init(&reader->anchors);
	status = read_next(reader, 0, &root);
	table_release(&reader->anchors);
	/* What follows can still make it another document than it seemed. */
	if (status || next_event(reader, &end) < 0)
		return -1;
	yaml_event_delete(&end);
	reader->reading->document(reader->reading->context, &root);
	return 0;
}

static int read_stream(struct yaml_reader *reader)
{
	for (;;) {
		yaml_event_t event;
		yaml_event_type_t type;

		if (next_event(reader, &event) < 0)
			return -1;
		type = event.type;
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT)
			return 0;
		if (type == YAML_DOCUMENT_START_EVENT && read_document(reader) < 0)
			return -1;
	}
}

int yaml_read(const struct yaml_reading *reading, const struct yaml_input *input)
{
	struct yaml_reader reader = {.reading = reading, .input = input};
	int status;

	if (!yaml_parser_initialize(&reader.parser))
		return out_of_memory(&reader);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)input->text,
				     input->len);
	status = read_stream(&reader);
	yaml_parser_delete(&reader.parser);
	free(reader.stack);
	return status;
}
