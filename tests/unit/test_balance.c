/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load balancing, by counting picks. Random bits come from a generator with a fixed seed, so that
 * every run sees the same ones. What Envoy does with the same hosts was taken from its own tests
 * (test/.../maglev_lb_test.cc, ring_hash_lb_test.cc).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/destination_rule.h"
#include "shim/bridge/balance.h"
#include "shim/bridge/hash.h"
#include "shim/bridge/maglev.h"
#include "shim/bridge/ring_hash.h"

#define HOSTS 64
#define KEYS  20000

static struct host hosts[HOSTS];
static struct host *list[HOSTS];
static char names[HOSTS][24];
static unsigned counts[HOSTS];

static uint64_t state;

static uint32_t bits(void *arg) /* xorshift64* */
{
	(void)arg;
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545f4914f6cdd1d >> 32);
}

static uint32_t zero(void *arg)
{
	(void)arg;
	return 0;
}

static struct balancer *balancer;
static struct load_balancer settings;
static struct consistent_hash consistent;
static struct ring_hash ring_settings;
static struct maglev maglev_settings;

static void setup(void)
{
	state = 88172645463325252;
	memset(hosts, 0, sizeof(hosts));
	memset(&settings, 0, sizeof(settings));
	memset(&consistent, 0, sizeof(consistent));
	for (int i = 0; i < HOSTS; i++) {
		snprintf(names[i], sizeof(names[i]), "127.0.0.1:%d", 90 + i);
		hosts[i].name = names[i];
		hosts[i].weight = 1;
		list[i] = &hosts[i];
	}
}

static void teardown(void)
{
	balancer_free(balancer);
	balancer = NULL;
}

static void use(size_t n, bool panic)
{
	ck_assert_int_eq(balancer_set_hosts(balancer, list, n, panic), 0);
}

/* A balancer over the first n hosts. */
static void simple(enum simple_lb lb, size_t n)
{
	settings.simple = (struct choice){.value = (int)lb, .set = true};
	balancer = balancer_new(&settings);
	ck_assert_ptr_nonnull(balancer);
	use(n, false);
}

static void ring(long long minimum, size_t n)
{
	ring_settings.minimum_ring_size.value = minimum;
	consistent.ring_hash = &ring_settings;
	settings.consistent_hash = &consistent;
	simple(LB_UNSPECIFIED, n);
}

static void maglev(long long size, size_t n)
{
	maglev_settings.table_size.value = size;
	consistent.maglev = &maglev_settings;
	settings.consistent_hash = &consistent;
	simple(LB_UNSPECIFIED, n);
}

static int number(const struct host *host)
{
	return host ? (int)(host - hosts) : -1;
}

static int pick(void)
{
	return number(balancer_pick(balancer, &(struct pick){.random = bits}));
}

static int pick_hash(uint64_t hash)
{
	struct pick how = {.hashed = true, .hash = hash, .random = bits};

	return number(balancer_pick(balancer, &how));
}

static int pick_key(int i)
{
	char key[16];

	return pick_hash(balance_hash(key, (size_t)snprintf(key, sizeof(key), "user-%d", i)));
}

static void count(unsigned n)
{
	memset(counts, 0, sizeof(counts));
	for (unsigned i = 0; i < n; i++) {
		int host = pick();

		ck_assert_int_ge(host, 0);
		counts[host]++;
	}
}

static void near(unsigned is, double should_be, double tolerance)
{
	ck_assert_msg(is > should_be * (1 - tolerance) && is < should_be * (1 + tolerance),
		      "%u is not within %.0f %% of %.0f", is, tolerance * 100, should_be);
}

/* ---- every policy ------------------------------------------------------------------------ */

static const enum simple_lb policies[] = {LB_UNSPECIFIED, LB_LEAST_CONN,  LB_RANDOM,
					  LB_PASSTHROUGH, LB_ROUND_ROBIN, LB_LEAST_REQUEST,
					  LB_UNSPECIFIED, LB_UNSPECIFIED}; /* ring, Maglev */
#define POLICIES (int)(sizeof(policies) / sizeof(policies[0]))

static void any_policy(int i, size_t n)
{
	if (i == POLICIES - 2)
		ring(0, n);
	else if (i == POLICIES - 1)
		maglev(0, n);
	else
		simple(policies[i], n);
}

START_TEST(nobody_and_one)
{
	any_policy(_i, 0);
	ck_assert_int_eq(pick(), -1);
	ck_assert_int_eq(pick_hash(7), -1);
	use(1, false);
	ck_assert_int_eq(pick(), 0);
	ck_assert_int_eq(pick_hash(7), 0);
	use(0, false);
	ck_assert_int_eq(pick(), -1);
}
END_TEST

