/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides are here, in one table; which one acts is told by `thread_is_ours`. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/bridge/twin.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/sockets.h"
#include "shim/thread.h"

Suite *twin_suite(void);

static struct loop loop;
static struct twins twins;

static void setup(void)
{
	libc_bind();
	memset(&loop, 0, sizeof(loop));
	loop.deferred_tail = &loop.deferred;
	twins_init(&twins, &loop);
	ck_assert_int_ge(twins.near, 0);
}

static int fresh(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(second_number_is_the_same_socket)
{
	struct twin a = {0}, b = {0};
	int first = fresh(), second = fresh();

	ck_assert_int_eq(twin_send(&twins, &a, first), 0);
	ck_assert_int_eq(twin_send(&twins, &b, second), 0);
	/* In any order. */
	int far = twin_fetch(&b);
	ck_assert_int_gt(far, 100);
	ck_assert(fds_is_ours(far));
	ck_assert(fcntl(far, F_GETFD) & FD_CLOEXEC);
	ck_assert(!(fcntl(far, F_GETFL) & O_NONBLOCK));
	ck_assert_uint_eq(socket_cookie(far), socket_cookie(second));
	ck_assert_uint_eq(socket_cookie(twin_fetch(&a)), socket_cookie(first));
	ck_assert_int_eq(twin_fetch(&b), far);
}
END_TEST

/* Closed by the bridge: the program's number waits for one of its threads. */
START_TEST(closed_on_the_near_side)
{
	struct twin a = {0}, b = {0};
	int first = fresh(), second = fresh();

	ck_assert_int_eq(twin_send(&twins, &a, first), 0);
	ck_assert_int_eq(twin_send(&twins, &b, second), 0);
	int far = twin_fetch(&a);
	thread_is_ours = true;
	twin_part(&a);
	twin_part(&b); /* underway: nobody fetches it any more */
	thread_is_ours = false;
	close(first);
	close(second);
	ck_assert(is_open(far));
	twins_reap(&twins);
	ck_assert(!is_open(far));
	ck_assert_uint_eq(twins.n, 0);

	/* The next one finds the message of the one that is gone. */
	struct twin c = {0};
	int third = fresh();
	ck_assert_int_eq(twin_send(&twins, &c, third), 0);
	ck_assert_uint_eq(socket_cookie(twin_fetch(&c)), socket_cookie(third));
}
END_TEST

START_TEST(closed_on_the_far_side)
{
	struct twin a = {0};
	int near = fresh();

	ck_assert_int_eq(twin_send(&twins, &a, near), 0);
	int far = twin_fetch(&a);
	twin_part(&a);
	ck_assert(!fds_is_ours(far)); /* the caller closes it */
	ck_assert(is_open(far));
	ck_assert(is_open(near));
	loop_run_due(&loop);
	ck_assert(!is_open(near));
}
END_TEST

/* Closed and used anew by the program, past every hook. */
START_TEST(number_of_another)
{
	struct twin a = {0};

	ck_assert_int_eq(twin_send(&twins, &a, fresh()), 0);
	int far = twin_fetch(&a);
	ck_assert_int_eq(dup2(fresh(), far), far);
	ck_assert_int_eq(twin_fetch(&a), -1);
	thread_is_ours = true;
	twin_part(&a);
	thread_is_ours = false;
	twins_reap(&twins);
	ck_assert(is_open(far));
}
END_TEST

/* Likewise, and used anew by the next of ours. */
START_TEST(number_of_the_next)
{
	struct twin a = {0}, b = {0};
	int first = fresh(), second = fresh();

	ck_assert_int_eq(twin_send(&twins, &a, first), 0);
	int far = twin_fetch(&a);
	ck_assert(twin_is_sound(&a));
	close(far);
	ck_assert(!twin_is_sound(&a));
	ck_assert_int_eq(twin_send(&twins, &b, second), 0);
	ck_assert_int_eq(twin_fetch(&b), far);
	ck_assert(!twin_is_sound(&a));
	ck_assert_int_eq(twin_fetch(&a), -1);
	ck_assert_int_eq(twin_to_close(&a), -1);
	thread_is_ours = true;
	twin_part(&a);
	thread_is_ours = false;
	twins_reap(&twins);
	ck_assert_int_eq(twin_fetch(&b), far);
	ck_assert_uint_eq(socket_cookie(far), socket_cookie(second));
}
END_TEST

START_TEST(bounded)
{
	static struct twin many[TWINS_MAX + 1];
	int fd = fresh(), n = 0;

	while (n <= TWINS_MAX && twin_send(&twins, &many[n], fd) == 0)
		n++;
	ck_assert_int_le(n, TWINS_MAX);
	ck_assert_ptr_null(many[n].all);
	ck_assert_int_ge(twin_fetch(&many[n - 1]), 0);
	for (int i = 0; i < n; i++)
		ck_assert_int_ge(many[i].far, 0);
}
END_TEST

START_TEST(without_a_channel)
{
	struct twin a = {0};

	twins_release(&twins);
	ck_assert_int_eq(twin_send(&twins, &a, fresh()), -1);
	ck_assert_ptr_null(a.all);
	twin_part(&a);
}
END_TEST

Suite *twin_suite(void)
{
	Suite *suite = suite_create("twin");
	TCase *all = tcase_create("twin");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, second_number_is_the_same_socket);
	tcase_add_test(all, closed_on_the_near_side);
	tcase_add_test(all, closed_on_the_far_side);
	tcase_add_test(all, number_of_another);
	tcase_add_test(all, number_of_the_next);
	tcase_add_test(all, bounded);
	tcase_add_test(all, without_a_channel);
	suite_add_tcase(suite, all);
	return suite;
}
