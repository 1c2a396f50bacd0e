/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loopback.h"
#include "rules/destination_rule.h"
#include "shim/bridge/dial.h"
#include "shim/bridge/sock.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct dial_env env;
static struct cluster cluster;
static uint16_t port;
static int listener;

static struct {
	int calls;
	struct connection *connection;
	size_t which;
	enum upstream_failure failure;
	struct err err;
	int failed; /* addresses */
	enum upstream_failure last;
} outcome;

static void failed(void *arg, size_t which, enum upstream_failure failure)
{
	ck_assert_ptr_eq(arg, &outcome);
	(void)which;
	outcome.failed++;
	outcome.last = failure;
}

static void done(void *arg, struct connection *connection, size_t which,
		 enum upstream_failure failure, const struct err *err)
{
	ck_assert_ptr_eq(arg, &outcome);
	outcome.calls++;
	outcome.connection = connection;
	outcome.which = which;
	outcome.failure = failure;
	if (err)
		outcome.err = *err;
}

static bool nothing_to_free(struct dial_env *e)
{
	(void)e;
	return false;
}

/* An address whose connection is never made nor refused: a listener whose backlog is full. */
static struct sockaddr_storage silent_address(void);

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	pthread_mutex_lock(&owner);
	env.loop = &loop;
	env.free_descriptor = nothing_to_free;
	cluster = (struct cluster){.host = "h", .connect_timeout = 5000};
	listener = loopback_listen(&port);
}

static void teardown(void)
{
	tls_free(env.tls);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	close(listener);
}

static struct sockaddr_storage at(uint16_t p)
{
	struct sockaddr_storage out = {0};

	((struct sockaddr_in *)&out)->sin_family = AF_INET;
	((struct sockaddr_in *)&out)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	((struct sockaddr_in *)&out)->sin_port = htons(p);
	return out;
}

static struct sockaddr_storage silent_address(void)
{
	struct sockaddr_storage address = at(0);
	socklen_t len = sizeof(struct sockaddr_in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(fd, 0), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	for (int i = 0; i < 4; i++) {
		int full = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		connect(full, (struct sockaddr *)&address, len);
	}
	return address;
}

static struct dialing *start(const struct sockaddr_storage *addresses, size_t n, bool encrypted)
{
	const struct dial_wish wish = {.cluster = &cluster,
				       .server_name = "origin.example",
				       .http = !encrypted,
				       .encrypted = encrypted,
				       .addresses = addresses,
				       .n = n,
				       .failed = failed,
				       .done = done,
				       .arg = &outcome};
	struct dialing *dialing;

	memset(&outcome, 0, sizeof(outcome));
	dialing = dial_start(&env, &wish);
	ck_assert_ptr_nonnull(dialing);
	ck_assert_int_eq(outcome.calls, 0);
	return dialing;
}

static void dial(const struct sockaddr_storage *addresses, size_t n)
{
	start(addresses, n, false);
	while (!outcome.calls)
		loop_turn(&loop, -1);
	ck_assert_int_eq(outcome.calls, 1);
}

START_TEST(connects)
{
	struct sockaddr_storage address = at(port);

	dial(&address, 1);
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert(!outcome.connection->upstream.reused);
	ck_assert_int_eq(io_write(outcome.connection->upstream.io, "hi", 2), 2);
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(next_address_when_refused)
{
	struct sockaddr_storage addresses[] = {at(loopback_closed_port()), at(port)};
	uint64_t began;

	loop_turn(&loop, 0);
	began = loop.now;
	dial(addresses, 2);
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert_uint_eq(outcome.which, 1);
	ck_assert_int_eq(outcome.failed, 1);
	ck_assert_uint_lt(loop.now - began, DIAL_STAGGER_MS); /* at once */
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(refused_everywhere)
{
	struct sockaddr_storage addresses[] = {at(loopback_closed_port()),
					       at(loopback_closed_port())};

	dial(addresses, 2);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_CONNECT);
	ck_assert_int_eq(outcome.failed, 2);
	ck_assert_str_eq(outcome.err.text, "connect: Connection refused");
}
END_TEST

/* RFC 8305: a dead address costs a quarter of a second, not the connect timeout. */
START_TEST(dead_address_is_not_waited_out)
{
	struct sockaddr_storage addresses[] = {silent_address(), at(port)};
	uint64_t began;

	loop_turn(&loop, 0);
	began = loop.now;
	dial(addresses, 2);
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert_uint_eq(outcome.which, 1);
	ck_assert_int_eq(outcome.failed, 0); /* given up, not failed */
	ck_assert_uint_ge(loop.now - began, DIAL_STAGGER_MS - 10);
	ck_assert_uint_lt(loop.now - began, cluster.connect_timeout);
	connection_free(outcome.connection, false);
}
END_TEST

START_TEST(timeout_is_for_all)
{
	struct sockaddr_storage addresses[] = {silent_address(), silent_address()};

	cluster.connect_timeout = 300;
	dial(addresses, 2);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_TIMEOUT);
	ck_assert_int_eq(outcome.failed, 2);
	ck_assert_int_eq(outcome.last, UPSTREAM_TIMEOUT);
}
END_TEST

#define MANY 5000

START_TEST(many_dead_addresses)
{
	static struct sockaddr_storage addresses[MANY];

	/* Nothing is reached there, and the kernel says so at once: a multicast address. */
	for (int i = 0; i < MANY; i++) {
		addresses[i] = at(9);
		((struct sockaddr_in *)&addresses[i])->sin_addr.s_addr = htonl(0xe0000001);
	}
	dial(addresses, MANY);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_CONNECT);
	ck_assert_int_eq(outcome.failed, MANY);
}
END_TEST

