/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over a TLS stream, in pieces of every size, and how it ends. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/tls.h"
#include "tests/unit/memory_io.h"
#include "tests/unit/tls_link.h"

#define HOST "raw.githubusercontent.com"

static struct tls *tls;
static struct cert *ca, *leaf;
static struct client_tls settings;
static struct server server;

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
}

static void tear_down(void)
{
	server_release(&server);
	cert_free(leaf);
	cert_free(ca);
	tls_free(tls);
	scratch_remove();
}

static struct link *connected(size_t per_call)
{
	struct link *link = link_new(tls, &settings, HOST, &server, per_call);

	ck_assert_msg(link->outcome == 0, "%s", io_error(link->client));
	ck_assert_int_eq(io_handshake(link->client), 0);
	return link;
}

static char *pattern(size_t n)
{
	char *data = malloc(n);

	ck_assert_ptr_nonnull(data);
	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 31 + i / 251);
	return data;
}

static void ck_sends(size_t n, size_t piece, size_t per_call)
{
	struct link *link = connected(per_call);
	char *data = pattern(n);
	size_t sent = 0;

	while (sent < n) {
		size_t size = n - sent < piece ? n - sent : piece;
		ssize_t got = io_write(link->client, data + sent, size);
		if (got > 0)
			sent += (size_t)got;
		else
			ck_assert_int_eq(got, IO_WANT_WRITE);
		link_drive(link);
	}
	ck_assert_uint_eq(link->received_len, n);
	ck_assert_mem_eq(link->received, data, n);
	free(data);
	link_free(link);
}

static void ck_receives(size_t n, size_t piece, size_t per_call)
{
	struct link *link = connected(per_call);
	char *data = pattern(n), *got = malloc(n + piece);
	size_t len = 0, sent = 0;

	while (len < n) {
		if (sent < n) {
			size_t size = n - sent < 10000 ? n - sent : 10000;
			link_server_write(link, data + sent, size);
			sent += size;
		}
		ssize_t result;
		while ((result = io_read(link->client, got + len, piece)) > 0) {
			len += (size_t)result;
			ck_assert_uint_le(len, n);
		}
		ck_assert_int_eq(result, IO_WANT_READ);
		link_drive(link);
	}
	ck_assert_mem_eq(got, data, n);
	free(got);
	free(data);
	link_free(link);
}

START_TEST(data_goes_up_in_pieces_of_every_size)
{
	ck_sends(1, 1, 0);
	ck_sends(5000, 5000, 1);
	ck_sends(1000, 1, 7);
	ck_sends(300000, 300000, 0);
	ck_sends(300000, 16384, 1000);
	ck_sends(300000, 20000, 16384);
}
END_TEST

START_TEST(data_comes_down_in_pieces_of_every_size)
{
	ck_receives(1, 1, 0);
	ck_receives(5000, 100, 1);
	ck_receives(1000, 1, 7);
	ck_receives(300000, 300000, 0);
	ck_receives(300000, 777, 1000);
	ck_receives(300000, 65536, 16384);
}
END_TEST

START_TEST(the_handshake_survives_one_byte_at_a_time)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		server.min_version = server.max_version = version;
		link_free(connected(1));
		link_free(connected(2));
		link_free(connected(1000));
		server_release(&server);
	}
}
END_TEST

START_TEST(a_lower_stream_that_connects_is_brought_up_first)
{
	struct link *link = link_prepare(tls, &settings, HOST, &server);

	memory_io_connecting(link->lower, true);
	ck_assert_int_eq(io_handshake(link->client), IO_WANT_WRITE);
	ck_assert_int_eq(io_write(link->client, "x", 1), IO_WANT_WRITE);
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_WANT_WRITE);
	ck_assert_uint_eq(memory_io_written(link->lower), 0);
	memory_io_connecting(link->lower, false);
	ck_assert_int_eq(io_handshake(link->client), IO_WANT_READ);
	link_drive(link);
	ck_assert_int_eq(link->outcome, 0);
	link_free(link);

	link = link_prepare(tls, &settings, HOST, &server);
	memory_io_break(link->lower, "connect: Connection refused");
	ck_assert_int_eq(io_handshake(link->client), IO_ERR);
	ck_assert_str_eq(io_error(link->client), "connect: Connection refused");
	link_free(link);
}
END_TEST

