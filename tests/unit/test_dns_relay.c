/* SPDX-License-Identifier: Apache-2.0 */
/* DNS over TCP without sockets: "program" and "server" are the far ends of two streams in
 * memory. */
#include <check.h>
#include <string.h>

#include "dns_packets.h"
#include "memory_io.h"
#include "shim/bridge/dns_relay.h"

static struct io *program, *server;
static struct io *relay_end; /* of the stream from the program */
static struct dns_relay *relay;
static uint8_t packet[4096], other[4096];
static size_t packet_len, other_len;

/* A query with its length before it. */
static size_t framed(uint8_t *out, const char *name)
{
	size_t len = dns_query(out + 2, name, 1);

	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	return 2 + len;
}

static void start(size_t capacity)
{
	struct io *down[2], *up[2];

	memory_io_pair(down, capacity);
	memory_io_pair(up, capacity);
	program = down[0];
	relay_end = down[1];
	server = up[0];
	relay = dns_relay_new(down[1], up[1]);
	ck_assert_ptr_nonnull(relay);
}

static void setup(void)
{
	dns_rules_begin();
	packet_len = framed(packet, "alpha.test");
	other_len = framed(other, "other.test");
	start(8192);
}

static void teardown(void)
{
	io_close(program, false);
	io_close(server, false);
	dns_rules_end();
}

static enum dns_relay_result drive(void)
{
	enum dns_relay_result result;

	do
		result = dns_relay_drive(relay);
	while (result == DNS_RELAY_MORE);
	return result;
}

static void is_waiting(void)
{
	ck_assert_int_eq(drive(), DNS_RELAY_WAIT);
}

static void is_done(void)
{
	ck_assert_int_eq(drive(), DNS_RELAY_DONE);
	dns_relay_free(relay);
}

static void say(struct io *end, const void *data, size_t len)
{
	ck_assert_int_eq(io_write(end, data, len), (ssize_t)len);
}

static void hears(struct io *end, const void *data, size_t len)
{
	uint8_t got[8192];

	ck_assert_int_eq(io_read(end, got, sizeof(got)), (ssize_t)len);
	ck_assert_mem_eq(got, data, len);
}

static void hears_nothing(struct io *end)
{
	uint8_t byte;

	ck_assert_int_eq(io_read(end, &byte, 1), IO_WANT_READ);
}

/* One answer of ours, the id being that of the query. */
static void hears_answer(void)
{
	uint8_t got[8192];
	ssize_t n = io_read(program, got, sizeof(got));

	ck_assert_int_eq(n, (ssize_t)packet_len + 16);
	ck_assert_uint_eq(got[1], n - 2);
	ck_assert_mem_eq(got + 2, packet + 2, 2);
	ck_assert_mem_eq(got + 14, packet + 14, packet_len - 14);
}

/* Split anywhere: no byte of it gets to the server, and the answer comes with the last one. */
START_TEST(answers_at_every_split)
{
	for (size_t n = 0; n < packet_len; n++) {
		say(program, packet, n);
		is_waiting();
		hears_nothing(program);
		say(program, packet + n, packet_len - n);
		is_waiting();
		hears_answer();
		hears_nothing(server);
	}
	io_shutdown(program);
	io_shutdown(server);
	is_done();
}
END_TEST

START_TEST(forwards_at_every_split)
{
	for (size_t n = 0; n < other_len; n++) {
		uint8_t got[4096];
		ssize_t first, rest;

		say(program, other, n);
		is_waiting();
		first = io_read(server, got, sizeof(got));
		if (first < 0)
			first = 0;
		say(program, other + n, other_len - n);
		is_waiting();
		rest = io_read(server, got + first, sizeof(got) - (size_t)first);
		ck_assert_int_eq(first + rest, (ssize_t)other_len);
		ck_assert_mem_eq(got, other, other_len);
	}
	io_shutdown(program);
	io_shutdown(server);
	is_done();
}
END_TEST

/* What is no query passes as it comes, without waiting for the length that it seems to have. */
START_TEST(passes_other_protocols)
{
	static const char hello[] = "SSH-2.0-OpenSSH_9.2\r\n";

	say(program, hello, 20);
	is_waiting();
	hears(server, hello, 20);
	say(server, hello, 15);
	is_waiting();
	hears(program, hello, 15);
	say(program, hello + 20, 1);
	is_waiting();
	hears(server, hello + 20, 1);
	io_shutdown(program);
	is_waiting();
	hears(server, "", 0);
	say(server, "x", 1);
	io_shutdown(server);
	is_done();
	hears(program, "x", 1);
	hears(program, "", 0);
}
END_TEST

