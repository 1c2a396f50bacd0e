/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own name is that of this program here. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/follow.h"
#include "shim/mesh.h"

#define RULES "MESHSHIM_RULES=/nowhere/mesh.cfg"

static char self[1024]; /* LD_PRELOAD= this program */

static void start(const char *follow)
{
	ssize_t n = readlink("/proc/self/exe", self + 11, sizeof(self) - 12);

	memcpy(self, "LD_PRELOAD=", 11);
	ck_assert_int_gt(n, 0);
	clearenv();
	putenv((char *)RULES);
	putenv((char *)"MESHSHIM_LOG_LEVEL=error");
	putenv((char *)"MESHSHIMISH=not ours");
	if (follow)
		setenv("MESHSHIM_FOLLOW", follow, 1);
	mesh_init();
	errno = EDOM;
	follow_init();
	ck_assert_int_eq(errno, EDOM);
}

/* What becomes of an environment, one variable per line; "": it stays. */
static const char *complete(char *const env[])
{
	static char text[4 * FOLLOW_STACK_MAX];
	size_t size = follow_size(env), at = 0;
	char *memory = malloc(size + 1);

	text[0] = '\0';
	if (size) {
		/* Not a byte more than it asked for. */
		memory[size] = 'X';
		for (char *const *new = follow_fill(env, memory, size); *new; new ++)
			at += (size_t)sprintf(text + at, "%s\n", *new);
		ck_assert_int_eq(memory[size], 'X');
	}
	free(memory);
	return text;
}

#define COMPLETE(...) complete((char *const *)(const char *const[]){__VA_ARGS__, NULL})

static const char *lines(const char *first, const char *rest)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s%s%s", first, self, rest);
	return text;
}

#define ADDED "\n" RULES "\nMESHSHIM_LOG_LEVEL=error\nMESHSHIM_FOLLOW=1\n"

START_TEST(off)
{
	static const char *const values[] = {NULL, "", "0", "yes"};

	start(values[_i]);
	ck_assert(!follow_wanted());
}
END_TEST

START_TEST(nothing_to_follow)
{
	clearenv();
	setenv("MESHSHIM_FOLLOW", "1", 1);
	mesh_init();
	follow_init();
	ck_assert(!follow_wanted());
}
END_TEST

START_TEST(empty)
{
	start("1");
	ck_assert(follow_wanted());
	ck_assert_str_eq(complete(NULL), lines("", ADDED));
	ck_assert_str_eq(complete((char *const[]){NULL}), lines("", ADDED));
	ck_assert_str_eq(COMPLETE("A=1", "B"), lines("A=1\nB\n", ADDED));
}
END_TEST

START_TEST(own_preload)
{
	char text[8192];

	start("1");
	const char *entry = self + 11;

	snprintf(text, sizeof(text), "LD_PRELOAD=/a.so b.so:%s" ADDED, entry);
	ck_assert_str_eq(COMPLETE("LD_PRELOAD=/a.so b.so"), text);
	/* The last of several is the one that the loader reads. */
	snprintf(text, sizeof(text), "LD_PRELOAD=%s\nLD_PRELOAD=c:%s\nA=1" ADDED, entry, entry);
	char first[2048];
	snprintf(first, sizeof(first), "LD_PRELOAD=%s", entry);
	ck_assert_str_eq(COMPLETE(first, "LD_PRELOAD=c", "A=1"), text);
	ck_assert_str_eq(COMPLETE("LD_PRELOAD="), lines("", ADDED));
	/* Names that only look like ours. */
	snprintf(text, sizeof(text), "LD_PRELOAD=/x%s:y/unit.so:unit/:%s" ADDED, "/my-unit", entry);
	ck_assert_str_eq(COMPLETE("LD_PRELOAD=/x/my-unit:y/unit.so:unit/"), text);
}
END_TEST

START_TEST(nothing_lacks)
{
	static const char *const lists[] = {"unit", "/else/where/unit", "a unit", "a:/b/unit c",
					    ":unit:"};
	char list[128];

	start("1");
	snprintf(list, sizeof(list), "LD_PRELOAD=%s", lists[_i]);
	ck_assert_str_eq(COMPLETE(list, "MESHSHIM_RULES="), "");
	ck_assert_str_eq(COMPLETE(list, "A=1", RULES), "");
	ck_assert_str_ne(COMPLETE(list, "A=1"), "");
}
END_TEST

START_TEST(disabled)
{
	start("1");
	ck_assert_str_eq(COMPLETE("MESHSHIM_DISABLE=1"), "");
	ck_assert_str_eq(COMPLETE("MESHSHIM_DISABLE=0"), lines("MESHSHIM_DISABLE=0\n", ADDED));
}
END_TEST

START_TEST(bounds)
{
	static char list[FOLLOW_STACK_MAX + 64] = "LD_PRELOAD=";
	char *env[3000] = {NULL};

	start("1");
	memset(list + 11, 'x', FOLLOW_STACK_MAX);
	ck_assert_uint_eq(follow_size((char *const[]){list, NULL}), 0);
	list[11 + FOLLOW_STACK_MAX / 2] = '\0';
	ck_assert_uint_gt(follow_size((char *const[]){list, NULL}), FOLLOW_STACK_MAX / 2);
	for (int i = 0; i < 2999; i++)
		env[i] = (char *)"A=1";
	ck_assert_uint_eq(follow_size(env), 0);
	env[1900] = NULL;
	ck_assert_uint_ne(follow_size(env), 0);
	ck_assert_str_ne(complete(env), "");
	/* It has grown meanwhile. */
	size_t size = follow_size((char *const[]){NULL});
	void *memory = malloc(size);
	ck_assert_ptr_eq(follow_fill(env, memory, size), env);
	free(memory);
}
END_TEST

Suite *follow_suite(void);
Suite *follow_suite(void)
{
	Suite *suite = suite_create("follow");
	TCase *tcase = tcase_create("follow");

	tcase_add_loop_test(tcase, off, 0, 4);
	tcase_add_test(tcase, nothing_to_follow);
	tcase_add_test(tcase, empty);
	tcase_add_test(tcase, own_preload);
	tcase_add_loop_test(tcase, nothing_lacks, 0, 5);
	tcase_add_test(tcase, disabled);
	tcase_add_test(tcase, bounds);
	suite_add_tcase(suite, tcase);
	return suite;
}
