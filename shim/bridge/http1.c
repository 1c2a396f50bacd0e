/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads. A head goes through three hands, and each can refuse it:
 *
 *   1. http1_head_length() looks at bytes: lines end with CRLF, no other control characters, no
 *      folded lines.
 *   2. llhttp parses fields and status lines.
 *   3. What llhttp found is held against the lines themselves (a start line with exactly its
 *      spaces, one field per line, a token before each colon), and the framing is decided here
 *      from the fields, by the letter of RFC 9112 section 6.
 *
 * llhttp alone would let through some of what other parsers read differently: further spaces in
 * the start line, RTSP and ICE, HTTP/0.9. And it has a list of methods, which RFC 9110 leaves open.
 */
#include "shim/bridge/http1.h"

#include <endian.h>
#include <string.h>

#define LLHTTP_STRICT_MODE 1
#include <llhttp.h>

#include "rules/ascii.h"
#include "shim/bridge/head.h"

/* How many bytes there are before the first control character. */
static size_t plain_length(const char *data, size_t n)
{
	typedef unsigned char vector __attribute__((vector_size(16)));
	vector bytes;
	uint64_t found[2];
	size_t i = 0;

	for (; n - i >= sizeof(bytes); i += sizeof(bytes)) {
		memcpy(&bytes, data + i, sizeof(bytes));
		bytes = (vector)(bytes < ' ') | (vector)(bytes == 0x7f);
		memcpy(found, &bytes, sizeof(found));
		if (found[0])
			return i + (unsigned)__builtin_ctzll(le64toh(found[0])) / 8;
		if (found[1])
			return i + 8 + (unsigned)__builtin_ctzll(le64toh(found[1])) / 8;
	}
	while (i < n && (unsigned char)data[i] >= ' ' && data[i] != 0x7f)
		i++;
	return i;
}

ssize_t http1_head_length(const char *data, size_t n, size_t *scanned, const char **why)
{
	size_t i = *scanned;

	while (i < n) {
		if ((data[i] == ' ' || data[i] == '\t') && i > 0 && data[i - 1] == '\n') {
			*why = "folded header line";
			return -1;
		}
		i += plain_length(data + i, n - i);
		if (i == n)
			break;
		if (data[i] == '\r') {
			if (i + 1 == n)
				break;
			if (data[i + 1] != '\n') {
				*why = "CR without LF in the head";
				return -1;
			}
			i += 2;
			if (i >= 4 && data[i - 3] == '\n')
				return (ssize_t)i;
		} else if (data[i] == '\t') {
			i++;
		} else {
			*why = data[i] == '\n' ? "LF without CR in the head"
					       : "control character in the head";
			return -1;
		}
	}
	*scanned = i;
	return 0;
}

size_t http1_skip_empty_lines(const char *data, size_t n)
{
	size_t i = 0;

	while (n - i >= 2 && data[i] == '\r' && data[i + 1] == '\n')
		i += 2;
	return i;
}

/* What llhttp found. */
struct parse {
	struct http1_head *head;
	size_t max_fields;
	bool too_many;
	bool value_open; /* the last field has its value */
	bool complete;
};

/* Spans come in pieces that adjoin: all of the head is given at once and has no folded lines. */
static void extend(const char **text, uint32_t *len, const char *at, size_t n)
{
	if (!*text)
		*text = at;
	*len = (uint32_t)(at + n - *text);
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
	struct parse *parse = parser->data;
	struct http1_head *head = parse->head;

	if (head->n_fields == 0 || parse->value_open) {
		if (head->n_fields == parse->max_fields) {
			parse->too_many = true;
			return HPE_USER;
		}
		head->fields[head->n_fields++] = (struct field){0};
		parse->value_open = false;
	}
	struct field *field = &head->fields[head->n_fields - 1];
	extend(&field->name, &field->name_len, at, n);
	return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct parse *parse = parser->data;
	struct field *field = &parse->head->fields[parse->head->n_fields - 1];

	parse->value_open = true;
	extend(&field->value, &field->value_len, at, n);
	return 0;
}

static int on_head(llhttp_t *parser)
{
	((struct parse *)parser->data)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
};

static void trim(struct field *field)
{
	while (field->value_len > 0 && (field->value[0] == ' ' || field->value[0] == '\t')) {
		field->value++;
		field->value_len--;
	}
	while (field->value_len > 0 && (field->value[field->value_len - 1] == ' ' ||
					field->value[field->value_len - 1] == '\t'))
		field->value_len--;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *text, size_t len)
{
	static const bool token[256] = {
	    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
	    ['#'] = true,	  ['$'] = true,		['%'] = true,	      ['&'] = true,
	    ['\''] = true,	  ['*'] = true,		['+'] = true,	      ['-'] = true,
	    ['.'] = true,	  ['^'] = true,		['_'] = true,	      ['`'] = true,
	    ['|'] = true,	  ['~'] = true,
	};

	for (size_t i = 0; i < len; i++)
		if (!token[(unsigned char)text[i]])
			return false;
	return len > 0;
}

