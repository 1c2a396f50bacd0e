/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/log.h"

static char path[64];
static char content[8192];

static void setup(void)
{
	strcpy(path, "/tmp/test-log-XXXXXX");
	close(mkstemp(path));
}

static void teardown(void)
{
	unlink(path);
}

/* What the file holds, without the process id. */
static const char *read_back(void)
{
	FILE *file = fopen(path, "r");
	size_t n = fread(content, 1, sizeof(content) - 1, file);

	fclose(file);
	content[n] = '\0';
	return content;
}

START_TEST(levels)
{
	char expected[128];

	ck_assert_int_eq(log_init(path, "warn"), 0);
	ck_assert(log_enabled(LOG_ERROR));
	ck_assert(log_enabled(LOG_WARN));
	ck_assert(!log_enabled(LOG_INFO));
	errno = EDOM;
	log_error("one %d", 1);
	log_warn("two");
	log_info("three");
	log_debug("four");
	ck_assert_int_eq(errno, EDOM);
	snprintf(expected, sizeof(expected),
		 "meshshim[%d]: error: one 1\nmeshshim[%d]: warn: two\n", getpid(), getpid());
	ck_assert_str_eq(read_back(), expected);
}
END_TEST

START_TEST(default_level_is_error)
{
	ck_assert_int_eq(log_init(path, NULL), 0);
	ck_assert(!log_enabled(LOG_WARN));
	ck_assert_int_eq(log_init(path, "loud"), -1);
	ck_assert(log_enabled(LOG_ERROR));
	ck_assert(!log_enabled(LOG_WARN));
	ck_assert_int_eq(log_init(path, "debug"), 0);
	ck_assert(log_enabled(LOG_DEBUG));
}
END_TEST

START_TEST(one_line_each)
{
	char text[3000];

	log_init(path, NULL);
	log_error("a\nb\r\nc");
	ck_assert_ptr_nonnull(strstr(read_back(), "error: a b  c\n"));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(truncate(path, 0), 0);
	log_error("%s", text);
	ck_assert_uint_eq(strlen(read_back()), 1024);
	ck_assert(content[1023] == '\n');
	ck_assert_ptr_eq(strchr(content, '\n'), content + 1023);
}
END_TEST

START_TEST(stderr_of_the_start_only)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	dup2(fd, 2);
	close(fd);
	log_init("stderr", NULL);
	log_error("seen");
	int null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	log_error("not seen");
	close(2);
	errno = EDOM;
	log_error("not seen");
	ck_assert_int_eq(errno, EDOM);
	ck_assert_ptr_nonnull(strstr(read_back(), "error: seen\n"));
	ck_assert_ptr_null(strstr(content, "not seen"));
}
END_TEST

START_TEST(relative_file_stays_where_it_was)
{
	char name[32];
	char *base = strrchr(path, '/') + 1;

	snprintf(name, sizeof(name), "%s", base);
	ck_assert_int_eq(chdir("/tmp"), 0);
	log_init(name, NULL);
	ck_assert_int_eq(chdir("/"), 0);
	log_error("found");
	ck_assert_ptr_nonnull(strstr(read_back(), "found"));
}
END_TEST

START_TEST(unwritable_file_is_silent)
{
	log_init("/nonexistent/directory/log", NULL);
	errno = EDOM;
	log_error("lost");
	ck_assert_int_eq(errno, EDOM);
}
END_TEST

Suite *log_suite(void);
Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, levels);
	tcase_add_test(tcase, default_level_is_error);
	tcase_add_test(tcase, one_line_each);
	tcase_add_test(tcase, stderr_of_the_start_only);
	tcase_add_test(tcase, relative_file_stays_where_it_was);
	tcase_add_test(tcase, unwritable_file_is_silent);
	suite_add_tcase(suite, tcase);
	return suite;
}
