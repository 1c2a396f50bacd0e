/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/fds.h"

static int fresh(void)
{
	int fd = open("/dev/null", O_RDONLY);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void set_limit(rlim_t soft)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = soft;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(adopted_is_high_private_and_known)
{
	int fd = fresh();

	errno = EDOM;
	int ours = fds_adopt(fd);

	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_gt(ours, 100);
	ck_assert(!is_open(fd));
	ck_assert(fcntl(ours, F_GETFD) & FD_CLOEXEC);
	ck_assert(fds_is_ours(ours));
	ck_assert(!fds_is_ours(ours + 1));
	ck_assert(!fds_is_ours(-1));
	ck_assert(!fds_is_ours(0x7fffffff));
	errno = EDOM;
	fds_close(ours);
	ck_assert_int_eq(errno, EDOM);
	ck_assert(!is_open(ours));
	ck_assert(!fds_is_ours(ours));
	fds_close(-1);
}
END_TEST

START_TEST(nothing_is_adopted)
{
	errno = EDOM;
	ck_assert_int_eq(fds_adopt(-1), -1);
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(fds_adopt(12345), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(next_finds_the_lowest)
{
	int ours[5];

	ck_assert_int_eq(fds_next(0), -1);
	for (int i = 0; i < 5; i++)
		ours[i] = fds_adopt(fresh());
	ck_assert_int_eq(fds_next(-5), ours[0]);
	ck_assert_int_eq(fds_next(ours[0]), ours[0]);
	ck_assert_int_eq(fds_next(ours[0] + 1), ours[1]);
	fds_close(ours[1]);
	fds_close(ours[2]);
	ck_assert_int_eq(fds_next(ours[0] + 1), ours[3]);
	ck_assert_int_eq(fds_next(ours[4] + 1), -1);
	ck_assert_int_eq(fds_next(0x7fffffff), -1);
}
END_TEST

START_TEST(numbers_far_apart)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 20000)
		return;
	set_limit(20000);
	int near = fds_adopt(fresh());
	int plug = fcntl(0, F_DUPFD, 3);

	/* Fill what lies between, so that the next one is in another chunk of the set. */
	for (int fd = near + 1; fd < 17000; fd++)
		ck_assert_int_eq(dup2(plug, fd), fd);
	int far = fds_adopt(fresh());

	ck_assert_int_ge(far, 17000);
	ck_assert_int_eq(fds_next(0), near);
	ck_assert_int_eq(fds_next(near + 1), far);
	ck_assert(fds_is_ours(far));
	ck_assert(!fds_is_ours(16999));
}
END_TEST

START_TEST(low_limits)
{
	set_limit(16);
	int ours = fds_adopt(fresh());

	ck_assert_int_ge(ours, 8);
	ck_assert_int_lt(ours, 16);
	ck_assert(fds_is_ours(ours));
	set_limit(6);
	ours = fds_adopt(fresh());
	ck_assert_int_ge(ours, 3);
	ck_assert(fds_is_ours(ours));
}
END_TEST

START_TEST(full_table)
{
	int last = -1;
	int fd;

	set_limit(16);
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	/* No room for a copy: the number that it has must do. */
	ck_assert_int_eq(fds_adopt(last), last);
	ck_assert(fcntl(last, F_GETFD) & FD_CLOEXEC);
	ck_assert(fds_is_ours(last));
	ck_assert_int_eq(fds_relocate(last), -1);
	ck_assert(fds_is_ours(last));
	/* But a number of the standard streams never does. */
	ck_assert_int_eq(fds_adopt(0), -1);
	ck_assert_int_eq(errno, EMFILE);
}
END_TEST

START_TEST(standard_numbers_are_left_free)
{
	close(0);
	int fd = fresh();

	ck_assert_int_eq(fd, 0);
	int ours = fds_adopt(fd);

	ck_assert_int_ge(ours, 3);
	ck_assert(!is_open(0));
}
END_TEST

START_TEST(relocated)
{
	int ours = fds_adopt(fresh());
	int moved = fds_relocate(ours);

	ck_assert_int_ge(moved, 3);
	ck_assert_int_ne(moved, ours);
	ck_assert(fds_is_ours(moved));
	ck_assert(fcntl(moved, F_GETFD) & FD_CLOEXEC);
	ck_assert(!fds_is_ours(ours));
	ck_assert(is_open(ours)); /* dup2(2) will take it */
	ck_assert_int_eq(fds_relocate(12345), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(forgotten_is_not_closed)
{
	int ours = fds_adopt(fresh());

	fds_forget(ours);
	fds_forget(-1);
	ck_assert(!fds_is_ours(ours));
	ck_assert(is_open(ours));
}
END_TEST

/* The program closed it where no hook sees it, and has a file of its own there. */
START_TEST(reused_number)
{
	int own[2], ours = fds_adopt(fresh());

	ck_assert_int_eq(pipe(own), 0);
	ck_assert_int_eq(dup2(own[0], ours), ours);
	errno = EDOM;
	ck_assert(!fds_is_ours(ours));
	ck_assert_int_eq(errno, EDOM);
	fds_close(ours);
	ck_assert(is_open(ours));
	int closed = fds_adopt(fresh());
	close(closed);
	ck_assert(!fds_is_ours(closed));
	/* A child leaves the program's file alone. */
	ck_assert_int_eq(dup2(own[0], closed), closed);
	fds_drop_all();
	ck_assert(is_open(closed));
	ck_assert_int_eq(fds_next(0), -1);
}
END_TEST

START_TEST(child_drops_its_copies)
{
	int a = fds_adopt(fresh());
	int b = fds_adopt(fresh());
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fds_drop_all();
		_exit(is_open(a) || is_open(b) || fds_is_ours(a) || fds_next(0) != -1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(is_open(a) && is_open(b) && fds_is_ours(a));
}
END_TEST

Suite *fds_suite(void);
Suite *fds_suite(void)
{
	Suite *suite = suite_create("fds");
	TCase *tcase = tcase_create("fds");

	tcase_add_test(tcase, adopted_is_high_private_and_known);
	tcase_add_test(tcase, nothing_is_adopted);
	tcase_add_test(tcase, next_finds_the_lowest);
	tcase_add_test(tcase, numbers_far_apart);
	tcase_add_test(tcase, low_limits);
	tcase_add_test(tcase, full_table);
	tcase_add_test(tcase, standard_numbers_are_left_free);
	tcase_add_test(tcase, relocated);
	tcase_add_test(tcase, forgotten_is_not_closed);
	tcase_add_test(tcase, reused_number);
	tcase_add_test(tcase, child_drops_its_copies);
	suite_add_tcase(suite, tcase);
	return suite;
}
