/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "cluster_stage.h"
#include "memory_io.h"
#include "rules/diag.h"

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

/* ---- connections and who waits for them -------------------------------------------------- */

START_TEST(idle_connection_is_taken)
{
	struct connection *connection;

	program_ask(a, cluster);
	ck_assert_int_eq(a->answers, 0);
	ck_assert_uint_eq(stage_n_dialings, 1);
	ck_assert_str_eq(stage_dialings[0].server_name, "a.test");
	ck_assert(stage_dialings[0].wish.http);
	stage_connect(0, 0);
	connection = a->connection;
	ck_assert_ptr_nonnull(connection);
	ck_assert(!connection->upstream.reused);
	program_give_back(a, true);

	program_ask(b, cluster);
	ck_assert_int_eq(b->answers, 1); /* from within */
	ck_assert_ptr_eq(b->connection, connection);
	ck_assert(connection->upstream.reused);

	program_give_back(b, false);
	ck_assert(memory_io_is_shut(stage_peers[0]) || memory_io_is_closed(stage_peers[0]) ||
		  io_read(stage_peers[0], &(char){0}, 1) != IO_WANT_READ);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

/* Connections with another server name, or that are no HTTP, are others. */
START_TEST(connections_of_a_kind)
{
	struct acquisition wish = {.cluster = cluster, .server_name = "b.test", .http = true};

	program_ask(a, cluster);
	stage_connect(0, 0);
	program_give_back(a, true);
	program_wish(a, &wish);
	ck_assert_uint_eq(stage_n_dialings, 2);
	wish.server_name = "a.test";
	wish.http = false;
	program_wish(b, &wish);
	ck_assert_uint_eq(stage_n_dialings, 3);
	ck_assert(!stage_dialings[2].wish.http);
	stage_connect(2, 0);
	program_give_back(b, true); /* of no use to anybody else */
	program_wish(b, &wish);
	ck_assert_uint_eq(stage_n_dialings, 4);
}
END_TEST

START_TEST(names_are_for_tls)
{
	struct acquisition wish = {.cluster = cluster, .server_name = "b.test", .http = true};

	cluster->tls.mode = TLS_MODE_DISABLE;
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_give_back(a, true);
	program_wish(b, &wish);
	ck_assert_ptr_nonnull(b->connection);
	ck_assert_uint_eq(stage_n_dialings, 1);
}
END_TEST

START_TEST(the_oldest_is_served_first)
{
	number_set(&policy.tcp.max_connections, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	program_ask(c, cluster);
	ck_assert_uint_eq(stage_n_dialings, 1); /* maxConnections */
	stage_connect(0, 0);
	ck_assert_int_eq(a->answers + b->answers + c->answers, 1);
	program_give_back(a, true);
	ck_assert_ptr_nonnull(b->connection);
	ck_assert_ptr_null(c->connection);

	/* who comes later does not pass those who wait */
	struct connection *connection = b->connection;
	b->connection = NULL;
	cluster_release(&b->acquiring, connection, true, false);
	program_ask(d, cluster);
	stage_advance(0);
	ck_assert_ptr_eq(c->connection, connection);
	ck_assert_ptr_null(d->connection);

	/* one that is closed makes room for another */
	program_give_back(c, false);
	ck_assert_uint_eq(stage_n_dialings, 2);
	stage_connect(1, 0);
	ck_assert_ptr_nonnull(d->connection);
}
END_TEST

START_TEST(given_back_before_dialled)
{
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
	program_give_back(a, true);
	ck_assert_ptr_nonnull(b->connection);
	/* the other one is for the next */
	ck_assert(!stage_dialings[1].over);
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
	stage_connect(1, 0);
	ck_assert_ptr_nonnull(a->connection);
}
END_TEST

START_TEST(fresh_ones_are_fresh)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .fresh = true};

	number_set(&policy.tcp.max_connections, 2);
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_ask(b, cluster);
	stage_connect(1, 0);
	program_give_back(a, true);
	/* an idle one is in the way, but does not count */
	program_wish(c, &wish);
	ck_assert_uint_eq(stage_n_dialings, 3);
	program_give_back(b, true);
	ck_assert_ptr_null(c->connection);
	stage_connect(2, 0);
	ck_assert_ptr_nonnull(c->connection);
	ck_assert(!c->connection->upstream.reused);
}
END_TEST

START_TEST(leaves_while_waiting)
{
	program_ask(a, cluster);
	cluster_cancel(&a->acquiring);
	cluster_cancel(&a->acquiring);
	ck_assert(stage_dialings[0].cancelled);
	program_ask(a, cluster);
	program_ask(b, cluster);
	cluster_cancel(&a->acquiring);
	ck_assert(!stage_dialings[1].cancelled); /* the youngest goes */
	ck_assert(stage_dialings[2].cancelled);
	stage_connect(1, 0);
	ck_assert_int_eq(a->answers, 0);
	ck_assert_ptr_nonnull(b->connection);
}
END_TEST