/* One field per line, each line beginning with "token:". Values are trimmed on the way. */
static bool fields_are_lines(struct http1_head *head, const char *line, const char *end)
{
	for (size_t i = 0; i < head->n_fields; i++) {
		struct field *field = &head->fields[i];
		const char *line_end = memchr(line, '\r', (size_t)(end - line));
		if (field->name != line || !is_token(field->name, field->name_len) ||
		    field->name[field->name_len] != ':')
			return false;
		if (field->value_len == 0) /* llhttp finds it out on the next line */
			field->value = field->name + field->name_len + 1;
		if (!line_end || field->value < line + field->name_len + 1 ||
		    field->value + field->value_len > line_end)
			return false;
		trim(field);
		line = line_end + 2;
	}
	return line + 2 == end;
}

/* The version that the n bytes at `text` spell. Returns 0, -1 or -505. */
static int parse_version(const char *text, size_t n, struct http1_head *head, const char **why)
{
	if (n != 8 || memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' ||
	    text[6] != '.' || text[7] < '0' || text[7] > '9') {
		*why = "malformed HTTP version";
		return -1;
	}
	if (text[5] != '1' || text[7] > '1') {
		*why = "HTTP version not supported";
		return -505;
	}
	head->minor = (uint8_t)(text[7] - '0');
	return 0;
}

/* " 200" and then the line's end or a space. A reason may be missing with its space; servers do
 * that (RFC 9112 4 lets a recipient take it). */
static bool parse_status(const char *text, const char *end, struct http1_head *head)
{
	if (end - text < 4 || text[0] != ' ' || (end - text > 4 && text[4] != ' ') ||
	    text[1] < '1' || text[1] > '9')
		return false;
	for (int i = 1; i <= 3; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		head->status = (uint16_t)(head->status * 10 + (text[i] - '0'));
	}
	return true;
}

/* A number and nothing else; small enough for any arithmetic. */
static bool parse_length(const struct field *field, uint64_t *length)
{
	*length = 0;
	for (uint32_t i = 0; i < field->value_len; i++) {
		if (field->value[i] < '0' || field->value[i] > '9' || *length > INT64_MAX / 10 - 1)
			return false;
		*length = *length * 10 + (uint64_t)(field->value[i] - '0');
	}
	return field->value_len > 0;
}

/* RFC 9112 6.3, and an error where it leaves a choice. */
static int decide_framing(struct http1_head *head, const char **why)
{
	const struct field *coding = head_find(head, "Transfer-Encoding", 0);
	const struct field *length = head_find(head, "Content-Length", 0);

	if (coding && length)
		*why = "both Content-Length and Transfer-Encoding";
	else if (coding && head->minor == 0)
		*why = "Transfer-Encoding in HTTP/1.0";
	else if (coding && (head_count(head, "Transfer-Encoding") > 1 || coding->value_len != 7 ||
			    !ascii_equal_nocase_n(coding->value, "chunked", 7)))
		*why = "Transfer-Encoding other than chunked";
	else if (length && head_count(head, "Content-Length") > 1)
		*why = "more than one Content-Length";
	else if (length && !parse_length(length, &head->content_length))
		*why = "malformed Content-Length";
	else
		goto lawful;
	return -1;

lawful:
	head->framing = HTTP1_NO_BODY;
	if (coding)
		head->framing = HTTP1_CHUNKED;
	else if (length)
		head->framing = HTTP1_LENGTH;
	else if (!head->request)
		head->framing = HTTP1_UNTIL_CLOSE;
	return 0;
}

/* RFC 9112 9.3, RFC 9110 7.8 and 10.1.1 */
static void read_connection(struct http1_head *head)
{
	enum { CLOSE = 1, KEEP_ALIVE = 2, UPGRADE = 4 };
	static const char *const options[] = {"close", "keep-alive", "upgrade"};
	unsigned found = head_tokens(head, "Connection", options, 3);

	head->keep_alive = !(found & CLOSE) && (head->minor == 1 || found & KEEP_ALIVE) &&
			   head->framing != HTTP1_UNTIL_CLOSE;
	/* Nobody could read the requests in a tunnel of HTTP/2. Upgrades may be ignored (RFC 9110
	 * 7.8), and this one is. */
	head->upgrade = found & UPGRADE && head_find(head, "Upgrade", 0) != NULL &&
			!head_has_token(head, "Upgrade", "h2c");
	head->expect_continue =
	    head->request && head->minor == 1 && head_has_token(head, "Expect", "100-continue");
}

/*
 * What requests and responses have in common. The bytes are scanned once more: a head is judged by
 * itself, not by its caller's word.
 */