START_TEST(an_early_write_waits_for_the_handshake)
{
	struct link *link = link_prepare(tls, &settings, HOST, &server);

	ck_assert_int_eq(io_write(link->client, "early", 5), IO_WANT_READ);
	link_drive(link);
	ck_assert_uint_eq(link->received_len, 0);
	ck_assert_int_eq(io_write(link->client, "early", 5), 5);
	link_drive(link);
	ck_assert_uint_eq(link->received_len, 5);
	link_free(link);
}
END_TEST

START_TEST(decrypted_bytes_are_announced)
{
	struct link *link = connected(0);
	char data[16];

	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_WANT_READ);
	ck_assert(!io_pending(link->client));
	link_server_write(link, "0123456789", 10);
	ck_assert(!io_pending(link->client)); /* the descriptor below announces it */
	ck_assert_int_eq(io_read(link->client, data, 4), 4);
	ck_assert(io_pending(link->client));
	ck_assert_int_eq(io_read(link->client, data, 16), 6);
	ck_assert_int_eq(io_read(link->client, data, 16), IO_WANT_READ);
	ck_assert(!io_pending(link->client));
	/* half a record is nothing to read yet, and no reason to spin */
	memory_io_limit(link->far, 10);
	ck_assert_int_eq(SSL_write(link->ssl, "0123456789", 10), 10);
	char record[64];
	int n = BIO_read(link->out, record, sizeof(record));
	ck_assert_int_gt(n, 10);
	ck_assert_int_eq(io_write(link->far, record, (size_t)n), 10);
	ck_assert_int_eq(io_read(link->client, data, 16), IO_WANT_READ);
	ck_assert(!io_pending(link->client));
	link_free(link);
}
END_TEST

START_TEST(what_came_with_the_handshake_is_announced)
{
	struct link *link = link_prepare(tls, &settings, HOST, &server);
	char data[16];

	server.min_version = server.max_version = 0;
	/* the server's tickets and data come in one piece with the end of its handshake */
	while (link->outcome != 0) {
		link_drive(link);
		ck_assert_int_ne(link->outcome, IO_ERR);
	}
	link_server_write(link, "banner", 6);
	ck_assert_int_eq(io_read(link->client, data, 3), 3);
	ck_assert(io_pending(link->client));
	ck_assert_int_eq(io_read(link->client, data, 16), 3);
	link_free(link);
}
END_TEST

START_TEST(an_announced_end_is_told_from_a_cut)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		char data[16];
		server.min_version = server.max_version = version;
		for (int notify = 0; notify < 2; notify++) {
			struct link *link = connected(0);
			link_server_write(link, "data", 4);
			link_server_close(link, notify);
			ck_assert_int_eq(io_read(link->client, data, sizeof(data)), 4);
			ck_assert(!link->client->truncated);
			ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_EOF);
			ck_assert(link->client->truncated == !notify);
			ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_EOF);
			ck_assert(link->client->truncated == !notify);
			/* a half-closed connection still takes what is left to say */
			ck_assert_int_eq(io_write(link->client, "rest", 4), 4);
			link_drive(link);
			ck_assert_uint_eq(link->received_len, 4);
			link_free(link);
		}
		server_release(&server);
	}
}
END_TEST

START_TEST(a_record_that_is_cut_short_is_a_cut)
{
	struct link *link = connected(0);
	char record[64], data[16];

	ck_assert_int_eq(SSL_write(link->ssl, "0123456789", 10), 10);
	int n = BIO_read(link->out, record, sizeof(record));
	ck_assert_int_eq(io_write(link->far, record, (size_t)n - 1), n - 1);
	io_shutdown(link->far);
	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_EOF);
	ck_assert(link->client->truncated);
	link_free(link);
}
END_TEST

START_TEST(changed_bytes_are_an_error)
{
	struct link *link = connected(0);
	char record[64], data[16];

	ck_assert_int_eq(SSL_write(link->ssl, "0123456789", 10), 10);
	int n = BIO_read(link->out, record, sizeof(record));
	record[n - 1] ^= 1;
	ck_assert_int_eq(io_write(link->far, record, (size_t)n), n);
	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_ERR);
	ck_assert_str_eq(io_error(link->client), "TLS read: decryption failed or bad record mac");
	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_ERR);
	ck_assert_int_eq(io_write(link->client, "x", 1), IO_ERR);
	link_free(link);
}
END_TEST

