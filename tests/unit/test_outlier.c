/* SPDX-License-Identifier: Apache-2.0 */
/* Passive health checks, with the clock in the test's hand: `now`, in ms. */
#include <check.h>
#include <stdarg.h>
#include <string.h>

#include "rules/destination_rule.h"
#include "shim/bridge/outlier.h"

#define HOSTS 20

static struct host hosts[HOSTS];
static struct host *list[HOSTS];
static struct outlier_detection settings;
static size_t n;
static uint64_t now;

static void set(struct number *number, long long value)
{
	number->value = value;
	number->set = true;
}

static void setup(void)
{
	memset(hosts, 0, sizeof(hosts));
	memset(&settings, 0, sizeof(settings));
	for (int i = 0; i < HOSTS; i++)
		list[i] = &hosts[i];
	n = HOSTS;
	now = 1000;
	set(&settings.max_ejection_percent, 100);
}

static bool event(int host, enum outlier_event what)
{
	return outlier_note(&settings, list, n, &hosts[host], what, 0, now);
}

/* Answers of host 0 with these statuses, up to a 0. Returns which of them ejected it, from 1; 0:
 * none. */
static int answers(int first, ...)
{
	va_list more;
	int i = 1, result = 0;

	va_start(more, first);
	for (int status = first; status && !result; status = va_arg(more, int), i++)
		if (outlier_note(&settings, list, n, &hosts[0], OUTLIER_STATUS, status, now))
			result = i;
	va_end(more);
	ck_assert(hosts[0].ejected == (result > 0));
	return result;
}

static int errors(int host)
{
	for (int i = 1; i <= 100; i++)
		if (outlier_note(&settings, list, n, &hosts[host], OUTLIER_STATUS, 500, now))
			return i;
	return 0;
}

/* Sweep every interval until the host is back. Returns how long it was away, at most an hour. */
static uint64_t away(int host)
{
	uint64_t start = now, interval = outlier_interval(&settings);

	while (hosts[host].ejected && now - start <= 3600000) {
		now += interval;
		ck_assert(outlier_sweep(&settings, list, n, now) == !hosts[host].ejected);
	}
	return now - start;
}

/* ---- what is counted --------------------------------------------------------------------- */

START_TEST(five_5xx_in_a_row)
{
	ck_assert_int_eq(answers(500, 503, 599, 500, 200, 500, 500, 500, 500, 501, 0), 10);
}
END_TEST

START_TEST(other_statuses_are_no_errors)
{
	ck_assert_int_eq(answers(404, 429, 499, 302, 101, 404, 0), 0);
	ck_assert_int_eq(answers(600, 600, 600, 600, 600, 600, 0), 0);
	ck_assert_int_eq(answers(500, 500, 500, 500, 404, 500, 500, 500, 500, 0), 0);
}
END_TEST

START_TEST(consecutive5xxErrors_is_the_number)
{
	set(&settings.consecutive_5xx_errors, 2);
	ck_assert_int_eq(answers(500, 200, 500, 500, 0), 4);
}
END_TEST

START_TEST(consecutive5xxErrors_0_is_off)
{
	set(&settings.consecutive_5xx_errors, 0);
	ck_assert_int_eq(errors(0), 0);
}
END_TEST

START_TEST(gateway_errors_are_off_by_default)
{
	set(&settings.consecutive_5xx_errors, 0);
	ck_assert_int_eq(answers(503, 503, 503, 503, 503, 503, 503, 503, 0), 0);
	set(&settings.consecutive_gateway_errors, 0);
	ck_assert_int_eq(answers(503, 503, 503, 503, 503, 503, 503, 503, 0), 0);
}
END_TEST

