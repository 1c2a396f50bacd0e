/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/port.h"
#include "tests/unit/memory_io.h"

Suite *port_suite(void);

static struct io *ends[2], *port;

static void setup(void)
{
	memory_io_pair(ends, 64);
	port = port_io(ends[0]);
	ck_assert_ptr_nonnull(port);
}

static void teardown(void)
{
	io_close(port, false);
	io_close(ends[1], false);
}

START_TEST(socket_is_counted)
{
	char data[16];

	ck_assert_int_eq(io_handshake(port), 0);
	ck_assert_int_eq(io_write(ends[1], "question", 8), 8);
	ck_assert_int_eq(io_read(port, data, sizeof(data)), 8);
	ck_assert_int_eq(io_read(port, data, sizeof(data)), IO_WANT_READ);
	ck_assert_int_eq(io_write(port, "answer", 6), 6);
	ck_assert_uint_eq(port_received(port), 8);
	ck_assert_uint_eq(port_sent(port), 6);
}
END_TEST

/* What waits in the socket stays there, in its order, and what passes by the buffers is not counted. */
START_TEST(lent_is_not_the_socket)
{
	char room[4], data[16];

	ck_assert_int_eq(io_write(ends[1], "socket", 6), 6);
	port_lend(port, "buffer", 6, room, sizeof(room));
	ck_assert_int_eq(io_read(port, data, 4), 4);
	ck_assert_mem_eq(data, "buff", 4);
	ck_assert_uint_eq(port_taken(port), 4);
	ck_assert_int_eq(io_read(port, data, 4), 2);
	ck_assert_int_eq(io_read(port, data, 4), IO_WANT_READ);
	ck_assert_int_eq(io_write(port, "answers", 7), 4);
	ck_assert_mem_eq(room, "answ", 4);
	ck_assert_int_eq(io_write(port, "ers", 3), IO_WANT_WRITE);
	ck_assert_uint_eq(port_filled(port), 4);
	ck_assert_int_eq(io_shutdown(port), IO_WANT_WRITE);
	ck_assert_uint_eq(port_received(port) + port_sent(port), 0);
	port_give_back(port);
	ck_assert_int_eq(io_read(port, data, sizeof(data)), 6);
	ck_assert_mem_eq(data, "socket", 6);
	ck_assert_int_eq(io_read(ends[1], data, sizeof(data)), IO_WANT_READ);
}
END_TEST

START_TEST(nothing_lent_is_nothing_moved)
{
	char data[4];

	port_lend(port, NULL, 0, NULL, 0);
	ck_assert_int_eq(io_handshake(port), 0);
	ck_assert_int_eq(io_read(port, data, sizeof(data)), IO_WANT_READ);
	ck_assert_int_eq(io_write(port, "x", 1), IO_WANT_WRITE);
	port_give_back(port);
	ck_assert_int_eq(io_write(port, "x", 1), 1);
}
END_TEST

START_TEST(errors_are_the_sockets)
{
	char data[4];

	memory_io_break(ends[0], "pulled out");
	ck_assert_int_eq(io_read(port, data, sizeof(data)), IO_ERR);
	ck_assert_str_eq(io_error(port), "pulled out");
}
END_TEST

Suite *port_suite(void)
{
	Suite *suite = suite_create("port");
	TCase *all = tcase_create("port");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, socket_is_counted);
	tcase_add_test(all, lent_is_not_the_socket);
	tcase_add_test(all, nothing_lent_is_nothing_moved);
	tcase_add_test(all, errors_are_the_sockets);
	suite_add_tcase(suite, all);
	return suite;
}
