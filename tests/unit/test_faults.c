/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults at every byte: for each conversation below, and each offset in it, the origin closes, breaks
 * or talks garbage there, and the program leaves there. Whatever happens, the program sees a prefix of
 * the true answer and a reset, or one whole answer of the bridge's own, and nothing is held any
 * more afterwards.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "memory_io.h"
#include "replay_stage.h"
#include "rules/diag.h"

static const struct conversation {
	const char *name, *request, *response;
	size_t final; /* where the head of the final response begins in `response` */
	enum { LENGTH, CHUNKED, UNTIL_CLOSE, NONE } body;
} conversations[] = {
    {"length", "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 0, LENGTH},
    {"empty", "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\n",
     "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 0, NONE},
    {"chunked", "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\n",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "4;ext=1\r\nWiki\r\n5\r\npedia\r\n0\r\nTrailer: t\r\n\r\n",
     0, CHUNKED},
    {"until close", "GET /a HTTP/1.1\r\nHost: plain.example\r\n\r\n",
     "HTTP/1.1 200 OK\r\nServer: old\r\n\r\nuntil the end", 0, UNTIL_CLOSE},
    {"upload", "POST /a HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 11\r\n\r\nhello world",
     "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 0, LENGTH},
    {"chunked upload",
     "POST /a HTTP/1.1\r\nHost: plain.example\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5\r\nhello\r\n0\r\n\r\n",
     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
     sizeof("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") - 1, LENGTH},
};

#define N_CONVERSATIONS ((int)(sizeof(conversations) / sizeof(conversations[0])))

/* ---- a stage without a script ------------------------------------------------------------- */

static struct script script = {.file = "test_faults"};

struct run {
	struct stage stage;
	const struct conversation *c;
	char got[4096]; /* what the program has received */
	size_t n_got;
};

static struct rules *load(void)
{
	struct diags diags;

	diags_init(&diags);
	struct rules *rules = rules_load("tests/replay/mesh.cfg", &diags);
	ck_assert_ptr_nonnull(rules);
	diags_release(&diags);
	return rules;
}

static void run_begin(struct run *run, const struct conversation *c, size_t offset)
{
	struct stage *s = &run->stage;
	struct exchange_target target = {.name = "plain.example", .port = 80};
	struct io *ends[2];

	memset(run, 0, sizeof(*run));
	run->c = c;
	s->script = &script;
	s->part = &script.parts[0];
	s->split = offset;
	s->now = 1000;
	s->rules = load();
	target.rules = rules_ref(s->rules);
	target.kind = rules_connect(s->rules, target.name, target.port, &target.cluster);
	memory_io_pair(ends, 65536);
	s->program = ends[0];
	s->down = ends[1];
	s->exchange = exchange_new(&stage_ops, s, s->down, &target);
	ck_assert_ptr_nonnull(s->exchange);
	stage_drive(s);
}

static void run_connect(struct run *run)
{
	struct stage *s = &run->stage;
	struct io *ends[2];

	ck_assert(s->acquiring);
	s->acquiring = s->released = false;
	memory_io_pair(ends, 65536);
	s->server = ends[0];
	s->up = ends[1];
	s->upstream = (struct upstream){.io = s->up};
	exchange_connected(s->exchange, &s->upstream);
	stage_drive(s);
}

static void put(struct run *run, struct io *to, const char *text, size_t len)
{
	if (len)
		stage_feed(&run->stage, to, text, len);
}

static void receive(struct run *run)
{
	ssize_t n;

	do {
		n = io_read(run->stage.program, run->got + run->n_got,
			    sizeof(run->got) - 1 - run->n_got);
		if (n > 0)
			run->n_got += (size_t)n;
		stage_drive(&run->stage);
	} while (n > 0);
	run->got[run->n_got] = '\0';
}

/* Everything is given back; lost memory is the sanitizer's to find. */
static void run_end(struct run *run)
{
	struct stage *s = &run->stage;

	exchange_free(s->exchange);
	ck_assert_msg(!s->up, "%s at %zu: the upstream connection is still held", run->c->name,
		      s->split);
	io_close(s->program, false);
	io_close(s->server, false);
	rules_unref(s->rules);
}

/* An answer of our own with this status, whole, after `before` bytes of interim answers. */
static void expect_own(struct run *run, const char *status, size_t before)
{
	char head[64];
	const char *at = run->got + before, *body = strstr(at, "\r\n\r\n"), *length;

	snprintf(head, sizeof(head), "HTTP/1.1 %s ", status);
	ck_assert_msg(run->n_got >= before && !strncmp(at, head, strlen(head)) && body,
		      "%s at %zu: no %s but: %s", run->c->name, run->stage.split, status, run->got);
	length = strstr(at, "content-length: ");
	ck_assert_ptr_nonnull(length);
	ck_assert_uint_eq(strlen(body + 4), strtoul(length + 16, NULL, 10));
}

/* The answer up to the fault, and then a reset. */
static void expect_cut(struct run *run, size_t most)
{
	/* Connection fields may differ; the body is what counts. */
	const char *sent = strstr(run->c->response + run->c->final, "\r\n\r\n") + 4;
	const char *got = strstr(run->got, "\r\n\r\n");
	size_t len = most - (size_t)(sent - run->c->response);

	for (size_t i = 0; run->c->final && i < 1 && got; i++)
		got = strstr(got + 4, "\r\n\r\n");
	ck_assert_msg(got != NULL, "%s at %zu: %s", run->c->name, run->stage.split, run->got);
	ck_assert_msg(strlen(got + 4) <= len && !strncmp(got + 4, sent, strlen(got + 4)),
		      "%s at %zu: %s", run->c->name, run->stage.split, run->got);
	ck_assert_msg(run->stage.result == EXCHANGE_DONE && memory_io_is_reset(run->stage.down),
		      "%s at %zu: not reset", run->c->name, run->stage.split);
}

/* The whole body is there, and no reset. */
static void expect_whole(struct run *run)
{
	size_t len = strlen(run->c->response), body;
	const char *sent = strstr(run->c->response + run->c->final, "\r\n\r\n") + 4;

	body = len - (size_t)(sent - run->c->response);
	ck_assert_msg(run->n_got >= body && !memcmp(run->got + run->n_got - body, sent, body),
		      "%s at %zu: %s", run->c->name, run->stage.split, run->got);
	ck_assert(!memory_io_is_reset(run->stage.down));
}

/* ---- the origin --------------------------------------------------------------------------- */

enum end { END_CLEAN, END_TRUNCATED, END_BROKEN };

static void origin_ends(const struct conversation *c, size_t offset, enum end end)
{
	size_t whole = strlen(c->response);
	size_t head = (size_t)(strstr(c->response + c->final, "\r\n\r\n") + 4 - c->response);
	bool until_close = c->body == UNTIL_CLOSE;
	struct run run;

	run_begin(&run, c, offset);
	put(&run, run.stage.program, c->request, strlen(c->request));
	run_connect(&run);
	put(&run, run.stage.server, c->response, offset);
	receive(&run); /* a reset may take with it what was not read */
	if (run.stage.up && end == END_BROKEN) {
		memory_io_break(run.stage.up, "connection reset by peer");
	} else {
		if (run.stage.up)
			run.stage.up->truncated = end == END_TRUNCATED;
		io_shutdown(run.stage.server);
	}
	stage_drive(&run.stage);
	receive(&run);
	ck_assert_msg(!run.stage.acquiring, "%s at %zu: sent again", c->name, offset);
	if (offset < head)
		expect_own(&run, "503", offset >= c->final ? c->final : 0);
	else if (until_close && end == END_CLEAN)
		ck_assert_int_eq(run.stage.result, EXCHANGE_DONE);
	else if (offset < whole || until_close)
		expect_cut(&run, offset);
	else
		expect_whole(&run);
	run_end(&run);
}

START_TEST(origin_closes)
{
	for (size_t i = 0; i <= strlen(conversations[_i].response); i++)
		origin_ends(&conversations[_i], i, END_CLEAN);
}
END_TEST

START_TEST(origin_is_cut_off)
{
	for (size_t i = 0; i <= strlen(conversations[_i].response); i++)
		origin_ends(&conversations[_i], i, END_TRUNCATED);
}
END_TEST

START_TEST(origin_breaks)
{
	for (size_t i = 0; i <= strlen(conversations[_i].response); i++)
		origin_ends(&conversations[_i], i, END_BROKEN);
}
END_TEST

/* One byte of the response is another: in the head that is a 502 or harmless; the program never takes
 * it for two answers, and never waits for ever for what cannot come. */
START_TEST(origin_garbles)
{
	static const char bytes[] = {'\0', '\n', '\r', ' ', ':', '\x80', '9', 'f'};
	const struct conversation *c = &conversations[_i];
	size_t whole = strlen(c->response);

	for (size_t i = 0; i < whole * sizeof(bytes); i++) {
		size_t offset = i / sizeof(bytes);
		char *text = strdup(c->response);
		struct run run;

		text[offset] = bytes[i % sizeof(bytes)];
		run_begin(&run, c, 0);
		put(&run, run.stage.program, c->request, strlen(c->request));
		run_connect(&run);
		put(&run, run.stage.server, text, whole);
		io_shutdown(run.stage.server);
		stage_drive(&run.stage);
		receive(&run);
		ck_assert_msg(!run.stage.up, "%s at %zu: still waiting", c->name, offset);
		ck_assert_msg(run.n_got || memory_io_is_reset(run.stage.down), "%s at %zu: silence",
			      c->name, offset);
		run_end(&run);
		free(text);
	}
}
END_TEST

/* It answers, with and without an end of its own, when only `offset` bytes of the request were sent. */
START_TEST(origin_answers_early)
{
	const struct conversation *c = &conversations[_i];
	size_t head = (size_t)(strstr(c->request, "\r\n\r\n") + 4 - c->request);

	for (size_t offset = head; offset < strlen(c->request); offset++) {
		struct run run;

		run_begin(&run, c, offset);
		put(&run, run.stage.program, c->request, offset);
		run_connect(&run);
		put(&run, run.stage.server, c->response, strlen(c->response));
		io_close(run.stage.server, false);
		run.stage.server = NULL;
		stage_drive(&run.stage);
		receive(&run);
		expect_whole(&run);
		/* The rest of the request is drunk up, so that the answer is not lost to a reset. */
		put(&run, run.stage.program, c->request + offset, strlen(c->request) - offset);
		io_shutdown(run.stage.program);
		stage_drive(&run.stage);
		ck_assert_int_eq(run.stage.result, EXCHANGE_DONE);
		ck_assert(!memory_io_is_reset(run.stage.down));
		run_end(&run);
	}
}
END_TEST

/* ---- the program -------------------------------------------------------------------------- */

/* It leaves when it has sent `offset` bytes of its request: with a reset, or by shutting down. */
static void program_leaves(const struct conversation *c, size_t offset, bool reset)
{
	size_t whole = strlen(c->request);
	struct run run;

	run_begin(&run, c, offset);
	put(&run, run.stage.program, c->request, offset);
	if (run.stage.acquiring)
		run_connect(&run);
	if (reset)
		exchange_abandon(run.stage.exchange);
	else
		io_shutdown(run.stage.program);
	stage_drive(&run.stage);
	if (reset || offset < whole) {
		ck_assert_msg(run.stage.result == EXCHANGE_DONE, "%s at %zu: goes on", c->name,
			      offset);
		ck_assert(!run.stage.released || !run.stage.reusable);
	} else { /* the request is whole: its answer is awaited */
		put(&run, run.stage.server, c->response, strlen(c->response));
		io_shutdown(run.stage.server);
		stage_drive(&run.stage);
		receive(&run);
		expect_whole(&run);
		ck_assert_int_eq(run.stage.result, EXCHANGE_DONE);
	}
	run_end(&run);
}

START_TEST(program_resets)
{
	for (size_t i = 0; i <= strlen(conversations[_i].request); i++)
		program_leaves(&conversations[_i], i, true);
}
END_TEST

START_TEST(program_shuts_down)
{
	for (size_t i = 0; i <= strlen(conversations[_i].request); i++)
		program_leaves(&conversations[_i], i, false);
}
END_TEST

/* It leaves with `offset` bytes of the answer read, and a window so small that more is to come. */
START_TEST(program_leaves_the_answer)
{
	const struct conversation *c = &conversations[_i];

	for (size_t offset = 0; offset + 4 < strlen(c->response); offset++) {
		struct run run;

		run_begin(&run, c, offset);
		memory_io_capacity(run.stage.down, 4);
		put(&run, run.stage.program, c->request, strlen(c->request));
		run_connect(&run);
		put(&run, run.stage.server, c->response, strlen(c->response));
		while (run.n_got < offset) {
			ssize_t n = io_read(run.stage.program, run.got, offset - run.n_got);

			ck_assert_int_gt(n, 0);
			run.n_got += (size_t)n;
			stage_drive(&run.stage);
		}
		io_close(run.stage.program, true);
		run.stage.program = NULL;
		stage_drive(&run.stage);
		ck_assert_msg(run.stage.result == EXCHANGE_DONE, "%s at %zu: goes on", c->name,
			      offset);
		run_end(&run);
	}
}
END_TEST

/* ---- no connection ------------------------------------------------------------------------ */

START_TEST(no_connection)
{
	static const enum upstream_failure failures[] = {
	    UPSTREAM_NO_HOST, UPSTREAM_CONNECT, UPSTREAM_TIMEOUT, UPSTREAM_TLS, UPSTREAM_OVERFLOW};

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct run run;

		run_begin(&run, &conversations[_i], 0);
		put(&run, run.stage.program, conversations[_i].request,
		    strlen(conversations[_i].request));
		for (int tries = 0; run.stage.acquiring; tries++) {
			ck_assert_int_lt(tries, 4);
			run.stage.acquiring = false;
			exchange_failed(run.stage.exchange, failures[i], "it is so");
			stage_drive(&run.stage);
			while (run.stage.timer && run.stage.exchange && !run.stage.acquiring) {
				run.stage.now = run.stage.timer;
				run.stage.timer = 0;
				stage_drive(&run.stage);
			}
		}
		receive(&run);
		expect_own(&run, "503", 0);
		run_end(&run);
	}
}
END_TEST

Suite *faults_suite(void);
Suite *faults_suite(void)
{
	Suite *suite = suite_create("faults");
	TCase *origin = tcase_create("origin"), *program = tcase_create("program");

	tcase_add_loop_test(origin, origin_closes, 0, N_CONVERSATIONS);
	tcase_add_loop_test(origin, origin_is_cut_off, 0, N_CONVERSATIONS);
	tcase_add_loop_test(origin, origin_breaks, 0, N_CONVERSATIONS);
	tcase_add_loop_test(origin, origin_garbles, 0, N_CONVERSATIONS);
	tcase_add_loop_test(origin, origin_answers_early, 0, N_CONVERSATIONS);
	tcase_add_loop_test(origin, no_connection, 0, N_CONVERSATIONS);
	tcase_add_loop_test(program, program_resets, 0, N_CONVERSATIONS);
	tcase_add_loop_test(program, program_shuts_down, 0, N_CONVERSATIONS);
	tcase_add_loop_test(program, program_leaves_the_answer, 0, N_CONVERSATIONS);
	tcase_set_timeout(origin, 60);
	suite_add_tcase(suite, origin);
	suite_add_tcase(suite, program);
	return suite;
}
