/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and checks that several of Istio's messages share. */
#include <stdio.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/decimal.h"
#include "rules/hostname.h"
#include "rules/schema.h"

#define MILLISECOND 1000000
#define PREFIX_MAX  253
#define LABEL_MAX   63

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

/* "outbound_.443_.subset_.host": how gateways between networks name clusters. */
static bool is_cluster_name(const char *name)
{
	struct hostname_error error;
	const char *at = name;

	if (strncmp(name, "outbound_.", 10) != 0)
		return false;
	for (int i = 0; i < 3 && at; i++) {
		at = strstr(at, "_.");
		at = at ? at + 2 : NULL;
	}
	return at && hostname_is_fqdn(at, &error);
}

/* Drop what is no host, and bring the others into the form that look-ups use. */
void check_host_list(struct reader *reader, struct list *hosts, bool addresses)
{
	struct text *items = hosts->items;
	struct hostname_error error;
	size_t kept = 0;
	char name[256];

	for (size_t i = 0; i < hosts->n; i++) {
		if (!(addresses && hostname_is_address(items[i].s, NULL)) &&
		    !(reader->only_gateways && is_cluster_name(items[i].s)) &&
		    !hostname_is_wildcard_domain(items[i].s, &error)) {
			reader_error(reader, &items[i].where, "%s", error.text);
			continue;
		}
		hostname_normalize(items[i].s, strlen(items[i].s), name);
		items[kept].where = items[i].where;
		items[kept].s = region_strdup(&reader->rules->region, name);
		kept += items[kept].s != NULL;
	}
	hosts->partial |= kept < hosts->n;
	hosts->n = kept;
}

void check_namespace(struct reader *reader, void *value)
{
	struct text *namespace = value;

	if (!*namespace->s)
		namespace->s = NULL;
	else if (!hostname_is_label(namespace->s))
		reader_error(reader, &namespace->where, "sourceNamespace match %s is invalid",
			     namespace->s);
}

/* "mesh", "<namespace>/<name>", or the old "<name>.<namespace>.svc.<domain>". */
static void check_gateway(struct reader *reader, const struct text *gateway)
{
	const char *slash = strchr(gateway->s, '/'), *dot = strchr(gateway->s, '.');
	struct hostname_error error;
	char namespace[64];

	if (!slash) {
		if (!hostname_is_fqdn(gateway->s, &error))
			reader_error(reader, &gateway->where, "%s", error.text);
		else if (dot && dot[1])
			reader_warning(reader, &gateway->where,
				       "using legacy gatewayName format \"%s\"; prefer the "
				       "<namespace>/<name> format: \"%.*s/%.*s\"",
				       gateway->s, (int)strcspn(dot + 1, "."), dot + 1,
				       (int)(dot - gateway->s), gateway->s);
		return;
	}
	if (slash == gateway->s || !slash[1]) {
		reader_error(reader, &gateway->where,
			     "config namespace and gateway name cannot be empty");
		return;
	}
	snprintf(namespace, sizeof(namespace), "%.*s", (int)(slash - gateway->s), gateway->s);
	if (slash - gateway->s > LABEL_MAX || !hostname_is_label(namespace))
		reader_error(reader, &gateway->where, "invalid value for namespace: \"%.*s\"",
			     (int)(slash - gateway->s), gateway->s);
	if (!hostname_is_label(slash + 1))
		reader_error(reader, &gateway->where, "invalid value for gateway name: \"%s\"",
			     slash + 1);
}

void check_gateways(struct reader *reader, void *value)
{
	const struct list *gateways = value;
	const struct text *items = gateways->items;

	for (size_t i = 0; i < gateways->n; i++)
		check_gateway(reader, &items[i]);
}

/* ---- exportTo ----------------------------------------------------------------------------- */

