/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a request is kept to be sent again: what replays are too short for. On their stage, without
 * a script.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "memory_io.h"
#include "replay_stage.h"
#include "rules/diag.h"

Suite *resend_suite(void);

#define LIMIT 1048576

static struct script script = {.file = "test_resend.c"};
static struct part part;
static struct stage s;
static char *body;

static void setup(void)
{
	memset(&s, 0, sizeof(s));
	s.script = &script;
	s.part = &part;
	s.now = 1000;
	body = malloc(LIMIT + 1);
	ck_assert_ptr_nonnull(body);
	for (size_t i = 0; i <= LIMIT; i++)
		body[i] = (char)('a' + (i * 7 + i / 26) % 26);
}

static void dial(const char *file)
{
	struct io *ends[2];
	struct diags diags;
	struct exchange_target target = {.name = "svc", .port = 80, .kind = RULES_HTTP};

	diags_init(&diags);
	s.rules = rules_load(file, &diags);
	diags_release(&diags);
	ck_assert_ptr_nonnull(s.rules);
	target.rules = rules_ref(s.rules);
	memory_io_pair(ends, LIMIT * 2);
	s.program = ends[0];
	s.down = ends[1];
	s.exchange = exchange_new(&stage_ops, &s, s.down, &target);
	ck_assert_ptr_nonnull(s.exchange);
}

static void connect_it(bool reused)
{
	struct io *ends[2];

	ck_assert(s.acquiring);
	s.acquiring = false;
	io_close(s.server, false);
	memory_io_pair(ends, LIMIT * 2);
	s.server = ends[0];
	s.up = ends[1];
	s.upstream.io = s.up;
	s.upstream.reused = reused;
	exchange_connected(s.exchange, &s.upstream);
	stage_drive(&s);
}

static void teardown(void)
{
	exchange_free(s.exchange);
	io_close(s.program, false);
	io_close(s.server, false);
	rules_unref(s.rules);
	free(body);
}

/* The program sends a request with a body of n bytes. */
static void ask(size_t n)
{
	char head[128];

	snprintf(head, sizeof(head), "POST /x HTTP/1.1\r\nHost: svc\r\nContent-Length: %zu\r\n\r\n", n);
	stage_feed(&s, s.program, head, strlen(head));
	stage_feed(&s, s.program, body, n);
}

/* That is what arrives at the origin. */
static void expect(size_t n)
{
	char *text = malloc(n + 128);
	int head = sprintf(text, "POST /x HTTP/1.1\r\nHost: svc\r\nContent-Length: %zu\r\n\r\n", n);

	memcpy(text + head, body, n);
	stage_expect(&s, s.server, text, (size_t)head + n);
	free(text);
}

static void say(struct io *to, const char *text)
{
	stage_feed(&s, to, text, strlen(text));
}

static const char oops[] = "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno";
static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* A body of the limit's length is sent again, and one that is a byte longer is not. */
START_TEST(up_to_the_limit)
{
	dial("tests/replay/retry-any.cfg");
	ask(LIMIT);
	connect_it(false);
	expect(LIMIT);
	say(s.server, oops);
	connect_it(false);
	expect(LIMIT);
	say(s.server, fine);
	stage_expect(&s, s.program, fine, strlen(fine));
	ask(LIMIT + 1);
	connect_it(false);
	expect(LIMIT + 1);
	say(s.server, oops);
	stage_expect(&s, s.program, oops, strlen(oops));
}
END_TEST

/* The same for a pooled connection that had died: beyond the limit that is an error, not half a body. */
START_TEST(beyond_the_limit_a_stale_connection_is_an_error)
{
	dial("tests/replay/retry-any.cfg");
	s.unseen = true;
	s.no_retry = true;
	ask(LIMIT);
	connect_it(true);
	expect(LIMIT);
	io_shutdown(s.server);
	stage_drive(&s);
	ck_assert(s.wish.fresh);
	connect_it(false);
	expect(LIMIT);
	say(s.server, fine);
	stage_expect(&s, s.program, fine, strlen(fine));
	ask(LIMIT + 1);
	connect_it(true);
	expect(LIMIT + 1);
	io_shutdown(s.server);
	stage_drive(&s);
	ck_assert(!s.acquiring);
	ck_assert_uint_gt(memory_io_waiting(s.program), 0);
}
END_TEST

Suite *resend_suite(void)
{
	Suite *suite = suite_create("resend");
	TCase *limit = tcase_create("limit");

	tcase_add_checked_fixture(limit, setup, teardown);
	tcase_add_test(limit, up_to_the_limit);
	tcase_add_test(limit, beyond_the_limit_a_stale_connection_is_an_error);
	suite_add_tcase(suite, limit);
	return suite;
}
