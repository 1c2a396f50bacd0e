/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large bodies by the short ways: from the memory of the program's call, to it, and over an
 * upstream stream that holds what it is given. On the stage of the replays, without a script.
 */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "memory_io.h"
#include "replay_stage.h"
#include "rules/diag.h"
#include "shim/bridge/outbox.h"
#include "shim/bridge/port.h"

Suite *upload_suite(void);

#define BODY  600000
#define BLOCK 20000 /* reserved for each write */

/* ---- a stream that holds ----------------------------------------------------------------- */

struct holder {
	struct io io;
	struct io *lower;
	struct outbox out;
	unsigned flushes;
};

static struct outbox_store store;

static int holder_handshake(struct io *io)
{
	(void)io;
	return 0;
}

static ssize_t holder_read(struct io *io, void *data, size_t size)
{
	return io_read(((struct holder *)io)->lower, data, size);
}

static int holder_flush(struct io *io)
{
	struct holder *holder = (struct holder *)io;

	holder->flushes++;
	return outbox_flush(&holder->out, holder->lower);
}

static ssize_t holder_write(struct io *io, const void *data, size_t size)
{
	struct holder *holder = (struct holder *)io;
	bool no_memory;

	int result = io->gather ? outbox_reserve(&holder->out, holder->lower, BLOCK, &no_memory)
				: holder_flush(io);
	if (result != 0)
		return result;
	return outbox_write(&holder->out, holder->lower, data, size < BLOCK ? size : BLOCK);
}

static bool holder_unsent(const struct io *io)
{
	return outbox_holds(&((const struct holder *)io)->out);
}

static void holder_close(struct io *io, bool reset)
{
	struct holder *holder = (struct holder *)io;

	outbox_release(&holder->out);
	io_close(holder->lower, reset);
	free(holder);
}

static const struct io_ops holder_ops = {
    .name = "holder",
    .handshake = holder_handshake,
    .read = holder_read,
    .write = holder_write,
    .flush = holder_flush,
    .unsent = holder_unsent,
    .close = holder_close,
};

/* ---- the stage --------------------------------------------------------------------------- */

static struct script script = {.file = "test_upload.c"};
static struct part part;
static struct stage s;
static struct exchange_ops ops;
static struct io *port;
static char *body, *got;
static size_t n_got;

static void op_release(struct exchange *exchange, struct upstream *upstream, bool reusable,
		       bool reset)
{
	(void)exchange;
	s.released = true;
	s.reusable = reusable;
	io_close(upstream->io, reset);
	s.up = NULL;
}

static void setup_by(const char *rules)
{
	struct io *ends[2];
	struct diags diags;
	struct exchange_target target = {.name = "svc", .port = 80, .kind = RULES_HTTP};

	memset(&s, 0, sizeof(s));
	s.script = &script;
	s.part = &part;
	s.now = 1000;
	ops = stage_ops;
	ops.release = op_release;
	diags_init(&diags);
	s.rules = rules_load(rules, &diags);
	diags_release(&diags);
	ck_assert_ptr_nonnull(s.rules);
	target.rules = rules_ref(s.rules);
	memory_io_pair(ends, BODY * 2);
	s.program = ends[0];
	s.down = ends[1];
	port = port_io(s.down);
	s.exchange = exchange_new(&ops, &s, port, &target);
	ck_assert_ptr_nonnull(s.exchange);
	body = malloc(BODY);
	got = malloc(BODY * 2);
	for (size_t i = 0; i < BODY; i++)
		body[i] = (char)('a' + (i * 7 + i / 26) % 26);
	n_got = 0;
}

static void setup(void)
{
	setup_by("tests/replay/retry-any.cfg");
}

/* Nothing but a stale connection calls for a copy. */
static void setup_without_retries(void)
{
	setup_by("tests/replay/services.cfg");
}

static void teardown(void)
{
	exchange_free(s.exchange);
	io_close(s.program, false);
	io_close(s.server, false);
	rules_unref(s.rules);
	outbox_store_release(&store);
	free(body);
	free(got);
}

static struct holder *connect_it(bool reused, size_t capacity)
{
	struct holder *holder = calloc(1, sizeof(*holder));
	struct io *ends[2];

	ck_assert(s.acquiring);
	s.acquiring = false;
	io_close(s.server, false);
	memory_io_pair(ends, capacity);
	s.server = ends[0];
	s.up = ends[1];
	holder->io.ops = &holder_ops;
	holder->lower = s.up;
	holder->out.store = &store;
	s.upstream.io = &holder->io;
	s.upstream.reused = reused;
	s.released = false;
	exchange_connected(s.exchange, &s.upstream);
	return holder;
}

