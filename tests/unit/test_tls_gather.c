/* SPDX-License-Identifier: Apache-2.0 */
/* Records that are held to go in larger pieces: in their order, once, and not lost on the way. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/tls.h"
#include "tests/unit/memory_io.h"
#include "tests/unit/tls_link.h"

#define HOST   "raw.githubusercontent.com"
#define RECORD 16384
#define HELD   8 /* records at most */

static struct tls *tls;
static struct cert *ca, *leaf;
static struct client_tls settings;
static struct server server;
static struct link *link;
static char *data; /* 40 records */

static void set_up(void)
{
	tls = tls_new(NULL);
	ca = ca_new("Test CA");
	leaf = leaf_new(ca, "DNS:" HOST);
	settings = (struct client_tls){
	    .mode = TLS_MODE_SIMPLE,
	    .ca_certificates = write_certificate("ca.pem", ca, false),
	};
	server = (struct server){.cert = leaf};
	link = link_new(tls, &settings, HOST, &server, 0);
	ck_assert_int_eq(link->outcome, 0);
	memory_io_capacity(link->lower, 1 << 20);
	link->client->gather = true;
	data = malloc(40 * RECORD);
	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < 40 * RECORD; i++)
		data[i] = (char)(i * 31 + i / 251);
}

static void tear_down(void)
{
	free(data);
	server_release(&server);
	cert_free(leaf);
	cert_free(ca);
	tls_free(tls);
	scratch_remove();
}

/* The server has got that, and nothing else. */
static void ck_received(size_t n)
{
	link_drive(link);
	ck_assert_uint_eq(link->received_len, n);
	ck_assert_mem_eq(link->received, data, n);
}

START_TEST(records_are_held_until_the_flush)
{
	size_t before = memory_io_written(link->lower);

	ck_assert(!io_unsent(link->client));
	for (size_t i = 0; i < HELD; i++)
		ck_assert_int_eq(io_write(link->client, data + i * RECORD, RECORD), RECORD);
	ck_assert_uint_eq(memory_io_written(link->lower), before);
	ck_assert(io_unsent(link->client));
	/* no more than that */
	ck_assert_int_eq(io_write(link->client, data + HELD * RECORD, RECORD), RECORD);
	ck_assert_uint_gt(memory_io_written(link->lower), before + HELD * RECORD);
	ck_assert_uint_lt(memory_io_written(link->lower), before + (HELD + 1) * RECORD);
	ck_assert_int_eq(io_flush(link->client), 0);
	ck_assert(!io_unsent(link->client));
	ck_assert_int_eq(io_flush(link->client), 0);
	ck_received((HELD + 1) * RECORD);
	/* without being asked to it holds nothing */
	link->client->gather = false;
	ck_assert_int_eq(io_write(link->client, data + (HELD + 1) * RECORD, 5), 5);
	ck_assert(!io_unsent(link->client));
	ck_received((HELD + 1) * RECORD + 5);
	link_free(link);
}
END_TEST

/* The lower stream takes what it likes. What comes behind an attempt that had to wait is another
 * piece each time, as if the program had changed its mind. */
static void ck_sends(size_t capacity, size_t per_call, size_t piece)
{
	size_t sent = 0, waited = 0;
	char other[RECORD];

	memory_io_capacity(link->lower, capacity);
	memory_io_limit(link->lower, per_call);
	memset(other, '!', sizeof(other));
	while (sent < 40 * RECORD || io_unsent(link->client)) {
		size_t left = 40 * RECORD - sent, size = left < piece ? left : piece;
		ssize_t n =
		    size ? io_write(link->client, data + sent, size) : io_flush(link->client);

		if (n > 0)
			sent += (size_t)n;
		if (n == IO_WANT_WRITE) {
			ck_assert(io_unsent(link->client));
			ck_assert_int_eq(io_write(link->client, other, 1 + waited % RECORD),
					 IO_WANT_WRITE);
			waited++;
			link_drive(link);
		}
		ck_assert_int_ne(n, IO_ERR);
		if (sent % 3 == 0 && io_flush(link->client) < 0)
			link_drive(link);
	}
	ck_received(40 * RECORD);
	ck_assert_uint_gt(waited, 0);
	link_free(link);
}

START_TEST(what_the_lower_stream_does_not_take_stays)
{
	static const struct {
		size_t capacity, per_call, piece;
	} cases[] = {{10000, 0, RECORD}, {16406, 0, RECORD}, {1000, 999, 5000},
		     {9000, 7, RECORD},	 {1, 1, 100000},     {16000, 16384, 16383}};

	ck_sends(cases[_i].capacity, cases[_i].per_call, cases[_i].piece);
}
END_TEST

START_TEST(a_blocked_stream_takes_nothing)
{
	size_t before;

	ck_assert_int_eq(io_write(link->client, data, RECORD), RECORD);
	memory_io_capacity(link->lower, 100);
	ck_assert_int_eq(io_flush(link->client), IO_WANT_WRITE);
	before = memory_io_written(link->lower);
	for (int gather = 0; gather < 2; gather++) {
		link->client->gather = gather;
		ck_assert_int_eq(io_write(link->client, "other", 5), IO_WANT_WRITE);
	}
	ck_assert_uint_eq(memory_io_written(link->lower), before);
	memory_io_capacity(link->lower, 1 << 20);
	ck_assert_int_eq(io_write(link->client, data + RECORD, 9), 9);
	ck_assert_int_eq(io_flush(link->client), 0);
	ck_received(RECORD + 9);
	link_free(link);
}
END_TEST

