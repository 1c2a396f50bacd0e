/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/path.h"

Suite *path_suite(void);

/* What each way makes of a target; NULL: the same as the way before it. */
static const struct {
	const char *target, *none, *base, *merge, *decode;
} cases[] = {
    {"/", "/", NULL, NULL, NULL},
    {"/a/b.c?x=/../y", "/a/b.c", NULL, NULL, NULL},
    {"/a#/../b", "/a", NULL, NULL, NULL},
    {"*", "*", NULL, NULL, NULL},
    {"", "", NULL, NULL, NULL},
    /* dot segments */
    {"/a/../b", "/a/../b", "/b", NULL, NULL},
    {"/a/./b/.", "/a/./b/.", "/a/b/", NULL, NULL},
    {"/a/b/..", "/a/b/..", "/a/", NULL, NULL},
    {"/../../a", "/../../a", "/a", NULL, NULL},
    {"/..", "/..", "/", NULL, NULL},
    {"/a//../b", "/a//../b", "/a/b", NULL, NULL},
    {"/.a/..b/...", "/.a/..b/...", NULL, NULL, NULL},
    {"/a\\..\\b", "/a\\..\\b", "/b", NULL, NULL},
    /* an escaped dot is a dot, wherever it stands */
    {"/a/%2e%2E/b", "/a/%2e%2E/b", "/b", NULL, NULL},
    {"/a/.%2e/b/%2e", "/a/.%2e/b/%2e", "/b/", NULL, NULL},
    {"/v1%2e0/x", "/v1%2e0/x", "/v1.0/x", NULL, NULL},
    {"/v1%2E0", "/v1%2E0", "/v1.0", NULL, NULL},
    {"/%2ehidden/x%2e", "/%2ehidden/x%2e", "/.hidden/x.", NULL, NULL},
    {"/%%2e%2e", "/%%2e%2e", "/%..", NULL, NULL},
    {"/%252e%252e/a", "/%252e%252e/a", NULL, NULL, NULL},
    {"/%2", "/%2", NULL, NULL, NULL},
    {"/a%", "/a%", NULL, NULL, NULL},
    /* what has no place in a path is escaped */
    {"/a b", "/a b", "/a%20b", NULL, NULL},
    {"/\"<>^`{|}\x7f", "/\"<>^`{|}\x7f", "/%22%3C%3E%5E%60%7B%7C%7D%7F", NULL, NULL},
    {"/caf\xc3\xa9\x80\xff", "/caf\xc3\xa9\x80\xff", "/caf%C3%A9%80%FF", NULL, NULL},
    {"/\x01\t", "/\x01\t", "/%01%09", NULL, NULL},
    {"/{a}/../b", "/{a}/../b", "/b", NULL, NULL},
    {"/a?{x} y", "/a", NULL, NULL, NULL},
    /* the rest stays, escapes in their own case too */
    {"/!$&'()*+,-:;=@[]_~", "/!$&'()*+,-:;=@[]_~", NULL, NULL, NULL},
    {"/%41%7e%3c%3C%20", "/%41%7e%3c%3C%20", NULL, NULL, NULL},
    /* slashes */
    {"//a///b//", "//a///b//", NULL, "/a/b/", NULL},
    {"/a%2fb%2F%5cc%5C", "/a%2fb%2F%5cc%5C", NULL, NULL, "/a/b/c/"},
    {"/a%2f%2e%2e%2Fb", "/a%2f%2e%2e%2Fb", "/a%2f..%2Fb", NULL, "/b"},
    {"/a\\\\b", "/a\\\\b", "/a//b", "/a/b", NULL},
};

static void check_path(const char *target, enum normalization how, const char *wanted)
{
	struct path path;

	ck_assert_int_eq(path_init(&path, target, how), 0);
	ck_assert_msg(path.len == strlen(wanted) && !memcmp(path.s, wanted, path.len),
		      "%s: %.*s is not %s", target, (int)path.len, path.s, wanted);
	path_release(&path);
}

START_TEST(each_way)
{
	const char *base = cases[_i].base ? cases[_i].base : cases[_i].none;
	const char *merge = cases[_i].merge ? cases[_i].merge : base;

	check_path(cases[_i].target, NORMALIZATION_NONE, cases[_i].none);
	check_path(cases[_i].target, NORMALIZATION_BASE, base);
	check_path(cases[_i].target, NORMALIZATION_MERGE_SLASHES, merge);
	check_path(cases[_i].target, NORMALIZATION_DECODE_AND_MERGE_SLASHES,
		   cases[_i].decode ? cases[_i].decode : merge);
}
END_TEST

/* Canonical is canonical: a second time changes nothing. */
START_TEST(twice)
{
	char once[256];
	struct path path;

	ck_assert_int_eq(path_init(&path, cases[_i].target, NORMALIZATION_BASE), 0);
	snprintf(once, sizeof(once), "%.*s", (int)path.len, path.s);
	path_release(&path);
	check_path(once, NORMALIZATION_BASE, once);
}
END_TEST

/* With nothing to do there is no copy. */
START_TEST(in_place)
{
	static const char target[] = "/api/v1.0/items/%41?q=a/../b";
	struct path path;

	ck_assert_int_eq(path_init(&path, target, NORMALIZATION_MERGE_SLASHES), 0);
	ck_assert_ptr_eq(path.s, target);
	ck_assert_ptr_null(path.owned);
	path_release(&path);
}
END_TEST

/* Where every byte becomes three, on both sides of the small buffer. */
START_TEST(growth)
{
	for (size_t len = 1; len < 700; len++) {
		char target[701] = "/", wanted[2100] = "/";
		struct path path;

		memset(target + 1, '{', len - 1);
		for (size_t i = 1; i < len; i++)
			strcpy(wanted + 3 * i - 2, "%7B");
		ck_assert_int_eq(path_init(&path, target, NORMALIZATION_BASE), 0);
		ck_assert_uint_eq(path.len, 3 * len - 2);
		ck_assert_mem_eq(path.s, wanted, path.len);
		path_release(&path);
	}
}
END_TEST

Suite *path_suite(void)
{
	Suite *suite = suite_create("path");
	TCase *tcase = tcase_create("path");
	int n = (int)(sizeof(cases) / sizeof(cases[0]));

	tcase_add_loop_test(tcase, each_way, 0, n);
	tcase_add_loop_test(tcase, twice, 0, n);
	tcase_add_test(tcase, in_place);
	tcase_add_test(tcase, growth);
	suite_add_tcase(suite, tcase);
	return suite;
}
