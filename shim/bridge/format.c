/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/format.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "rules/ascii.h"
#include "rules/header_command.h"

/* What a command stands for: text of its own in `room`, or text of somebody else's. */
struct result {
	const char *text;
	size_t len;
	char room[320];
};

static void result_text(struct result *out, const char *text)
{
	out->text = text;
	out->len = text ? strlen(text) : 0;
}

/* A field, the first of its name. */
static void read_field(struct result *out, const struct http1_head *head, const char *name,
		       size_t len)
{
	for (size_t i = 0; head && i < head->n_fields; i++)
		if (head->fields[i].name_len == len &&
		    ascii_equal_nocase_n(head->fields[i].name, name, len)) {
			out->text = head->fields[i].value;
			out->len = head->fields[i].value_len;
			return;
		}
}

static bool is(const char *name, size_t len, const char *other)
{
	return strlen(other) == len && ascii_equal_nocase_n(name, other, len);
}

static void read_request(struct result *out, const struct format_source *source, const char *name,
			 size_t len)
{
	if (is(name, len, ":path")) {
		result_text(out, source->path);
	} else if (is(name, len, ":authority") || is(name, len, "host")) {
		result_text(out, source->authority);
	} else if (is(name, len, ":scheme")) {
		result_text(out, "http");
	} else if (is(name, len, ":method")) {
		out->text = source->request->method;
		out->len = source->request->method_len;
	} else {
		read_field(out, source->request, name, len);
	}
}

static void read_response(struct result *out, const struct format_source *source, const char *name,
			  size_t len)
{
	if (source->response && is(name, len, ":status"))
		out->len = (size_t)snprintf(out->room, sizeof(out->room), "%u",
					    source->response->status);
	else
		read_field(out, source->response, name, len);
}

/* What was dialled, as Envoy writes addresses: "192.0.2.1:80", "[2001:db8::1]:80". */
static void put_dialled(struct result *out, const struct format_source *source, bool with_port)
{
	char text[INET6_ADDRSTRLEN] = "", port[8] = "";
	const uint8_t *bytes = source->dialled ? source->dialled->s6_addr : NULL;
	bool v4 = bytes && IN6_IS_ADDR_V4MAPPED(source->dialled);
	bool brackets = with_port && !v4;

	if (!bytes)
		return;
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, text, sizeof(text));
	if (with_port)
		snprintf(port, sizeof(port), ":%u", source->port);
	out->len = (size_t)snprintf(out->room, sizeof(out->room), "%s%s%s%s", brackets ? "[" : "",
				    text, brackets ? "]" : "", port);
}

static void put_source(struct result *out, const struct format_source *source, bool with_port)
{
	const char *colon;

	result_text(out, source->source);
	if (with_port || !out->text || !(colon = strrchr(out->text, ':')))
		return;
	out->len = (size_t)(colon - out->text);
	if (*out->text == '[' && out->len > 2) {
		out->text++;
		out->len -= 2;
	}
}

/* "2018-04-03T23:06:09.123Z". Not by gmtime(3), which takes a lock and reads the time zone. */
static void put_time(struct result *out, uint64_t ms)
{
	uint64_t s = ms / 1000, days = s / 86400;
	/* Days are counted from March 0000, in eras of 400 years. */
	uint64_t shifted = days + 719468, era = shifted / 146097, day = shifted % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	uint64_t of_year = day - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153;
	uint64_t of_month = of_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	year += era * 400 + (month <= 2);
	out->len = (size_t)snprintf(out->room, sizeof(out->room),
				    "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year,
				    (unsigned)month, (unsigned)of_month, (unsigned)(s / 3600 % 24),
				    (unsigned)(s / 60 % 60), (unsigned)(s % 60),
				    (unsigned)(ms % 1000));
}

static void put_hostname(struct result *out)
{
	struct utsname name;

	if (uname(&name) == 0)
		out->len = (size_t)snprintf(out->room, sizeof(out->room), "%s", name.nodename);
}

/* As Istio names its clusters. */
static void put_cluster(struct result *out, const struct cluster *cluster)
{
	if (!cluster)
		return;
	int n = snprintf(out->room, sizeof(out->room), "outbound|%u|%s|%s", cluster->port,
			 cluster->subset ? cluster->subset : "", cluster->host);
	out->len = (size_t)n < sizeof(out->room) ? (size_t)n : sizeof(out->room) - 1;
}

static void carry_out(struct result *out, const struct header_command *command,
		      const struct format_source *source)
{
	out->text = out->room;
	out->len = 0;
	switch (command->kind) {
	case COMMAND_UNKNOWN:
		break;
	case COMMAND_REQ:
		read_request(out, source, command->name, command->name_len);
		if (!out->len && command->other)
			read_request(out, source, command->other, command->other_len);
		break;
	case COMMAND_RESP:
		read_response(out, source, command->name, command->name_len);
		if (!out->len && command->other)
			read_response(out, source, command->other, command->other_len);
		break;
	case COMMAND_PROTOCOL:
		result_text(out, source->request->minor ? "HTTP/1.1" : "HTTP/1.0");
		break;
	case COMMAND_DOWNSTREAM_REMOTE_ADDRESS:
		put_source(out, source, true);
		break;
	case COMMAND_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
		put_source(out, source, false);
		break;
	case COMMAND_DOWNSTREAM_LOCAL_ADDRESS:
		put_dialled(out, source, true);
		break;
	case COMMAND_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT:
		put_dialled(out, source, false);
		break;
	case COMMAND_DOWNSTREAM_LOCAL_PORT:
		out->len = (size_t)snprintf(out->room, sizeof(out->room), "%u", source->port);
		break;
	case COMMAND_UPSTREAM_CLUSTER:
		put_cluster(out, source->cluster);
		break;
	case COMMAND_START_TIME:
		put_time(out, source->started);
		break;
	case COMMAND_HOSTNAME:
		put_hostname(out);
		break;
	case COMMAND_RESPONSE_CODE:
		read_response(out, source, ":status", 7);
		break;
	case COMMAND_RESPONSE_FLAGS:
		result_text(out, source->flags && *source->flags ? source->flags : "-");
		break;
	}
	if (out->len > command->max)
		out->len = command->max;
}

/* Write into `to`, or with NULL only count. */
static size_t format(const char *value, const struct format_source *source, char *to)
{
	struct header_command command;
	struct result result;
	size_t n = 0;

	while (*value) {
		size_t len = *value == '%' ? header_command_read(value, &command) : 0;

		if (len) {
			carry_out(&result, &command, source);
			if (to && result.len)
				memcpy(to + n, result.text, result.len);
			n += result.len;
			value += len;
			continue;
		}
		if (to)
			to[n] = *value;
		n++;
		value += 1 + (value[0] == '%' && value[1] == '%');
	}
	return n;
}

const char *format_value(struct arena *arena, const char *value, const struct format_source *source)
{
	if (!strchr(value, '%'))
		return value;
	size_t n = format(value, source, NULL);
	char *text = arena_alloc(arena, n + 1);
	if (!text)
		return NULL;
	n = format(value, source, text);
	text[n] = '\0';
	/* No field of a head has any, but a host's name might. */
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			text[i] = '?';
	return text;
}