static void drive(void)
{
	while ((s.result = exchange_drive(s.exchange)) == EXCHANGE_MORE) {
	}
}

/* The server takes what is there. */
static void take(void)
{
	ssize_t n;

	while ((n = io_read(s.server, got + n_got, BODY * 2 - n_got)) > 0)
		n_got += (size_t)n;
}

static void say(struct io *to, const char *text)
{
	ck_assert_int_eq(io_write(to, text, strlen(text)), strlen(text));
}

/* One call of the program's in the fast lane. Its memory is another's behind it. */
static size_t lend(const char *data, size_t n)
{
	char *copy = malloc(n);

	memcpy(copy, data, n);
	port_lend(port, copy, n, NULL, 0);
	drive();
	size_t taken = port_taken(port);
	port_give_back(port);
	memset(copy, '!', n);
	free(copy);
	return taken;
}

static char head[128];

static void begin(void)
{
	snprintf(head, sizeof(head), "POST /x HTTP/1.1\r\nHost: svc\r\nContent-Length: %d\r\n\r\n",
		 BODY);
	ck_assert_uint_eq(lend(head, strlen(head)), strlen(head));
}

static void ck_got_all(void)
{
	ck_assert_uint_eq(n_got, strlen(head) + BODY);
	ck_assert_mem_eq(got, head, strlen(head));
	ck_assert_mem_eq(got + strlen(head), body, BODY);
}

static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void ck_answered(void)
{
	char answer[256];
	ssize_t n = io_read(s.program, answer, sizeof(answer));

	ck_assert_int_ge(n, sizeof(fine) - 1);
	ck_assert_mem_eq(answer, fine, strlen("HTTP/1.1 200 OK"));
	ck_assert_mem_eq(answer + n - 2, "ok", 2);
}

/* ---- tests ------------------------------------------------------------------------------- */

START_TEST(a_lent_body_goes_in_large_pieces)
{
	begin();
	struct holder *holder = connect_it(true, BODY * 2);
	drive();
	holder->flushes = 0;
	ck_assert_uint_eq(lend(body, BODY), BODY);
	ck_assert_uint_eq(holder->flushes, 1); /* its own runs are by need */
	ck_assert(!exchange_has_unsent(s.exchange));
	ck_assert(exchange_has_sent_all(s.exchange));
	take();
	ck_got_all();
	say(s.server, fine);
	drive();
	ck_answered();
	ck_assert(s.released && s.reusable);
}
END_TEST

/* Whatever the socket takes: nothing is lost, nothing comes twice, and it is known that some is
 * left. */
START_TEST(what_is_held_goes_on)
{
	static const size_t capacities[] = {1, 777, 16384, 100000};
	size_t sent = 0, waits = 0;

	begin();
	connect_it(false, capacities[_i]);
	drive();
	while (sent < BODY) {
		size_t left = BODY - sent, n = lend(body + sent, left < 70000 ? left : 70000);

		sent += n;
		if (exchange_has_unsent(s.exchange)) {
			ck_assert(!exchange_has_sent_all(s.exchange));
			waits++;
			take();
		}
	}
	ck_assert_uint_gt(waits, 0);
	while (exchange_has_unsent(s.exchange)) {
		ck_assert_uint_lt(n_got, strlen(head) + BODY);
		take();
		drive();
	}
	ck_assert(exchange_has_sent_all(s.exchange));
	take();
	ck_got_all();
	memory_io_capacity(s.server, 1000);
	say(s.server, fine);
	drive();
	ck_answered();
	ck_assert(s.released && s.reusable);
}
END_TEST

START_TEST(an_answer_before_the_end_is_not_for_reuse)
{
	begin();
	connect_it(false, BODY - 20000);
	ck_assert_uint_eq(lend(body, BODY), BODY);
	ck_assert(exchange_has_unsent(s.exchange) && !exchange_has_sent_all(s.exchange));
	say(s.server, fine);
	drive();
	ck_answered();
	ck_assert(s.released && !s.reusable);
}
END_TEST

START_TEST(an_answer_outlives_the_end_of_sending)
{
	begin();
	connect_it(false, 1000);
	lend(body, 50000);
	say(s.server, fine);
	io_close(s.server, false);
	s.server = NULL;
	drive();
	ck_answered();
	ck_assert(s.released && !s.reusable);
}
END_TEST

