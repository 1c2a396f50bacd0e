/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header operations in Envoy's order: of each level remove, then set, then add. The operations of a
 * single destination come after the route's (Istio appends them to these); of one among several
 * before. The authority is not among them: it has a precedence of its own.
 */
#include "rules/header_edit.h"

#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/header_command.h"

static const struct header_operations *side(const struct headers *headers, bool response)
{
	if (!headers)
		return NULL;
	return response ? headers->response : headers->request;
}

static bool is_authority(const char *name)
{
	return ascii_equal_nocase(name, "host") || ascii_equal_nocase(name, ":authority");
}

bool header_is_framing(const char *name)
{
	static const char *const names[] = {
	    "connection", "content-length", "keep-alive", "proxy-connection",
	    "te",	  "trailer",	    "transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ascii_equal_nocase(name, names[i]))
			return true;
	return false;
}

/* ---- the authority ------------------------------------------------------------------------ */

static const char *authority_in(const struct list *list)
{
	const struct pair *items = list->items;

	for (size_t i = 0; i < list->n; i++)
		if (items[i].name.s && is_authority(items[i].name.s) && items[i].value.s &&
		    *items[i].value.s)
			return items[i].value.s;
	return NULL;
}

static const char *authority_of(const struct headers *headers)
{
	const struct header_operations *operations = side(headers, false);
	const char *set = operations ? authority_in(&operations->set) : NULL;

	return set || !operations ? set : authority_in(&operations->add);
}

const char *edited_authority(const struct verdict *verdict)
{
	const struct http_route *route = verdict->route;
	const char *found;

	if (!route)
		return NULL;
	if (route->rewrite && route->rewrite->authority.s && *route->rewrite->authority.s)
		return route->rewrite->authority.s;
	found = authority_of(route->headers);
	return found || !verdict->chosen ? found : authority_of(verdict->chosen->headers);
}

/* ---- the order ---------------------------------------------------------------------------- */

typedef void edit_fn(void *context, enum header_edit edit, const char *name, const char *value);

/* Envoy drops an edit without a value: nothing is added, and what was there is not overwritten. */
static void edit_pairs(const struct list *list, enum header_edit edit, edit_fn *each, void *context)
{
	const struct pair *items = list->items;

	for (size_t i = 0; i < list->n; i++)
		if (items[i].name.s && items[i].value.s && *items[i].value.s &&
		    !is_authority(items[i].name.s) && !header_is_framing(items[i].name.s))
			each(context, edit, items[i].name.s, items[i].value.s);
}

static void edit_removals(const struct header_operations *operations, edit_fn *each, void *context)
{
	const struct text *removed = operations ? operations->remove.items : NULL;

	for (size_t i = 0; operations && i < operations->remove.n; i++)
		if (!header_is_framing(removed[i].s))
			each(context, HEADER_REMOVE, removed[i].s, NULL);
}

static void edit_level(const struct header_operations *operations, edit_fn *each, void *context)
{
	edit_removals(operations, each, context);
	if (!operations)
		return;
	edit_pairs(&operations->set, HEADER_SET, each, context);
	edit_pairs(&operations->add, HEADER_ADD, each, context);
}

void rules_header_edits(const struct verdict *verdict, bool response,
			void (*each)(void *context, enum header_edit edit, const char *name,
				     const char *value),
			void *context)
{
	const struct header_operations *route, *own;

	if (!verdict->route)
		return;
	route = side(verdict->route->headers, response);
	own = side(verdict->chosen ? verdict->chosen->headers : NULL, response);
	if (verdict->route->route.n > 1) {
		edit_level(own, each, context);
		edit_level(route, each, context);
		return;
	}
	/* One level made of both. */
	edit_removals(route, each, context);
	edit_removals(own, each, context);
	if (route)
		edit_pairs(&route->set, HEADER_SET, each, context);
	if (own)
		edit_pairs(&own->set, HEADER_SET, each, context);
	if (route)
		edit_pairs(&route->add, HEADER_ADD, each, context);
	if (own)
		edit_pairs(&own->add, HEADER_ADD, each, context);
}

/* ---- applied ------------------------------------------------------------------------------ */

static bool is_named(const struct field *field, const char *name)
{
	return field->name_len == strlen(name) &&
	       ascii_equal_nocase_n(field->name, name, field->name_len);
}

/* Remove fields of that name from index `from` on. */
static void remove_from(struct edited_fields *fields, const char *name, size_t from)
{
	size_t kept = from;

	for (size_t i = from; i < fields->n; i++)
		if (!is_named(&fields->items[i], name))
			fields->items[kept++] = fields->items[i];
	fields->n = kept;
}

/* "%%" becomes a percent sign; two commands side by side have none between them. */
struct edited_text header_unescape(const char *value)
{
	struct edited_text out = {malloc(strlen(value) + 1), false};
	char *to = out.text;

	while (to && *value) {
		size_t len = *value == '%' ? header_command_read(value, NULL) : 0;

		if (len) {
			out.commands = true;
			memcpy(to, value, len);
			to += len;
			value += len;
			continue;
		}
		*to++ = *value;
		value += 1 + (value[0] == '%' && value[1] == '%');
	}
	if (to)
		*to = '\0';
	return out;
}

/* The text of an edit, kept until the release. NULL: out of memory. */
static const char *make_text(struct edited_fields *fields, const char *value)
{
	struct edited_text *texts =
	    realloc(fields->texts, (fields->n_texts + 1) * sizeof(*texts));
	struct edited_text made = header_unescape(value);

	fields->texts = texts ? texts : fields->texts;
	if (!made.text || !texts) {
		free(made.text);
		fields->failed = true;
		return NULL;
	}
	texts[fields->n_texts++] = made;
	return made.text;
}

static struct field *append(struct edited_fields *fields, const char *name)
{
	struct field *items = fields->items;

	if (fields->n == fields->size) {
		items = realloc(fields->items, (fields->size + 16) * sizeof(*items));
		if (!items) {
			fields->failed = true;
			return NULL;
		}
		fields->items = items;
		fields->size += 16;
	}
	items[fields->n] = (struct field){.name = name, .name_len = (uint32_t)strlen(name)};
	return &items[fields->n++];
}

/* One that is set takes the place of the first of its name, as at run time. */
static void apply(void *context, enum header_edit edit, const char *name, const char *value)
{
	struct edited_fields *fields = context;
	struct field *field = NULL;
	size_t at = 0;

	while (edit != HEADER_ADD && at < fields->n && !is_named(&fields->items[at], name))
		at++;
	if (edit == HEADER_REMOVE) {
		remove_from(fields, name, at);
		return;
	}
	value = make_text(fields, value);
	if (edit == HEADER_SET && at < fields->n) {
		field = &fields->items[at];
		remove_from(fields, name, at + 1);
	} else {
		field = append(fields, name);
	}
	if (!field || !value)
		return;
	field->value = value;
	field->value_len = (uint32_t)strlen(value);
}

int edited_fields_init(struct edited_fields *out, const struct verdict *verdict, bool response,
		       const struct field *fields, size_t n)
{
	memset(out, 0, sizeof(*out));
	out->size = n;
	out->items = calloc(out->size + 1, sizeof(*out->items));
	if (!out->items)
		return -1;
	for (size_t i = 0; i < n; i++)
		out->items[out->n++] = fields[i];
	rules_header_edits(verdict, response, apply, out);
	return out->failed ? -1 : 0;
}

bool edited_field_has_commands(const struct edited_fields *fields, const struct field *field)
{
	for (size_t i = 0; i < fields->n_texts; i++)
		if (fields->texts[i].text == field->value)
			return fields->texts[i].commands;
	return false;
}

void edited_fields_release(struct edited_fields *fields)
{
	for (size_t i = 0; i < fields->n_texts; i++)
		free(fields->texts[i].text);
	free(fields->texts);
	free(fields->items);
}
