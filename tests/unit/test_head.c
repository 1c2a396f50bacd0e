/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/head.h"

#include <check.h>
#include <string.h>

enum { FIELDS = 16 };

static struct field fields[FIELDS];

static struct http1_head parse(const char *text)
{
	struct http1_head head;
	const char *why = NULL;
	int result =
	    strncmp(text, "HTTP/", 5) == 0
		? http1_parse_response(text, strlen(text), false, fields, FIELDS, &head, &why)
		: http1_parse_request(text, strlen(text), fields, FIELDS, &head, &why);

	ck_assert_msg(result == 0, "%s: %s", why, text);
	return head;
}

static void ck_writes(const struct http1_head *head, const char *expected)
{
	struct buf buf;

	ck_assert_int_eq(buf_init(&buf, 1024), 0);
	ck_assert_int_eq(head_write(head, &buf), strlen(expected));
	ck_assert_uint_eq(head_length(head), strlen(expected));
	ck_assert_int_eq(buf_put(&buf, "", 1), 0);
	ck_assert_str_eq(buf_data(&buf), expected);
	buf_release(&buf);
}

START_TEST(fields_are_found_by_name)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nA: 1\r\nb: 2\r\na: 3\r\nAb: 4\r\n\r\n");

	ck_assert_ptr_eq(head_find(&head, "a", 0), &fields[0]);
	ck_assert_ptr_eq(head_find(&head, "A", 1), &fields[2]);
	ck_assert_ptr_eq(head_find(&head, "AB", 0), &fields[3]);
	ck_assert_ptr_null(head_find(&head, "a", 3));
	ck_assert_ptr_null(head_find(&head, "c", 0));
	ck_assert_uint_eq(head_count(&head, "a"), 2);
	ck_assert_uint_eq(head_count(&head, ""), 0);
}
END_TEST

START_TEST(tokens_are_found_in_lists)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nTE: trailers;q=1 , ,gzip\t\r\n"
				       "Connection:close,x\r\nconnection: , Upgrade,\r\n\r\n");

	ck_assert(head_has_token(&head, "connection", "CLOSE"));
	ck_assert(head_has_token(&head, "connection", "x"));
	ck_assert(head_has_token(&head, "connection", "upgrade"));
	ck_assert(!head_has_token(&head, "connection", "clos"));
	ck_assert(!head_has_token(&head, "connection", "close,x"));
	ck_assert(!head_has_token(&head, "connection", ""));
	ck_assert(head_has_token(&head, "te", "gzip"));
	ck_assert(head_has_token(&head, "te", "trailers;q=1"));
	ck_assert(!head_has_token(&head, "none", "gzip"));

	static const char *const tokens[] = {"upgrade", "clos", "CLOSE", "x", ""};
	ck_assert_uint_eq(head_tokens(&head, "Connection", tokens, 5), 1 | 4 | 8);
	ck_assert_uint_eq(head_tokens(&head, "Connection", tokens, 2), 1);
	ck_assert_uint_eq(head_tokens(&head, "none", tokens, 5), 0);
}
END_TEST

START_TEST(fields_are_removed_in_order)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nA: 1\r\nb: 2\r\na: 3\r\nC: 4\r\n\r\n");

	head_remove(&head, "a");
	ck_writes(&head, "GET / HTTP/1.1\r\nb: 2\r\nC: 4\r\n\r\n");
	head_remove(&head, "none");
	head_remove(&head, "c");
	head_remove(&head, "B");
	ck_writes(&head, "GET / HTTP/1.1\r\n\r\n");
}
END_TEST

START_TEST(setting_keeps_the_first_place_and_its_name)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nA: 1\r\nhOST: webserver\r\nB: 2\r\n"
				       "Host: other\r\n\r\n");

	ck_assert_int_eq(head_set(&head, FIELDS, "Host", "raw.githubusercontent.com"), 0);
	ck_writes(&head,
		  "GET / HTTP/1.1\r\nA: 1\r\nhOST: raw.githubusercontent.com\r\nB: 2\r\n\r\n");
	ck_assert_int_eq(head_set(&head, 4, "X-New", ""), 0);
	ck_assert_int_eq(head_set(&head, 4, "X-Full", "no"), -1);
	ck_assert_int_eq(head_set(&head, 4, "b", "3"), 0);
	ck_writes(&head, "GET / HTTP/1.1\r\nA: 1\r\nhOST: raw.githubusercontent.com\r\nB: 3\r\n"
			 "X-New: \r\n\r\n");
}
END_TEST

