/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "rules/diag.h"
#include "rules/rules.h"
#include "shim/bridge/door_state.h"
#include "shim/libc.h"
#include "shim/sockets.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct door door;
static uint16_t port;
static struct rules *rules;
static struct downstream *const somebody = (struct downstream *)&door; /* whom nobody looks at */

static uint64_t cookie = 77; /* of the program's socket */
static unsigned admitted;
static struct claim last; /* that was admitted */

static void admit(struct door *d, int fd, const struct claim *claim)
{
	ck_assert_ptr_eq(d, &door);
	last = *claim;
	rules_unref(claim->rules);
	admitted++;
	close(fd);
}

/* Any that there are. */
static struct rules *load(void)
{
	static const char text[] = "serviceEntries = ( { name = \"a\"; hosts = [ \"a.example\" ]; ports = ( "
				   "{ number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n";
	char file[] = "/tmp/door_early-XXXXXX";
	int fd = mkstemp(file);
	struct diags diags;

	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	diags_init(&diags);
	struct rules *loaded = rules_load(file, &diags);

	diags_release(&diags);
	unlink(file);
	ck_assert_ptr_nonnull(loaded);
	return loaded;
}

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	rules = load();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	ck_assert_int_eq(door_init(&door, &loop, &err), 0);
	door.admit = admit;
	pthread_mutex_lock(&owner);
	port = door_listen(&door, AF_INET, true, &err);
	ck_assert_uint_ne(port, 0);
}

static void teardown(void)
{
	door_release(&door);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	rules_unref(rules);
}

static struct sockaddr_in own(uint16_t local)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				    .sin_port = htons(local)};
}

static void expect(uint16_t local, const char *name)
{
	struct sockaddr_in to = own(80), from = own(local);
	const struct dial dial = {.kind = RULES_HTTP,
				  .rules = rules_ref(rules),
				  .name = name,
				  .port = 80,
				  .late = true,
				  .cookie = cookie,
				  .dialled = (struct sockaddr *)&to,
				  .dialled_len = sizeof(to)};

	ck_assert_int_eq(door_expect(&door, AF_INET, (struct sockaddr *)&from, &dial), 0);
}

static struct door_entry *take(uint16_t local, uint64_t wanted, struct claim *claim)
{
	struct sockaddr_in from = own(local);

	return door_take_early(&door, AF_INET, (struct sockaddr *)&from, wanted, claim);
}

/* As downstream.c does: what the claim held is given back by who serves it. */
static struct door_entry *serve(uint16_t local)
{
	struct claim claim;
	struct door_entry *entry = take(local, cookie, &claim);

	ck_assert_ptr_nonnull(entry);
	ck_assert_ptr_eq(claim.rules, rules);
	rules_unref(claim.rules);
	door_serve_early(&door, entry, somebody);
	return entry;
}

/* A connection whose program has closed it, but has another descriptor of it. */
static int ended(uint16_t *local)
{
	int fd = loopback_connect(port, local);

	cookie = socket_cookie(fd);
	expect(*local, "a.example");
	door_end_early(&door, serve(*local), somebody, rules);
	return fd;
}

static void come(int fd)
{
	unsigned before = admitted;

	ck_assert_int_eq(write(fd, "x", 1), 1);
	while (admitted == before)
		loop_turn(&loop, -1);
	close(fd);
}

START_TEST(who_serves_it_comes_with_the_socket)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);
	struct claim claim;

	expect(local, "a.example");
	ck_assert_uint_eq(door.n_late, 1);
	ck_assert_ptr_null(take(local, cookie + 1, &claim));
	serve(local);
	ck_assert_ptr_null(take(local, cookie, &claim));
	come(fd);
	ck_assert_ptr_eq(last.early, somebody);
	ck_assert_ptr_null(last.rules);
	ck_assert_uint_eq(door.n_late, 0);
}
END_TEST

START_TEST(what_has_come_is_not_early)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);
	struct claim claim;

	expect(local, "a.example");
	come(fd);
	ck_assert_ptr_null(last.early);
	ck_assert_ptr_null(take(local, cookie, &claim));
}
END_TEST