START_TEST(short_messages)
{
	static const uint8_t tiny[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9,
				       10, 11};

	for (size_t i = 0; i < sizeof(tiny); i++) {
		say(program, tiny + i, 1);
		is_waiting();
	}
	hears(server, tiny, sizeof(tiny));
	say(program, "\0", 1); /* half a length, and the end */
	io_shutdown(program);
	is_waiting();
	hears(server, "\0", 1);
	io_shutdown(server);
	is_done();
}
END_TEST

/* An answer of ours waits until the server's message is complete. */
START_TEST(interleaves_whole_messages)
{
	static const uint8_t theirs[] = {0, 6, 't', 'h', 'e', 'i', 'r', 's'};

	say(server, theirs, 4);
	is_waiting();
	say(program, packet, packet_len);
	is_waiting();
	hears(program, theirs, 4);
	hears_nothing(program);
	say(server, theirs + 4, 4);
	is_waiting();
	uint8_t got[8192];
	ssize_t n = io_read(program, got, sizeof(got));
	ck_assert_int_eq(n, 4 + (ssize_t)packet_len + 16);
	ck_assert_mem_eq(got, theirs + 4, 4);
	say(server, theirs, 8);
	is_waiting();
	hears(program, theirs, 8);
	io_shutdown(program);
	io_shutdown(server);
	is_done();
}
END_TEST

START_TEST(half_a_query_at_the_end)
{
	say(program, packet, _i ? packet_len - 1 : 15);
	io_shutdown(program);
	is_waiting();
	hears(server, "", 0);
	io_shutdown(server);
	is_done();
	hears(program, "", 0);
}
END_TEST

/* A server that is not there is missed by those only who need it. */
START_TEST(without_a_server)
{
	struct io *down[2];

	io_shutdown(program);
	io_shutdown(server);
	is_done();
	io_close(program, false);
	memory_io_pair(down, 8192);
	program = down[0];
	relay = dns_relay_new(down[1], NULL);
	say(program, packet, packet_len);
	is_waiting();
	hears_answer();
	if (_i) {
		say(program, other, other_len);
		is_done();
		ck_assert_int_eq(io_read(program, packet, 1), IO_ERR);
	} else {
		io_shutdown(program);
		is_done();
	}
}
END_TEST

/* The server closes: so do we, and what the program still says is for nobody. */
START_TEST(server_closes_first)
{
	io_shutdown(server);
	is_waiting();
	hears(program, "", 0);
	say(program, packet, packet_len);
	say(program, other, other_len);
	is_waiting();
	io_shutdown(program);
	is_done();
}
END_TEST

/* Full buffers stop reading, and nothing is lost. */
START_TEST(many_at_once)
{
	size_t queries = 0, answers = 0, answer_len = packet_len + 16, have = 0;
	uint8_t got[8192];

	while (answers < 2000) {
		/* As much as goes in; only then are answers read. */
		while (queries < 2000 && memory_io_waiting(relay_end) + packet_len <= 8192) {
			say(program, packet, packet_len);
			queries++;
		}
		is_waiting();
		ssize_t n = io_read(program, got, sizeof(got));
		have += n > 0 ? (size_t)n : 0;
		answers += have / answer_len;
		have %= answer_len;
	}
	hears_nothing(server);
	io_shutdown(program);
	io_shutdown(server);
	is_done();
}
END_TEST

Suite *dns_relay_suite(void);
Suite *dns_relay_suite(void)
{
	Suite *suite = suite_create("dns_relay");
	TCase *tcase = tcase_create("dns_relay");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, answers_at_every_split);
	tcase_add_test(tcase, forwards_at_every_split);
	tcase_add_test(tcase, passes_other_protocols);
	tcase_add_test(tcase, short_messages);
	tcase_add_test(tcase, interleaves_whole_messages);
	tcase_add_loop_test(tcase, half_a_query_at_the_end, 0, 2);
	tcase_add_loop_test(tcase, without_a_server, 0, 2);
	tcase_add_test(tcase, server_closes_first);
	tcase_add_test(tcase, many_at_once);
	suite_add_tcase(suite, tcase);
	return suite;
}
