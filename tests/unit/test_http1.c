/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads. Every input is fed to http1_head_length() split at every offset, and must give the same
 * outcome as in one piece. Bodies are in test_http1_body.c.
 */
#include "shim/bridge/http1.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct field fields[HTTP1_FIELDS_MAX];

/* What http1_head_length() says about n bytes that arrive as `first` bytes and the rest. The bytes
 * are in blocks of exactly their size, so that a sanitizer sees a read too far. */
static ssize_t length_in_two(const char *data, size_t n, size_t first, const char **why)
{
	size_t scanned = 0;
	char *part = malloc(first ? first : 1), *whole = malloc(n ? n : 1);

	memcpy(part, data, first);
	memcpy(whole, data, n);
	ssize_t length = http1_head_length(part, first, &scanned, why);
	ck_assert_uint_le(scanned, first);
	if (length == 0)
		length = http1_head_length(whole, n, &scanned, why);
	free(part);
	free(whole);
	return length;
}

/* The length of the head, the same for every split. */
static ssize_t head_length_split(const char *data, size_t n)
{
	const char *why = NULL;
	ssize_t length = length_in_two(data, n, n, &why);

	for (size_t i = 0; i < n; i++) {
		const char *again = NULL;
		ck_assert_int_eq(length_in_two(data, n, i, &again), length);
		ck_assert_ptr_eq(why, again);
	}
	ck_assert((length < 0) == (why != NULL));
	return length;
}

/* Parse a whole head of n bytes. The result points into a copy that lives until the next call. */
static int parse_n(const char *data, size_t n, bool request, bool to_head, struct http1_head *head,
		   const char **why)
{
	static char *copy;
	ssize_t length = head_length_split(data, n);

	if (length < 0) {
		/* what the scan refuses, parsing must refuse by itself too */
		return request ? http1_parse_request(data, n, fields, 64, head, why)
			       : http1_parse_response(data, n, to_head, fields, 64, head, why);
	}
	ck_assert_int_eq(length, n);
	free(copy);
	copy = malloc(n);
	memcpy(copy, data, n);
	return request
		   ? http1_parse_request(copy, n, fields, HTTP1_FIELDS_MAX, head, why)
		   : http1_parse_response(copy, n, to_head, fields, HTTP1_FIELDS_MAX, head, why);
}

static struct http1_head good_request(const char *text)
{
	struct http1_head head;
	const char *why = NULL;
	int result = parse_n(text, strlen(text), true, false, &head, &why);

	ck_assert_msg(result == 0, "refused: %s\n%s", why, text);
	ck_assert(head.request);
	return head;
}

static struct http1_head good_response(const char *text, bool to_head)
{
	struct http1_head head;
	const char *why = NULL;
	int result = parse_n(text, strlen(text), false, to_head, &head, &why);

	ck_assert_msg(result == 0, "refused: %s\n%s", why, text);
	ck_assert(!head.request);
	return head;
}

static void bad(const char *data, size_t n, bool request, int expected)
{
	struct http1_head head;
	const char *why = NULL;
	int result = parse_n(data, n, request, false, &head, &why);

	ck_assert_msg(result == expected, "%d instead of %d (%s)\n%s", result, expected,
		      why ? why : "", data);
	ck_assert_ptr_nonnull(why);
	ck_assert_uint_gt(strlen(why), 0);
}

static void ck_text(const char *text, size_t len, const char *expected)
{
	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(text, expected, len);
}

/* ---- requests --------------------------------------------------------------------------- */

