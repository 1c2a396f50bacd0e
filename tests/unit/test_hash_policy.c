/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/hash_policy.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules/destination_rule.h"
#include "shim/bridge/balance.h"

static struct consistent_hash rule;
static struct http_cookie cookie;
static struct load_balancer balancer;
static struct cluster cluster;
static struct field fields[8];
static struct http1_head head;
static struct hash_policy policy;
static struct arena arena;
static uint32_t drawn;

static uint32_t draw(void *arg)
{
	(void)arg;
	return ++drawn;
}

static void setup(void)
{
	memset(&rule, 0, sizeof(rule));
	memset(&cookie, 0, sizeof(cookie));
	balancer.consistent_hash = &rule;
	cluster.load_balancer = &balancer;
	head = (struct http1_head){.request = true, .target = "/", .target_len = 1, .fields = fields};
	drawn = 0;
	arena_init(&arena);
}

static void teardown(void)
{
	arena_release(&arena);
}

static void field(const char *name, const char *value)
{
	fields[head.n_fields++] =
	    (struct field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

static void target(const char *text)
{
	head.target = text;
	head.target_len = (uint32_t)strlen(text);
}

static void apply(void)
{
	ck_assert_int_eq(hash_policy_apply(&policy, &arena, &cluster, &head, draw, NULL), 0);
}

static void expect(const char *text)
{
	apply();
	ck_assert_int_eq(policy.hashed, text != NULL);
	if (text)
		ck_assert_uint_eq(policy.hash, balance_hash(text, strlen(text)));
	ck_assert_ptr_null(policy.cookie);
}

START_TEST(no_rule)
{
	cluster.load_balancer = NULL;
	expect(NULL);
	cluster.load_balancer = &balancer;
	balancer.consistent_hash = NULL;
	expect(NULL);
}
END_TEST

START_TEST(header)
{
	rule.http_header_name.s = "X-User";
	expect(NULL);
	field("x-user", "jason");
	expect("jason");
	field("X-USER", "other");
	apply();
	ck_assert(policy.hashed && policy.hash != balance_hash("jason", 5) &&
		  policy.hash != balance_hash("other", 5)); /* all values count */
}
END_TEST

START_TEST(cookies)
{
	static const struct {
		const char *cookie, *value;
	} list[] = {
	    {"user=a", "a"},
	    {"x=1; user=a; user=b", "a"},
	    {"x=1;user=a ;y", "a"},
	    {"user=\"a b\"", "a b"},
	    {"user=\"", "\""},
	    {"user=a=b", "a=b"},
	    {"User=a", NULL}, /* names of cookies are case-sensitive */
	    {"xuser=a", NULL},
	    {"users=a", NULL},
	    {"user", NULL},
	    {"user=", NULL},
	    {"user=\"\"", NULL},
	    {"", NULL},
	    {";;; ;", NULL},
	};

	rule.http_cookie = &cookie;
	cookie.name.s = "user";
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		head.n_fields = 0;
		field("cookie", list[i].cookie);
		expect(list[i].value);
	}
	head.n_fields = 0;
	field("Cookie", "x=1");
	field("Cookie", "user=second");
	expect("second");
}
END_TEST

START_TEST(cookie_made_up)
{
	struct pair attributes[2] = {{.name.s = "Secure"}, {.name.s = "SameSite", .value.s = "Lax"}};

	rule.http_cookie = &cookie;
	cookie.name.s = "user";
	cookie.ttl.set = true;
	apply();
	ck_assert_str_eq(policy.cookie, "user=\"0000000100000002\"; HttpOnly");
	ck_assert(policy.hashed);
	ck_assert_uint_eq(policy.hash, balance_hash("0000000100000002", 16));
	cookie.ttl.ns = 90500000000;
	cookie.path.s = "/p";
	cookie.attributes = (struct list){.items = attributes, .n = 2};
	apply();
	ck_assert_str_eq(policy.cookie, "user=\"0000000300000004\"; Max-Age=90; Path=/p; Secure; "
					"SameSite=Lax; HttpOnly");
}
END_TEST

START_TEST(query)
{
	static const struct {
		const char *target, *value;
	} list[] = {
	    {"/?user=a", "a"}, {"/?x&user=a&user=b", "a"}, {"/?user=", ""},  {"/?user", ""},
	    {"/?&&user=a", "a"}, {"/?user=a?b=c", "a?b=c"}, {"/?x=user", NULL}, {"/?users=1&xuser=2", NULL},
	    {"/user=a", NULL}, {"/?", NULL}, {"/", NULL}, {"/?a&", NULL}, {"/?User=a", NULL},
	};

	rule.http_query_parameter_name.s = "user";
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		/* Exactly that long, so that a sanitizer sees a byte too many. */
		char *exact = malloc(strlen(list[i].target));

		memcpy(exact, list[i].target, strlen(list[i].target));
		target(list[i].target);
		head.target = exact;
		expect(list[i].value);
		free(exact);
	}
}
END_TEST

START_TEST(source)
{
	uint64_t first;

	rule.use_source_ip.value = true;
	apply();
	ck_assert(policy.hashed);
	first = policy.hash;
	apply();
	ck_assert_uint_eq(policy.hash, first);
}
END_TEST

Suite *hash_policy_suite(void);
Suite *hash_policy_suite(void)
{
	Suite *suite = suite_create("hash_policy");
	TCase *requests = tcase_create("requests");

	tcase_add_checked_fixture(requests, setup, teardown);
	tcase_add_test(requests, no_rule);
	tcase_add_test(requests, header);
	tcase_add_test(requests, cookies);
	tcase_add_test(requests, cookie_made_up);
	tcase_add_test(requests, query);
	tcase_add_test(requests, source);
	suite_add_tcase(suite, requests);
	return suite;
}
