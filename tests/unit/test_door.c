/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "loopback.h"
#include "shim/bridge/dialled.h"
#include "shim/bridge/door.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct door door;
static uint16_t port;
static int admitted;
static char admitted_name[REGISTRY_NAME_MAX + 1];

static uint16_t next_claims[4]; /* claimed from within admit(), as other threads may do */

static int expect(uint16_t local, const char *name);

static void admit(struct door *d, int fd, const struct claim *claim)
{
	for (int i = 0; i < 4; i++)
		if (next_claims[i]) {
			expect(next_claims[i], "next");
			next_claims[i] = 0;
			break;
		}
	ck_assert_ptr_eq(d, &door);
	strcpy(admitted_name, claim->name);
	admitted++;
	close(fd);
}

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	ck_assert_int_eq(door_init(&door, &loop, &err), 0);
	door.admit = admit;
	pthread_mutex_lock(&owner);
	port = door_listen(&door, AF_INET, false, &err);
	ck_assert_uint_ne(port, 0);
	ck_assert_uint_eq(door_listen(&door, AF_INET, false, &err), port);
}

static void teardown(void)
{
	door_release(&door);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
}

static int expect_from(const char *address, uint16_t local, const char *name)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(local)};
	struct dial dial = {.kind = RULES_HTTP,
			    .name = name,
			    .port = 80,
			    .dialled = (struct sockaddr *)&to,
			    .dialled_len = sizeof(to)};

	inet_pton(AF_INET, "240.240.1.2", &to.sin_addr);
	inet_pton(AF_INET, address, &from.sin_addr);
	return door_expect(&door, AF_INET, (struct sockaddr *)&from, &dial);
}

static int expect(uint16_t local, const char *name)
{
	return expect_from("127.0.0.1", local, name);
}

static bool closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) <= 0;
}

START_TEST(claimed_before_accept)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	ck_assert_int_eq(expect(local, "a.example"), 0);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 1);
	ck_assert_str_eq(admitted_name, "a.example");
	close(fd);
}
END_TEST

START_TEST(claimed_after_accept)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	ck_assert_int_eq(write(fd, "early", 5), 5);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 0);
	ck_assert_uint_eq(door.n_parked, 1);
	ck_assert_int_eq(expect(local, "b.example"), 0);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 1);
	ck_assert_uint_eq(door.n_parked, 0);
	close(fd);
}
END_TEST

START_TEST(claims_while_claims_are_served)
{
	uint16_t local[5];
	int fds[5];

	for (int i = 0; i < 5; i++)
		fds[i] = loopback_connect(port, &local[i]);
	while (door.n_parked < 5)
		loop_turn(&loop, -1);
	for (int i = 0; i < 4; i++)
		next_claims[i] = local[i + 1];
	ck_assert_int_eq(expect(local[0], "first"), 0);
	while (admitted < 5)
		loop_turn(&loop, -1);
	loop_turn(&loop, 0); /* whatever was posted meanwhile ends */
	for (int i = 0; i < 5; i++)
		close(fds[i]);
}
END_TEST

START_TEST(strangers_are_closed)
{
	int fd = loopback_connect(port, NULL);

	while (!door.n_parked)
		loop_turn(&loop, -1);
	while (door.n_parked)
		loop_turn(&loop, -1); /* until the time is up */
	ck_assert(closed(fd));
	ck_assert_int_eq(admitted, 0);
	close(fd);
}
END_TEST

START_TEST(parking_is_bounded)
{
	int fds[DOOR_PARK_MAX + 8], n = DOOR_PARK_MAX + 8, shut = 0;

	for (int i = 0; i < n; i++)
		fds[i] = loopback_connect(port, NULL);
	for (int i = 0; i < n / 16; i++)
		loop_turn(&loop, 0);
	ck_assert_uint_eq(door.n_parked, DOOR_PARK_MAX);
	/* The oldest had to go. */
	for (int i = 0; i < n; i++) {
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		char byte;
		shut += recv(fds[i], &byte, 1, 0) == 0 || errno == ECONNRESET;
		close(fds[i]);
	}
	ck_assert_int_eq(shut, 8);
}
END_TEST

START_TEST(a_claim_that_never_came_is_replaced)
{
	ck_assert_int_eq(expect(4242, "old"), 0);
	ck_assert_int_eq(expect(4242, "new"), 0);
	ck_assert_uint_eq(door.n_entries, 1);
}
END_TEST

START_TEST(another_address_is_another_program)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	/* The claim is for the same port of another loopback address. */
	ck_assert_int_eq(expect_from("127.0.0.2", local, "victim"), 0);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 0);
	ck_assert_uint_eq(door.n_parked, 1);
	close(fd);
}
END_TEST

START_TEST(claims_are_bounded)
{
	int taken = 0;

	/* No memory is taken and nothing grows: what is too much is refused. */
	for (int i = 0; i < DOOR_ENTRIES + 10; i++)
		taken += expect((uint16_t)(1024 + i), "many") == 0;
	ck_assert_int_eq(taken, DOOR_ENTRIES);
}
END_TEST

/* Connect to the door from an address that no other program here uses, and from `*local` if that is
 * not 0. Closing the socket resets the connection, so that the address is free at once. */
static int connect_from(const char *address, uint16_t *local)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(*local)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct linger linger = {.l_onoff = 1};
	socklen_t len = sizeof(from);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &from.sin_addr);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&from, &len), 0);
	*local = ntohs(from.sin_port);
	return fd;
}

