/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "cluster_stage.h"
#include "memory_io.h"

static struct stage_policy policy;
static struct program programs[8];
static struct program *const a = &programs[0], *const b = &programs[1], *const c = &programs[2],
			   *const d = &programs[3];
static struct cluster *const cluster = &policy.cluster;

static void setup(void)
{
	stage_open();
	memset(programs, 0, sizeof(programs));
	stage_policy_init(&policy, 1);
}

static void teardown(void)
{
	for (size_t i = 0; i < 8; i++)
		program_leave(&programs[i]);
	stage_close();
}

/* ---- fresh connections ------------------------------------------------------------------- */

/* One idle connection gives it its place, the oldest; the others are for others. */
START_TEST(a_fresh_one_takes_one_place)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .fresh = true};

	number_set(&policy.tcp.max_connections, 3);
	for (size_t i = 0; i < 3; i++)
		program_ask(&programs[i], cluster);
	for (size_t i = 0; i < 3; i++)
		stage_connect(i, 0);
	for (size_t i = 0; i < 3; i++)
		program_give_back(&programs[i], true);
	program_wish(d, &wish);
	ck_assert_uint_eq(stage_n_dialings, 4);
	ck_assert_int_eq(io_read(stage_peers[0], &(char){0}, 1), IO_EOF);
	program_ask(a, cluster);
	program_ask(b, cluster);
	ck_assert_ptr_nonnull(a->connection);
	ck_assert_ptr_nonnull(b->connection);
	ck_assert_uint_eq(stage_n_dialings, 4);
	stage_connect(3, 0);
	ck_assert(!d->connection->upstream.reused);
}
END_TEST

/* Or it could wait for ever, behind those who come later and take what there is. */
START_TEST(who_wants_a_fresh_one_is_not_passed)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .fresh = true};
	struct connection *connection;

	number_set(&policy.tcp.max_connections, 1);
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_wish(b, &wish);
	program_ask(c, cluster);
	connection = a->connection;
	a->connection = NULL;
	cluster_release(&a->acquiring, connection, true, false);
	program_ask(d, cluster); /* while it lies there */
	stage_advance(0);
	ck_assert_ptr_null(c->connection);
	ck_assert_ptr_null(d->connection);
	ck_assert_uint_eq(stage_n_dialings, 2);
	stage_connect(1, 0);
	ck_assert_ptr_nonnull(b->connection);
	ck_assert(!b->connection->upstream.reused);
	program_give_back(b, true);
	ck_assert_ptr_nonnull(c->connection);
	program_give_back(c, true);
	ck_assert_ptr_nonnull(d->connection);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

/* ---- several addresses ------------------------------------------------------------------- */

static struct endpoint named[] = {{"one.test", 80, 1}, {"two.test", 80, 1}};

static void by_name(size_t n)
{
	cluster->resolution = RESOLUTION_DNS;
	cluster->endpoints = named;
	cluster->n_endpoints = n;
}

/* A dialing ends at the first of its addresses that is not this one. */
static void connect_elsewhere(size_t i, unsigned dead)
{
	stage_connect(i, stage_dialled(i) == dead ? 1 : 0);
}

/* An address that is not reached has others stand in for it: within maxConnections too. */
START_TEST(stand_ins_are_counted)
{
	unsigned dead;

	by_name(1);
	number_set(&policy.tcp.max_connections, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 2, (unsigned char[]){7, 8});
	dead = stage_dialled(0);
	for (int i = 1; i < 8; i++)
		program_ask(&programs[i], cluster);
	for (size_t i = 0; i < stage_n_dialings; i++)
		connect_elsewhere(i, dead);
	ck_assert_uint_eq(stage_n_dialings, 2); /* the first of each host */
	for (int i = 0; i < 8; i++) /* nobody is forgotten */
		if (programs[i].connection) {
			program_give_back(&programs[i], true);
			i = -1;
		}
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(programs[i].answers, 1);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

/* They are used again, and not for long: the address may be back. */
START_TEST(stand_ins_are_kept_for_a_while)
{
	unsigned dead;

	by_name(1);
	program_ask(a, cluster);
	stage_resolve("one.test", 2, (unsigned char[]){7, 8});
	dead = stage_dialled(0);
	connect_elsewhere(0, dead);
	program_give_back(a, true);
	for (int i = 0; i < 6; i++) {
		program_ask(a, cluster);
		if (!a->connection)
			connect_elsewhere(stage_n_dialings - 1, dead);
		ck_assert_ptr_nonnull(a->connection);
		program_give_back(a, true);
	}
	ck_assert_uint_eq(stage_n_dialings, 2); /* one for each host */

	stage_advance(10000);
	program_ask(a, cluster);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_n_dialings, 3);
	ck_assert_uint_eq(stage_dialled(2), dead);
	stage_connect(2, 0);
	program_give_back(a, true);
	program_give_back(b, true);
	stage_advance(10000);
	program_ask(a, cluster);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_n_dialings, 3);
}
END_TEST

/* Where nobody can be reached, that is known once they all have been tried. */
START_TEST(a_name_is_dialled_once)
{
	const struct acquisition wish = {.cluster = cluster, .server_name = "a.test"};

	by_name(2);
	program_wish(a, &wish);
	stage_resolve("one.test", 2, (unsigned char[]){7, 8});
	stage_resolve("two.test", 2, (unsigned char[]){9, 10});
	stage_refuse(0);
	ck_assert_int_eq(a->answers, 0);
	stage_refuse(1); /* the other name */
	program_failed_with(a, UPSTREAM_CONNECT, "connect: Connection refused");
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

Suite *lane_suite(void);
Suite *lane_suite(void)
{
	Suite *suite = suite_create("lane");
	TCase *all = tcase_create("lane");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, a_fresh_one_takes_one_place);
	tcase_add_test(all, who_wants_a_fresh_one_is_not_passed);
	tcase_add_test(all, stand_ins_are_counted);
	tcase_add_test(all, stand_ins_are_kept_for_a_while);
	tcase_add_test(all, a_name_is_dialled_once);
	suite_add_tcase(suite, all);
	return suite;
}