START_TEST(without_settings_as_LEAST_REQUEST)
{
	balancer = balancer_new(NULL);
	use(2, false);
	hosts[0].active = 9;
	count(4000);
	near(counts[0], 1000, 0.1); /* where both choices fell on it */
}
END_TEST

START_TEST(ejected_hosts_are_left_alone_but_in_panic)
{
	hosts[1].ejected = hosts[2].ejected = true;
	any_policy(_i, 4);
	count(400);
	ck_assert_uint_eq(counts[1] + counts[2], 0);
	ck_assert_uint_ne(counts[0], 0);
	ck_assert_uint_ne(counts[3], 0);
	use(4, true);
	count(400);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_ne(counts[i], 0);
	hosts[0].ejected = hosts[3].ejected = true;
	use(4, false);
	ck_assert_int_eq(pick(), -1);
}
END_TEST

static bool is_avoided(void *arg, const struct host *host)
{
	return *(unsigned *)arg >> number(host) & 1;
}

START_TEST(avoided_hosts_are_the_last_resort)
{
	unsigned mask = 0xb; /* all but 2 */
	struct pick how = {.avoid = is_avoided, .arg = &mask, .random = bits, .hashed = true};
	bool seen[4] = {false};

	if (_i % 2)
		hosts[1].weight = 3;
	any_policy(_i / 2, 4);
	for (unsigned i = 0; i < 100; i++) {
		how.hash = balance_hash(&i, sizeof(i));
		ck_assert_int_eq(number(balancer_pick(balancer, &how)), 2);
	}
	mask = 0xf;
	for (unsigned i = 0; i < 400; i++) {
		how.hash = balance_hash(&i, sizeof(i));
		seen[number(balancer_pick(balancer, &how))] = true;
	}
	for (int i = 0; i < 4; i++)
		ck_assert(seen[i]);
}
END_TEST

/* ---- LEAST_REQUEST ----------------------------------------------------------------------- */

START_TEST(the_less_busy_of_two_is_picked)
{
	simple(LB_LEAST_REQUEST, 10);
	count(10000);
	for (int i = 0; i < 10; i++)
		near(counts[i], 1000, 0.15);
	hosts[3].active = 1;
	count(10000);
	near(counts[3], 100, 0.4); /* 1 in 100: both choices */
	near(counts[4], 1100, 0.15);
}
END_TEST

START_TEST(requests_under_way_stay_balanced)
{
	unsigned most = 0;

	simple(LB_LEAST_REQUEST, 50);
	for (int i = 0; i < 5000; i++) {
		struct host *host = &hosts[pick()];

		host->active++;
		if (host->active > most)
			most = host->active;
	}
	/* log log n above the mean; at random it would be some 30 above. */
	ck_assert_uint_le(most, 100 + 4);
}
END_TEST

START_TEST(weights_and_requests_together)
{
	hosts[0].weight = 1;
	hosts[1].weight = 2;
	hosts[2].weight = 5;
	simple(LB_LEAST_REQUEST, 3);
	count(8000);
	near(counts[0], 1000, 0.01);
	near(counts[1], 2000, 0.01);
	near(counts[2], 5000, 0.01);
	hosts[2].active = 4; /* 5 / (4 + 1) is 1 */
	count(8000);
	near(counts[0], 2000, 0.01);
	near(counts[1], 4000, 0.01);
	near(counts[2], 2000, 0.01);
}
END_TEST

/* ---- ROUND_ROBIN, RANDOM ----------------------------------------------------------------- */

START_TEST(in_turn_from_anywhere)
{
	bool began[5] = {false};

	simple(LB_ROUND_ROBIN, 5);
	int first = pick();
	for (int i = 1; i < 50; i++)
		ck_assert_int_eq(pick(), (first + i) % 5);
	for (int i = 0; i < 100; i++) {
		balancer_free(balancer);
		simple(LB_ROUND_ROBIN, 5);
		began[pick()] = true;
	}
	for (int i = 0; i < 5; i++)
		ck_assert(began[i]);
}
END_TEST

START_TEST(turns_go_on_when_hosts_change)
{
	simple(LB_ROUND_ROBIN, 4);
	int last = pick();
	hosts[(last + 2) % 4].ejected = true;
	for (int i = 0; i < 12; i++) {
		use(4, false);
		ck_assert_int_ne(pick(), last); /* three are left, none is picked twice running */
		last = -1;
	}
	use(2, false);
	use(4, true);
	last = pick();
	ck_assert_int_eq(pick(), (last + 1) % 4);
}
END_TEST

START_TEST(weighted_turns_are_exact)
{
	static const int one_round[] = {2, 1, 2, 2, 0, 1, 2}; /* due at 1/4 1/2 1/2 3/4 1 1 1 */
	struct pick from_zero = {.random = zero};

	hosts[1].weight = 2;
	hosts[2].weight = 4;
	simple(LB_ROUND_ROBIN, 3);
	for (int i = 0; i < 70; i++)
		ck_assert_int_eq(number(balancer_pick(balancer, &from_zero)), one_round[i % 7]);
}
END_TEST

