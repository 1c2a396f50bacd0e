/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/sockets.h"

Suite *sockets_suite(void);

static int fresh(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(enter_find_leave)
{
	int fd = fresh(), other = fresh();

	ck_assert_ptr_null(sockets_find(fd));
	sockets_leave(fd);
	uint64_t cookie = sockets_enter(fd);

	ck_assert_uint_ne(cookie, 0);
	ck_assert_uint_eq(cookie, socket_cookie(fd));
	ck_assert_uint_ne(cookie, socket_cookie(other));
	ck_assert_ptr_nonnull(sockets_find(fd));
	ck_assert_uint_eq(atomic_load(&sockets_find(fd)->cookie), cookie);
	ck_assert_ptr_null(sockets_find(other));
	ck_assert_ptr_null(sockets_find(-1));
	ck_assert_ptr_null(sockets_find(SOCKETS_MAX));
	sockets_leave(fd);
	ck_assert_ptr_null(sockets_find(fd));
}
END_TEST

START_TEST(what_is_no_socket_is_not_entered)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_uint_eq(sockets_enter(pipes[0]), 0);
	ck_assert_ptr_null(sockets_find(pipes[0]));
	ck_assert_uint_eq(sockets_enter(-1), 0);
	ck_assert_uint_eq(sockets_enter(SOCKETS_MAX + 1), 0);
}
END_TEST

/* The next socket of the same number has nothing of the last one's. */
START_TEST(anew)
{
	int fd = fresh(), dummy;
	uint64_t cookie = sockets_enter(fd);

	sockets_find(fd)->downstream = (struct downstream *)&dummy;
	ck_assert_int_eq(dup2(fresh(), fd), fd);
	ck_assert_uint_ne(socket_cookie(fd), atomic_load(&sockets_find(fd)->cookie));
	ck_assert_uint_ne(sockets_enter(fd), cookie);
	ck_assert_ptr_null(sockets_find(fd)->downstream);
}
END_TEST

/* Put there before it was connected; another file of the same number is not there. */
START_TEST(epoll_is_remembered)
{
	int fd = fresh();

	ck_assert(!sockets_know(fd));
	sockets_note_epoll(fd);
	ck_assert(sockets_know(fd));
	ck_assert_ptr_null(sockets_find(fd));
	sockets_enter(fd);
	ck_assert(atomic_load(&sockets_find(fd)->in_epoll));
	sockets_leave(fd);
	ck_assert(!sockets_know(fd));
	sockets_enter(fd);
	ck_assert(!atomic_load(&sockets_find(fd)->in_epoll));
	sockets_note_epoll(-1);
	sockets_note_epoll(SOCKETS_MAX);
}
END_TEST

START_TEST(a_child_has_none)
{
	int fd = fresh(), status;

	sockets_enter(fd);
	pid_t child = fork();
	if (child == 0)
		_exit(sockets_find(fd) ? 1 : 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(sockets_find(fd));
}
END_TEST

Suite *sockets_suite(void)
{
	Suite *suite = suite_create("sockets");
	TCase *all = tcase_create("sockets");

	tcase_add_test(all, enter_find_leave);
	tcase_add_test(all, what_is_no_socket_is_not_entered);
	tcase_add_test(all, anew);
	tcase_add_test(all, epoll_is_remembered);
	tcase_add_test(all, a_child_has_none);
	suite_add_tcase(suite, all);
	return suite;
}
