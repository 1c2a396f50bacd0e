/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "cluster_stage.h"
#include "memory_io.h"
#include "shim/bridge/cluster_state.h"

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

/* ---- hosts ------------------------------------------------------------------------------- */

START_TEST(hosts_in_turn)
{
	stage_policy_init(&policy, 3);
	for (int i = 0; i < 6; i++)
		program_ask(&programs[i], cluster);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(stage_dialled(i), stage_dialled(i + 3));
	ck_assert_uint_ne(stage_dialled(0), stage_dialled(1));
	ck_assert_uint_ne(stage_dialled(1), stage_dialled(2));
	ck_assert_uint_ne(stage_dialled(2), stage_dialled(0));
}
END_TEST

START_TEST(least_requests)
{
	stage_policy_init(&policy, 2);
	policy.balancer.simple.value = LB_LEAST_REQUEST;
	for (int i = 0; i < 8; i++)
		program_ask(&programs[i], cluster);
	int first = 0;
	for (size_t i = 0; i < 8; i++)
		first += stage_dialled(i) == 1;
	ck_assert_int_ge(first, 3);
	ck_assert_int_le(first, 5);
}
END_TEST

/* Retries do that for requests. */
START_TEST(refused_hosts_are_walked_on_from)
{
	const struct acquisition wish = {.cluster = cluster, .server_name = "a.test"};

	stage_policy_init(&policy, 2);
	program_ask(a, cluster);
	stage_refuse(0);
	program_failed_with(a, UPSTREAM_CONNECT, "connect: Connection refused");

	stage_n_dialings = 0;
	program_wish(a, &wish);
	stage_refuse(0);
	ck_assert_int_eq(a->answers, 0);
	ck_assert_uint_eq(stage_n_dialings, 2);
	ck_assert_uint_ne(stage_dialled(0), stage_dialled(1));
	stage_refuse(1);
	program_failed_with(a, UPSTREAM_CONNECT, "connect: Connection refused");
}
END_TEST

/* Nobody waits for a connection that cannot come. */
START_TEST(refusal_is_for_all_who_wait)
{
	number_set(&policy.tcp.max_connections, 1);
	program_ask(a, cluster);
	program_ask(b, cluster);
	stage_refuse(0);
	program_failed_with(a, UPSTREAM_CONNECT, "connect: Connection refused");
	program_failed_with(b, UPSTREAM_CONNECT, "connect: Connection refused");
}
END_TEST

START_TEST(retry_goes_to_another_host)
{
	struct acquisition retry = {.cluster = cluster,
				    .server_name = "a.test",
				    .http = true,
				    .attempt = 1,
				    .other_host = true};
	unsigned last;

	stage_policy_init(&policy, 2);
	policy.balancer.simple.value = LB_RANDOM;
	for (int round = 0; round < 8; round++) {
		program_ask(a, cluster);
		last = stage_dialled(stage_n_dialings - 1);
		stage_connect(stage_n_dialings - 1, 0);
		program_give_back(a, false);
		program_wish(a, &retry);
		ck_assert_uint_ne(stage_dialled(stage_n_dialings - 1), last);
		stage_connect(stage_n_dialings - 1, 0);
		program_give_back(a, false);
	}
}
END_TEST

/* Whether an answer of this status is noted, and what is dialled then. */
static unsigned dialled_after(int status)
{
	program_ask(a, cluster);
	stage_connect(stage_n_dialings - 1, 0);
	unsigned host = stage_dialled(stage_n_dialings - 1);

	if (status)
		cluster_report(&a->acquiring, a->connection, status);
	program_give_back(a, false);
	return host;
}

START_TEST(ejected_and_back)
{
	unsigned bad;

	stage_policy_init(&policy, 2);
	cluster->outlier_detection = &policy.outlier;
	number_set(&policy.outlier.consecutive_5xx_errors, 1);
	number_set(&policy.outlier.max_ejection_percent, 50);
	duration_set_ms(&policy.outlier.interval, 1000);
	duration_set_ms(&policy.outlier.base_ejection_time, 3000);
	bad = dialled_after(503);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_ne(dialled_after(200), bad);
	stage_advance(1000);
	ck_assert_uint_ne(dialled_after(200), bad);
	for (int i = 0; i < 3; i++)
		stage_advance(1000);
	ck_assert(dialled_after(200) == bad || dialled_after(200) == bad);
}
END_TEST

START_TEST(all_ejected)
{
	cluster->outlier_detection = &policy.outlier;
	number_set(&policy.outlier.consecutive_5xx_errors, 1);
	number_set(&policy.outlier.max_ejection_percent, 100);
	dialled_after(503);
	program_ask(a, cluster);
	program_failed_with(a, UPSTREAM_NO_HOST, "no healthy upstream");
	stage_advance(30000);
	stage_advance(10000);
	program_ask(a, cluster);
	ck_assert_int_eq(a->answers, 0);
	/* nothing is watched while nothing is wrong */
	for (int i = 0; i < 40; i++)
		stage_advance(10000);
	cluster_cancel(&a->acquiring);
}
END_TEST