START_TEST(a_copy_goes_on_where_it_would_have_gone)
{
	uint16_t local;
	int fd = ended(&local);

	ck_assert_uint_eq(door.n_late, 0);
	come(fd);
	ck_assert_ptr_null(last.early);
	ck_assert_ptr_eq(last.rules, rules);
	ck_assert_str_eq(last.name, "a.example");
	ck_assert_uint_eq(door.n_ended, 0);
	ck_assert_uint_eq(door.n_late, 0);
}
END_TEST

/* There is one that is parked, and was not reset. */
static bool is_parked(void)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return door.parked &&
	       getsockopt(door.parked->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_ESTABLISHED;
}

/* A connection that nobody claims, of a byte, from that port of ours. */
static int stray(uint16_t *local)
{
	struct sockaddr_in from = own(*local), to = own(port);
	socklen_t len = sizeof(from);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&from, &len), 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	*local = ntohs(from.sin_port);
	while (!admitted && !is_parked())
		loop_turn(&loop, -1);
	return fd;
}

static void reset(int fd)
{
	const struct linger linger = {.l_onoff = 1};

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

START_TEST(an_ended_one_is_nobody_elses)
{
	uint16_t local;
	int fd = ended(&local);

	reset(fd);
	fd = stray(&local);
	ck_assert_uint_eq(door.n_parked, 1);
	ck_assert_uint_eq(admitted, 0);
	ck_assert_uint_eq(door.n_ended, 0);
	close(fd);
}
END_TEST

START_TEST(strangers_are_not_counted)
{
	uint16_t local = 0;

	for (int i = 0; i < 3; i++)
		reset(stray(&local));
	ck_assert_uint_eq(door.n_late, 0);
	ck_assert(door_has_room(&door));
}
END_TEST

START_TEST(an_ended_one_gives_its_address_away)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	expect(local, "a.example");
	struct door_entry *entry = serve(local);
	door_end_early(&door, entry, somebody, rules);
	door_end_early(&door, entry, somebody, rules); /* too late */
	ck_assert_uint_eq(door.n_ended, 1);
	expect(local, "b.example");
	ck_assert_uint_eq(door.n_ended, 0);
	ck_assert_uint_eq(door.n_late, 1);
	come(fd);
	ck_assert_str_eq(last.name, "b.example");
	ck_assert_uint_eq(door.n_late, 0);
}
END_TEST

START_TEST(what_is_kept_of_the_ended_is_bounded)
{
	for (uint16_t local = 1; local <= 1000; local++) {
		expect(local, "a.example");
		door_end_early(&door, serve(local), somebody, rules);
	}
	ck_assert_uint_eq(door.n_ended, 256);
	ck_assert_uint_eq(door.n_late, 0);
	ck_assert(door.forget.at);
	door_forget_ended(&door.forget); /* none is old enough */
	ck_assert_uint_eq(door.n_ended, 256);
	ck_assert(door.forget.at);
	door.claim_ms = 0;
	timer_clear(&loop, &door.forget);
	door_forget_ended(&door.forget);
	ck_assert_uint_eq(door.n_ended, 0);
	ck_assert(!door.forget.at);
}
END_TEST

START_TEST(a_forgotten_one_is_a_stranger)
{
	uint16_t local;
	int fd = loopback_connect(port, &local);

	expect(local, "a.example");
	door_forget_early(&door, serve(local), somebody);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	while (!door.n_parked)
		loop_turn(&loop, -1);
	ck_assert_uint_eq(admitted, 0);
	close(fd);
}
END_TEST

Suite *door_early_suite(void);
Suite *door_early_suite(void)
{
	Suite *suite = suite_create("door_early");
	TCase *all = tcase_create("door_early");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_set_timeout(all, 20);
	tcase_add_test(all, who_serves_it_comes_with_the_socket);
	tcase_add_test(all, what_has_come_is_not_early);
	tcase_add_test(all, a_copy_goes_on_where_it_would_have_gone);
	tcase_add_test(all, an_ended_one_is_nobody_elses);
	tcase_add_test(all, strangers_are_not_counted);
	tcase_add_test(all, an_ended_one_gives_its_address_away);
	tcase_add_test(all, what_is_kept_of_the_ended_is_bounded);
	tcase_add_test(all, a_forgotten_one_is_a_stranger);
	suite_add_tcase(suite, all);
	return suite;
}