START_TEST(a_claim_is_used_once)
{
	uint16_t local = 0;
	int fd = connect_from("127.0.0.77", &local);

	ck_assert_int_eq(expect_from("127.0.0.77", local, "first"), 0);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 1);
	close(fd);
	/* The same address once more is a stranger. */
	fd = connect_from("127.0.0.77", &local);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 1);
	ck_assert_uint_eq(door.n_parked, 1);
	close(fd);
}
END_TEST

START_TEST(an_old_claim_is_void)
{
	struct timespec start, now;
	uint16_t local = 0;

	close(connect_from("127.0.0.79", &local)); /* find a port */
	loop_turn(&loop, 0);
	door.claim_ms = 0;
	ck_assert_int_eq(expect_from("127.0.0.79", local, "late"), 0);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &start);
	do /* until the clock has moved on */
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 2000000);
	int fd = connect_from("127.0.0.79", &local);
	loop_turn(&loop, -1);
	ck_assert_int_eq(admitted, 0);
	ck_assert_uint_eq(door.n_parked, 1);
	close(fd);
}
END_TEST

START_TEST(a_dead_connection_takes_no_claim)
{
	uint16_t local = 0;
	int fd = connect_from("127.0.0.78", &local);

	/* Reset before it was accepted; the claim is for the one that follows. */
	close(fd);
	fd = connect_from("127.0.0.78", &local);
	ck_assert_int_eq(expect_from("127.0.0.78", local, "second"), 0);
	while (!admitted)
		loop_turn(&loop, -1);
	ck_assert_str_eq(admitted_name, "second");
	ck_assert_uint_eq(door.n_parked, 0);
	close(fd);
}
END_TEST

START_TEST(remembers_what_was_dialled)
{
	struct sockaddr_in peer = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(port)};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_storage out;
	socklen_t len;
	char text[64];

	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	ck_assert(!dialled_find((struct sockaddr *)&peer, 5555, &out, &len));
	ck_assert_int_eq(expect(5555, "x"), 0);
	ck_assert(dialled_find((struct sockaddr *)&peer, 5555, &out, &len));
	ck_assert_int_eq(out.ss_family, AF_INET);
	ck_assert_uint_eq(len, sizeof(struct sockaddr_in));
	inet_ntop(AF_INET, &((struct sockaddr_in *)&out)->sin_addr, text, sizeof(text));
	ck_assert_str_eq(text, "240.240.1.2");
	ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&out)->sin_port), 80);
	ck_assert(dialled_find((struct sockaddr *)&mapped, 5555, &out, &len));
	/* not the door */
	peer.sin_port ^= 1;
	ck_assert(!dialled_find((struct sockaddr *)&peer, 5555, &out, &len));
	peer.sin_port ^= 1;
	inet_pton(AF_INET, "127.0.0.2", &peer.sin_addr);
	ck_assert(!dialled_find((struct sockaddr *)&peer, 5555, &out, &len));
}
END_TEST

/* Take every number below the present end. */
static void use_up_descriptors(int fd)
{
	struct rlimit limit;
	int first = dup(fd);

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)first;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(first);
	while (dup(fd) >= 0)
		continue;
	ck_assert_int_eq(errno, EMFILE);
}

START_TEST(out_of_descriptors)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	/* This connection is refused, its claim is void, and the next one is served. */
	ck_assert_int_eq(expect(local, "refused"), 0);
	use_up_descriptors(fd);
	loop_turn(&loop, 0);
	ck_assert(closed(fd));
	ck_assert_int_eq(admitted, 0);
	ck_assert_int_ge(door.reserve, 0);
	ck_assert_ptr_nonnull(door.free_entries);
}
END_TEST

START_TEST(out_of_descriptors_without_reserve)
{
	struct rlimit limit;
	int fd = loopback_connect(port, NULL);

	use_up_descriptors(fd);
	dup2(fd, door.reserve); /* it stays taken */
	door.reserve = -1;
	/* The listener rests instead of spinning, and the connection waits. */
	loop_turn(&loop, 0);
	ck_assert_int_eq(admitted, 0);
	ck_assert_int_eq(door.listeners[0].watch.fd, -1);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (!door.n_parked)
		loop_turn(&loop, -1);
}
END_TEST

Suite *door_suite(void);
Suite *door_suite(void)
{
	Suite *suite = suite_create("door");
	TCase *all = tcase_create("door");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_set_timeout(all, 20);
	tcase_add_test(all, claimed_before_accept);
	tcase_add_test(all, claimed_after_accept);
	tcase_add_test(all, claims_while_claims_are_served);
	tcase_add_test(all, strangers_are_closed);
	tcase_add_test(all, parking_is_bounded);
	tcase_add_test(all, a_claim_that_never_came_is_replaced);
	tcase_add_test(all, another_address_is_another_program);
	tcase_add_test(all, claims_are_bounded);
	tcase_add_test(all, a_claim_is_used_once);
	tcase_add_test(all, an_old_claim_is_void);
	tcase_add_test(all, a_dead_connection_takes_no_claim);
	tcase_add_test(all, remembers_what_was_dialled);
	tcase_add_test(all, out_of_descriptors);
	tcase_add_test(all, out_of_descriptors_without_reserve);
	suite_add_tcase(suite, all);
	return suite;
}
