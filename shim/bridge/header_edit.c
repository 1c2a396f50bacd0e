/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header operations at run time (istio-semantics 1.2): rules/ says which and in which order, the
 * bridge applies them to a head of its own.
 *
 * Setting replaces the value of the first field of that name, where it stands, and drops the others.
 * As in Envoy, an operation whose value comes out empty is not carried out. Host, and what says how
 * a message is framed, is never among the operations (rules_header_edits()).
 */
#include <stdio.h>
#include <string.h>

#include "shim/bridge/exchange_state.h"
#include "shim/bridge/format.h"

struct edits {
	struct exchange *x;
	struct http1_head *head;
	size_t max_fields;
	struct format_source source;
	size_t added; /* by the first round, which only counts */
	bool failed;
};

static void count(void *context, enum header_edit edit, const char *name, const char *value)
{
	(void)name;
	(void)value;
	((struct edits *)context)->added += edit != HEADER_REMOVE;
}

static void apply(void *context, enum header_edit edit, const char *name, const char *value)
{
	struct edits *edits = context;

	if (edit == HEADER_REMOVE) {
		head_remove(edits->head, name);
		return;
	}
	value = format_value(&edits->x->arena, value, &edits->source);
	if (!value) {
		edits->failed = true;
		return;
	}
	if (!*value)
		return;
	int result = edit == HEADER_SET ? head_set(edits->head, edits->max_fields, name, value)
					: head_add(edits->head, edits->max_fields, name, value);
	if (result < 0)
		edits->failed = true;
}

/* Let the array of a head be one of the arena with `more` places. */
static int make_room(struct exchange *x, struct http1_head *head, size_t *max_fields, size_t more)
{
	size_t n = *max_fields + more;
	struct field *fields = arena_alloc(&x->arena, n * sizeof(*fields));

	if (!fields)
		return -1;
	if (head->n_fields)
		memcpy(fields, head->fields, head->n_fields * sizeof(*fields));
	head->fields = fields;
	*max_fields = n;
	return 0;
}

/* %RESPONSE_FLAGS%: Envoy's, in its order. */
static const char *write_flags(const struct exchange *x, char *out, size_t size)
{
	bool aborted = x->flag && !strcmp(x->flag, "FI");
	const char *const flags[] = {
	    aborted ? NULL : x->flag,
	    x->delayed ? "DI" : NULL,
	    aborted ? x->flag : NULL,
	    x->exhausted ? "URX" : NULL,
	};
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i] && strcmp(flags[i], "-") != 0 && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "," : "", flags[i]);
	return out;
}

int exchange_edit_head(struct exchange *x, struct http1_head *head, size_t *max_fields,
		       bool response)
{
	char flags[16];
	struct edits edits = {
	    .x = x,
	    .head = head,
	    .source = {
		.request = &x->request,
		.response = response ? head : NULL,
		.authority = x->authority,
		.path = x->path,
		.source = x->target.source,
		.dialled = x->target.address,
		.port = x->target.port,
		.cluster = x->verdict.cluster,
		.flags = response ? write_flags(x, flags, sizeof(flags)) : NULL,
		.started = x->started,
	    },
	};

	rules_header_edits(&x->verdict, response, count, &edits);
	if (edits.added && make_room(x, head, max_fields, edits.added) < 0)
		return -1;
	edits.max_fields = *max_fields;
	rules_header_edits(&x->verdict, response, apply, &edits);
	return edits.failed ? -1 : 0;
}

int exchange_edit_response(struct exchange *x, struct http1_head *head, size_t *max_fields)
{
	if (exchange_edit_head(x, head, max_fields, true) < 0)
		return -1;
	if (!x->hash.cookie)
		return 0;
	if (make_room(x, head, max_fields, 1) < 0)
		return -1;
	return head_add(head, *max_fields, "set-cookie", x->hash.cookie);
}