START_TEST(gateway_errors_are_502_503_504)
{
	set(&settings.consecutive_5xx_errors, 0);
	set(&settings.consecutive_gateway_errors, 3);
	ck_assert_int_eq(answers(502, 503, 500, 504, 503, 505, 503, 502, 200, 502, 503, 504, 0),
			 12);
	set(&settings.consecutive_gateway_errors, 1);
	away(0);
	ck_assert_int_eq(answers(501, 505, 500, 0), 0);
}
END_TEST

START_TEST(gateway_errors_are_5xx_as_well)
{
	set(&settings.consecutive_5xx_errors, 3);
	set(&settings.consecutive_gateway_errors, 5);
	ck_assert_int_eq(answers(502, 500, 503, 0), 3);
}
END_TEST

START_TEST(consecutiveErrors_is_ignored)
{
	set(&settings.consecutive_errors, 1);
	ck_assert_int_eq(errors(0), 5);
}
END_TEST

START_TEST(no_settings_no_ejection)
{
	for (int i = 0; i < 10; i++)
		ck_assert(!outlier_note(NULL, list, n, &hosts[0], OUTLIER_STATUS, 500, now));
	ck_assert(!outlier_sweep(NULL, list, n, now));
	ck_assert(!outlier_panic(NULL, list, n));
	ck_assert_uint_eq(outlier_interval(NULL), 10000);
}
END_TEST

/* ---- local origin ------------------------------------------------------------------------ */

START_TEST(failures_to_connect_count_as_503)
{
	set(&settings.consecutive_gateway_errors, 3);
	ck_assert(!event(0, OUTLIER_CONNECT_FAILED));
	ck_assert(!event(0, OUTLIER_RESET));
	ck_assert_int_eq(answers(502, 0), 1);
}
END_TEST

START_TEST(timeouts_count_as_504)
{
	set(&settings.consecutive_gateway_errors, 2);
	ck_assert(!event(0, OUTLIER_TIMEOUT));
	ck_assert(event(0, OUTLIER_TIMEOUT));
}
END_TEST

START_TEST(a_connection_alone_ends_no_row)
{
	for (int i = 0; i < 4; i++) {
		ck_assert(!event(0, OUTLIER_CONNECTED));
		ck_assert(!event(0, OUTLIER_RESET));
	}
	ck_assert(event(0, OUTLIER_RESET));
}
END_TEST

START_TEST(but_where_no_answer_is_read_it_does)
{
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < 4; j++)
			ck_assert(!event(0, OUTLIER_CONNECT_FAILED));
		ck_assert(!event(0, OUTLIER_CONNECTED_ONLY));
	}
}
END_TEST

static void split(long long failures)
{
	settings.split_external_local_origin_errors.value = true;
	set(&settings.consecutive_local_origin_failures, failures);
}

START_TEST(split_errors_are_counted_apart)
{
	static const enum outlier_event kinds[] = {OUTLIER_CONNECT_FAILED, OUTLIER_RESET,
						   OUTLIER_TIMEOUT};

	split(3);
	ck_assert_int_eq(answers(500, 500, 500, 500, 0), 0);
	for (int i = 0; i < 2; i++)
		ck_assert(!event(0, kinds[_i]));
	ck_assert_int_eq(answers(500, 0), 1);

	ck_assert(!event(1, kinds[_i]));
	ck_assert(!event(1, kinds[_i]));
	ck_assert(!outlier_note(&settings, list, n, &hosts[1], OUTLIER_STATUS, 200, now));
	ck_assert(event(1, kinds[_i])); /* an answer does not end their row, ... */
	for (int i = 0; i < 4; i++) {
		ck_assert(!event(2, kinds[_i]));
		ck_assert(!event(2, kinds[_i]));
		/* ... a connection does. */
		ck_assert(!event(2, i % 2 ? OUTLIER_CONNECTED : OUTLIER_CONNECTED_ONLY));
	}
}
END_TEST

START_TEST(consecutiveLocalOriginFailures_is_5)
{
	split(0);
	for (int i = 0; i < 4; i++)
		ck_assert(!event(0, OUTLIER_CONNECT_FAILED));
	ck_assert(event(0, OUTLIER_CONNECT_FAILED));
}
END_TEST