START_TEST(hop_by_hop_fields_go)
{
	struct http1_head head = parse(
	    "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 5\r\nConnection: close, X-One\r\n"
	    "x-one: 1\r\nTE: trailers\r\nX-Two: 2\r\nconnection: x-two,Host, content-length\r\n"
	    "Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-one: 1\r\nX-Three: 3\r\n"
	    "Content-Length: 3\r\n\r\n");

	head_strip_hop_by_hop(&head, false);
	ck_writes(&head, "GET / HTTP/1.1\r\nHost: a\r\nX-Three: 3\r\nContent-Length: 3\r\n\r\n");
}
END_TEST

START_TEST(framing_stays_whatever_connection_says)
{
	struct http1_head head =
	    parse("POST / HTTP/1.1\r\nConnection: transfer-encoding, trailer, connection\r\n"
		  "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n\r\n");

	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
}
END_TEST

START_TEST(trailers_are_asked_for)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nConnection: close, TE\r\n"
				       "te: gzip;q=0.5, Trailers\r\nTE: deflate\r\n\r\n");

	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\nConnection: TE\r\nte: trailers\r\n\r\n");
	head = parse("GET / HTTP/1.1\r\nTE: trailers\r\nConnection: TE, upgrade\r\n"
		     "Upgrade: websocket\r\n\r\n");
	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: upgrade, TE\r\n"
			 "Upgrade: websocket\r\n\r\n");
	/* other codings are between the program and us */
	head = parse("GET / HTTP/1.1\r\nConnection: TE\r\nTE: gzip\r\n\r\n");
	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\n\r\n");
	head = parse("GET / HTTP/1.0\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\n\r\n");
}
END_TEST

START_TEST(an_upgrade_stays_if_wanted)
{
	static const char text[] =
	    "GET / HTTP/1.1\r\nHost: a\r\nconnection: keep-alive, Upgrade\r\nConnection: x\r\n"
	    "Upgrade: websocket\r\nX: 1\r\nSec-WebSocket-Key: k\r\n\r\n";
	struct http1_head head = parse(text);

	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\n"
			 "Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
	head = parse(text);
	head_strip_hop_by_hop(&head, false);
	ck_writes(&head, "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n\r\n");
	/* not asked for: an Upgrade field alone, or Connection alone, is none */
	head = parse("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n");
	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\n\r\n");
	head = parse("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n");
	head_strip_hop_by_hop(&head, true);
	ck_writes(&head, "GET / HTTP/1.1\r\n\r\n");
}
END_TEST

START_TEST(heads_are_written_as_http_1_1)
{
	struct http1_head head = parse("PATCH /a HTTP/1.0\r\nHost:  b \r\nx-cAsE:\r\n\r\n");

	ck_writes(&head, "PATCH /a HTTP/1.1\r\nHost: b\r\nx-cAsE: \r\n\r\n");
	head.target = "/new?x=1";
	head.target_len = 8;
	ck_writes(&head, "PATCH /new?x=1 HTTP/1.1\r\nHost: b\r\nx-cAsE: \r\n\r\n");
	head = parse("HTTP/1.0 503 Service  Unavailable\r\nA: b\r\n\r\n");
	ck_writes(&head, "HTTP/1.1 503 Service  Unavailable\r\nA: b\r\n\r\n");
	head = parse("HTTP/1.1 200\r\n\r\n");
	ck_writes(&head, "HTTP/1.1 200 \r\n\r\n");
}
END_TEST

START_TEST(a_head_is_written_whole_or_not_at_all)
{
	struct http1_head head = parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	struct buf buf;

	ck_assert_int_eq(buf_init(&buf, 30), 0);
	ck_assert_int_eq(buf_put(&buf, "abcd", 4), 0);
	ck_assert_int_eq(head_write(&head, &buf), -1);
	ck_assert_uint_eq(buf_len(&buf), 4);
	buf_take(&buf, 1);
	ck_assert_int_eq(head_write(&head, &buf), 27);
	ck_assert_uint_eq(buf_room(&buf), 0);
	ck_assert_mem_eq(buf_data(&buf), "bcdGET / ", 9);
	buf_release(&buf);
}
END_TEST

Suite *head_suite(void);
Suite *head_suite(void)
{
	Suite *suite = suite_create("head");
	TCase *tcase = tcase_create("head");

	tcase_add_test(tcase, fields_are_found_by_name);
	tcase_add_test(tcase, tokens_are_found_in_lists);
	tcase_add_test(tcase, fields_are_removed_in_order);
	tcase_add_test(tcase, setting_keeps_the_first_place_and_its_name);
	tcase_add_test(tcase, hop_by_hop_fields_go);
	tcase_add_test(tcase, framing_stays_whatever_connection_says);
	tcase_add_test(tcase, trailers_are_asked_for);
	tcase_add_test(tcase, an_upgrade_stays_if_wanted);
	tcase_add_test(tcase, heads_are_written_as_http_1_1);
	tcase_add_test(tcase, a_head_is_written_whole_or_not_at_all);
	suite_add_tcase(suite, tcase);
	return suite;
}