START_TEST(shutting_down_leaves_reading)
{
	struct link *link = connected(0);
	char data[16];

	ck_assert_int_eq(io_write(link->client, "request", 7), 7);
	ck_assert_int_eq(io_shutdown(link->client), 0);
	ck_assert_int_eq(io_shutdown(link->client), 0);
	ck_assert(memory_io_is_shut(link->lower));
	link_drive(link);
	ck_assert_uint_eq(link->received_len, 7);
	ck_assert_int_eq(SSL_get_shutdown(link->ssl), SSL_RECEIVED_SHUTDOWN);
	link_server_write(link, "answer", 6);
	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), 6);
	link_server_close(link, true);
	ck_assert_int_eq(io_read(link->client, data, sizeof(data)), IO_EOF);
	ck_assert(!link->client->truncated);
	link_free(link);
}
END_TEST

START_TEST(close_notify_waits_for_room)
{
	struct link *link = connected(0);

	memory_io_capacity(link->lower, 0);
	ck_assert_int_eq(io_shutdown(link->client), IO_WANT_WRITE);
	ck_assert(!memory_io_is_shut(link->lower));
	memory_io_capacity(link->lower, 16384);
	ck_assert_int_eq(io_shutdown(link->client), 0);
	ck_assert(memory_io_is_shut(link->lower));
	link_drive(link);
	ck_assert_int_eq(SSL_get_shutdown(link->ssl), SSL_RECEIVED_SHUTDOWN);
	link_free(link);
}
END_TEST

START_TEST(closing_says_goodbye_unless_it_is_a_reset)
{
	for (int reset = 0; reset < 2; reset++) {
		struct link *link = connected(0);
		link_close_client(link, reset);
		ck_assert(memory_io_is_closed(link->lower));
		ck_assert(memory_io_is_reset(link->lower) == reset);
		link_drive(link);
		ck_assert_int_eq(SSL_get_shutdown(link->ssl), reset ? 0 : SSL_RECEIVED_SHUTDOWN);
		SSL_free(link->ssl);
		io_close(link->far, false);
		free(link);
	}
}
END_TEST

START_TEST(closing_works_in_every_state)
{
	struct link *link = link_prepare(tls, &settings, HOST, &server);

	link_free(link); /* nothing has begun */
	link = link_prepare(tls, &settings, HOST, &server);
	ck_assert_int_eq(io_handshake(link->client), IO_WANT_READ);
	ck_assert_int_eq(io_shutdown(link->client), 0);
	link_free(link); /* half a handshake */
	link = connected(0);
	memory_io_break(link->lower, "read: Connection reset by peer");
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_ERR);
	ck_assert_str_eq(io_error(link->client), "read: Connection reset by peer");
	link_free(link); /* broken */
	link = connected(0);
	memory_io_break(link->lower, "write: Broken pipe");
	ck_assert_int_eq(io_write(link->client, "x", 1), IO_ERR);
	ck_assert_str_eq(io_error(link->client), "write: Broken pipe");
	link_free(link);
	link = connected(0);
	memory_io_break(link->lower, "shutdown: Transport endpoint is not connected");
	ck_assert_int_eq(io_shutdown(link->client), IO_ERR);
	link_free(link);
}
END_TEST

START_TEST(no_bytes_are_no_event)
{
	struct link *link = connected(0);

	ck_assert_int_eq(io_write(link->client, "", 0), 0);
	ck_assert_int_eq(io_read(link->client, &(char){0}, 0), IO_WANT_READ);
	link_free(link);
}
END_TEST

Suite *tls_stream_suite(void);
Suite *tls_stream_suite(void)
{
	Suite *suite = suite_create("tls_stream");
	TCase *tcase = tcase_create("stream");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, data_goes_up_in_pieces_of_every_size);
	tcase_add_test(tcase, data_comes_down_in_pieces_of_every_size);
	tcase_add_test(tcase, the_handshake_survives_one_byte_at_a_time);
	tcase_add_test(tcase, a_lower_stream_that_connects_is_brought_up_first);
	tcase_add_test(tcase, an_early_write_waits_for_the_handshake);
	tcase_add_test(tcase, decrypted_bytes_are_announced);
	tcase_add_test(tcase, what_came_with_the_handshake_is_announced);
	tcase_add_test(tcase, an_announced_end_is_told_from_a_cut);
	tcase_add_test(tcase, a_record_that_is_cut_short_is_a_cut);
	tcase_add_test(tcase, changed_bytes_are_an_error);
	tcase_add_test(tcase, shutting_down_leaves_reading);
	tcase_add_test(tcase, close_notify_waits_for_room);
	tcase_add_test(tcase, closing_says_goodbye_unless_it_is_a_reset);
	tcase_add_test(tcase, closing_works_in_every_state);
	tcase_add_test(tcase, no_bytes_are_no_event);
	suite_add_tcase(suite, tcase);
	return suite;
}