/* Sent again is what was sent, not what has become of the program's memory. */
START_TEST(a_lent_body_is_sent_again)
{
	size_t half = BODY / 2;

	begin();
	connect_it(false, BODY * 2);
	ck_assert_uint_eq(lend(body, half), half);
	take();
	say(s.server, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
	half += lend(body + half, BODY - half);
	ck_assert_uint_lt(half, BODY); /* the answer has been seen */
	n_got = 0;
	s.now += 1000;
	drive();
	connect_it(false, BODY * 2);
	drive();
	ck_assert_uint_eq(lend(body + half, BODY - half), BODY - half);
	take();
	ck_got_all();
	say(s.server, fine);
	drive();
	ck_answered();
}
END_TEST

/* Where a stale connection is out of the question, no copy is made; what is asked for is a new
 * answer. */
static void ck_stale(bool acked)
{
	begin();
	connect_it(true, BODY * 2);
	s.no_retry = true;
	s.acked = acked;
	s.unseen = true; /* cannot be, if acked: tells whether there is a copy */
	ck_assert_uint_eq(lend(body, BODY), BODY);
	take();
	io_shutdown(s.server);
	drive();
	ck_assert(s.acquiring == !acked);
	if (acked)
		return;
	n_got = 0;
	connect_it(false, BODY * 2);
	drive();
	take();
	ck_got_all();
}

START_TEST(a_stale_connection_is_replaced)
{
	ck_stale(false);
}
END_TEST

START_TEST(one_that_acknowledged_is_not_stale)
{
	ck_stale(true);
}
END_TEST

/* A long answer goes where the program wants it, piece by piece, and nothing behind it. */
START_TEST(an_answer_goes_to_lent_memory)
{
	char *room = malloc(BODY * 2);
	size_t filled = 0, rooms[] = {1, 5000, 65536, 65536, 3, BODY * 2};
	char text[64];

	say(s.program, "GET /x HTTP/1.1\r\nHost: svc\r\n\r\n");
	drive();
	connect_it(false, BODY * 2);
	drive();
	int len = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
	say(s.server, text);
	ck_assert_int_eq(io_write(s.server, body, BODY), BODY);
	if (_i)
		say(s.server, "HTTP/1.1");
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		port_lend(port, NULL, 0, room + filled, rooms[i]);
		drive();
		filled += port_filled(port);
		port_give_back(port);
	}
	ck_assert_uint_eq(filled, (size_t)len + BODY);
	ck_assert_mem_eq(room, text, (size_t)len);
	ck_assert_mem_eq(room + len, body, BODY);
	ck_assert(s.released);
	free(room);
}
END_TEST

static size_t in_use(void)
{
	return mallinfo2().uordblks; /* 0 under a sanitizer, whose malloc is its own */
}

/* A program may have thousands that do nothing. */
START_TEST(between_requests_there_are_no_buffers)
{
	size_t whole = in_use(), idle;

	drive();
	idle = in_use();
	ck_assert(!whole || whole - idle > 32768);
	for (int i = 0; i < 3; i++) {
		begin();
		connect_it(false, BODY * 2);
		lend(body, BODY);
		ck_assert(!whole || in_use() - idle > 32768);
		say(s.server, fine);
		drive();
		ck_answered();
		ck_assert(s.released && s.reusable);
		io_close(s.server, false);
		s.server = NULL;
		outbox_store_release(&store);
		ck_assert_uint_le(in_use(), idle + 4096); /* malloc's own caches */
	}
}
END_TEST

Suite *upload_suite(void)
{
	Suite *suite = suite_create("upload");
	TCase *all = tcase_create("upload");

	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, a_lent_body_goes_in_large_pieces);
	tcase_add_loop_test(all, what_is_held_goes_on, 0, 4);
	tcase_add_test(all, an_answer_before_the_end_is_not_for_reuse);
	tcase_add_test(all, an_answer_outlives_the_end_of_sending);
	tcase_add_test(all, a_lent_body_is_sent_again);
	tcase_add_loop_test(all, an_answer_goes_to_lent_memory, 0, 2);
	tcase_add_test(all, between_requests_there_are_no_buffers);
	suite_add_tcase(suite, all);
	TCase *stale = tcase_create("stale");
	tcase_add_checked_fixture(stale, setup_without_retries, teardown);
	tcase_add_test(stale, a_stale_connection_is_replaced);
	tcase_add_test(stale, one_that_acknowledged_is_not_stale);
	suite_add_tcase(suite, stale);
	return suite;
}
