/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables have to say while they read, and what they note for later. */
#include <stdarg.h>
#include <stdio.h>

#include "rules/schema.h"

static void say(struct reader *reader, enum severity severity, const char *code,
		const struct where *where, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void say(struct reader *reader, enum severity severity, const char *code,
		const struct where *where, const char *format, va_list args)
{
	const struct topic topic = {code, reader->resource};
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	diag_about(reader->diags, severity, &topic, where, "%s", text);
}

void reader_error(struct reader *reader, const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, SEVERITY_REJECTED, "IST0106", where, format, args);
	va_end(args);
}

void reader_warning(struct reader *reader, const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, SEVERITY_WARNING, "IST0133", where, format, args);
	va_end(args);
}

void reader_say(struct reader *reader, enum severity severity, const char *code,
		const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, severity, code, where, format, args);
	va_end(args);
}

void reader_refuse(struct reader *reader, const struct where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(reader, SEVERITY_REJECTED, NULL, where, format, args);
	va_end(args);
}

void reader_oom(struct reader *reader)
{
	/* The region remembers; rules_load() reports it. */
	reader->rules->region.failed = true;
}

void reader_gap(struct reader *reader, const struct where *where, const char *schema,
		const char *key, const char *value)
{
	struct region *region = &reader->rules->region;
	struct gap *gap;

	if (reader->only_gateways)
		return;
	gap = region_alloc(region, sizeof(*gap));
	if (!gap || pointers_add(&reader->rules->gaps, gap) < 0) {
		reader_oom(reader);
		return;
	}
	gap->where = *where;
	gap->resource = reader->resource;
	gap->what = value ? region_printf(region, "%s.%s %s", schema, key, value)
			  : region_printf(region, "%s.%s", schema, key);
}

size_t rules_gaps(const struct rules *rules, enum severity severity, struct diags *diags)
{
	for (size_t i = 0; i < rules->gaps.n; i++) {
		const struct gap *gap = rules->gaps.items[i];
		const struct topic topic = {NULL, gap->resource};

		diag_about(diags, severity, &topic, &gap->where,
			   "%s is not carried out by libmeshshim.so of this version, which refuses "
			   "these rules",
			   gap->what);
	}
	return rules->gaps.n;
}
