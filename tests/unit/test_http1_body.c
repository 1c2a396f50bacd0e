/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies. Every input is fed in one piece, byte by byte, and split at every offset. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/http1.h"

/* What came of a body that was fed. */
struct outcome {
	ssize_t used; /* -1: malformed */
	bool done;
	char data[16384];
	size_t data_len;
};

/* Feed a block of exactly n bytes; data is taken out in place. Returns false when it is over. */
static bool feed_block(struct http1_body *body, const char *data, size_t n, struct outcome *outcome)
{
	char *block = malloc(n ? n : 1);
	size_t len = 0;

	memcpy(block, data, n);
	ssize_t used = http1_body_feed(body, block, n, block, &len);
	ck_assert_int_le(used, (ssize_t)n);
	if (used < 0) {
		ck_assert_ptr_nonnull(body->why);
		ck_assert_int_eq(http1_body_feed(body, block, n, NULL, NULL), -1);
		outcome->used = -1;
	} else {
		ck_assert_uint_le(len, (size_t)used);
		ck_assert_uint_le(outcome->data_len + len, sizeof(outcome->data));
		memcpy(outcome->data + outcome->data_len, block, len);
		outcome->data_len += len;
		outcome->used += used;
		ck_assert(body->done || (size_t)used == n);
	}
	free(block);
	return used >= 0 && !body->done;
}

/* Feed n bytes as pieces of the given sizes, the last size again and again. */
static struct outcome feed(const struct http1_head *head, const char *data, size_t n, size_t first,
			   size_t then)
{
	struct http1_body body;
	struct outcome outcome = {0};
	size_t at = 0;

	http1_body_init(&body, head);
	while (at < n) {
		size_t piece = at == 0 && first ? first : then;
		if (piece > n - at)
			piece = n - at;
		if (!feed_block(&body, data + at, piece, &outcome))
			break;
		at += piece;
		/* the state is a value: it may be copied and go on elsewhere */
		struct http1_body copy = body;
		memset(&body, 0xa5, sizeof(body));
		body = copy;
	}
	outcome.done = body.done;
	if (body.done)
		ck_assert_int_eq(http1_body_feed(&body, "more", 4, NULL, NULL), 0);
	return outcome;
}

static struct outcome feed_split(const struct http1_head *head, const char *data, size_t n)
{
	struct outcome whole = feed(head, data, n, 0, n);

	for (size_t first = 0; first <= n; first++) {
		struct outcome again = feed(head, data, n, first, first ? n : 1);
		ck_assert_msg(again.used == whole.used, "%zd, in pieces %zd, at %zu:\n%s",
			      whole.used, again.used, first, data);
		ck_assert(again.done == whole.done);
		if (whole.used < 0)
			continue;
		ck_assert_uint_eq(again.data_len, whole.data_len);
		ck_assert_mem_eq(again.data, whole.data, whole.data_len);
	}
	return whole;
}

static const struct http1_head chunked = {.framing = HTTP1_CHUNKED};

static void ck_body(const char *text, size_t used, const char *data)
{
	struct outcome outcome = feed_split(&chunked, text, strlen(text));

	ck_assert_msg(outcome.used == (ssize_t)used, "%zd bytes used of:\n%s", outcome.used, text);
	ck_assert(outcome.done);
	ck_assert_uint_eq(outcome.data_len, strlen(data));
	ck_assert_mem_eq(outcome.data, data, strlen(data));
}

START_TEST(chunks_are_taken_apart)
{
	ck_body("0\r\n\r\n", 5, "");
	ck_body("5\r\nhello\r\n0\r\n\r\n", 15, "hello");
	ck_body("5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n00\r\n\r\nGET / HTTP/1.1\r\n\r\n", 33,
		"hello, world");
	ck_body("A\r\n0123456789\r\n00b\r\n0123456789a\r\n0\r\n\r\n", 38, "01234567890123456789a");
	ck_body("4\r\n\r\n\r\n\r\n0\r\n\r\n", 14, "\r\n\r\n");
	ck_body("3\r\n0\r\n\r\n0\r\n\r\n", 13, "0\r\n");
}
END_TEST

