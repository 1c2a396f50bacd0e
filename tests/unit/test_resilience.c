/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeouts, retries, faults and mirrors as a verdict has them; and the functions that draw, whose shares
 * are counted over fixed sequences.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/resilience.h"

Suite *resilience_suite(void);

#define DRAWS 1000000

static uint32_t next_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)((*seed * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* ---- rules -------------------------------------------------------------------------------- */

static struct rules *rules;

/* A host "v" with one route, of which `text` is a part, and `top` beside it. */
static void load(const char *text, const char *top)
{
	char path[] = "/tmp/resilience-XXXXXX.cfg", why[512] = "";
	int fd = mkstemps(path, 4);
	FILE *file = fdopen(fd, "w");
	struct diags diags;

	ck_assert_ptr_nonnull(file);
	fprintf(file,
		"serviceEntries = ( { name = \"v\"; hosts = [ \"v\", \"w\" ]; resolution = \"DNS\";\n"
		" ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n"
		"virtualServices = ( { name = \"v\"; hosts = [ \"v\" ]; http = ( { %s\n"
		" route = ( { destination = { host = \"w\"; }; } ); } ); } );\n%s\n",
		text, top);
	fclose(file);
	diags_init(&diags);
	rules_unref(rules);
	rules = rules_load(path, &diags);
	if (diags.first)
		diag_format(diags.first, why, sizeof(why));
	ck_assert_msg(rules != NULL, "%s", why);
	diags_release(&diags);
	unlink(path);
}

static struct verdict ask(void)
{
	const struct rules_request request = {
	    .method = "GET", .authority = "v", .path = "/", .dialled = "v", .port = 80};
	struct verdict verdict;

	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.action, RULES_ROUTE);
	return verdict;
}

static struct resilience resilience(const char *text, const char *top)
{
	struct resilience out;

	load(text, top);
	struct verdict verdict = ask();
	rules_resilience(&verdict, &out);
	return out;
}

static void done(void)
{
	rules_unref(rules);
	rules = NULL;
}

/* ---- retries ------------------------------------------------------------------------------ */

static const struct {
	const char *retry_on;
	unsigned conditions;
} conditions[] = {
    {"5xx", RETRY_ON_5XX},
    {"gateway-error", RETRY_ON_GATEWAY_ERROR},
    {"reset", RETRY_ON_RESET},
    {"reset-before-request", RETRY_ON_RESET_BEFORE_REQUEST},
    {"connect-failure", RETRY_ON_CONNECT_FAILURE},
    {"retriable-4xx", RETRY_ON_RETRIABLE_4XX},
    {"envoy-ratelimited", RETRY_ON_RATELIMITED},
    {"cancelled", RETRY_ON_GRPC_CANCELLED},
    {"deadline-exceeded", RETRY_ON_GRPC_DEADLINE_EXCEEDED},
    {"internal", RETRY_ON_GRPC_INTERNAL},
    {"resource-exhausted", RETRY_ON_GRPC_RESOURCE_EXHAUSTED},
    {"unavailable", RETRY_ON_GRPC_UNAVAILABLE},
    {"refused-stream", 0},
    {"retriable-headers", 0},
    {"retriable-status-codes", 0},
    {"http3-post-connect-failure", 0},
    {"503", RETRY_ON_STATUS_CODES},
    {" reset , 5xx,429", RETRY_ON_RESET | RETRY_ON_5XX | RETRY_ON_STATUS_CODES},
    {"", RETRY_ON_CONNECT_FAILURE | RETRY_ON_GRPC_CANCELLED | RETRY_ON_GRPC_UNAVAILABLE},
};

START_TEST(conditions_are_a_set)
{
	char text[128];

	snprintf(text, sizeof(text), "retries = { attempts = 1; retryOn = \"%s\"; };",
		 conditions[_i].retry_on);
	ck_assert_uint_eq(resilience(text, "").conditions, conditions[_i].conditions);
}
END_TEST

START_TEST(every_grpc_condition_is_one)
{
	ck_assert_uint_eq(RETRY_ON_GRPC,
			  RETRY_ON_GRPC_CANCELLED | RETRY_ON_GRPC_DEADLINE_EXCEEDED |
			      RETRY_ON_GRPC_INTERNAL | RETRY_ON_GRPC_RESOURCE_EXHAUSTED |
			      RETRY_ON_GRPC_UNAVAILABLE);
}
END_TEST

START_TEST(statuses_are_those_in_retry_on)
{
	struct resilience r =
	    resilience("retries = { attempts = 1; retryOn = \"418, 5xx ,503,retriable-4xx\"; };", "");

	for (unsigned status = 0; status < 1000; status++)
		ck_assert_msg(rules_retries_status(&r, status) == (status == 418 || status == 503),
			      "%u", status);
	r = resilience("", "");
	for (unsigned status = 0; status < 1000; status++)
		ck_assert(!rules_retries_status(&r, status));
}
END_TEST

START_TEST(without_a_policy_it_is_istios)
{
	struct resilience r = resilience("", "");

	ck_assert_int_eq(r.attempts, 2);
	ck_assert_int_eq(r.backoff, 25000000);
	ck_assert_int_eq(r.timeout, 0);
	ck_assert_int_eq(r.per_try_timeout, 0);
	ck_assert(r.other_host);
}
END_TEST

START_TEST(the_route_comes_before_the_mesh)
{
	const char *mesh = "meshConfig = { defaultHttpRetryPolicy = { attempts = 7; "
			   "retryOn = \"reset\"; backoff = \"1s\"; }; };";
	struct resilience r = resilience("timeout = \"3s\";", mesh);

	ck_assert_int_eq(r.attempts, 7);
	ck_assert_int_eq(r.backoff, 1000000000);
	ck_assert_uint_eq(r.conditions, RETRY_ON_RESET);
	ck_assert_int_eq(r.timeout, 3000000000);
	r = resilience("retries = { attempts = 1; perTryTimeout = \"20ms\"; "
		       "retryIgnorePreviousHosts = false; };",
		       mesh);
	ck_assert_int_eq(r.attempts, 1);
	ck_assert_int_eq(r.backoff, 25000000);
	ck_assert_int_eq(r.per_try_timeout, 20000000);
	ck_assert(!r.other_host);
	r = resilience("retries = { attempts = 0; };", mesh);
	ck_assert_int_eq(r.attempts, 0);
	ck_assert_uint_eq(r.conditions, 0);
}
END_TEST

/* ---- drawing ------------------------------------------------------------------------------ */

START_TEST(backoff_is_uniform_below_its_bound)
{
	static const unsigned times[] = {1, 3, 7, 10, 10};
	const struct resilience r = {.backoff = 1000000000};
	uint64_t seed = 42;

	for (unsigned n = 1; n <= 5; n++) {
		double bound = 1000.0 * times[n - 1], sum = 0;
		uint64_t highest = 0, lowest = UINT64_MAX;

		for (int i = 0; i < DRAWS; i++) {
			uint64_t ms = rules_backoff(&r, n, next_random(&seed));

			sum += (double)ms;
			highest = ms > highest ? ms : highest;
			lowest = ms < lowest ? ms : lowest;
		}
		ck_assert_uint_eq(highest, (uint64_t)bound - 1);
		ck_assert_uint_eq(lowest, 0);
		/* The mean of so many has a deviation of bound / sqrt(12 * DRAWS). */
		ck_assert_double_lt(fabs(sum / DRAWS - (bound - 1) / 2), bound * 4 / sqrt(12.0 * DRAWS));
	}
}
END_TEST

START_TEST(backoff_does_not_overflow)
{
	const struct resilience r = {.backoff = INT64_MAX};

	ck_assert_uint_eq(rules_backoff(&r, 1, 0), 0);
	ck_assert_uint_ge(rules_backoff(&r, 40, UINT32_MAX), UINT64_C(92233720000000));
	ck_assert_uint_le(rules_backoff(&r, UINT32_MAX, UINT32_MAX), UINT64_C(92233720368548));
}
END_TEST

static const double percentages[] = {0.0001, 0.01, 0.5, 1, 12.5, 33.3333, 50, 99, 99.9999};

START_TEST(chances_are_shares)
{
	double p = percentages[_i] / 100, hits = 0;
	uint64_t seed = 4711;

	for (int i = 0; i < DRAWS; i++)
		hits += rules_chance(percentages[_i], next_random(&seed));
	ck_assert_double_lt(fabs(hits - p * DRAWS), 4 * sqrt(p * (1 - p) * DRAWS) + 1);
}
END_TEST

START_TEST(chances_are_exact_at_the_ends)
{
	ck_assert(!rules_chance(0, 0));
	ck_assert(!rules_chance(-1, 0));
	ck_assert(rules_chance(100, UINT32_MAX));
	ck_assert(rules_chance(0.0001, 4294));
	ck_assert(!rules_chance(0.0001, 4295));
	ck_assert(rules_chance(50, UINT32_C(0x7fffffff)));
	ck_assert(!rules_chance(50, UINT32_C(0x80000000)));
	ck_assert(!rules_chance(99.9999, UINT32_MAX));
}
END_TEST

/* ---- faults and mirrors ------------------------------------------------------------------- */

static bool fault(const char *text, struct fault *out)
{
	load(text, "");
	struct verdict verdict = ask();
	return rules_fault(&verdict, out);
}

START_TEST(faults)
{
	struct fault f;

	ck_assert(!fault("", &f));
	ck_assert(fault("fault = { delay = { fixedDelay = \"1s\"; percent = 7; }; abort = { "
			"grpcStatus = \"NOT_FOUND\"; percentage = { value = 0.5; }; }; };",
			&f));
	ck_assert_int_eq(f.delay, 1000000000);
	ck_assert_double_eq(f.delay_percentage, 7);
	ck_assert_uint_eq(f.abort_status, 200);
	ck_assert_int_eq(f.grpc_status, 5);
	ck_assert_double_eq(f.abort_percentage, 0.5);
	ck_assert(fault("fault = { delay = { fixedDelay = \"1s\"; percent = 7; percentage = { value = "
			"8.0; }; }; abort = { httpStatus = 599; }; };",
			&f));
	ck_assert_double_eq(f.delay_percentage, 8);
	ck_assert_uint_eq(f.abort_status, 599);
	ck_assert_int_eq(f.grpc_status, -1);
	ck_assert_double_eq(f.abort_percentage, 0);
	/* What has no share never happens. */
	ck_assert(!fault("fault = { delay = { fixedDelay = \"1s\"; }; abort = { httpStatus = 599; "
			 "}; };",
			 &f));
	/* Neither does what has a share, but is nothing. */
	ck_assert(!fault("fault = { delay = { percent = 100; }; abort = { percentage = { value = "
			 "100.0; }; }; };",
			 &f));
}
END_TEST

START_TEST(grpc_status_numbers)
{
	static const char *const names[] = {
	    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	    "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	    "UNAUTHENTICATED",
	};
	char text[160];
	struct fault f;

	snprintf(text, sizeof(text),
		 "fault = { abort = { grpcStatus = \"%s\"; percentage = { value = 1.0; }; }; };",
		 names[_i]);
	ck_assert(fault(text, &f));
	ck_assert_int_eq(f.grpc_status, _i);
}
END_TEST

Suite *resilience_suite(void)
{
	Suite *suite = suite_create("resilience");
	TCase *retries = tcase_create("retries");
	TCase *drawing = tcase_create("drawing");
	TCase *others = tcase_create("faults");

	tcase_add_checked_fixture(retries, NULL, done);
	tcase_add_loop_test(retries, conditions_are_a_set, 0,
			    (int)(sizeof(conditions) / sizeof(conditions[0])));
	tcase_add_test(retries, every_grpc_condition_is_one);
	tcase_add_test(retries, statuses_are_those_in_retry_on);
	tcase_add_test(retries, without_a_policy_it_is_istios);
	tcase_add_test(retries, the_route_comes_before_the_mesh);
	suite_add_tcase(suite, retries);
	tcase_set_timeout(drawing, 60);
	tcase_add_test(drawing, backoff_is_uniform_below_its_bound);
	tcase_add_test(drawing, backoff_does_not_overflow);
	tcase_add_loop_test(drawing, chances_are_shares, 0,
			    (int)(sizeof(percentages) / sizeof(percentages[0])));
	tcase_add_test(drawing, chances_are_exact_at_the_ends);
	suite_add_tcase(suite, drawing);
	tcase_add_checked_fixture(others, NULL, done);
	tcase_add_test(others, faults);
	tcase_add_loop_test(others, grpc_status_numbers, 0, 17);
	suite_add_tcase(suite, others);
	return suite;
}