START_TEST(a_request_is_taken_apart)
{
	struct http1_head head = good_request("GET /a/b?x=1 HTTP/1.1\r\n"
					      "Host: webserver\r\n"
					      "x-EMPTY:\r\n"
					      "X-Space: \t  \r\n"
					      "X-Odd:a:b \t c\t \r\n"
					      "X-Utf8: \xc3\xa4\xff\r\n"
					      "\r\n");

	ck_text(head.method, head.method_len, "GET");
	ck_text(head.target, head.target_len, "/a/b?x=1");
	ck_assert_uint_eq(head.minor, 1);
	ck_assert_uint_eq(head.n_fields, 5);
	ck_text(fields[0].name, fields[0].name_len, "Host");
	ck_text(fields[0].value, fields[0].value_len, "webserver");
	ck_text(fields[1].name, fields[1].name_len, "x-EMPTY");
	ck_text(fields[1].value, fields[1].value_len, "");
	ck_text(fields[2].value, fields[2].value_len, "");
	ck_text(fields[3].value, fields[3].value_len, "a:b \t c");
	ck_text(fields[4].value, fields[4].value_len, "\xc3\xa4\xff");
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	ck_assert(head.keep_alive && !head.upgrade && !head.expect_continue);
}
END_TEST

START_TEST(a_request_needs_no_fields)
{
	struct http1_head head = good_request("GET / HTTP/1.0\r\n\r\n");

	ck_assert_uint_eq(head.n_fields, 0);
	ck_assert_uint_eq(head.minor, 0);
	ck_assert(!head.keep_alive);
}
END_TEST

START_TEST(every_kind_of_target_parses)
{
	static const char *const lines[][2] = {
	    {"GET http://webserver:80/a?b HTTP/1.1\r\n\r\n", "http://webserver:80/a?b"},
	    {"OPTIONS * HTTP/1.1\r\n\r\n", "*"},
	    {"CONNECT webserver:443 HTTP/1.1\r\nHost: webserver:443\r\n\r\n", "webserver:443"},
	    {"CONNECT webserver:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "webserver:443"},
	    {"GET /a%20b/../c?d=/?e&f=%00#g HTTP/1.1\r\n\r\n", "/a%20b/../c?d=/?e&f=%00#g"},
	    {"GET //x HTTP/1.1\r\n\r\n", "//x"},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct http1_head head = good_request(lines[i][0]);
		ck_text(head.target, head.target_len, lines[i][1]);
	}
}
END_TEST

START_TEST(methods_beyond_the_usual_ones_parse)
{
	static const char *const methods[] = {"HEAD",	  "POST",      "PUT",	"DELETE",
					      "PATCH",	  "TRACE",     "PURGE", "PROPFIND",
					      "M-SEARCH", "MKCALENDAR"};
	char text[64];

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n\r\n", methods[i]);
		struct http1_head head = good_request(text);
		ck_text(head.method, head.method_len, methods[i]);
	}
}
END_TEST