static int parse_head(const char *data, size_t len, llhttp_type_t type, size_t max_fields,
		      struct http1_head *head, const char **why)
{
	static const char line[] = "GET / HTTP/1.1\r\n";
	struct parse parse = {.head = head, .max_fields = max_fields};
	const char *fields = data;
	size_t scanned = 0;
	llhttp_t parser;

	*why = "malformed head";
	if (http1_head_length(data, len, &scanned, why) != (ssize_t)len)
		return -1;
	llhttp_init(&parser, type, &settings);
	parser.data = &parse;
	/* llhttp knows a list of methods; a request line of ours is as good, for the fields. */
	if (type == HTTP_REQUEST) {
		llhttp_execute(&parser, line, sizeof(line) - 1);
		fields = (const char *)memchr(data, '\n', len) + 1;
	}
	llhttp_errno_t error = llhttp_execute(&parser, fields, (size_t)(data + len - fields));
	if (parse.too_many) {
		*why = "too many header fields";
		return -431;
	}
	if (!parse.complete) {
		if (error != HPE_OK && parser.reason && *parser.reason)
			*why = parser.reason;
		return -1;
	}
	if (!fields_are_lines(head, (const char *)memchr(data, '\n', len) + 1, data + len)) {
		*why = "malformed header line";
		return -1;
	}
	return decide_framing(head, why);
}

/* RFC 9112 3.2: origin-form, asterisk-form, absolute-form; authority-form with CONNECT. */
static bool is_target(const struct http1_head *head)
{
	const char *target = head->target;
	uint32_t len = head->target_len;

	for (uint32_t i = 0; i < len; i++)
		if (target[i] <= ' ' || target[i] >= 0x7f)
			return false;
	return *target == '/' || (len == 1 && *target == '*') || memmem(target, len, "://", 3) ||
	       (head->method_len == 7 && !memcmp(head->method, "CONNECT", 7));
}

/* "METHOD target ", up to the version. In methods there is a difference between "HEAD" and "head" that a
 * destination may not make, and then nobody knows whether a body follows: only the former passes. */
static bool parse_request_line(const char *data, const char *version, struct http1_head *head)
{
	const char *space = memchr(data, ' ', (size_t)(version - data));

	head->method = data;
	head->method_len = (uint32_t)(space - data);
	head->target = space + 1;
	if (!is_token(data, head->method_len) || version - head->target < 2 ||
	    (head->method_len == 3 && !memcmp(data, "PRI", 3))) /* HTTP/2's own, RFC 9113 3.4 */
		return false;
	head->target_len = (uint32_t)(version - head->target - 1);
	for (const char *c = data; c < space; c++)
		if (*c >= 'a' && *c <= 'z')
			return false;
	return is_target(head);
}

int http1_parse_request(const char *data, size_t len, struct field *fields, size_t max_fields,
			struct http1_head *head, const char **why)
{
	const char *line_end = memchr(data, '\r', len);
	const char *version;

	*head = (struct http1_head){.request = true, .fields = fields};
	*why = "malformed request line";
	if (!line_end || !(version = memrchr(data, ' ', (size_t)(line_end - data))))
		return -1;
	version++;
	int result = parse_version(version, (size_t)(line_end - version), head, why);
	if (result == 0 && !parse_request_line(data, version, head)) {
		*why = "malformed request line";
		return -1;
	}
	if (result == 0)
		result = parse_head(data, len, HTTP_REQUEST, max_fields, head, why);
	if (result != 0)
		return result;

	/* A body of CONNECT has no meaning (RFC 9110 9.3.6): some would take it for tunnelled
	 * bytes, some for a body. */
	if (head->method_len == 7 && memcmp(head->method, "CONNECT", 7) == 0 &&
	    (head->framing == HTTP1_CHUNKED || head->content_length > 0)) {
		*why = "CONNECT with a body";
		return -1;
	}
	read_connection(head);
	return 0;
}

int http1_parse_response(const char *data, size_t len, bool to_head_request, struct field *fields,
			 size_t max_fields, struct http1_head *head, const char **why)
{
	const char *line_end = memchr(data, '\r', len);

	*head = (struct http1_head){.fields = fields};
	*why = "malformed status line";
	if (!line_end || line_end - data < 8)
		return -1;
	int result = parse_version(data, 8, head, why);
	if (result != 0)
		return result;
	*why = "malformed status line";
	if (!parse_status(data + 8, line_end, head))
		return -1;
	result = parse_head(data, len, HTTP_RESPONSE, max_fields, head, why);
	if (result != 0)
		return result;

	head->reason = line_end - data > 13 ? data + 13 : line_end;
	head->reason_len = (uint32_t)(line_end - head->reason);
	bool bodiless = head->status < 200 || head->status == 204;
	bool doubtful = bodiless && (head->framing == HTTP1_CHUNKED || head->content_length > 0);
	if (to_head_request || bodiless || head->status == 304)
		head->framing = HTTP1_NO_BODY;
	read_connection(head);
	if (doubtful)
		head->keep_alive = false;
	return 0;
}
