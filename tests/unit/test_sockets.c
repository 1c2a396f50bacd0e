/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <sys/epoll.h>
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
	uint64_t cookie = sockets_enter(fd, false);

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
	ck_assert_uint_eq(sockets_enter(pipes[0], false), 0);
	ck_assert_ptr_null(sockets_find(pipes[0]));
	ck_assert_uint_eq(sockets_enter(-1, false), 0);
	ck_assert_uint_eq(sockets_enter(SOCKETS_MAX + 1, false), 0);
}
END_TEST

/* The next socket of the same number has nothing of the last one's. */
START_TEST(anew)
{
	int fd = fresh(), dummy;
	uint64_t cookie = sockets_enter(fd, false);

	sockets_find(fd)->downstream = (struct downstream *)&dummy;
	ck_assert_int_eq(dup2(fresh(), fd), fd);
	ck_assert_uint_ne(socket_cookie(fd), atomic_load(&sockets_find(fd)->cookie));
	ck_assert_uint_ne(sockets_enter(fd, false), cookie);
	ck_assert_ptr_null(sockets_find(fd)->downstream);
}
END_TEST

static void note(int set, int op, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = 7};

	sockets_note_epoll(set, op, fd, &event);
}

/* Put there before it was connected; another file of the same number is not there. */
START_TEST(epoll_is_remembered)
{
	int fd = fresh();

	ck_assert(!sockets_know(fd));
	note(9, EPOLL_CTL_ADD, fd, EPOLLIN);
	ck_assert(sockets_know(fd));
	ck_assert(sockets_know(9)); /* to be told when it is closed */
	ck_assert_ptr_null(sockets_find(fd));
	sockets_enter(fd, false);
	ck_assert_int_eq(atomic_load(&sockets_find(fd)->set), 10);
	ck_assert(sockets_in_epoll(sockets_find(fd)));
	note(9, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
	ck_assert(!sockets_in_epoll(sockets_find(fd)));
	note(9, EPOLL_CTL_MOD, fd, EPOLLIN);
	note(8, EPOLL_CTL_ADD, fd, EPOLLIN);
	ck_assert(!sockets_in_epoll(sockets_find(fd)));
	sockets_leave(fd);
	ck_assert(!sockets_know(fd));
	note(9, EPOLL_CTL_ADD, fd, EPOLLIN);
	sockets_enter(fd, false);
	ck_assert(sockets_in_epoll(sockets_find(fd)));
	note(9, EPOLL_CTL_DEL, fd, 0);
	ck_assert_int_eq(atomic_load(&sockets_find(fd)->set), 0);
	note(9, EPOLL_CTL_ADD, -1, 0);
	note(9, EPOLL_CTL_ADD, SOCKETS_MAX, 0);
}
END_TEST

/* The number was closed and used anew by ways that no hook sees: what it said in the set is not what the
 * new socket says. */
START_TEST(another_socket_in_epoll)
{
	int fd = fresh();

	note(9, EPOLL_CTL_ADD, fd, EPOLLIN);
	ck_assert_int_eq(dup2(fresh(), fd), fd);
	sockets_enter(fd, false);
	ck_assert(!sockets_in_epoll(sockets_find(fd)));
}
END_TEST

START_TEST(a_child_has_none)
{
	int fd = fresh(), status;

	sockets_enter(fd, false);
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
	tcase_add_test(all, another_socket_in_epoll);
	tcase_add_test(all, a_child_has_none);
	suite_add_tcase(suite, all);
	return suite;
}
