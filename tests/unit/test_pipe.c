/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over memory inside of the bridge; the loop's tasks run when the test says so. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/pipe.h"

#define LIMIT 10000

static struct loop loop;
static struct io *end[2];
static bool open_end[2];
static int told[2]; /* how often each end was */

static void count(void *arg)
{
	++*(int *)arg;
}

static void run(void)
{
	loop_run_due(&loop);
}

static void close_end(int i, bool reset)
{
	open_end[i] = false;
	io_close(end[i], reset);
}

static void setup(void)
{
	memset(&loop, 0, sizeof(loop));
	memset(told, 0, sizeof(told));
	loop.deferred_tail = &loop.deferred;
	ck_assert_int_eq(pipe_new(&loop, end, LIMIT), 0);
	for (int i = 0; i < 2; i++) {
		open_end[i] = true;
		pipe_on_ready(end[i], count, &told[i]);
	}
}

/* Whatever a test leaves open: what was taken is given back, which a sanitizer looks at. */
static void teardown(void)
{
	for (int i = 0; i < 2; i++)
		if (open_end[i])
			close_end(i, false);
	run();
	ck_assert_ptr_null(loop.deferred);
}

static void reads(int i, const char *text)
{
	char data[64];
	ssize_t n = io_read(end[i], data, sizeof(data));

	ck_assert_int_eq(n, strlen(text));
	ck_assert_mem_eq(data, text, strlen(text));
}

static void writes(int i, const char *text)
{
	ck_assert_int_eq(io_write(end[i], text, strlen(text)), strlen(text));
}

static ssize_t read_some(int i)
{
	char data[8];

	return io_read(end[i], data, sizeof(data));
}

START_TEST(bytes_go_both_ways)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(io_handshake(end[i]), 0);
		ck_assert_int_eq(read_some(1 - i), IO_WANT_READ);
		ck_assert(!io_pending(end[1 - i]));
		writes(i, "one ");
		writes(i, "two");
		ck_assert(io_pending(end[1 - i]));
		ck_assert_int_eq(io_write(end[i], "", 0), 0);
		ck_assert_int_eq(io_read(end[1 - i], NULL, 0), IO_WANT_READ);
		reads(1 - i, "one two");
		ck_assert_int_eq(read_some(1 - i), IO_WANT_READ);
		ck_assert(!io_pending(end[1 - i]));
	}
}
END_TEST

START_TEST(it_holds_as_much_as_its_limit)
{
	static char in[3 * LIMIT], out[3 * LIMIT];
	size_t written = 0, was_read = 0;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 7 + i / 251);
	while (was_read < sizeof(in)) {
		ssize_t n;

		/* odd sizes, so that the queue wraps */
		while ((n = io_write(end[0], in + written,
				     sizeof(in) - written > 999 ? 999 : sizeof(in) - written)) >
		       0) {
			written += (size_t)n;
			ck_assert_uint_le(written - was_read, LIMIT);
		}
		if (written < sizeof(in)) {
			ck_assert_int_eq(n, IO_WANT_WRITE);
			ck_assert_uint_eq(written - was_read, LIMIT);
		}
		n = io_read(end[1], out + was_read, 1234);
		ck_assert_int_gt(n, 0);
		was_read += (size_t)n;
	}
	ck_assert_mem_eq(in, out, sizeof(in));
	/* the other way was not touched */
	ck_assert_int_eq(read_some(0), IO_WANT_READ);
	/* at once */
	ck_assert_int_eq(io_write(end[1], in, sizeof(in)), LIMIT);
}
END_TEST

START_TEST(the_reader_is_told_by_the_loop_once)
{
	writes(0, "a");
	writes(0, "b");
	ck_assert_int_eq(told[1], 0); /* not from inside of the call */
	run();
	ck_assert_int_eq(told[1], 1);
	run();
	ck_assert_int_eq(told[1], 1);
	writes(0, "c");
	run();
	ck_assert_int_eq(told[1], 2);
	ck_assert_int_eq(io_shutdown(end[0]), 0);
	ck_assert_int_eq(io_shutdown(end[0]), 0);
	run();
	ck_assert_int_eq(told[1], 3);
	close_end(0, false);
	run();
	ck_assert_int_eq(told[1], 4);
	ck_assert_int_eq(told[0], 0);
}
END_TEST

START_TEST(the_writer_is_told_of_room_that_it_missed)
{
	static char data[2 * LIMIT];

	writes(0, "a");
	reads(1, "a");
	run();
	ck_assert_int_eq(told[0], 0); /* it missed none */
	ck_assert_int_eq(io_write(end[0], data, sizeof(data)), LIMIT);
	ck_assert_int_eq(io_write(end[0], data, 1), IO_WANT_WRITE);
	ck_assert_int_gt(read_some(1), 0);
	ck_assert_int_gt(read_some(1), 0);
	run();
	ck_assert_int_eq(told[0], 1);
	ck_assert_int_eq(io_write(end[0], data, LIMIT), 16);
	ck_assert_int_gt(read_some(1), 0);
	run();
	ck_assert_int_eq(told[0], 1);
}
END_TEST