/* One entry: a namespace, "*", "." or, of a service entry alone, "~". */
static void check_export_entry(struct reader *reader, const struct text *entry, bool service)
{
	if (!strcmp(entry->s, "*") || !strcmp(entry->s, "."))
		return;
	if (strcmp(entry->s, "~") != 0 && !hostname_is_label(entry->s))
		reader_error(reader, &entry->where,
			     "only .,*, or a valid DNS 1123 label is allowed as exportTo entry");
	else if (!strcmp(entry->s, "~") && !service)
		reader_error(reader, &entry->where,
			     "exportTo ~ (none) is not allowed for Istio configuration objects");
}

/* A table, as the list may be long. */
static void check_export_list(struct reader *reader, const struct list *list, bool service)
{
	const struct text *items = list->items;
	bool all = false, none = false;
	struct table seen;

	table_init(&seen);
	for (size_t i = 0; i < list->n; i++) {
		const char *entry = items[i].s;

		if (table_get(&seen, entry, strlen(entry))) {
			reader_error(reader, &items[i].where,
				     "duplicate entries in exportTo for entry %s", entry);
			continue;
		}
		if (table_put(&seen, entry, strlen(entry), (void *)entry) < 0)
			reader_oom(reader);
		check_export_entry(reader, &items[i], service);
		all |= !strcmp(entry, "*");
		none |= service && !strcmp(entry, "~");
	}
	table_release(&seen);
	if (list->n > 1 && all)
		reader_error(reader, &list->where,
			     "cannot have both public (*) and non-public exportTo values for a "
			     "resource");
	if (list->n > 1 && none)
		reader_error(reader, &list->where,
			     "cannot export service entry to no one (~) and someone");
	if (list->n)
		reader_say(reader, SEVERITY_WARNING, NULL, &list->where,
			   "exportTo has no effect here: there are no namespaces");
}

void check_export_to(struct reader *reader, void *list)
{
	check_export_list(reader, list, false);
}

void check_service_export_to(struct reader *reader, void *list)
{
	check_export_list(reader, list, true);
}

/* ---- labels ------------------------------------------------------------------------------- */

/* Letters, digits, "-", "_" and "."; the first and the last a letter or digit. */
static bool is_qualified_name(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (!ascii_is_alnum(text[i]) &&
		    (!strchr("-_.", text[i]) || !i || i == len - 1))
			return false;
	return len > 0;
}

/* DNS labels with dots between them: what may stand before the slash. */
static bool is_dns_prefix(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool edge = !i || i == len - 1 || text[i - 1] == '.' || text[i + 1] == '.';

		if (!ascii_is_alnum(text[i]) && (edge || !strchr("-.", text[i])))
			return false;
	}
	return len > 0;
}

/* [prefix/]name, as Kubernetes has it. */
static void check_label_name(struct reader *reader, void *value)
{
	const struct text *name = value;
	const char *slash = strchr(name->s, '/');
	const char *tail = slash ? slash + 1 : name->s;

	if (!is_qualified_name(tail) ||
	    (slash && !is_dns_prefix(name->s, (size_t)(slash - name->s))))
		reader_error(reader, &name->where, "invalid tag key: \"%s\"", name->s);
	else if (slash && slash - name->s > PREFIX_MAX)
		reader_error(reader, &name->where,
			     "invalid tag key: \"%s\" (DNS prefix is too long)", name->s);
	else if (strlen(tail) > LABEL_MAX)
		reader_error(reader, &name->where, "invalid tag key: \"%s\" (name is too long)",
			     name->s);
}

static void check_label_value(struct reader *reader, void *value)
{
	const struct text *text = value;

	if (*text->s && !is_qualified_name(text->s))
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
	char text[DECIMAL_MAX];

	if (percent->value == 0 || (percent->value >= 0.0001 && percent->value <= 100))
		return;
	reader_error(reader, &percent->where,
		     "percentage %s is neither 0.0, nor in range [0.0001, 100.0]",
		     decimal_format(percent->value, text));
	percent->set = false;
}

static const struct key percent_keys[] = {
    KEY_DECIMAL(struct percent, value, "value", .check = check_percent),
};
const struct schema percent_schema = SCHEMA("Percent", struct percent, percent_keys);
