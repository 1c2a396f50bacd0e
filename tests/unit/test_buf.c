/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/buf.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/io.h"
#include "tests/unit/memory_io.h"

static void ck_holds(struct buf *buf, const char *text)
{
	ck_assert_uint_eq(buf_len(buf), strlen(text));
	ck_assert_mem_eq(buf_data(buf), text, strlen(text));
}

START_TEST(bytes_go_through_in_order)
{
	struct buf buf;

	ck_assert_int_eq(buf_init(&buf, 8), 0);
	ck_assert_int_eq(buf_put(&buf, "abcdef", 6), 0);
	buf_take(&buf, 4);
	ck_holds(&buf, "ef");
	ck_assert_uint_eq(buf_room(&buf), 6);
	ck_assert_int_eq(buf_put(&buf, "ghijkl", 6), 0);
	ck_holds(&buf, "efghijkl");
	ck_assert_int_eq(buf_put(&buf, "m", 1), -1);
	ck_assert_int_eq(buf_put(&buf, NULL, 0), 0);
	ck_holds(&buf, "efghijkl");
	buf_take(&buf, 8);
	ck_assert_uint_eq(buf_len(&buf), 0);
	ck_assert_uint_eq(buf.head, 0);
	buf_release(&buf);
	buf_release(&buf);
	ck_assert_uint_eq(buf_room(&buf), 0);
}
END_TEST

START_TEST(reserve_gives_all_room_in_one_piece)
{
	struct buf buf;

	ck_assert_int_eq(buf_init(&buf, 8), 0);
	ck_assert_int_eq(buf_put(&buf, "abcdef", 6), 0);
	buf_take(&buf, 5);
	char *room = buf_reserve(&buf);
	memcpy(room, "ghijklm", 7);
	buf_added(&buf, 7);
	ck_holds(&buf, "fghijklm");
	buf_release(&buf);
}
END_TEST

START_TEST(growing_keeps_the_bytes)
{
	struct buf buf;

	ck_assert_int_eq(buf_init(&buf, 4), 0);
	ck_assert_int_eq(buf_put(&buf, "abcd", 4), 0);
	buf_take(&buf, 1);
	ck_assert_int_eq(buf_grow(&buf, 2), 0);
	ck_assert_uint_eq(buf.capacity, 4);
	ck_assert_int_eq(buf_grow(&buf, 100), 0);
	ck_assert_uint_eq(buf_room(&buf), 97);
	ck_holds(&buf, "bcd");
	buf_release(&buf);
}
END_TEST

START_TEST(streams_fill_and_empty_it)
{
	struct io *end[2];
	struct buf buf;

	memory_io_pair(end, 64);
	ck_assert_int_eq(buf_init(&buf, 8), 0);
	ck_assert_int_eq(buf_write_to(&buf, end[0]), IO_WANT_READ);
	ck_assert_int_eq(buf_read_from(&buf, end[0], 100), IO_WANT_READ);
	ck_assert_int_eq(io_write(end[1], "0123456789", 10), 10);
	ck_assert_int_eq(buf_read_from(&buf, end[0], 3), 3);
	ck_holds(&buf, "012");
	ck_assert_int_eq(buf_read_from(&buf, end[0], 100), 5);
	ck_holds(&buf, "01234567");
	ck_assert_int_eq(buf_read_from(&buf, end[0], 100), IO_WANT_WRITE);
	memory_io_limit(end[0], 6);
	ck_assert_int_eq(buf_write_to(&buf, end[0]), 6);
	ck_holds(&buf, "67");
	ck_assert_int_eq(buf_read_from(&buf, end[0], 100), 2);
	ck_holds(&buf, "6789");
	io_close(end[1], false);
	ck_assert_int_eq(buf_read_from(&buf, end[0], 100), IO_EOF);
	ck_assert_int_eq(buf_write_to(&buf, end[0]), IO_ERR);
	ck_holds(&buf, "6789");
	io_close(end[0], false);
	buf_release(&buf);
}
END_TEST

/* A stream of bytes through a small buffer, with all sorts of steps, arrives as it was. */
START_TEST(a_long_stream_survives_every_step)
{
	struct io *in[2], *out[2];
	struct buf buf;
	unsigned char sent = 0, seen = 0, byte[16];

	memory_io_pair(in, 64);
	memory_io_pair(out, 64);
	ck_assert_int_eq(buf_init(&buf, 13), 0);
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		if (io_write(in[0], &sent, 1) == 1)
			sent++;
		memory_io_limit(out[0], (size_t)random() % 14);
		if (random() % 3)
			buf_read_from(&buf, in[1], 1 + (size_t)random() % 13);
		if (random() % 3)
			buf_write_to(&buf, out[0]);
		ssize_t n = io_read(out[1], byte, sizeof(byte));
		for (ssize_t j = 0; j < n; j++)
			ck_assert_uint_eq(byte[j], seen++);
	}
	for (int i = 0; i < 2; i++) {
		io_close(in[i], false);
		io_close(out[i], false);
	}
	buf_release(&buf);
}
END_TEST

Suite *buf_suite(void);
Suite *buf_suite(void)
{
	Suite *suite = suite_create("buf");
	TCase *tcase = tcase_create("buf");

	tcase_add_test(tcase, bytes_go_through_in_order);
	tcase_add_test(tcase, reserve_gives_all_room_in_one_piece);
	tcase_add_test(tcase, growing_keeps_the_bytes);
	tcase_add_test(tcase, streams_fill_and_empty_it);
	tcase_add_test(tcase, a_long_stream_survives_every_step);
	suite_add_tcase(suite, tcase);
	return suite;
}
