/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/shadow.h"

#include <check.h>
#include <string.h>

static struct loop loop; /* without descriptors */

static void setup(void)
{
	memset(&loop, 0, sizeof(loop));
	loop.deferred_tail = &loop.deferred;
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		loop_run_due(&loop);
}

static struct io *begin(struct io **down)
{
	struct io *shadow = shadow_new(&loop, down);

	ck_assert_ptr_nonnull(shadow);
	ck_assert_int_eq(io_write(shadow, "GET /", 5), 5);
	return shadow;
}

static void expect(struct io *down, const char *text)
{
	char got[64];

	ck_assert_int_eq(io_read(down, got, sizeof(got)), (ssize_t)strlen(text));
	ck_assert_mem_eq(got, text, strlen(text));
}

/* Answer with much more than the pipe holds. */
static void answer(struct io *down)
{
	static char much[65536];
	size_t sent = 0;

	for (int i = 0; sent < 4 * SHADOW_MAX && i < 1000; i++) {
		ssize_t n = io_write(down, much, sizeof(much));

		if (n == IO_WANT_WRITE) {
			turn();
			continue;
		}
		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
	}
	ck_assert_uint_ge(sent, 4 * SHADOW_MAX);
}

/* The answer is read away while the request is under way. */
START_TEST(answers_are_dropped)
{
	struct io *down, *shadow = begin(&down);

	expect(down, "GET /");
	answer(down);
	ck_assert_int_eq(io_write(shadow, "more", 4), 4);
	expect(down, "more");
	io_close(shadow, false);
	turn();
	io_close(down, false);
	turn();
}
END_TEST

/* ... and after it: the exchange sees the end of the request and can go on answering. */
START_TEST(answers_outlive_their_request)
{
	struct io *down, *shadow = begin(&down);
	char byte;

	io_close(shadow, false);
	turn();
	expect(down, "GET /");
	ck_assert_int_eq(io_read(down, &byte, 1), IO_EOF);
	answer(down);
	io_close(down, false);
	turn();
}
END_TEST

START_TEST(broken_off)
{
	struct io *down, *shadow = begin(&down);
	char byte;

	expect(down, "GET /");
	io_close(shadow, true);
	ck_assert_int_eq(io_read(down, &byte, 1), IO_ERR);
	ck_assert_int_eq(io_write(down, "x", 1), IO_ERR);
	io_close(down, true);
	turn();
}
END_TEST

/* The exchange goes first: writes fail, and closing frees. */
START_TEST(nobody_listens)
{
	struct io *down, *shadow = begin(&down);

	io_close(down, _i);
	turn();
	ck_assert_int_eq(io_write(shadow, "x", 1), IO_ERR);
	io_close(shadow, false);
	turn();
}
END_TEST

/* What is not taken away is bounded. */
START_TEST(bounded)
{
	struct io *down, *shadow = begin(&down);
	static char much[65536];
	size_t sent = 0;
	ssize_t n;

	while ((n = io_write(shadow, much, sizeof(much))) > 0)
		sent += (size_t)n;
	ck_assert_int_eq(n, IO_WANT_WRITE);
	ck_assert_uint_le(sent, SHADOW_MAX);
	io_close(shadow, true);
	io_close(down, true);
	turn();
}
END_TEST

Suite *shadow_suite(void);
Suite *shadow_suite(void)
{
	Suite *suite = suite_create("shadow");
	TCase *all = tcase_create("shadow");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, answers_are_dropped);
	tcase_add_test(all, answers_outlive_their_request);
	tcase_add_test(all, broken_off);
	tcase_add_loop_test(all, nobody_listens, 0, 2);
	tcase_add_test(all, bounded);
	suite_add_tcase(suite, all);
	return suite;
}