START_TEST(refusals_eject)
{
	cluster->outlier_detection = &policy.outlier;
	number_set(&policy.outlier.consecutive_5xx_errors, 1);
	number_set(&policy.outlier.max_ejection_percent, 100);
	program_ask(a, cluster);
	stage_refuse(0);
	program_ask(a, cluster);
	program_failed_with(a, UPSTREAM_NO_HOST, "no healthy upstream");
}
END_TEST

/* Where nobody reads an answer, a connection that is made ends the row of failures. */
START_TEST(connections_that_are_no_http_count)
{
	const struct acquisition wish = {.cluster = cluster, .server_name = "a.test"};

	cluster->outlier_detection = &policy.outlier;
	number_set(&policy.outlier.consecutive_5xx_errors, 2);
	number_set(&policy.outlier.max_ejection_percent, 100);
	program_wish(a, &wish);
	stage_refuse(0);
	program_wish(a, &wish);
	stage_connect(1, 0);
	program_give_back(a, false);
	program_wish(a, &wish);
	stage_refuse(2);
	program_wish(a, &wish);
	ck_assert_int_eq(a->answers, 0);
	stage_refuse(3);
	program_wish(a, &wish);
	program_failed_with(a, UPSTREAM_NO_HOST, "no healthy upstream");
}
END_TEST

/* ---- names ------------------------------------------------------------------------------- */

static struct endpoint named[] = {{"one.test", 80, 1}, {"two.test", 80, 1}};

static void by_name(enum resolution resolution, size_t n)
{
	cluster->resolution = resolution;
	cluster->endpoints = named;
	cluster->n_endpoints = n;
}

START_TEST(waits_for_addresses)
{
	by_name(RESOLUTION_DNS, 2);
	program_ask(a, cluster);
	program_ask(b, cluster);
	program_ask(c, cluster);
	cluster_cancel(&b->acquiring);
	ck_assert_uint_eq(stage_questions, 2); /* each name once */
	stage_resolve("one.test", 0, NULL);
	ck_assert_int_eq(a->answers, 0); /* the other may still do */
	ck_assert_uint_eq(stage_n_dialings, 0);
	stage_resolve("two.test", 2, (unsigned char[]){7, 8});
	ck_assert_uint_eq(stage_n_dialings, 2);
	stage_connect(0, 0);
	stage_connect(1, 0);
	ck_assert_ptr_nonnull(a->connection);
	ck_assert_int_eq(b->answers, 0);
	ck_assert_ptr_nonnull(c->connection);
}
END_TEST

START_TEST(no_name_resolves)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 0, NULL);
	program_failed_with(a, UPSTREAM_NO_HOST, "cannot resolve it");
	program_ask(a, cluster); /* asks again */
	stage_resolve("one.test", 1, (unsigned char[]){7});
	ck_assert_uint_eq(stage_dialled(0), 7);
}
END_TEST

START_TEST(every_address_is_a_host)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 2, (unsigned char[]){7, 8});
	stage_connect(0, 0);
	program_ask(b, cluster);
	ck_assert_uint_ne(stage_dialled(0), stage_dialled(1));
	/* but the other addresses of the name stand by */
	ck_assert_uint_eq(stage_dialings[1].wish.n, 2);
	stage_connect(1, 1); /* at the first one's */
	ck_assert_ptr_nonnull(b->connection);
	program_give_back(a, true);
	program_give_back(b, true);
	/* both are there now: whoever is sent to the first finds one, twice */
	program_ask(a, cluster);
	program_ask(b, cluster);
	program_ask(c, cluster);
	ck_assert_int_eq((a->connection != NULL) + (b->connection != NULL) +
			     (c->connection != NULL),
			 2);
}
END_TEST

START_TEST(a_newer_answer_counts_at_once)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_old = true;
	stage_resolve("one.test", 1, (unsigned char[]){7});
	stage_connect(0, 0);
	program_give_back(a, true);
	stage_advance(REFRESH_MS);
	program_ask(a, cluster);
	ck_assert_ptr_nonnull(a->connection);
	program_give_back(a, true);
	ck_assert_uint_eq(stage_questions, 1); /* still open */
	stage_old = false;
	stage_resolve("one.test", 1, (unsigned char[]){8});
	ck_assert_int_eq(io_read(stage_peers[0], &(char){0}, 1), IO_EOF);
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_dialled(1), 8);
	ck_assert_uint_eq(stage_questions, 1);
}
END_TEST

