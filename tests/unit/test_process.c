/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/process.h"

/* The exit status of a child that was made by `make_child`. */
static int status_of(pid_t pid)
{
	int status;

	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(everybody_owns_what_nobody_claimed)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(process_check());
	ck_assert_int_eq(status_of(pid), PROCESS_OWNER);
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
}
END_TEST

START_TEST(forked_child_is_told)
{
	ck_assert_int_eq(process_own(), 0);
	ck_assert_int_eq(process_own(), 0);
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
	pid_t pid = fork();

	if (pid == 0)
		_exit(process_check());
	ck_assert_int_eq(status_of(pid), PROCESS_FORKED);
	pid = _Fork();
	if (pid == 0)
		_exit(process_check());
	ck_assert_int_eq(status_of(pid), PROCESS_FORKED);
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
}
END_TEST

START_TEST(child_can_become_owner)
{
	process_own();
	pid_t pid = fork();

	if (pid == 0) {
		process_own();
		_exit(process_check());
	}
	ck_assert_int_eq(status_of(pid), PROCESS_OWNER);
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
}
END_TEST

START_TEST(vforked_child_is_told)
{
	process_own();
	pid_t pid = vfork();

	if (pid == 0)
		_exit(process_check());
	ck_assert_int_eq(status_of(pid), PROCESS_VFORKED);
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
}
END_TEST

Suite *process_suite(void);
Suite *process_suite(void)
{
	Suite *suite = suite_create("process");
	TCase *tcase = tcase_create("process");

	tcase_add_test(tcase, everybody_owns_what_nobody_claimed);
	tcase_add_test(tcase, forked_child_is_told);
	tcase_add_test(tcase, child_can_become_owner);
	tcase_add_test(tcase, vforked_child_is_told);
	suite_add_tcase(suite, tcase);
	return suite;
}
