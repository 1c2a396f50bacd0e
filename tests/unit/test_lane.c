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

Suite *lane_suite(void);
Suite *lane_suite(void)
{
	Suite *suite = suite_create("lane");
	TCase *all = tcase_create("lane");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, a_fresh_one_takes_one_place);
	tcase_add_test(all, who_wants_a_fresh_one_is_not_passed);
	suite_add_tcase(suite, all);
	return suite;
}
