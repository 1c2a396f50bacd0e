/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/head.h"

#include <string.h>

#include "rules/ascii.h"

/* Most names differ in length, so that is asked first, and measured once for all fields. */
static inline bool name_is(const struct field *field, const char *name, size_t len)
{
	return field->name_len == len && ascii_equal_nocase_n(field->name, name, len);
}

/* The same, of a literal. */
#define NAME_IS(field, literal) name_is(field, literal, sizeof(literal) - 1)

struct field *head_find(const struct http1_head *head, const char *name, size_t from)
{
	size_t len = strlen(name);

	for (size_t i = from; i < head->n_fields; i++)
		if (name_is(&head->fields[i], name, len))
			return &head->fields[i];
	return NULL;
}

size_t head_count(const struct http1_head *head, const char *name)
{
	size_t n = 0, len = strlen(name);

	for (size_t i = 0; i < head->n_fields; i++)
		n += name_is(&head->fields[i], name, len);
	return n;
}

/* Step through a comma-separated list; empty elements are skipped (RFC 9110 5.6.1.2). `*at` moves
 * from the list's start to its end. False: no more elements. */
static bool next_element(const char **at, const char *end, const char **element, size_t *len)
{
	const char *p = *at;

	while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
		p++;
	*element = p;
	while (p < end && *p != ',')
		p++;
	*at = p;
	while (p > *element && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	*len = (size_t)(p - *element);
	return *len > 0;
}

unsigned head_tokens(const struct http1_head *head, const char *name, const char *const *tokens,
		     unsigned n)
{
	size_t name_len = strlen(name), len;
	unsigned found = 0;

	for (size_t i = 0; i < head->n_fields; i++) {
		const struct field *field = &head->fields[i];
		const char *at = field->value, *element;

		if (!name_is(field, name, name_len))
			continue;
		while (next_element(&at, field->value + field->value_len, &element, &len))
			for (unsigned t = 0; t < n; t++)
				if (strlen(tokens[t]) == len &&
				    ascii_equal_nocase_n(element, tokens[t], len))
					found |= 1U << t;
	}
	return found;
}

bool head_has_token(const struct http1_head *head, const char *name, const char *token)
{
	return head_tokens(head, name, &token, 1) != 0;
}

/* Remove fields of that name from index `from` on. */
static void remove_from(struct http1_head *head, const char *name, size_t from)
{
	size_t kept = from, len = strlen(name);

	for (size_t i = from; i < head->n_fields; i++)
		if (!name_is(&head->fields[i], name, len))
			head->fields[kept++] = head->fields[i];
	head->n_fields = kept;
}

bool head_is_grpc(const struct http1_head *head)
{
	static const char type[] = "application/grpc";
	const size_t n = sizeof(type) - 1;
	const struct field *field = head_find(head, "content-type", 0);

	return field && field->value_len >= n && ascii_equal_nocase_n(field->value, type, n) &&
	       (field->value_len == n || field->value[n] == '+');
}

void head_remove(struct http1_head *head, const char *name)
{
	remove_from(head, name, 0);
}

int head_set(struct http1_head *head, size_t max_fields, const char *name, const char *value)
{
	struct field *field = head_find(head, name, 0);

	if (!field)
		return head_add(head, max_fields, name, value);
	remove_from(head, name, (size_t)(field - head->fields) + 1);
	field->value = value;
	field->value_len = (uint32_t)strlen(value);
	return 0;
}

int head_add(struct http1_head *head, size_t max_fields, const char *name, const char *value)
{
	if (head->n_fields == max_fields)
		return -1;
	head->fields[head->n_fields++] =
	    (struct field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
	return 0;
}

/* Where a message goes and where it ends is not for Connection to take away, nor are the fields
 * that head_strip_hop_by_hop() judges by itself. */
static bool beyond_connection(const struct field *field)
{
	return NAME_IS(field, "Connection") || NAME_IS(field, "Content-Length") ||
	       NAME_IS(field, "Host") || NAME_IS(field, "TE") || NAME_IS(field, "Trailer") ||
	       NAME_IS(field, "Transfer-Encoding") || NAME_IS(field, "Upgrade");
}

/* Mark what a Connection field names, by an empty name. No Connection field is among it: all of them
 * are still to be read. */
static void mark_named(struct http1_head *head, const struct field *connection)
{
	const char *at = connection->value, *end = at + connection->value_len, *element;
	size_t len;

	while (next_element(&at, end, &element, &len))
		for (size_t i = 0; i < head->n_fields; i++)
			if (name_is(&head->fields[i], element, len) &&
			    !beyond_connection(&head->fields[i]))
				head->fields[i].name_len = 0;
}

/* What is left of Connection. NULL: nothing. */
static const char *kept_options(bool upgrade, bool trailers)
{
	if (upgrade)
		return trailers ? "upgrade, TE" : "upgrade";
	return trailers ? "TE" : NULL;
}

void head_strip_hop_by_hop(struct http1_head *head, bool keep_upgrade)
{
	bool upgrade = keep_upgrade && head->upgrade;
	bool trailers = head->request && head->minor >= 1 &&
			head_has_token(head, "Connection", "TE") &&
			head_has_token(head, "TE", "trailers");
	const char *options = kept_options(upgrade, trailers);
	bool te_kept = false;
	size_t kept = 0;

	for (size_t i = 0; i < head->n_fields; i++)
		if (NAME_IS(&head->fields[i], "Connection"))
			mark_named(head, &head->fields[i]);
	for (size_t i = 0; i < head->n_fields; i++) {
		struct field *field = &head->fields[i];
		if (field->name_len == 0 || NAME_IS(field, "Keep-Alive") ||
		    NAME_IS(field, "Proxy-Connection"))
			continue;
		if (NAME_IS(field, "Upgrade") && !upgrade)
			continue;
		if (NAME_IS(field, "TE")) {
			if (!trailers || te_kept)
				continue;
			te_kept = true;
			field->value = "trailers";
			field->value_len = (uint32_t)strlen("trailers");
		}
		if (NAME_IS(field, "Connection")) {
			if (!options)
				continue;
			field->value = options;
			field->value_len = (uint32_t)strlen(options);
			options = NULL;
		}
		if (kept < i)
			head->fields[kept] = *field;
		kept++;
	}
	head->n_fields = kept;
}

/* The start line but for its texts: "METHOD target HTTP/1.1", "HTTP/1.1 200 reason". */
#define REQUEST_LINE  (sizeof("  HTTP/1.1\r\n") - 1)
#define RESPONSE_LINE (sizeof("HTTP/1.1 200 \r\n") - 1)

size_t head_length(const struct http1_head *head)
{
	size_t n = head->request ? REQUEST_LINE + head->method_len + head->target_len
				 : RESPONSE_LINE + head->reason_len;

	for (size_t i = 0; i < head->n_fields; i++)
		n += head->fields[i].name_len + strlen(": ") + head->fields[i].value_len +
		     strlen("\r\n");
	return n + strlen("\r\n");
}

static inline char *put(char *out, const char *text, size_t len)
{
	return len ? mempcpy(out, text, len) : out;
}

static inline char *put_two(char *out, const char two[2])
{
	return mempcpy(out, two, 2);
}

static char *put_start(char *out, const struct http1_head *head)
{
	if (head->request) {
		out = put(out, head->method, head->method_len);
		*out++ = ' ';
		out = put(out, head->target, head->target_len);
		return put(out, " HTTP/1.1", strlen(" HTTP/1.1"));
	}
	out = put(out, "HTTP/1.1 ", strlen("HTTP/1.1 "));
	*out++ = (char)('0' + head->status / 100 % 10);
	*out++ = (char)('0' + head->status / 10 % 10);
	*out++ = (char)('0' + head->status % 10);
	*out++ = ' '; /* stands even if there is no reason (RFC 9112 4) */
	return put(out, head->reason, head->reason_len);
}

ssize_t head_write(const struct http1_head *head, struct buf *out)
{
	size_t len = head_length(head);

	if (len > buf_room(out))
		return -1;
	char *to = put_two(put_start(buf_reserve(out), head), "\r\n");
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct field *field = &head->fields[i];
		to = put_two(put(to, field->name, field->name_len), ": ");
		to = put_two(put(to, field->value, field->value_len), "\r\n");
	}
	put_two(to, "\r\n");
	buf_added(out, len);
	return (ssize_t)len;
}
