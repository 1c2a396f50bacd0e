/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "rules/hostmap.h"
#include "rules/region.h"

Suite *hostmap_suite(void);

static struct hostmap map;

static void setup(void)
{
	static const char *const hosts[] = {"a.example.com", "*.example.com",	"*-x.example.com",
					    "*.com",	     "*.b.example.com", "short"};

	hostmap_init(&map);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		ck_assert_int_eq(hostmap_put(&map, hosts[i], (void *)hosts[i]), 0);
}

static void teardown(void)
{
	hostmap_release(&map);
}

static const struct {
	const char *name, *found;
} lookups[] = {
    {"a.example.com", "a.example.com"},
    {"b.example.com", "*.example.com"},
    {"1-x.example.com", "*-x.example.com"},
    {"-x.example.com", "*.example.com"},
    {"c.b.example.com", "*.b.example.com"},
    {"example.com", "*.com"},
    {".com", NULL},
    {"com", NULL},
    {"short", "short"},
    {"shorter", NULL},
    {"a.short", NULL},
    {"*.example.com", "*.example.com"},
    {"*.z.example.com", "*.example.com"},
    {"", NULL},
};

START_TEST(precedence)
{
	const char *found = hostmap_find(&map, lookups[_i].name);

	ck_assert_pstr_eq(found, lookups[_i].found);
}
END_TEST

START_TEST(walk_order)
{
	static const char *const order[] = {"*.b.example.com", "*.example.com", "*.com"};
	struct hostmap_walk walk;

	hostmap_walk_init(&walk, &map, "a.b.example.com");
	for (size_t i = 0; i < 3; i++)
		ck_assert_pstr_eq(hostmap_walk_next(&walk), order[i]);
	ck_assert_ptr_null(hostmap_walk_next(&walk));
	ck_assert_ptr_null(hostmap_walk_next(&walk));
}
END_TEST

START_TEST(exact_get)
{
	ck_assert_pstr_eq(hostmap_get(&map, "*.com"), "*.com");
	ck_assert_ptr_null(hostmap_get(&map, "b.example.com"));
	ck_assert_ptr_null(hostmap_get(&map, "*.org"));
}
END_TEST

START_TEST(too_long)
{
	char name[400];

	memset(name, 'a', sizeof(name));
	strcpy(name + sizeof(name) - 5, ".com");
	ck_assert_ptr_null(hostmap_find(&map, name));
	ck_assert_int_eq(hostmap_put(&map, name, name), 0);
	ck_assert_ptr_nonnull(hostmap_find(&map, name + sizeof(name) - 256));
}
END_TEST

START_TEST(many)
{
	struct region region;

	region_init(&region);
	for (int i = 0; i < 5000; i++) {
		char *name = region_printf(&region, "h%d.test", i);

		ck_assert_int_eq(hostmap_put(&map, name, name), 0);
	}
	ck_assert_pstr_eq(hostmap_find(&map, "h0.test"), "h0.test");
	ck_assert_pstr_eq(hostmap_find(&map, "h4999.test"), "h4999.test");
	ck_assert_ptr_null(hostmap_find(&map, "h5000.test"));
	region_release(&region);
}
END_TEST

START_TEST(regions)
{
	struct region region;
	char *large;

	region_init(&region);
	ck_assert_str_eq(region_strdup(&region, "x"), "x");
	ck_assert_str_eq(region_strndup(&region, "xyz", 2), "xy");
	ck_assert_ptr_nonnull(region_array(&region, 0, 8));
	large = region_array(&region, 100000, 3);
	ck_assert_int_eq(large[299999], 0);
	ck_assert(!region.failed);
	ck_assert_ptr_null(region_array(&region, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(region_alloc(&region, SIZE_MAX - 3));
	ck_assert(region.failed);
	region_release(&region);
}
END_TEST

Suite *hostmap_suite(void)
{
	Suite *suite = suite_create("hostmap");
	TCase *tcase = tcase_create("hostmap");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, precedence, 0, (int)(sizeof(lookups) / sizeof(lookups[0])));
	tcase_add_test(tcase, walk_order);
	tcase_add_test(tcase, exact_get);
	tcase_add_test(tcase, too_long);
	tcase_add_test(tcase, many);
	tcase_add_test(tcase, regions);
	suite_add_tcase(suite, tcase);
	return suite;
}
