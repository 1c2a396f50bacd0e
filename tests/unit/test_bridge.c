/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge as the hooks use it, with real sockets on loopback and an origin in the test. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loopback.h"
#include "rules/diag.h"
#include "shim/bridge/bridge.h"
#include "shim/fds.h"
#include "shim/libc.h"

static int origin;
static uint16_t origin_port;
static struct rules *rules;

static void setup(void)
{
	char file[] = "/tmp/meshshim-test-XXXXXX", text[512] = "";
	struct diags diags;

	libc_bind();
	origin = loopback_listen(&origin_port);
	int fd = mkstemp(file);
	dprintf(fd,
		"serviceEntries = ( { name = \"o\"; hosts = [ \"o.example\" ]; resolution = \"STATIC\";\n"
		"  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; targetPort = %d; },\n"
		"            { number = 99; name = \"tcp\"; protocol = \"TCP\"; targetPort = %d; } );\n"
		"  addresses = [ \"10.0.0.1\" ];\n"
		"  endpoints = ( { address = \"127.0.0.1\"; } ); } );\n",
		origin_port, origin_port);
	close(fd);
	diags_init(&diags);
	rules = rules_load(file, &diags);
	unlink(file);
	if (diags.first)
		diag_format(diags.first, text, sizeof(text));
	ck_assert_msg(rules != NULL, "%s", text);
	diags_release(&diags);
}

static void teardown(void)
{
	rules_unref(rules);
	close(origin);
}

/* What the hook on connect(2) does. */
static int dial_through(int family, uint16_t port)
{
	struct sockaddr_storage door, local;
	struct sockaddr_in dialled = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t len, local_len = sizeof(local);
	bool late = false;
	struct err err = {0};
	const struct cluster *cluster;
	struct dial dial = {.name = "o.example",
			    .port = port,
			    .dialled = (struct sockaddr *)&dialled,
			    .dialled_len = sizeof(dialled)};

	inet_pton(AF_INET, "240.240.7.7", &dialled.sin_addr);
	dial.kind = rules_connect(rules, "o.example", port, &cluster);
	dial.cluster = cluster;
	dial.rules = rules_ref(rules);
	ck_assert_msg(bridge_door(family, &late, &door, &len, &err) == 0, "%s", err.text);
	int fd = socket(family, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&door, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &local_len), 0);
	ck_assert_int_eq(bridge_expect(family, (struct sockaddr *)&local, &dial), 0);
	return fd;
}

static void read_until(int fd, const char *end, char *out, size_t size)
{
	size_t n = 0;

	do {
		ssize_t got = read(fd, out + n, size - 1 - n);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		out[n] = '\0';
	} while (!strstr(out, end));
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void exchange_one(int fd, int *kept)
{
	char text[1024];

	say(fd, "GET /x HTTP/1.1\r\nHost: o.example\r\n\r\n");
	if (*kept < 0)
		*kept = accept(origin, NULL, NULL);
	read_until(*kept, "\r\n\r\n", text, sizeof(text));
	ck_assert_str_eq(text, "GET /x HTTP/1.1\r\nHost: o.example\r\n\r\n");
	say(*kept, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	read_until(fd, "hello", text, sizeof(text));
	ck_assert_str_eq(text, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void families(int family)
{
	struct sockaddr_storage peer, dialled;
	struct sockaddr_in local;
	socklen_t len = sizeof(peer), local_len = sizeof(local);
	int kept = -1, fd = dial_through(family, 80);

	exchange_one(fd, &kept);
	exchange_one(fd, &kept);
	ck_assert_int_eq(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &local_len), 0);
	ck_assert(
	    bridge_dialled((struct sockaddr *)&peer, ntohs(local.sin_port), &dialled, &len));
	ck_assert_int_eq(dialled.ss_family, AF_INET);
	close(fd);
	/* another connection of the program, the same one to the origin */
	fd = dial_through(family, 80);
	exchange_one(fd, &kept);
	close(fd);
	close(kept);
}

START_TEST(serves_ipv4)
{
	families(AF_INET);
}
END_TEST

START_TEST(serves_ipv6)
{
	families(AF_INET6);
}
END_TEST

START_TEST(serves_opaque_bytes)
{
	char text[64];
	int fd = dial_through(AF_INET, 99);
	int peer = accept(origin, NULL, NULL);

	say(peer, "banner\n");
	read_until(fd, "\n", text, sizeof(text));
	ck_assert_str_eq(text, "banner\n");
	say(fd, "ping\n");
	read_until(peer, "\n", text, sizeof(text));
	ck_assert_str_eq(text, "ping\n");
	shutdown(fd, SHUT_WR);
	ck_assert_int_eq(read(peer, text, 1), 0);
	say(peer, "late\n");
	read_until(fd, "\n", text, sizeof(text));
	close(peer);
	ck_assert_int_eq(read(fd, text, 1), 0);
	close(fd);
}
END_TEST

START_TEST(forked_child_has_its_own)
{
	int kept = -1, status, fd = dial_through(AF_INET, 80);

	exchange_one(fd, &kept);
	pid_t pid = fork();
	if (pid == 0) {
		int own = -1;

		bridge_fork_child();
		if (fds_next(0) >= 0)
			_exit(1); /* copies of the parent's are left */
		exchange_one(dial_through(AF_INET, 80), &own);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	exchange_one(fd, &kept); /* the parent's goes on */
	close(fd);
}
END_TEST

static int count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 2000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(has_one_descriptor_here)
{
	int before = count_open(), kept = -1, null, ours;
	int fd = dial_through(AF_INET, 80);

	exchange_one(fd, &kept);
	/* Apart from the two sockets of this test: the wake descriptor, high, and no other. */
	ck_assert_int_eq(count_open(), before + 3);
	ours = fds_next(0);
	ck_assert_int_ge(ours, 1000);
	ck_assert_int_lt(fds_next(ours + 1), 0);

	/* A program takes its number, twice. */
	null = dup(0);
	for (int round = 0; round < 2; round++) {
		ours = fds_next(0);
		ck_assert_int_eq(bridge_relocate(ours), 0);
		ck_assert(!fds_is_ours(ours));
		ck_assert_int_eq(dup2(null, ours), ours);
	}
	exchange_one(fd, &kept);
	close(fd);
	fd = dial_through(AF_INET, 80);
	exchange_one(fd, &kept);
	close(fd);
}
END_TEST

START_TEST(is_not_kept_from_closing)
{
	char text[64];
	int pair[2], fd;

	/* The bridge must not hold on to what the program had open when it started. */
	ck_assert_int_eq(pipe(pair), 0);
	fd = dial_through(AF_INET, 99);
	int peer = accept(origin, NULL, NULL);
	close(pair[1]);
	ck_assert_int_eq(read(pair[0], text, 1), 0);
	close(fd);
	ck_assert_int_eq(read(peer, text, 1), 0);
	close(peer);
}
END_TEST

Suite *bridge_suite(void);
Suite *bridge_suite(void)
{
	Suite *suite = suite_create("bridge");
	TCase *all = tcase_create("bridge");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_set_timeout(all, 20);
	tcase_add_test(all, serves_ipv4);
	tcase_add_test(all, serves_ipv6);
	tcase_add_test(all, serves_opaque_bytes);
	tcase_add_test(all, forked_child_has_its_own);
	tcase_add_test(all, has_one_descriptor_here);
	tcase_add_test(all, is_not_kept_from_closing);
	suite_add_tcase(suite, all);
	return suite;
}