START_TEST(tls_settings_unusable)
{
	struct sockaddr_storage address = at(port);

	cluster.tls.mode = TLS_MODE_SIMPLE;
	cluster.tls.ca_certificates = "/nonexistent/ca.pem";
	dial(&address, 1);
	ck_assert_ptr_null(outcome.connection);
	ck_assert_int_eq(outcome.failure, UPSTREAM_TLS);
	ck_assert_ptr_nonnull(strstr(outcome.err.text, "/nonexistent/ca.pem"));
}
END_TEST

START_TEST(no_double_encryption)
{
	struct sockaddr_storage address = at(port);

	cluster.tls.mode = TLS_MODE_SIMPLE;
	start(&address, 1, true);
	while (!outcome.calls)
		loop_turn(&loop, -1); /* without a handshake, which nobody would answer */
	ck_assert_ptr_nonnull(outcome.connection);
	ck_assert_ptr_eq(outcome.connection->upstream.io, outcome.connection->sock);
	connection_free(outcome.connection, false);
}
END_TEST

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

START_TEST(keep_alive_of_the_rules)
{
	struct sockaddr_storage address = at(port);
	struct tcp_keepalive keepalive = {.probes = {.value = 7, .set = true},
					  .time = {.ns = 90000000000, .set = true}};
	struct tcp_settings tcp = {.tcp_keepalive = &keepalive};
	struct connection_pool pool = {.tcp = &tcp};
	int fd;

	dial(&address, 1);
	fd = sock_fd(outcome.connection->sock);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	int interval = option(fd, IPPROTO_TCP, TCP_KEEPINTVL);
	connection_free(outcome.connection, false);

	cluster.connection_pool = &pool;
	dial(&address, 1);
	fd = sock_fd(outcome.connection->sock);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 7);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 90);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), interval);
	connection_free(outcome.connection, false);
}
END_TEST

/* A path, and an abstract name, which begins with a NUL. */
START_TEST(unix_sockets)
{
	for (int abstract = 0; abstract < 2; abstract++) {
		struct sockaddr_storage address = {0};
		struct sockaddr_un *un = (struct sockaddr_un *)&address;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "/tmp/meshshim-dial-%d", getpid());
		un->sun_path[0] = abstract ? '\0' : '/';
		size_t len = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un->sun_path + 1);
		ck_assert_int_eq(bind(fd, (struct sockaddr *)un, (socklen_t)len), 0);
		ck_assert_int_eq(listen(fd, 1), 0);
		dial(&address, 1);
		ck_assert_ptr_nonnull(outcome.connection);
		ck_assert_int_eq(io_write(outcome.connection->upstream.io, "hi", 2), 2);
		connection_free(outcome.connection, false);
		if (!abstract)
			unlink(un->sun_path);
		close(fd);
	}
}
END_TEST

