/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/err.h"

START_TEST(first_error_wins)
{
	struct err err = {0};

	err_set(&err, ECONNREFUSED, "%s:%d", "host", 443);
	err_set(&err, EPIPE, "later");
	err_set_errno(&err, EPIPE, "later still");
	ck_assert_str_eq(err.text, "host:443");
	ck_assert_int_eq(err.code, ECONNREFUSED);
	err_clear(&err);
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(err.code, 0);
	err_set(&err, 0, "again");
	ck_assert_str_eq(err.text, "again");
}
END_TEST

START_TEST(errno_is_spelled_out)
{
	struct err err = {0};

	err_set_errno(&err, ENOENT, "open %s", "mesh.cfg");
	ck_assert_str_eq(err.text, "open mesh.cfg: No such file or directory");
	ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(long_text_is_cut)
{
	struct err err = {0};
	char text[600];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set_errno(&err, EIO, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	err_clear(&err);
	err_set(&err, EIO, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(nobody_may_be_listening)
{
	struct err err = {0};

	err_set(NULL, EIO, "ignored");
	err_set_errno(NULL, EIO, "ignored");
	err_set(&err, EIO, "%s", "");
	ck_assert_str_ne(err.text, ""); /* an error without words is an error */
}
END_TEST

Suite *err_suite(void);
Suite *err_suite(void)
{
	Suite *suite = suite_create("err");
	TCase *tcase = tcase_create("err");

	tcase_add_test(tcase, first_error_wins);
	tcase_add_test(tcase, errno_is_spelled_out);
	tcase_add_test(tcase, long_text_is_cut);
	tcase_add_test(tcase, nobody_may_be_listening);
	suite_add_tcase(suite, tcase);
	return suite;
}