START_TEST(requests_are_framed_by_their_fields)
{
	struct http1_head head;

	head = good_request("POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n");
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
	ck_assert_uint_eq(head.content_length, 12);
	head = good_request("POST / HTTP/1.1\r\ncontent-LENGTH:007 \r\n\r\n");
	ck_assert_uint_eq(head.content_length, 7);
	head = good_request("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
	head = good_request("POST / HTTP/1.1\r\nContent-Length: 900000000000000000\r\n\r\n");
	ck_assert_uint_eq(head.content_length, 900000000000000000);
	head = good_request("POST / HTTP/1.1\r\ntransfer-encoding: \tChunked \r\n\r\n");
	ck_assert_int_eq(head.framing, HTTP1_CHUNKED);
	head = good_request("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	head = good_request("GET / HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\n");
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
}
END_TEST

START_TEST(connection_options_are_read)
{
	ck_assert(!good_request("GET / HTTP/1.1\r\nConnection: a, CLOSE\r\n\r\n").keep_alive);
	ck_assert(!good_request("GET / HTTP/1.1\r\nConnection: a\r\nconnection:close\r\n\r\n")
		       .keep_alive);
	ck_assert(good_request("GET / HTTP/1.1\r\nConnection: closed\r\n\r\n").keep_alive);
	ck_assert(good_request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
	ck_assert(
	    !good_request("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").keep_alive);

	static const char websocket[] = "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n"
					"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
	ck_assert(good_request(websocket).upgrade);
	ck_assert_uint_eq(good_request(websocket).n_fields, 3);
	ck_assert(!good_request("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n").upgrade);
	ck_assert(!good_request("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n").upgrade);
	struct http1_head head = good_request("POST / HTTP/1.1\r\nConnection: upgrade\r\n"
					      "Upgrade: TLS/1.0\r\nContent-Length: 3\r\n\r\n");
	ck_assert(head.upgrade);
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
	/* What would go past the rules is not asked for. */
	ck_assert(!good_request("GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
				"Upgrade: websocket, h2c\r\n\r\n")
		       .upgrade);

	ck_assert(good_request("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n").expect_continue);
	ck_assert(!good_request("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}
END_TEST

START_TEST(any_method_will_do)
{
	static const char *const methods[] = {"QUERY", "FROB", "M-SEARCH", "X!#$%&'*+-.^_`|~9"};
	char text[64];

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(text, sizeof(text), "%s /a?b HTTP/1.1\r\nHost: a\r\n\r\n", methods[i]);
		struct http1_head head = good_request(text);
		ck_assert_uint_eq(head.method_len, strlen(methods[i]));
		ck_assert_uint_eq(head.target_len, 4);
		ck_assert_uint_eq(head.n_fields, 1);
	}
}
END_TEST

/* What two parsers could read differently, or what is no HTTP at all. */
START_TEST(requests_that_leave_a_doubt_are_refused)
{
#define LINE "POST / HTTP/1.1\r\n"
	static const char *const heads[] = {
	    /* framing */
	    LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	    LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
	    LINE "Transfer-Encoding: chunked, identity\r\n\r\n",
	    LINE "Transfer-Encoding: identity\r\n\r\n",
	    LINE "Transfer-Encoding: gzip, chunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunked, chunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunkedx\r\n\r\n",
	    LINE "Transfer-Encoding: xchunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunked x\r\n\r\n",
	    LINE "Transfer-Encoding: chunked;q=1\r\n\r\n",
	    LINE "Transfer-Encoding: \"chunked\"\r\n\r\n",
	    LINE "Transfer-Encoding: ,chunked\r\n\r\n",
	    LINE "Transfer-Encoding:\r\n\r\n",
	    LINE "Transfer-Encoding: \x0b"
		 "chunked\r\n\r\n",
	    LINE "Transfer-Encoding : chunked\r\n\r\n",
	    LINE "Transfer-Encoding\t: chunked\r\n\r\n",
	    LINE "Transfer-Encoding:\r\n chunked\r\n\r\n",
	    LINE " Transfer-Encoding: chunked\r\n\r\n",
	    LINE "\tTransfer-Encoding: chunked\r\n\r\n",
	    LINE "X: y\rTransfer-Encoding: chunked\r\n\r\n",
	    LINE "X: y\nTransfer-Encoding: chunked\r\n\r\n",
	    LINE "Transfer-Encoding: chunked\nX: y\r\n\r\n",
	    LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	    LINE "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
	    LINE "Content-Length: 5, 5\r\n\r\n",
	    LINE "Content-Length: +5\r\n\r\n",
	    LINE "Content-Length: -5\r\n\r\n",
	    LINE "Content-Length: 0x5\r\n\r\n",
	    LINE "Content-Length: 5 6\r\n\r\n",
	    LINE "Content-Length: 5x\r\n\r\n",
	    LINE "Content-Length: 5.0\r\n\r\n",
	    LINE "Content-Length:\r\n\r\n",
	    LINE "Content-Length:   \r\n\r\n",
	    LINE "Content-Length: 18446744073709551616\r\n\r\n",
	    LINE "Content-Length: 18446744073709551615\r\n\r\n",
	    LINE "Content-Length: 9223372036854775808\r\n\r\n",
	    LINE "Content-Length: 99999999999999999999999999999999\r\n\r\n",
	    LINE "Content-Length : 5\r\n\r\n",
	    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
	    "CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	    /* lines and bytes */
	    LINE "X: a\rb\r\n\r\n",
	    LINE "X: a\r\r\n\r\n",
	    LINE "X: a\r\n b\r\n\r\n",
	    LINE "X: a\r\n\tb\r\n\r\n",
	    LINE "X: a\x7f\r\n\r\n",
	    LINE "X: a\x01\r\n\r\n",
	    LINE "X y: a\r\n\r\n",
	    LINE "X\r\n\r\n",
	    LINE ": a\r\n\r\n",
	    LINE "X(: a\r\n\r\n",
	    LINE "X\xe4: a\r\n\r\n",
	    LINE "\"X\": a\r\n\r\n",
	    LINE "X@y: a\r\n\r\n",
	    "POST / HTTP/1.1\nHost: a\n\n",
	    "\r\n\r\n",
	    /* start lines */
	    "GET  / HTTP/1.1\r\n\r\n",
	    "GET /  HTTP/1.1\r\n\r\n",
	    "GET / HTTP/1.1 \r\n\r\n",
	    "GET / HTTP/1.1\t\r\n\r\n",
	    "GET\t/ HTTP/1.1\r\n\r\n",
	    "GET /\tHTTP/1.1\r\n\r\n",
	    "GET /a\tb HTTP/1.1\r\n\r\n",
	    "GET /a b HTTP/1.1\r\n\r\n",
	    " GET / HTTP/1.1\r\n\r\n",
	    "GET  HTTP/1.1\r\n\r\n",
	    "GET HTTP/1.1\r\n\r\n",
	    "GET /\r\n\r\n",
	    "GET\r\n\r\n",
	    "get / HTTP/1.1\r\n\r\n",
	    "Head / HTTP/1.1\r\n\r\n",
	    "FR(OB / HTTP/1.1\r\n\r\n",
	    "GET /\x80 HTTP/1.1\r\n\r\n",
	    "DESCRIBE / RTSP/1.0\r\n\r\n",
	    "GET / RTSP/1.0\r\n\r\n",
	    "SOURCE / ICE/1.0\r\n\r\n",
	    "GET / http/1.1\r\n\r\n",
	    "GET / HTTP/1.1x\r\n\r\n",
	    "GET / HTTP/11\r\n\r\n",
	    "GET / HTTP/1.10\r\n\r\n",
	    "GET / HTTP/x.1\r\n\r\n",
	    "GET a HTTP/1.1\r\n\r\n",
	    "GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
	    "HTTP/1.1 200 OK\r\n\r\n",
	    "\x16\x03\x01\x02\x01\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		bad(heads[i], strlen(heads[i]), true, -1);
	static const char nul[] = LINE "X: a\0b\r\n\r\n";
	bad(nul, sizeof(nul) - 1, true, -1);
	static const char nul_in_name[] = LINE "X\0: a\r\n\r\n";
	bad(nul_in_name, sizeof(nul_in_name) - 1, true, -1);
}
END_TEST

START_TEST(other_versions_are_told_apart)
{
	static const char *const heads[] = {
	    "PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/0.9\r\n\r\n",
	    "GET / HTTP/1.2\r\n\r\n", "GET / HTTP/3.0\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		bad(heads[i], strlen(heads[i]), true, -505);
	bad("PRI / HTTP/1.1\r\n\r\n", 18, true, -1);
	bad("HTTP/2.0 200 OK\r\n\r\n", 19, false, -505);
}
END_TEST

START_TEST(fields_are_counted)
{
	static char text[HTTP1_FIELDS_MAX * 6 + 64];
	struct http1_head head;
	const char *why = NULL;
	size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");

	for (int i = 0; i < HTTP1_FIELDS_MAX; i++)
		n += (size_t)sprintf(text + n, "a: b\r\n");
	strcpy(text + n, "\r\n");
	ck_assert_int_eq(http1_parse_request(text, n + 2, fields, HTTP1_FIELDS_MAX, &head, &why),
			 0);
	ck_assert_uint_eq(head.n_fields, HTTP1_FIELDS_MAX);
	ck_assert_int_eq(
	    http1_parse_request(text, n + 2, fields, HTTP1_FIELDS_MAX - 1, &head, &why), -431);
	ck_assert_int_eq(
	    http1_parse_request("GET / HTTP/1.1\r\na: b\r\n\r\n", 24, NULL, 0, &head, &why), -431);
}
END_TEST

/* ---- the end of a head ------------------------------------------------------------------ */

START_TEST(the_end_of_a_head_is_found)
{
	static const char two[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n";
	static const char none[] = "GET / HTTP/1.1\r\nHost: a\r\n\r";
	size_t scanned = 0;
	const char *why;

	ck_assert_int_eq(head_length_split(two, sizeof(two) - 1), 27);
	ck_assert_int_eq(head_length_split(none, sizeof(none) - 1), 0);
	ck_assert_int_eq(head_length_split("", 0), 0);
	/* a head that comes byte by byte is looked at once */
	for (size_t n = 0; n < 27; n++) {
		size_t before = scanned;
		ck_assert_int_eq(http1_head_length(two, n, &scanned, &why), 0);
		ck_assert_uint_ge(scanned + 1, n);
		ck_assert_uint_ge(scanned, before);
	}
	ck_assert_int_eq(http1_head_length(two, 27, &scanned, &why), 27);
}
END_TEST

START_TEST(a_head_must_be_given_whole)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nx";
	struct http1_head head;

	for (size_t n = 0; n < sizeof(text); n++) {
		const char *why = NULL;
		int expected = n == 27 ? 0 : -1;
		ck_assert_int_eq(http1_parse_request(text, n, fields, 8, &head, &why), expected);
		ck_assert_int_eq(http1_parse_response(text, n, false, fields, 8, &head, &why), -1);
	}
}
END_TEST

START_TEST(empty_lines_before_a_request_are_skipped)
{
	const char *why;
	size_t scanned = 0;

	ck_assert_uint_eq(http1_skip_empty_lines("\r\n\r\nGET", 7), 4);
	ck_assert_uint_eq(http1_skip_empty_lines("\r\n\r", 3), 2);
	ck_assert_uint_eq(http1_skip_empty_lines("\r", 1), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("\n", 1), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("", 0), 0);
	ck_assert_uint_eq(http1_skip_empty_lines("GET\r\n", 5), 0);
	/* a lone CR does not count as scanned: the next byte may make it an empty line */
	ck_assert_int_eq(http1_head_length("\r", 1, &scanned, &why), 0);
	ck_assert_uint_eq(scanned, 0);
}
END_TEST

/* ---- responses -------------------------------------------------------------------------- */

START_TEST(a_response_is_taken_apart)
{
	struct http1_head head = good_response("HTTP/1.1 404 Not Found, sorry\r\n"
					       "Content-Length: 5\r\n\r\n",
					       false);

	ck_assert_uint_eq(head.status, 404);
	ck_text(head.reason, head.reason_len, "Not Found, sorry");
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
	ck_assert(head.keep_alive);
	head = good_response("HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", false);
	ck_assert_uint_eq(head.reason_len, 0);
	ck_assert_int_eq(head.framing, HTTP1_CHUNKED);
	head = good_response("HTTP/1.0 999\r\n\r\n", false);
	ck_assert_uint_eq(head.reason_len, 0);
	ck_assert_uint_eq(head.status, 999);
	ck_assert_uint_eq(head.minor, 0);
	head = good_response("HTTP/1.1 200 \xe4 \tb\r\n\r\n", false);
	ck_text(head.reason, head.reason_len, "\xe4 \tb");
}
END_TEST

START_TEST(responses_are_framed_by_status_and_fields)
{
	struct http1_head head;

	head = good_response("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", false);
	ck_assert_int_eq(head.framing, HTTP1_UNTIL_CLOSE);
	ck_assert(!head.keep_alive);
	head = good_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	ck_assert(head.keep_alive);
	head = good_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	head = good_response("HTTP/1.1 200 OK\r\n\r\n", true);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	ck_assert(head.keep_alive);
	head = good_response("HTTP/1.1 100 Continue\r\n\r\n", false);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	head = good_response("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			     "Upgrade: websocket\r\n\r\n",
			     false);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	ck_assert(head.upgrade);
	head = good_response("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	head = good_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false);
	ck_assert_int_eq(head.framing, HTTP1_NO_BODY);
	head = good_response(
	    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", false);
	ck_assert(head.keep_alive);
	head = good_response("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
			     false);
	ck_assert(!head.keep_alive);
	ck_assert_int_eq(head.framing, HTTP1_LENGTH);
}
END_TEST

START_TEST(responses_that_leave_a_doubt_are_refused)
{
#define OK "HTTP/1.1 200 OK\r\n"
	static const char *const heads[] = {
	    OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	    OK "Content-Length: 5,5\r\n\r\n",
	    OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
	    OK "Transfer-Encoding: gzip\r\n\r\n",
	    OK "Transfer-Encoding : chunked\r\n\r\n",
	    OK "Set-Cookie: a\r\n b\r\n\r\n",
	    OK "X: a\nY: b\r\n\r\n",
	    OK "X: a\rY: b\r\n\r\n",
	    OK "X\r\n\r\n",
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "HTTP/1.1  200 OK\r\n\r\n",
	    "HTTP/1.1\t200 OK\r\n\r\n",
	    "HTTP/1.1 20 OK\r\n\r\n",
	    "HTTP/1.1 099 OK\r\n\r\n",
	    "HTTP/1.1 2000 OK\r\n\r\n",
	    "HTTP/1.1 200OK\r\n\r\n",
	    "HTTP/1.1 OK\r\n\r\n",
	    "HTTP/1.1\r\n\r\n",
	    "HTTP/1.\r\n\r\n",
	    "\r\nHTTP/1.1 200 OK\r\n\r\n",
	    "ICY 200 OK\r\n\r\n",
	    "RTSP/1.0 200 OK\r\n\r\n",
	    "http/1.1 200 OK\r\n\r\n",
	    "SSH-2.0-OpenSSH_9.2\r\n\r\n",
	    "GET / HTTP/1.1\r\n\r\n",
	    "\x15\x03\x01\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		bad(heads[i], strlen(heads[i]), false, -1);
}
END_TEST

/* Any byte in any place: no crash, no read beyond, and what is taken keeps its lines. */
START_TEST(no_byte_in_any_place_does_harm)
{
	static const char text[] = "POST /a?b HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n"
				   "Content-Length: 5\r\n\r\n";
	char data[sizeof(text)];
	const char *why;
	struct http1_head head;

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		for (int c = 0; c < 256; c++) {
			size_t scanned = 0;
			memcpy(data, text, sizeof(text));
			data[i] = (char)c;
			ssize_t n = http1_head_length(data, sizeof(text) - 1, &scanned, &why);
			if (n <= 0 || http1_parse_request(data, (size_t)n, fields, 8, &head, &why))
				continue;
			ck_assert_uint_eq(head.n_fields, 3);
			for (size_t j = 0; j < 3; j++)
				ck_assert_ptr_null(
				    memchr(fields[j].value, '\n', fields[j].value_len));
		}
	}
}
END_TEST

Suite *http1_suite(void);
Suite *http1_suite(void)
{
	Suite *suite = suite_create("http1");
	TCase *tcase = tcase_create("heads");

	tcase_add_test(tcase, a_request_is_taken_apart);
	tcase_add_test(tcase, a_request_needs_no_fields);
	tcase_add_test(tcase, every_kind_of_target_parses);
	tcase_add_test(tcase, methods_beyond_the_usual_ones_parse);
	tcase_add_test(tcase, requests_are_framed_by_their_fields);
	tcase_add_test(tcase, connection_options_are_read);
	tcase_add_test(tcase, any_method_will_do);
	tcase_add_test(tcase, any_method_will_do);
	tcase_add_test(tcase, requests_that_leave_a_doubt_are_refused);
	tcase_add_test(tcase, other_versions_are_told_apart);
	tcase_add_test(tcase, fields_are_counted);
	tcase_add_test(tcase, the_end_of_a_head_is_found);
	tcase_add_test(tcase, a_head_must_be_given_whole);
	tcase_add_test(tcase, empty_lines_before_a_request_are_skipped);
	tcase_add_test(tcase, a_response_is_taken_apart);
	tcase_add_test(tcase, responses_are_framed_by_status_and_fields);
	tcase_add_test(tcase, responses_that_leave_a_doubt_are_refused);
	tcase_add_test(tcase, no_byte_in_any_place_does_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