/* Not from the question: then the resolver would still call its answer fresh, and give it again. */
START_TEST(answers_grow_old_from_when_they_came)
{
	by_name(RESOLUTION_DNS, 2);
	program_ask(a, cluster);
	stage_advance(500);
	stage_resolve("one.test", 1, (unsigned char[]){7});
	stage_advance(500);
	stage_resolve("two.test", 1, (unsigned char[]){8});
	stage_advance(REFRESH_MS - 501);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_questions, 2);
	stage_advance(1);
	program_ask(c, cluster);
	ck_assert_uint_eq(stage_questions, 4);
}
END_TEST

START_TEST(a_failure_is_not_left_lying)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_old = true;
	stage_resolve("one.test", 1, (unsigned char[]){7});
	stage_old = false;
	stage_resolve("one.test", 0, NULL);
	stage_advance(REFRESH_SOON_MS - 1);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_questions, 1);
	stage_advance(1);
	program_ask(c, cluster);
	ck_assert_uint_eq(stage_questions, 2);
	stage_resolve("one.test", 1, (unsigned char[]){8});
	program_ask(d, cluster);
	ck_assert_uint_eq(stage_dialled(stage_n_dialings - 1), 8);
	ck_assert_uint_eq(stage_questions, 2);
}
END_TEST

/* It is not where the balancer sent it, but where it was. */
START_TEST(retry_avoids_the_host_that_was_reached)
{
	struct acquisition wish = {.cluster = cluster,
				   .server_name = "a.test",
				   .http = true,
				   .attempt = 1,
				   .other_host = true};
	unsigned sent, reached;

	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 3, (const unsigned char[]){1, 2, 3});
	sent = stage_dialled(0);
	stage_connect(0, 1);
	reached = ntohl(((struct sockaddr_in *)&stage_dialings[0].addresses[1])->sin_addr.s_addr) &
		  255;
	program_give_back(a, false);
	program_wish(a, &wish);
	ck_assert_uint_eq(stage_dialled(1), 6 - sent - reached);
	cluster_cancel(&a->acquiring);
}
END_TEST

START_TEST(addresses_change)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 1, (unsigned char[]){7});
	stage_connect(0, 0);
	program_ask(b, cluster);
	stage_connect(1, 0);
	program_give_back(a, true);

	stage_advance(9999);
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_questions, 1);
	program_give_back(a, true);
	stage_advance(1);
	program_ask(a, cluster); /* the old ones serve on */
	ck_assert_ptr_nonnull(a->connection);
	ck_assert_uint_eq(stage_questions, 2);
	program_give_back(a, true);
	stage_resolve("one.test", 1, (unsigned char[]){8});
	ck_assert_int_eq(io_read(stage_peers[0], &(char){0}, 1), IO_EOF); /* idle: closed */
	ck_assert_int_eq(io_read(stage_peers[1], &(char){0}, 1), IO_WANT_READ);
	program_ask(a, cluster);
	ck_assert_uint_eq(stage_dialled(2), 8);
	program_give_back(b, true); /* active: finished, but not kept */
	ck_assert_int_eq(io_read(stage_peers[1], &(char){0}, 1), IO_EOF);

	/* a failure changes nothing */
	stage_connect(2, 0);
	program_give_back(a, true);
	stage_advance(10000);
	program_ask(a, cluster);
	stage_resolve("one.test", 0, NULL);
	ck_assert_ptr_nonnull(a->connection);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_dialled(3), 8);
}
END_TEST

START_TEST(address_goes_while_it_is_dialled)
{
	by_name(RESOLUTION_DNS, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 1, (unsigned char[]){7});
	stage_advance(10000);
	program_ask(b, cluster);
	stage_resolve("one.test", 1, (unsigned char[]){8});
	stage_connect(0, 0); /* it is still good for one request */
	ck_assert_ptr_nonnull(a->connection);
	program_give_back(a, true);
	stage_refuse(1);
	program_failed_with(b, UPSTREAM_CONNECT, "connect: Connection refused");
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_dialled(2), 8);
}
END_TEST

START_TEST(one_host_whatever_it_resolves_to)
{
	by_name(RESOLUTION_DNS_ROUND_ROBIN, 1);
	program_ask(a, cluster);
	stage_resolve("one.test", 2, (unsigned char[]){7, 8});
	ck_assert_uint_eq(stage_dialled(0), 7);
	stage_connect(0, 0);
	program_ask(b, cluster);
	ck_assert_uint_eq(stage_dialled(1), 7); /* the first, always */
	stage_connect(1, 0);
	program_give_back(a, true);
	stage_advance(10000);
	program_ask(a, cluster);
	stage_resolve("one.test", 2, (unsigned char[]){9, 7});
	program_give_back(a, true);
	program_ask(a, cluster);
	ck_assert_ptr_nonnull(a->connection); /* connections are kept */
	program_ask(c, cluster);
	ck_assert_uint_eq(stage_dialled(2), 9);
}
END_TEST