START_TEST(extensions_and_trailers_pass)
{
	ck_body("5;a=b\r\nhello\r\n0;c\r\n\r\n", 21, "hello");
	ck_body("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", 23, "hello");
	ck_body("2\r\nok\r\n0\r\nX-Sum: 1:2 \t3\r\nY:\r\n\r\nrest", 31, "ok");
}
END_TEST

START_TEST(chunks_that_leave_a_doubt_are_refused)
{
	static const char *const bodies[] = {
	    /* sizes */
	    "\r\n\r\n",
	    "x\r\n\r\n",
	    "-1\r\n\r\n",
	    "+5\r\nhello\r\n0\r\n\r\n",
	    "0x5\r\nhello\r\n0\r\n\r\n",
	    " 5\r\nhello\r\n0\r\n\r\n",
	    "5 \r\nhello\r\n0\r\n\r\n",
	    "5\t\r\nhello\r\n0\r\n\r\n",
	    "5 ;a\r\nhello\r\n0\r\n\r\n",
	    "5 5\r\nhello\r\n0\r\n\r\n",
	    ";a\r\nhello\r\n0\r\n\r\n",
	    "5,5\r\nhello\r\n0\r\n\r\n",
	    "10000000000000005\r\nhello\r\n0\r\n\r\n",
	    "0000000000000000000000005\r\nhello\r\n0\r\n\r\n",
	    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
	    "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
	    /* ends of lines */
	    "5\nhello\r\n0\r\n\r\n",
	    "5\rhello\r\n0\r\n\r\n",
	    "5\r\nhello\n0\r\n\r\n",
	    "5\r\nhello\r0\r\n\r\n",
	    "5\r\nhello0\r\n\r\n",
	    "5\r\nhelloo\r\n0\r\n\r\n",
	    "5\r\nhello\r\n\r\n0\r\n\r\n",
	    "5\r\nhello\r\n0\n\r\n",
	    "5\r\nhello\r\n0\r\n\n",
	    "5\r\nhello\r\n0\r\n\rx",
	    "5\r\nhello\r\n0\r\r\n",
	    "5\r\n\rhello\r\n0\r\n\r\n",
	    /* extensions */
	    "5;a\nb\r\nhello\r\n0\r\n\r\n",
	    "5;a\rb\r\nhello\r\n0\r\n\r\n",
	    "5;\x01\r\nhello\r\n0\r\n\r\n",
	    "5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n",
	    "5;a=\"\r\nb\"\r\nhello\r\n0\r\n\r\n",
	    /* trailers */
	    "0\r\nX: a\n\r\n",
	    "0\r\nX: a\rY: b\r\n\r\n",
	    "0\r\nX: a\r\n b\r\n\r\n",
	    "0\r\n X: a\r\n\r\n",
	    "0\r\nX : a\r\n\r\n",
	    "0\r\nX\r\n\r\n",
	    "0\r\n: a\r\n\r\n",
	    "0\r\nX: \x01\r\n\r\n",
	    "0\r\nGET / HTTP/1.1\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct outcome outcome = feed_split(&chunked, bodies[i], strlen(bodies[i]));
		ck_assert_msg(outcome.used == -1, "taken (%zd):\n%s", outcome.used, bodies[i]);
	}
	static const char nul[] = "5;a\0\r\nhello\r\n0\r\n\r\n";
	ck_assert_int_eq(feed_split(&chunked, nul, sizeof(nul) - 1).used, -1);
}
END_TEST

START_TEST(framing_has_limits)
{
	static char text[100000];
	size_t n;

	memset(text, 'a', sizeof(text));
	memcpy(text, "1;", 2);
	ck_assert_int_eq(feed(&chunked, text, 4000, 0, 100).used, 4000);
	ck_assert_int_eq(feed(&chunked, text, 5000, 0, 100).used, -1);
	n = (size_t)sprintf(text, "0\r\n");
	while (n < sizeof(text) - 16)
		n += (size_t)sprintf(text + n, "a: b\r\n");
	ck_assert_int_eq(feed(&chunked, text, 60000, 0, 100).used, 60000);
	ck_assert_int_eq(feed(&chunked, text, n, 0, 100).used, -1);
}
END_TEST