/* The other end of a connection that is being made, once it has said `text`. */
static int hear(const char *text)
{
	char got[256];
	size_t len = strlen(text);

	loop_turn(&loop, 0); /* dialing begins from the loop */
	int fd = accept(listener, NULL, NULL);

	ck_assert_int_ge(fd, 0);
	for (;;) {
		ssize_t n = recv(fd, got, len, MSG_PEEK | MSG_DONTWAIT);

		if (n == (ssize_t)len)
			break;
		ck_assert(n != 0);
		loop_turn(&loop, 10);
	}
	ck_assert_int_eq(recv(fd, got, len, 0), (ssize_t)len);
	ck_assert_mem_eq(got, text, len);
	return fd;
}

/* DestinationRule proxyProtocol: before anything else. */
START_TEST(proxy_header_comes_first)
{
	static const struct proxy_protocol v1 = {.version = {.value = PROXY_PROTOCOL_V1}};
	struct sockaddr_storage address = at(port);

	cluster.proxy_protocol = &v1;
	dial(&address, 1);
	ck_assert_ptr_nonnull(outcome.connection);
	close(hear("PROXY TCP4 127.0.0.1 127.0.0.1 "));
	connection_free(outcome.connection, false);
	cluster.proxy_protocol = NULL;
}
END_TEST

/* DestinationRule tunnel: for streams, whose bytes follow the proxy's answer. */
START_TEST(through_a_tunnel)
{
	static const char *const answers[] = {"HTTP/1.1 200 OK\r\n\r\nfirst",
					      "HTTP/1.1 403 Forbidden\r\n\r\n"};
	static const struct tunnel_settings tunnel = {.target_host = {.s = "db.example"},
						      .target_port = {.value = 5432, .set = true}};
	struct sockaddr_storage address = at(port);
	char first[8];

	cluster.tunnel = &tunnel;
	start(&address, 1, true);
	int fd = hear("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n");
	ck_assert_int_eq(outcome.calls, 0);
	ck_assert_int_gt(send(fd, answers[_i], strlen(answers[_i]), 0), 0);
	while (!outcome.calls)
		loop_turn(&loop, -1);
	if (_i) {
		ck_assert_ptr_null(outcome.connection);
		ck_assert_int_eq(outcome.failure, UPSTREAM_CONNECT);
		ck_assert_str_eq(outcome.err.text, "HTTP tunnel: the proxy answered 403 to CONNECT");
	} else {
		ck_assert_ptr_nonnull(outcome.connection);
		ck_assert_int_eq(io_read(outcome.connection->upstream.io, first, sizeof(first)), 5);
		connection_free(outcome.connection, false);
	}
	close(fd);
	cluster.tunnel = NULL;
}
END_TEST

/* ... and requests go to the proxy as to any host (Istio: "can't be applied to HTTP routes"). */
START_TEST(no_tunnel_for_requests)
{
	static const struct tunnel_settings tunnel = {.target_host = {.s = "db.example"},
						      .target_port = {.value = 5432, .set = true}};
	struct sockaddr_storage address = at(port);

	cluster.tunnel = &tunnel;
	dial(&address, 1);
	ck_assert_ptr_nonnull(outcome.connection);
	connection_free(outcome.connection, false);
	cluster.tunnel = NULL;
}
END_TEST

START_TEST(cancelled)
{
	struct sockaddr_storage address = at(port);

	dial_cancel(start(&address, 1, false)); /* not begun */
	loop_turn(&loop, 0);
	struct dialing *d = start(&address, 1, false);
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
	tcase_add_test(all, next_address_when_refused);
	tcase_add_test(all, refused_everywhere);
	tcase_add_test(all, dead_address_is_not_waited_out);
	tcase_add_test(all, timeout_is_for_all);
	tcase_add_test(all, many_dead_addresses);
	tcase_add_test(all, tls_settings_unusable);
	tcase_add_test(all, no_double_encryption);
	tcase_add_test(all, keep_alive_of_the_rules);
	tcase_add_test(all, unix_sockets);
	tcase_add_test(all, cancelled);
	tcase_add_test(all, proxy_header_comes_first);
	tcase_add_loop_test(all, through_a_tunnel, 0, 2);
	tcase_add_test(all, no_tunnel_for_requests);
	suite_add_tcase(suite, all);
	return suite;
}