START_TEST(dies_while_idle)
{
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_give_back(a, true);
	io_close(stage_peers[0], false);
	stage_peers[0] = NULL;
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

START_TEST(idle_timeout)
{
	duration_set_ms(&policy.http.idle_timeout, 5000);
	program_ask(a, cluster);
	stage_connect(0, 0);
	program_give_back(a, true);
	stage_advance(4999);
	program_ask(a, cluster);
	ck_assert_ptr_nonnull(a->connection);
	program_give_back(a, true);
	stage_advance(5000);
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

START_TEST(idle_for_an_hour_or_for_ever)
{
	for (int off = 0; off < 2; off++) {
		struct connection *connection;

		cluster->id = off ? "off" : "hour";
		if (off)
			duration_set_ms(&policy.http.idle_timeout, 0);
		program_ask(a, cluster);
		stage_connect(stage_n_dialings - 1, 0);
		connection = a->connection;
		program_give_back(a, true);
		ck_assert_uint_eq(connection->idle.at, off ? 0 : stage_loop.now + 3600000);
	}
}
END_TEST

START_TEST(connection_has_a_longest_life)
{
	duration_set_ms(&policy.tcp.max_connection_duration, 1000);
	program_ask(a, cluster);
	stage_connect(0, 0);
	stage_advance(1000);
	program_give_back(a, true); /* too old */
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
	stage_connect(1, 0);
	stage_advance(999);
	program_give_back(a, true);
	stage_advance(1); /* ends in the pool */
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 3);
}
END_TEST

START_TEST(requests_of_a_connection)
{
	number_set(&policy.http.max_requests_per_connection, 2);
	for (int i = 0; i < 2; i++) {
		program_ask(a, cluster);
		if (!i)
			stage_connect(0, 0);
		ck_assert_ptr_nonnull(a->connection);
		program_give_back(a, true);
	}
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

/* ---- limits ------------------------------------------------------------------------------ */

START_TEST(pending_requests_overflow)
{
	number_set(&policy.http.http1_max_pending_requests, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	program_failed_with(b, UPSTREAM_OVERFLOW, "too many pending requests");
	stage_connect(0, 0);
	ck_assert_ptr_nonnull(a->connection);
	program_ask(b, cluster); /* there is room again */
	ck_assert_int_eq(b->answers, 0);
}
END_TEST

START_TEST(requests_overflow)
{
	number_set(&policy.http.http2_max_requests, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	stage_connect(0, 0);
	ck_assert_ptr_nonnull(a->connection);
	stage_connect(1, 0);
	program_failed_with(b, UPSTREAM_OVERFLOW, "too many requests");
	program_give_back(a, true);
	program_ask(b, cluster);
	ck_assert_ptr_nonnull(b->connection);
}
END_TEST

START_TEST(every_host_may_have_one_connection)
{
	stage_policy_init(&policy, 2);
	number_set(&policy.tcp.max_connections, 1);
	program_ask(a, cluster);
	program_ask(b, cluster); /* the other host */
	program_ask(c, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2);
	ck_assert_uint_ne(stage_dialled(0), stage_dialled(1));
}
END_TEST

START_TEST(connections_that_are_no_http_overflow)
{
	const struct acquisition wish = {.cluster = cluster, .server_name = "a.test"};

	number_set(&policy.tcp.max_connections, 1);
	program_wish(a, &wish);
	program_wish(b, &wish);
	program_failed_with(b, UPSTREAM_OVERFLOW, "too many connections");
	stage_connect(0, 0);
	program_give_back(a, false);
	program_wish(b, &wish);
	ck_assert_uint_eq(stage_n_dialings, 2);
}
END_TEST

START_TEST(retries_are_counted)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .attempt = 1};

	number_set(&policy.http.max_retries, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	ck_assert(cluster_may_retry(&a->acquiring));
	cluster_cancel(&a->acquiring);
	program_wish(a, &wish);
	ck_assert(!cluster_may_retry(&b->acquiring));
	ck_assert(cluster_may_retry(&a->acquiring)); /* its own is over by then */
	cluster_cancel(&a->acquiring);
	ck_assert(cluster_may_retry(&b->acquiring));
}
END_TEST

/* From the decision on: else a burst of failures would pass before the first back-off is over. */
START_TEST(retries_count_when_they_are_announced)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .attempt = 1};

	number_set(&policy.http.max_retries, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	cluster_cancel(&a->acquiring);
	cluster_retry(&a->acquiring);
	ck_assert(!cluster_may_retry(&b->acquiring));
	program_wish(a, &wish); /* the same one */
	stage_connect(0, 0);
	ck_assert(!cluster_may_retry(&b->acquiring));
	program_leave(a);
	ck_assert(cluster_may_retry(&b->acquiring));

	/* neither cancelled nor followed by another request does it count for ever */
	program_ask(a, cluster);
	cluster_cancel(&a->acquiring);
	cluster_retry(&a->acquiring);
	cluster_cancel(&a->acquiring);
	cluster_cancel(&a->acquiring);
	ck_assert(cluster_may_retry(&b->acquiring));
	cluster_retry(&a->acquiring);
	program_ask(a, cluster);
	ck_assert(cluster_may_retry(&b->acquiring));
}
END_TEST

/* ---- the table --------------------------------------------------------------------------- */

START_TEST(clusters_come_and_go)
{
	program_ask(a, cluster);
	stage_connect(0, 0);
	cluster->id = "another";
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_n_dialings, 2); /* not the same, whatever it says */
	stage_connect(1, 0);
	program_give_back(b, true);
	cluster_leave(&b->acquiring);
	ck_assert(clusters_evict(&stage_clusters));
	for (int i = 0; i < 3; i++)
		stage_advance(CLUSTER_IDLE_MS);
	ck_assert_uint_eq(stage_n_clusters(), 1);
	program_give_back(a, false);
	cluster_leave(&a->acquiring);
	for (int i = 0; i < 3; i++)
		stage_advance(CLUSTER_IDLE_MS);
	ck_assert_ptr_null(stage_clusters.table);
	ck_assert_ptr_null(stage_loop.timers);
}
END_TEST

static struct rules *load(void)
{
	struct diags diags;

	diags_init(&diags);
	struct rules *rules = rules_load("tests/replay/mesh.cfg", &diags);
	ck_assert_ptr_nonnull(rules);
	diags_release(&diags);
	return rules;
}

/* One request after the other: each goes over the connection of the i-th dialing, which was to this
 * host, wherever the one before it went. */
static void goes_over(const struct cluster *to, const char *dynamic, size_t i, unsigned host)
{
	static struct connection *made[DIALINGS];
	const struct acquisition wish = {
	    .cluster = to, .server_name = "a.test", .http = true, .dynamic = dynamic};
	bool anew = i == stage_n_dialings;

	program_wish(a, &wish);
	if (anew) {
		ck_assert_uint_eq(stage_n_dialings, i + 1);
		stage_connect(i, 0);
		made[i] = a->connection;
	}
	ck_assert_ptr_eq(a->connection, made[i]);
	ck_assert_uint_eq(stage_dialled(i), host);
	program_give_back(a, true);
}

START_TEST(one_request_after_the_other)
{
	struct rules *before = load(), *after = load();
	struct cluster other = *cluster;

	stage_rules = before;
	other.id = "other";
	goes_over(cluster, NULL, 0, 1);
	goes_over(cluster, NULL, 0, 1);
	goes_over(&other, NULL, 1, 1);
	goes_over(cluster, NULL, 0, 1);

	/* The program says where to, and says it anew. */
	other.id = "dynamic";
	other.resolution = RESOLUTION_NONE;
	goes_over(&other, "192.0.2.7", 2, 7);
	goes_over(&other, "192.0.2.7", 2, 7);
	goes_over(&other, "192.0.2.8", 3, 8);
	goes_over(&other, "192.0.2.7", 2, 7);

	/* Or no longer does: one of the endpoints. */
	policy.balancer.simple.value = LB_PASSTHROUGH;
	goes_over(cluster, "192.0.2.9", 4, 9);
	goes_over(cluster, NULL, 0, 1);
	goes_over(cluster, "192.0.2.9", 4, 9);
	goes_over(cluster, NULL, 0, 1);

	/* Other rules may say something else in the same place. */
	stage_rules = after;
	cluster->id = "a.test:8080";
	goes_over(cluster, NULL, 5, 1);
	goes_over(cluster, NULL, 5, 1);
	stage_rules = NULL;
	cluster->id = "a.test:8081";
	goes_over(cluster, NULL, 6, 1);
	cluster->id = "a.test:8082";
	goes_over(cluster, NULL, 7, 1);
	ck_assert_uint_eq(stage_n_clusters(), 8);

	program_leave(a);
	rules_unref(before);
	rules_unref(after);
}
END_TEST

Suite *cluster_suite(void);
Suite *cluster_suite(void)
{
	Suite *suite = suite_create("cluster");
	TCase *all = tcase_create("cluster");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, idle_connection_is_taken);
	tcase_add_test(all, connections_of_a_kind);
	tcase_add_test(all, names_are_for_tls);
	tcase_add_test(all, the_oldest_is_served_first);
	tcase_add_test(all, given_back_before_dialled);
	tcase_add_test(all, fresh_ones_are_fresh);
	tcase_add_test(all, leaves_while_waiting);
	tcase_add_test(all, dies_while_idle);
	tcase_add_test(all, idle_timeout);
	tcase_add_test(all, idle_for_an_hour_or_for_ever);
	tcase_add_test(all, connection_has_a_longest_life);
	tcase_add_test(all, requests_of_a_connection);
	tcase_add_test(all, pending_requests_overflow);
	tcase_add_test(all, requests_overflow);
	tcase_add_test(all, every_host_may_have_one_connection);
	tcase_add_test(all, connections_that_are_no_http_overflow);
	tcase_add_test(all, retries_are_counted);
	tcase_add_test(all, retries_count_when_they_are_announced);
	tcase_add_test(all, clusters_come_and_go);
	tcase_add_test(all, one_request_after_the_other);
	suite_add_tcase(suite, all);
	return suite;
}
