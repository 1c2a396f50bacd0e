/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"
#include "shim/bridge/dial.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct dial_env env;
static uint16_t port;
static int listener;

static struct {
	int calls;
	struct connection *connection;
	enum upstream_failure failure;
	struct err err;
} outcome;

static void done(void *arg, struct connection *connection, enum upstream_failure failure,
		 const struct err *err)
{
	ck_assert_ptr_eq(arg, &outcome);
	outcome.calls++;
	outcome.connection = connection;
	outcome.failure = failure;
	if (err)
		outcome.err = *err;
}

static bool nothing_to_free(struct dial_env *e)
{
	(void)e;
	return false;
}

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	pthread_mutex_lock(&owner);
	env.loop = &loop;
	env.resolver = resolver_new(&loop, &err);
	env.free_descriptor = nothing_to_free;
	listener = loopback_listen(&port);
}

static void teardown(void)
{
	resolver_free(env.resolver);
	tls_free(env.tls);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	close(listener);
}

static void dial(const struct cluster *cluster)
{
	memset(&outcome, 0, sizeof(outcome));
	ck_assert_ptr_nonnull(
	    dial_start(&env, cluster, "origin.example", true, false, 0, done, &outcome));
	ck_assert_int_eq(outcome.calls, 0);
	while (!outcome.calls)
		loop_turn(&loop, -1);
	ck_assert_int_eq(outcome.calls, 1);
}

START_TEST(connects)
{
	struct endpoint endpoint = {"127.0.0.1", port, 1};
	struct cluster cluster = {.host = "h", .endpoints = &endpoint, .n_endpoints = 1};

	dial(&cluster);
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert(!outcome.connection->upstream.reused);
	ck_assert_int_eq(io_write(outcome.connection->upstream.io, "hi", 2), 2);
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(next_endpoint_when_refused)
{
	struct endpoint endpoints[] = {{"127.0.0.1", loopback_closed_port(), 1},
				       {"127.0.0.1", port, 1}};
	struct cluster cluster = {.host = "h", .endpoints = endpoints, .n_endpoints = 2};

	dial(&cluster);
	ck_assert_ptr_nonnull(outcome.connection);
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(refused_everywhere)
{
	struct endpoint endpoints[] = {{"127.0.0.1", loopback_closed_port(), 1},
				       {"127.0.0.1", loopback_closed_port(), 1}};
	struct cluster cluster = {.host = "h", .endpoints = endpoints, .n_endpoints = 2};

	dial(&cluster);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_CONNECT);
	ck_assert_str_eq(outcome.err.text, "connect: Connection refused");
}
END_TEST

static int no_name(const char *node, const char *service, const struct addrinfo *hints,
		   struct addrinfo **result)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)result;
	return EAI_NONAME;
}

START_TEST(no_such_host)
{
	struct endpoint endpoint = {"missing.example", port, 1};
	struct cluster cluster = {.host = "h",
				  .resolution = RESOLUTION_DNS,
				  .endpoints = &endpoint,
				  .n_endpoints = 1};

	real.getaddrinfo = no_name;
	dial(&cluster);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_NO_HOST);
	ck_assert_ptr_nonnull(strstr(outcome.err.text, "missing.example"));
}
END_TEST

#define MANY 5000

START_TEST(many_dead_endpoints)
{
	static struct endpoint endpoints[MANY];
	struct cluster cluster = {.host = "h", .endpoints = endpoints, .n_endpoints = MANY};

	/* Nothing is reached there, and the kernel says so at once: a multicast address. */
	for (int i = 0; i < MANY; i++)
		endpoints[i] = (struct endpoint){"224.0.0.1", 9, 1};
	dial(&cluster);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_CONNECT);
}
END_TEST

START_TEST(tls_settings_unusable)
{
	struct endpoint endpoint = {"127.0.0.1", port, 1};
	struct cluster cluster = {.host = "h",
				  .endpoints = &endpoint,
				  .n_endpoints = 1,
				  .tls = {.mode = TLS_MODE_SIMPLE,
					  .ca_certificates = "/nonexistent/ca.pem"}};

	dial(&cluster);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_TLS);
	ck_assert_ptr_nonnull(strstr(outcome.err.text, "/nonexistent/ca.pem"));
}
END_TEST

START_TEST(no_double_encryption)
{
	struct endpoint endpoint = {"127.0.0.1", port, 1};
	struct cluster cluster = {.host = "h",
				  .protocol = PROTOCOL_TLS,
				  .endpoints = &endpoint,
				  .n_endpoints = 1,
				  .tls = {.mode = TLS_MODE_SIMPLE}};

	memset(&outcome, 0, sizeof(outcome));
	ck_assert_ptr_nonnull(dial_start(&env, &cluster, "h", false, true, 0, done, &outcome));
	while (!outcome.calls)
		loop_turn(&loop, -1); /* without a handshake, which nobody would answer */
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert_ptr_eq(outcome.connection->upstream.io, outcome.connection->sock);
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(cancelled)
{
	struct endpoint endpoint = {"127.0.0.1", port, 1};
	struct cluster cluster = {.host = "h", .endpoints = &endpoint, .n_endpoints = 1};

	memset(&outcome, 0, sizeof(outcome));
	dial_cancel(dial_start(&env, &cluster, "n", true, false, 0, done, &outcome)); /* not begun */
	loop_turn(&loop, 0);
	struct dialing *d = dial_start(&env, &cluster, "n", true, false, 0, done, &outcome);
	loop_turn(&loop, 0); /* connecting */
	if (!outcome.calls)
		dial_cancel(d);
	else
		connection_free(outcome.connection, true);
	loop_turn(&loop, 0);
	ck_assert_int_le(outcome.calls, 1);
	dial_cancel(NULL);
}
END_TEST

Suite *dial_suite(void);
Suite *dial_suite(void)
{
	Suite *suite = suite_create("dial");
	TCase *all = tcase_create("dial");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, connects);
	tcase_add_test(all, next_endpoint_when_refused);
	tcase_add_test(all, refused_everywhere);
	tcase_add_test(all, no_such_host);
	tcase_add_test(all, many_dead_endpoints);
	tcase_add_test(all, tls_settings_unusable);
	tcase_add_test(all, no_double_encryption);
	tcase_add_test(all, cancelled);
	suite_add_tcase(suite, all);
	return suite;
}