/* ---- how many ---------------------------------------------------------------------------- */

static int eject_all(void)
{
	int ejected = 0;

	for (size_t i = 0; i < n; i++)
		ejected += errors((int)i) > 0;
	return ejected;
}

START_TEST(a_tenth_by_default)
{
	set(&settings.max_ejection_percent, _i);
	settings.max_ejection_percent.set = _i > 0;
	if (_i == 1) /* one in a hundred, of twenty */
		ck_assert_int_eq(eject_all(), 0);
	else
		ck_assert_int_eq(eject_all(), 2);
}
END_TEST

START_TEST(maxEjectionPercent_is_to_the_letter)
{
	n = 9;
	settings.max_ejection_percent.set = false;
	settings.max_ejection_percent.value = 0;
	ck_assert_int_eq(eject_all(), 0);
	n = 2;
	set(&settings.max_ejection_percent, 50);
	ck_assert_int_eq(eject_all(), 1);
	ck_assert(hosts[0].ejected);
	set(&settings.max_ejection_percent, 100);
	ck_assert_int_eq(eject_all(), 1);
	ck_assert(hosts[1].ejected);
}
END_TEST

START_TEST(a_refused_ejection_begins_a_new_row)
{
	n = 1;
	set(&settings.max_ejection_percent, 50);
	ck_assert_int_eq(answers(500, 500, 500, 500, 500, 0), 0);
	set(&settings.max_ejection_percent, 100);
	ck_assert_int_eq(answers(500, 500, 500, 500, 0), 0);
	ck_assert_int_eq(answers(500, 0), 1);
}
END_TEST

/* ---- how long ---------------------------------------------------------------------------- */

START_TEST(away_for_30_seconds)
{
	ck_assert_uint_eq(outlier_interval(&settings), 10000);
	ck_assert_int_eq(errors(0), 5);
	now += 29999;
	ck_assert(!outlier_sweep(&settings, list, n, now));
	ck_assert(hosts[0].ejected);
	now++;
	ck_assert(outlier_sweep(&settings, list, n, now));
	ck_assert(!hosts[0].ejected);
	ck_assert(!outlier_sweep(&settings, list, n, now));
}
END_TEST

START_TEST(times_of_the_settings)
{
	settings.interval.ns = 2000000000;
	settings.base_ejection_time.ns = 7000000000;
	ck_assert_uint_eq(outlier_interval(&settings), 2000);
	errors(0);
	ck_assert_uint_eq(away(0), 8000);
}
END_TEST

START_TEST(longer_each_time_up_to_a_limit)
{
	for (unsigned i = 1; i <= 15; i++) {
		ck_assert_int_eq(errors(0), 5);
		ck_assert_uint_eq(away(0), i < 10 ? i * 30000 : 300000);
	}
	/* Those above the limit, but for one, need not be forgotten. */
	for (int i = 0; i < 11; i++) {
		now += 10000;
		outlier_sweep(&settings, list, n, now);
	}
	errors(0);
	ck_assert_uint_eq(away(0), 30000);
}
END_TEST

START_TEST(a_longer_baseEjectionTime_is_the_limit)
{
	settings.base_ejection_time.ns = 600000000000;
	for (int i = 0; i < 3; i++) {
		errors(0);
		ck_assert_uint_eq(away(0), 600000);
	}
}
END_TEST

START_TEST(shorter_again_when_all_is_well)
{
	for (int i = 0; i < 3; i++) {
		errors(0);
		away(0);
	}
	/* Too soon after its return, then two sweeps. */
	ck_assert(!outlier_sweep(&settings, list, n, now + 9999));
	now += 10000;
	outlier_sweep(&settings, list, n, now);
	now += 10000;
	outlier_sweep(&settings, list, n, now);
	errors(0);
	ck_assert_uint_eq(away(0), 60000); /* 3 - 2 + 1 times */
	for (int i = 0; i < 10; i++) {
		now += 10000;
		outlier_sweep(&settings, list, n, now);
	}
	errors(0);
	ck_assert_uint_eq(away(0), 30000);
}
END_TEST