START_TEST(big_chunks_are_counted)
{
	static char text[1000];
	struct http1_body body;
	size_t len, total = 0;

	http1_body_init(&body, &chunked);
	ck_assert_int_eq(http1_body_feed(&body, "100000\r\n", 8, NULL, &len), 8);
	while (total < 0x100000) {
		size_t n = 0x100000 - total < sizeof(text) ? 0x100000 - total : sizeof(text);
		ck_assert_int_eq(http1_body_feed(&body, text, n, NULL, &len), n);
		ck_assert_uint_eq(len, n);
		total += n;
	}
	ck_assert_int_eq(http1_body_eof(&body), -1);
	http1_body_init(&body, &chunked);
	ck_assert_int_eq(http1_body_feed(&body, "fffffffffffffff\r\n", 17, NULL, &len), 17);
	ck_assert_int_eq(http1_body_feed(&body, text, sizeof(text), NULL, &len), sizeof(text));
	ck_assert_int_eq(http1_body_feed(&body, "7fffffffffffffff\r\n", 18, NULL, &len), 18);
}
END_TEST

START_TEST(a_length_is_counted)
{
	const struct http1_head five = {.framing = HTTP1_LENGTH, .content_length = 5};
	const struct http1_head none = {.framing = HTTP1_LENGTH, .content_length = 0};
	const struct http1_head huge = {.framing = HTTP1_LENGTH, .content_length = INT64_MAX};
	struct outcome outcome = feed_split(&five, "hello, world", 12);
	struct http1_body body;

	ck_assert_int_eq(outcome.used, 5);
	ck_assert(outcome.done);
	ck_assert_mem_eq(outcome.data, "hello", 5);
	http1_body_init(&body, &none);
	ck_assert(body.done);
	ck_assert_int_eq(http1_body_eof(&body), 0);
	http1_body_init(&body, &five);
	ck_assert_int_eq(http1_body_feed(&body, "hell", 4, NULL, NULL), 4);
	ck_assert_int_eq(http1_body_eof(&body), -1);
	ck_assert_ptr_nonnull(body.why);
	http1_body_init(&body, &huge);
	ck_assert_int_eq(http1_body_feed(&body, "hell", 4, NULL, NULL), 4);
	ck_assert_uint_eq(body.left, INT64_MAX - 4);
}
END_TEST

START_TEST(the_end_of_the_stream_ends_some_bodies)
{
	const struct http1_head until_close = {.framing = HTTP1_UNTIL_CLOSE};
	const struct http1_head none = {.framing = HTTP1_NO_BODY};
	struct outcome outcome = feed_split(&until_close, "hello", 5);
	struct http1_body body;

	ck_assert_int_eq(outcome.used, 5);
	ck_assert(!outcome.done);
	ck_assert_mem_eq(outcome.data, "hello", 5);
	http1_body_init(&body, &until_close);
	ck_assert_int_eq(http1_body_eof(&body), 0);
	ck_assert(body.done);
	http1_body_init(&body, &none);
	ck_assert(body.done);
	ck_assert_int_eq(http1_body_feed(&body, "GET", 3, NULL, NULL), 0);

	static const char text[] = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
	for (size_t n = 0; n < sizeof(text); n++) {
		http1_body_init(&body, &chunked);
		ck_assert_int_ge(http1_body_feed(&body, text, n, NULL, NULL), 0);
		ck_assert_int_eq(http1_body_eof(&body), n >= sizeof(text) - 1 ? 0 : -1);
	}
}
END_TEST

Suite *http1_body_suite(void);
Suite *http1_body_suite(void)
{
	Suite *suite = suite_create("http1_body");
	TCase *tcase = tcase_create("bodies");

	tcase_add_test(tcase, chunks_are_taken_apart);
	tcase_add_test(tcase, extensions_and_trailers_pass);
	tcase_add_test(tcase, chunks_that_leave_a_doubt_are_refused);
	tcase_add_test(tcase, framing_has_limits);
	tcase_add_test(tcase, big_chunks_are_counted);
	tcase_add_test(tcase, a_length_is_counted);
	tcase_add_test(tcase, the_end_of_the_stream_ends_some_bodies);
	suite_add_tcase(suite, tcase);
	return suite;
}