START_TEST(who_comes_late_is_told_as_well)
{
	pipe_on_ready(end[1], NULL, NULL);
	writes(0, "a");
	run();
	ck_assert_int_eq(told[1], 0);
	pipe_on_ready(end[1], count, &told[1]);
	ck_assert_int_eq(told[1], 0);
	run();
	ck_assert_int_eq(told[1], 1);
	pipe_on_ready(end[0], count, &told[0]); /* for which there is nothing */
	run();
	ck_assert_int_eq(told[0], 0);
	writes(0, "b");
	pipe_on_ready(end[1], NULL, NULL); /* between the event and the loop's turn */
	run();
	ck_assert_int_eq(told[1], 1);
}
END_TEST

START_TEST(shutdown_is_the_end_after_the_bytes)
{
	writes(0, "last");
	ck_assert_int_eq(io_shutdown(end[0]), 0);
	reads(1, "last");
	ck_assert_int_eq(read_some(1), IO_EOF);
	ck_assert_int_eq(read_some(1), IO_EOF);
	ck_assert(!end[1]->truncated);
	ck_assert(io_pending(end[1]));
	writes(1, "answer"); /* the other half is open */
	reads(0, "answer");
	ck_assert_int_eq(io_write(end[0], "x", 1), IO_ERR);
	ck_assert_str_eq(io_error(end[0]), "write: Broken pipe");
}
END_TEST

START_TEST(close_is_an_orderly_end)
{
	writes(0, "last");
	writes(1, "unread");
	close_end(0, false);
	reads(1, "last");
	ck_assert_int_eq(read_some(1), IO_EOF);
	ck_assert_int_eq(io_write(end[1], "x", 1), IO_ERR);
	ck_assert_str_eq(io_error(end[1]), "write: Broken pipe");
	ck_assert_int_eq(read_some(1), IO_EOF);
	ck_assert_int_eq(io_shutdown(end[1]), 0);
}
END_TEST

START_TEST(reset_is_an_error)
{
	writes(0, "lost");
	close_end(0, true);
	switch (_i) {
	case 0:
		ck_assert_int_eq(read_some(1), IO_ERR);
		ck_assert_str_eq(io_error(end[1]), "read: Connection reset by peer");
		break;
	case 1:
		ck_assert_int_eq(io_write(end[1], "x", 1), IO_ERR);
		ck_assert_str_eq(io_error(end[1]), "write: Connection reset by peer");
		break;
	case 2:
		ck_assert_int_eq(io_shutdown(end[1]), IO_ERR);
		ck_assert_str_eq(io_error(end[1]), "shutdown: Connection reset by peer");
		break;
	}
	ck_assert_int_eq(read_some(1), IO_ERR);
	run();
	ck_assert_int_eq(told[1], 1);
}
END_TEST

static void close_it(void *arg)
{
	count(arg);
	close_end(1, false);
}

START_TEST(an_end_may_be_closed_when_it_is_told)
{
	pipe_on_ready(end[1], close_it, &told[1]);
	writes(0, "a");
	if (_i)
		close_end(0, false);
	run();
	ck_assert_int_eq(told[1], 1);
	run();
	ck_assert_int_eq(told[0], !_i);
}
END_TEST

START_TEST(a_closed_end_is_not_told)
{
	writes(0, "a");
	writes(1, "b");
	close_end(1, _i);
	close_end(0, _i);
	run();
	ck_assert_int_eq(told[0] + told[1], 0);
}
END_TEST

Suite *pipe_suite(void);
Suite *pipe_suite(void)
{
	Suite *suite = suite_create("pipe");
	TCase *all = tcase_create("pipe");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, bytes_go_both_ways);
	tcase_add_test(all, it_holds_as_much_as_its_limit);
	tcase_add_test(all, the_reader_is_told_by_the_loop_once);
	tcase_add_test(all, the_writer_is_told_of_room_that_it_missed);
	tcase_add_test(all, who_comes_late_is_told_as_well);
	tcase_add_test(all, shutdown_is_the_end_after_the_bytes);
	tcase_add_test(all, close_is_an_orderly_end);
	tcase_add_loop_test(all, reset_is_an_error, 0, 3);
	tcase_add_loop_test(all, an_end_may_be_closed_when_it_is_told, 0, 2);
	tcase_add_loop_test(all, a_closed_end_is_not_told, 0, 2);
	suite_add_tcase(suite, all);
	return suite;
}