START_TEST(weighted_turns_begin_anywhere)
{
	bool began[3] = {false};

	hosts[1].weight = 2;
	hosts[2].weight = 3;
	for (int i = 0; i < 100; i++) {
		simple(LB_ROUND_ROBIN, 3);
		began[pick()] = true;
		balancer_free(balancer);
		simple(LB_ROUND_ROBIN, 3);
		count(600);
		ck_assert_uint_eq(counts[0], 100);
		ck_assert_uint_eq(counts[1], 200);
		ck_assert_uint_eq(counts[2], 300);
		balancer_free(balancer);
	}
	balancer = NULL;
	for (int i = 0; i < 3; i++)
		ck_assert(began[i]);
}
END_TEST

START_TEST(random_knows_no_weights)
{
	hosts[1].weight = 50;
	simple(LB_RANDOM, 4);
	count(8000);
	for (int i = 0; i < 4; i++)
		near(counts[i], 2000, 0.1);
}
END_TEST

/* ---- consistent hashing ------------------------------------------------------------------ */

START_TEST(hash_is_XXH64)
{
	static const struct {
		const char *text;
		uint64_t hash;
	} known[] = {
	    {"", 0xef46db3751d8e999},
	    {"a", 0xd24ec4f1a98c6e5b},
	    {"abc", 0x44bc2cf5ad770999},
	    {"Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2e85470d6fd96},
	    /* a point of the ring of Envoy's tests */
	    {"127.0.0.1:90_0", 16117243373044804889U},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		ck_assert_uint_eq(balance_hash(known[i].text, strlen(known[i].text)),
				  known[i].hash);
	ck_assert_uint_eq(hash64("", 0, 1), 0xd5afba1336a3be4b);
}
END_TEST

/* Ports 90 to 95 on a ring of 12, in the order of their points. */
START_TEST(ring_is_that_of_envoy)
{
	static const struct {
		uint64_t hash;
		int host;
	} points[] = {
	    {833437586790550860, 4},	{928266305478181108, 2},    {1033482794131418490, 0},
	    {3551244743356806947, 5},	{3851675632748031481, 3},   {5583722120771150861, 1},
	    {6311230543546372928, 1},	{7700377290971790572, 3},   {13144177310400110813U, 5},
	    {13444792449719432967U, 2}, {15516499411664133160U, 4}, {16117243373044804889U, 0},
	};

	ring(12, 6);
	ck_assert_int_eq(pick_hash(0), 4);
	ck_assert_int_eq(pick_hash(UINT64_MAX), 4);
	for (int i = 0; i < 12; i++) {
		ck_assert_int_eq(pick_hash(points[i].hash), points[i].host);
		ck_assert_int_eq(pick_hash(points[i].hash + 1), points[(i + 1) % 12].host);
	}
	/* Host selection goes on along the ring. */
	unsigned mask = 1 << 4;
	struct pick how = {.hashed = true, .avoid = is_avoided, .arg = &mask, .random = bits};
	ck_assert_int_eq(number(balancer_pick(balancer, &how)), 2);
}
END_TEST

START_TEST(maglev_is_that_of_envoy)
{
	static const int six[] = {2, 4, 0, 1, 5, 0, 3};
	static const int weighted[] = {1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1};
	unsigned mask = 1 << 1;
	struct pick how = {.hashed = true, .hash = 10, .avoid = is_avoided, .arg = &mask};

	maglev(7, 6);
	for (unsigned i = 0; i < 21; i++)
		ck_assert_int_eq(pick_hash(i), six[i % 7]);
	ck_assert_int_eq(number(balancer_pick(balancer, &how)), 0); /* not 1 */
	balancer_free(balancer);

	hosts[1].weight = 2;
	maglev(17, 2);
	for (unsigned i = 0; i < 51; i++)
		ck_assert_int_eq(pick_hash(i), weighted[i % 17]);
}
END_TEST

static void hashing(int i, size_t n)
{
	any_policy(POLICIES - 2 + i, n);
}

START_TEST(a_key_stays_with_its_host)
{
	static int before[KEYS];
	int moved = 0;

	hashing(_i, 10);
	for (int i = 0; i < KEYS; i++)
		before[i] = pick_key(i);
	/* any order */
	for (size_t i = 0; i < 5; i++) {
		struct host *other = list[i];

		list[i] = list[9 - i];
		list[9 - i] = other;
	}
	use(10, false);
	for (int i = 0; i < KEYS; i++)
		ck_assert_int_eq(pick_key(i), before[i]);
	/* one fewer: its keys move, and few of the others'. The ring has to find as many points
	 * with the hosts that are left, the table has to fill its entries. */
	hosts[4].ejected = true;
	use(10, false);
	for (int i = 0; i < KEYS; i++) {
		int now = pick_key(i);

		ck_assert_int_ne(now, 4);
		moved += before[i] != 4 && now != before[i];
	}
	ck_assert_int_le(moved, KEYS / 10);
	/* and back */
	hosts[4].ejected = false;
	use(10, false);
	for (int i = 0; i < KEYS; i++)
		ck_assert_int_eq(pick_key(i), before[i]);
}
END_TEST

START_TEST(shares_are_even)
{
	hashing(_i, 10);
	memset(counts, 0, sizeof(counts));
	for (int i = 0; i < KEYS; i++)
		counts[pick_key(i)]++;
	/* 1024 points make a rough ring */
	for (int i = 0; i < 10; i++)
		near(counts[i], KEYS / 10, _i == 0 ? 0.35 : 0.1);
}
END_TEST

START_TEST(shares_are_weighted)
{
	hosts[0].weight = 1;
	hosts[1].weight = 3;
	hosts[2].weight = 6;
	hashing(_i, 3);
	memset(counts, 0, sizeof(counts));
	for (int i = 0; i < KEYS; i++)
		counts[pick_key(i)]++;
	near(counts[0], KEYS * 0.1, 0.25);
	near(counts[1], KEYS * 0.3, 0.15);
	near(counts[2], KEYS * 0.6, 0.15);
}
END_TEST

START_TEST(without_a_hash_at_random)
{
	hashing(_i, 4);
	count(8000);
	for (int i = 0; i < 4; i++)
		near(counts[i], 2000, 0.35);
}
END_TEST

START_TEST(maglev_entries_are_even)
{
	struct maglev_table *table = maglev_new(list, 7, MAGLEV_SIZE);

	memset(counts, 0, sizeof(counts));
	for (uint64_t i = 0; i < MAGLEV_SIZE; i++)
		counts[maglev_find(table, i, 0)]++;
	for (int i = 0; i < 7; i++) {
		ck_assert_uint_ge(counts[i], MAGLEV_SIZE / 7);
		ck_assert_uint_le(counts[i], MAGLEV_SIZE / 7 + 1);
	}
	maglev_free(table);
	ck_assert_ptr_null(maglev_new(list, 0, MAGLEV_SIZE));
	ck_assert_ptr_null(maglev_new(list, 7, 0));
	ck_assert_ptr_null(maglev_new(list, 7, MAGLEV_SIZE_MAX + 1));
}
END_TEST

/* The lightest host has a whole number of points, whatever the weights; up to a limit. */
START_TEST(rings_are_bounded)
{
	hosts[1].weight = UINT32_MAX;
	ring(1024, 2);
	ck_assert_int_eq(pick_key(1), 1);
	balancer_free(balancer);
	ring(1LL << 62, 2);
	ck_assert_int_eq(pick_key(1), 1);
	ck_assert_ptr_null(ring_new(list, 0, RING_SIZE));
}
END_TEST

Suite *balance_suite(void);
Suite *balance_suite(void)
{
	Suite *suite = suite_create("balance");
	TCase *all = tcase_create("balance");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_loop_test(all, nobody_and_one, 0, POLICIES);
	tcase_add_test(all, without_settings_as_LEAST_REQUEST);
	tcase_add_loop_test(all, ejected_hosts_are_left_alone_but_in_panic, 0, POLICIES);
	tcase_add_loop_test(all, avoided_hosts_are_the_last_resort, 0, 2 * POLICIES);
	tcase_add_test(all, the_less_busy_of_two_is_picked);
	tcase_add_test(all, requests_under_way_stay_balanced);
	tcase_add_test(all, weights_and_requests_together);
	tcase_add_test(all, in_turn_from_anywhere);
	tcase_add_test(all, turns_go_on_when_hosts_change);
	tcase_add_test(all, weighted_turns_are_exact);
	tcase_add_test(all, weighted_turns_begin_anywhere);
	tcase_add_test(all, random_knows_no_weights);
	tcase_add_test(all, hash_is_XXH64);
	tcase_add_test(all, ring_is_that_of_envoy);
	tcase_add_test(all, maglev_is_that_of_envoy);
	tcase_add_loop_test(all, a_key_stays_with_its_host, 0, 2);
	tcase_add_loop_test(all, shares_are_even, 0, 2);
	tcase_add_loop_test(all, shares_are_weighted, 0, 2);
	tcase_add_loop_test(all, without_a_hash_at_random, 0, 2);
	tcase_add_test(all, maglev_entries_are_even);
	tcase_add_test(all, rings_are_bounded);
	suite_add_tcase(suite, all);
	return suite;
}
