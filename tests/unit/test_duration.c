/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>

#include "rules/duration.h"

Suite *duration_suite(void);

static const struct {
	const char *text;
	int64_t ns;
	const char *formatted;
} good[] = {
    {"0", 0, "0s"},
    {"0s", 0, "0s"},
    {"1s", 1000000000, "1s"},
    {"1.5s", 1500000000, "1.5s"},
    {".5s", 500000000, "0.5s"},
    {"1.s", 1000000000, "1s"},
    {"250ms", 250000000, "0.25s"},
    {"1h30m", 5400000000000, "5400s"},
    {"1h1m1s1ms1us1ns", 3661001001001, "3661.001001001s"},
    {"2us", 2000, "0.000002s"},
    {"2\302\265s", 2000, "0.000002s"},
    {"2\316\274s", 2000, "0.000002s"},
    {"-1.5s", -1500000000, "-1.5s"},
    {"+3m", 180000000000, "180s"},
    {"0.0000000019s", 1, "0.000000001s"},
    {"0.1234567890123456789s", 123456789, "0.123456789s"},
    {"2540400h", 9145440000000000000, "9145440000s"},
};

START_TEST(accepted)
{
	char out[DURATION_MAX];
	int64_t ns;

	ck_assert(duration_parse(good[_i].text, &ns));
	ck_assert_int_eq(ns, good[_i].ns);
	ck_assert_str_eq(duration_format(ns, out), good[_i].formatted);
	/* Its own form is one, of the same length of time. */
	ck_assert(duration_parse(out, &ns));
	ck_assert_int_eq(ns, good[_i].ns);
}
END_TEST

static const char *const bad[] = {
    "",    "s",	  "1",	  "-",	   "+",	     "1 s",	"1s ",	  " 1s",
    "1d",  "1,5s", ".s",  "1..5s", "1e3s",   "--1s",	"1s-1s",  "1hour",
    "0x1s", "1S",  "99999999999h", "9223372036854775808ns", "2562047h48m",
    "2562047.9999999h", "9223372036.9s",
};

START_TEST(refused)
{
	int64_t ns;

	ck_assert_msg(!duration_parse(bad[_i], &ns), "\"%s\"", bad[_i]);
}
END_TEST

Suite *duration_suite(void)
{
	Suite *suite = suite_create("duration");
	TCase *tcase = tcase_create("duration");

	tcase_add_loop_test(tcase, accepted, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tcase, refused, 0, sizeof(bad) / sizeof(bad[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