START_TEST(the_program_says_where)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .dynamic = "x.a.test"};

	cluster->resolution = RESOLUTION_DYNAMIC_DNS;
	cluster->n_endpoints = 0;
	cluster->target_port = 8443;
	program_wish(a, &wish);
	wish.dynamic = "y.a.test";
	program_wish(b, &wish);
	stage_resolve("y.a.test", 1, (unsigned char[]){8});
	stage_resolve("x.a.test", 1, (unsigned char[]){7});
	ck_assert_uint_eq(stage_dialled(0), 8);
	ck_assert_uint_eq(stage_dialled(1), 7);
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)stage_dialings[0].addresses)->sin_port),
			  8443);

	cluster->resolution = RESOLUTION_NONE;
	cluster->id = "none";
	wish.dynamic = "2001:db8::1";
	program_wish(c, &wish);
	ck_assert_int_eq(stage_dialings[2].addresses[0].ss_family, AF_INET6);
	wish.dynamic = NULL;
	program_wish(d, &wish);
	program_failed_with(d, UPSTREAM_NO_HOST, "no healthy upstream");
	cluster->resolution = RESOLUTION_DYNAMIC_DNS;
	cluster->id = "dynamic";
	unsigned asked = stage_questions;
	program_wish(d, &wish); /* what was asked for is no name */
	program_failed_with(d, UPSTREAM_NO_HOST, "no healthy upstream");
	ck_assert_uint_eq(stage_questions, asked);

	size_t dialled = stage_n_dialings;
	wish.dynamic = "unix:///run/a.test"; /* not for a request to say */
	program_wish(d, &wish);
	ck_assert_uint_eq(stage_n_dialings, dialled);
}
END_TEST

START_TEST(passthrough)
{
	struct acquisition wish = {
	    .cluster = cluster, .server_name = "a.test", .http = true, .dynamic = "192.0.2.77"};

	policy.balancer.simple.value = LB_PASSTHROUGH;
	program_wish(a, &wish);
	ck_assert_uint_eq(stage_dialled(0), 77);
	wish.dynamic = NULL; /* a synthetic address was dialled: one of the endpoints */
	program_wish(b, &wish);
	ck_assert_uint_eq(stage_dialled(1), 1);
}
END_TEST

START_TEST(unix_sockets)
{
	struct endpoint endpoint = {"unix:///run/a.sock", 0, 1};
	struct sockaddr_un *un = (struct sockaddr_un *)stage_dialings[0].addresses;

	cluster->endpoints = &endpoint;
	program_ask(a, cluster);
	ck_assert_int_eq(un->sun_family, AF_UNIX);
	ck_assert_str_eq(un->sun_path, "/run/a.sock");
}
END_TEST

START_TEST(unix_path_too_long)
{
	char path[200] = "unix:///";
	struct endpoint endpoint = {path, 0, 1};

	memset(path + 8, 'x', sizeof(path) - 9);
	cluster->endpoints = &endpoint;
	program_ask(a, cluster);
	ck_assert_int_eq(a->failure, UPSTREAM_NO_HOST);
	ck_assert_ptr_nonnull(strstr(a->reason, "the path is too long"));
}
END_TEST

Suite *hosts_suite(void);
Suite *hosts_suite(void)
{
	Suite *suite = suite_create("hosts");
	TCase *all = tcase_create("hosts");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, hosts_in_turn);
	tcase_add_test(all, least_requests);
	tcase_add_test(all, refused_hosts_are_walked_on_from);
	tcase_add_test(all, refusal_is_for_all_who_wait);
	tcase_add_test(all, retry_goes_to_another_host);
	tcase_add_test(all, ejected_and_back);
	tcase_add_test(all, all_ejected);
	tcase_add_test(all, refusals_eject);
	tcase_add_test(all, connections_that_are_no_http_count);
	tcase_add_test(all, retry_avoids_the_host_that_was_reached);
	tcase_add_test(all, waits_for_addresses);
	tcase_add_test(all, no_name_resolves);
	tcase_add_test(all, every_address_is_a_host);
	tcase_add_test(all, a_newer_answer_counts_at_once);
	tcase_add_test(all, answers_grow_old_from_when_they_came);
	tcase_add_test(all, a_failure_is_not_left_lying);
	tcase_add_test(all, addresses_change);
	tcase_add_test(all, address_goes_while_it_is_dialled);
	tcase_add_test(all, one_host_whatever_it_resolves_to);
	tcase_add_test(all, the_program_says_where);
	tcase_add_test(all, passthrough);
	tcase_add_test(all, unix_sockets);
	tcase_add_test(all, unix_path_too_long);
	suite_add_tcase(suite, all);
	return suite;
}
