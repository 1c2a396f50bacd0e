/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and checks that several of Istio's messages share. */
#include <ctype.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

#define MILLISECOND 1000000

void check_port_number(struct reader *reader, void *value)
{
	struct number *number = value;

	if (number->value >= 1 && number->value <= 65535)
		return;
	reader_error(reader, &number->where, "port number %lld must be in the range 1..65535",
		     number->value);
	number->set = false;
}

void check_not_negative(struct reader *reader, struct number *number, const char *what)
{
	if (!number->set || (number->value >= 0 && number->value <= UINT32_MAX))
		return;
	if (number->value < 0)
		reader_error(reader, &number->where, "%s must be non-negative", what);
	else
		reader_error(reader, &number->where, "%s %lld is out of range", what,
			     number->value);
	number->set = false;
}

void check_duration(struct reader *reader, void *value)
{
	struct duration *duration = value;

	if (duration->ns < MILLISECOND)
		reader_error(reader, &duration->where, "duration must be greater than 1ms");
	else if (duration->ns % MILLISECOND)
		reader_error(reader, &duration->where,
			     "only durations to ms precision are supported");
	else
		return;
	duration->set = false;
}

/* Drop what is no host, and bring the others into the form that look-ups use. */
void check_host_list(struct reader *reader, struct list *hosts)
{
	struct text *items = hosts->items;
	struct hostname_error error;
	size_t kept = 0;
	char name[256];

	for (size_t i = 0; i < hosts->n; i++) {
		if (!hostname_is_address(items[i].s, NULL) &&
		    !hostname_is_wildcard_domain(items[i].s, &error)) {
			reader_error(reader, &items[i].where, "%s", error.text);
			continue;
		}
		hostname_normalize(items[i].s, strlen(items[i].s), name);
		items[kept].where = items[i].where;
		items[kept].s = region_strdup(&reader->rules->region, name);
		kept += items[kept].s != NULL;
	}
	hosts->n = kept;
}

void check_namespace(struct reader *reader, void *value)
{
	struct text *namespace = value;

	if (!*namespace->s)
		namespace->s = NULL;
	else if (!hostname_is_port_name(namespace->s)) /* an RFC 1123 label, too */
		reader_error(reader, &namespace->where, "sourceNamespace match %s is invalid",
			     namespace->s);
}

/* exportTo: names of namespaces, or one of "*", "." and "~". */
void check_export_to(struct reader *reader, void *value)
{
	const struct list *list = value;
	const struct text *items = list->items;
	bool all = false, none = false;

	for (size_t i = 0; i < list->n; i++) {
		all |= !strcmp(items[i].s, "*");
		none |= !strcmp(items[i].s, "~");
		if (strcmp(items[i].s, "*") != 0 && strcmp(items[i].s, "~") != 0 &&
		    strcmp(items[i].s, ".") != 0 && !hostname_is_port_name(items[i].s))
			reader_error(reader, &items[i].where, "invalid namespace in exportTo: %s",
				     items[i].s);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(items[i].s, items[j].s)) {
				reader_error(reader, &items[i].where,
					     "duplicate entries in exportTo: %s", items[i].s);
				break;
			}
	}
	if (list->n > 1 && none)
		reader_error(reader, &list->where,
			     "either no visibility (~) or a list of namespaces, not both");
	else if (list->n > 1 && all)
		reader_error(reader, &list->where,
			     "either one * or a list of namespaces, not both");
	if (list->n)
		reader_say(reader, SEVERITY_WARNING, NULL, &list->where,
			   "exportTo has no effect here: there are no namespaces");
}

/* ---- labels ------------------------------------------------------------------------------- */

static bool is_label_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) &&
		    (!strchr("-_.", text[i]) || !i || i == len - 1))
			return false;
	return len <= 63;
}

/* [prefix/]name, as Kubernetes has it. */
static void check_label_name(struct reader *reader, void *value)
{
	const struct text *name = value;
	const char *slash = strrchr(name->s, '/');
	const char *tail = slash ? slash + 1 : name->s;

	if (!*tail || !is_label_text(tail, strlen(tail)) || slash == name->s ||
	    (slash && slash - name->s > 253))
		reader_error(reader, &name->where, "invalid tag key: \"%s\"", name->s);
}

static void check_label_value(struct reader *reader, void *value)
{
	const struct text *text = value;

	if (!is_label_text(text->s, strlen(text->s)))
		reader_error(reader, &text->where, "invalid tag value: \"%s\"", text->s);
}

static const struct key label_keys[] = {
    KEY_TEXT(struct pair, name, "name", .check = check_label_name,
	     .required = "label must have a name"),
    KEY_TEXT(struct pair, value, "value", .check = check_label_value,
	     .required = "label must have a value"),
};
const struct schema label_schema = SCHEMA("Label", struct pair, label_keys);

/* ---- Percent ------------------------------------------------------------------------------ */

static void check_percent(struct reader *reader, void *value)
{
	struct decimal *percent = value;

	if (percent->value == 0 || (percent->value >= 0.0001 && percent->value <= 100))
		return;
	reader_error(reader, &percent->where,
		     "percentage %g is neither 0.0, nor in range [0.0001, 100.0]", percent->value);
	percent->set = false;
}

static const struct key percent_keys[] = {
    KEY_DECIMAL(struct percent, value, "value", .check = check_percent),
};
const struct schema percent_schema = SCHEMA("Percent", struct percent, percent_keys);