START_TEST(shutting_down_waits_for_what_is_held)
{
	memory_io_capacity(link->lower, 20000);
	ck_assert_int_eq(io_write(link->client, data, RECORD), RECORD);
	ck_assert_int_eq(io_write(link->client, data + RECORD, RECORD), RECORD);
	ck_assert_int_eq(io_shutdown(link->client), IO_WANT_WRITE);
	ck_assert(!memory_io_is_shut(link->lower));
	memory_io_capacity(link->lower, 1 << 20);
	ck_assert_int_eq(io_shutdown(link->client), 0);
	ck_assert(memory_io_is_shut(link->lower));
	ck_received((size_t)2 * RECORD);
	ck_assert_int_eq(SSL_get_shutdown(link->ssl), SSL_RECEIVED_SHUTDOWN);
	link_free(link);
}
END_TEST

/* Its end. The link without its client is taken apart by hand. */
static void ck_closes(bool reset, size_t capacity, size_t received, int shutdown)
{
	ck_assert_int_eq(io_write(link->client, data, RECORD), RECORD);
	ck_assert_int_eq(io_write(link->client, data + RECORD, 100), 100);
	memory_io_capacity(link->lower, capacity);
	link_close_client(link, reset);
	ck_assert(memory_io_is_closed(link->lower));
	ck_received(received);
	ck_assert_int_eq(SSL_get_shutdown(link->ssl), shutdown);
	SSL_free(link->ssl);
	io_close(link->far, false);
	free(link);
}

START_TEST(closing_passes_on_what_is_held)
{
	ck_closes(false, 1 << 20, RECORD + 100, SSL_RECEIVED_SHUTDOWN);
}
END_TEST

/* A close_notify behind a piece that is missing would vouch for it. */
START_TEST(closing_does_not_vouch_for_what_is_lost)
{
	ck_closes(false, 16450, RECORD, 0);
}
END_TEST

START_TEST(a_reset_passes_nothing_on)
{
	ck_closes(true, 1 << 20, 0, 0);
}
END_TEST

/* The server answered and went, while a part of what is held was on its way. */
START_TEST(an_error_behind_a_part_leaves_the_answer)
{
	char answer[16];

	link_server_write(link, "413", 3);
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(io_write(link->client, data + i * RECORD, RECORD), RECORD);
	memory_io_capacity(link->lower, 20000);
	ck_assert_int_eq(io_flush(link->client), IO_WANT_WRITE);
	io_close(link->far, false);
	ck_assert_int_eq(io_flush(link->client), IO_ERR);
	ck_assert_str_eq(io_error(link->client), "write: Broken pipe");
	ck_assert(!io_unsent(link->client));
	ck_assert_int_eq(io_flush(link->client), IO_ERR);
	ck_assert_int_eq(io_write(link->client, data, 1), IO_ERR);
	ck_assert_int_eq(io_read(link->client, answer, sizeof(answer)), 3);
	ck_assert_mem_eq(answer, "413", 3);
	link_close_client(link, false);
	SSL_free(link->ssl);
	free(link);
}
END_TEST

/* What OpenSSL has to say by itself has its turn: with other keys the records would be unreadable.
 */
START_TEST(a_change_of_keys_keeps_the_order)
{
	char byte;

	ck_assert_int_eq(io_write(link->client, data, 1000), 1000);
	ck_assert_int_eq(SSL_key_update(link->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	link_server_write(link, "x", 1);
	ck_assert_int_eq(io_read(link->client, &byte, 1), 1);
	ck_assert_int_eq(io_write(link->client, data + 1000, 1000), 1000);
	ck_assert_int_eq(io_flush(link->client), 0);
	ck_received(2000);
	link_free(link);
}
END_TEST

START_TEST(streams_hold_each_their_own)
{
	struct link *first = link, *second = link_new(tls, &settings, HOST, &server, 0);

	second->client->gather = true;
	memory_io_capacity(first->lower, 50);
	ck_assert_int_eq(io_write(first->client, data, 1000), 1000);
	ck_assert_int_eq(io_write(second->client, data, 500), 500);
	ck_assert_int_eq(io_flush(first->client), IO_WANT_WRITE);
	ck_assert_int_eq(io_flush(second->client), 0);
	ck_assert_int_eq(io_write(second->client, data + 500, 500), 500);
	ck_assert_int_eq(io_flush(second->client), 0);
	memory_io_capacity(first->lower, 16384);
	ck_assert_int_eq(io_flush(first->client), 0);
	ck_received(1000);
	link = second;
	ck_received(1000);
	link_free(first);
	link_free(second);
}
END_TEST

Suite *tls_gather_suite(void);
Suite *tls_gather_suite(void)
{
	Suite *suite = suite_create("tls_gather");
	TCase *tcase = tcase_create("gather");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, records_are_held_until_the_flush);
	tcase_add_loop_test(tcase, what_the_lower_stream_does_not_take_stays, 0, 6);
	tcase_add_test(tcase, a_blocked_stream_takes_nothing);
	tcase_add_test(tcase, shutting_down_waits_for_what_is_held);
	tcase_add_test(tcase, closing_passes_on_what_is_held);
	tcase_add_test(tcase, closing_does_not_vouch_for_what_is_lost);
	tcase_add_test(tcase, a_reset_passes_nothing_on);
	tcase_add_test(tcase, an_error_behind_a_part_leaves_the_answer);
	tcase_add_test(tcase, a_change_of_keys_keeps_the_order);
	tcase_add_test(tcase, streams_hold_each_their_own);
	suite_add_tcase(suite, tcase);
	return suite;
}