START_TEST(back_with_a_clean_slate)
{
	set(&settings.consecutive_gateway_errors, 3);
	ck_assert_int_eq(answers(500, 500, 500, 503, 503, 0), 5);
	for (int i = 0; i < 9; i++) /* while it is away */
		ck_assert(
		    !outlier_note(&settings, list, n, &hosts[0], OUTLIER_STATUS, 500 + i % 4, now));
	away(0);
	ck_assert_int_eq(answers(503, 503, 200, 0), 0);
	ck_assert_int_eq(answers(500, 502, 503, 504, 0), 4);
	away(0);
	ck_assert_int_eq(answers(500, 500, 500, 500, 0), 0);

	split(2);
	ck_assert(!event(1, OUTLIER_RESET));
	errors(1);
	away(1);
	ck_assert(!event(1, OUTLIER_RESET));
	ck_assert(event(1, OUTLIER_RESET));
}
END_TEST

/* ---- panic ------------------------------------------------------------------------------- */

START_TEST(no_panic_by_default)
{
	ck_assert_int_eq(eject_all(), HOSTS);
	ck_assert(!outlier_panic(&settings, list, n));
}
END_TEST

START_TEST(panic_below_minHealthPercent)
{
	n = 4;
	set(&settings.min_health_percent, 50);
	ck_assert(!outlier_panic(&settings, list, n));
	errors(0);
	errors(1);
	ck_assert(!outlier_panic(&settings, list, n)); /* half of them: not below */
	errors(2);
	ck_assert(outlier_panic(&settings, list, n));
	away(0);
	ck_assert(!outlier_panic(&settings, list, n));
}
END_TEST

Suite *outlier_suite(void);
Suite *outlier_suite(void)
{
	Suite *suite = suite_create("outlier");
	TCase *all = tcase_create("outlier");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, five_5xx_in_a_row);
	tcase_add_test(all, other_statuses_are_no_errors);
	tcase_add_test(all, consecutive5xxErrors_is_the_number);
	tcase_add_test(all, consecutive5xxErrors_0_is_off);
	tcase_add_test(all, gateway_errors_are_off_by_default);
	tcase_add_test(all, gateway_errors_are_502_503_504);
	tcase_add_test(all, gateway_errors_are_5xx_as_well);
	tcase_add_test(all, consecutiveErrors_is_ignored);
	tcase_add_test(all, no_settings_no_ejection);
	tcase_add_test(all, failures_to_connect_count_as_503);
	tcase_add_test(all, timeouts_count_as_504);
	tcase_add_test(all, a_connection_alone_ends_no_row);
	tcase_add_test(all, but_where_no_answer_is_read_it_does);
	tcase_add_loop_test(all, split_errors_are_counted_apart, 0, 3);
	tcase_add_test(all, consecutiveLocalOriginFailures_is_5);
	tcase_add_loop_test(all, a_tenth_by_default, 0, 2);
	tcase_add_test(all, maxEjectionPercent_is_to_the_letter);
	tcase_add_test(all, a_refused_ejection_begins_a_new_row);
	tcase_add_test(all, away_for_30_seconds);
	tcase_add_test(all, times_of_the_settings);
	tcase_add_test(all, longer_each_time_up_to_a_limit);
	tcase_add_test(all, a_longer_baseEjectionTime_is_the_limit);
	tcase_add_test(all, shorter_again_when_all_is_well);
	tcase_add_test(all, back_with_a_clean_slate);
	tcase_add_test(all, no_panic_by_default);
	tcase_add_test(all, panic_below_minHealthPercent);
	suite_add_tcase(suite, all);
	return suite;
}
