/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges in a storm: a program, an origin and a network that do at random (with fixed seeds)
 * what programs, origins and networks do, in any order and at any time. Nothing is expected but that
 * the bridge keeps to its contracts, which memory_io and the sanitizers check, and that every
 * exchange comes to its end when both sides have gone: nothing is waited for that cannot come.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_io.h"
#include "replay_stage.h"
#include "rules/diag.h"

#define STORMS 400 /* for each seed */
#define SEEDS  8

static const char *const requests[] = {
    "GET /get HTTP/1.1\r\nHost: storm\r\n\r\n",
    "HEAD /get HTTP/1.1\r\nHost: storm\r\n\r\n",
    "GET /retry HTTP/1.1\r\nHost: storm\r\nCookie: user=1\r\n\r\n",
    "POST /retry HTTP/1.1\r\nHost: storm\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /retry HTTP/1.1\r\nHost: storm\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /get HTTP/1.1\r\nHost: storm\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET /fault HTTP/1.1\r\nHost: storm\r\n\r\n",
    "POST /mirror HTTP/1.1\r\nHost: storm\r\nContent-Length: 4\r\n\r\nbody",
    "GET /redirect HTTP/1.1\r\nHost: storm\r\n\r\n",
    "POST /direct HTTP/1.1\r\nHost: storm\r\nContent-Length: 4\r\n\r\nbody",
    "GET /headers HTTP/1.0\r\nHost: storm\r\nConnection: keep-alive\r\n\r\n",
    "GET /get HTTP/1.0\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: storm\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET http://storm/get HTTP/1.1\r\nHost: storm\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: storm\r\n\r\n",
    "GARBAGE\r\n\r\n",
};

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
    "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "nonsense\r\n\r\n",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct storm {
	struct stage stage;
	uint64_t random;
	/* What each side is about to say. */
	char request[256], response[256];
	size_t requested, request_len, responded, response_len;
	bool program_shut, server_shut;
};

static unsigned draw(struct storm *storm, unsigned below)
{
	uint64_t x = storm->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	storm->random = x;
	return (unsigned)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % below;
}

static struct script script = {.file = "test_exchange_storm"};

static struct rules *load(void)
{
	struct diags diags;

	diags_init(&diags);
	struct rules *rules = rules_load("tests/replay/storm.cfg", &diags);
	ck_assert_msg(rules != NULL, "%s", diags.first ? diags.first->text : "");
	diags_release(&diags);
	return rules;
}

static void begin(struct storm *storm, struct rules *rules)
{
	struct stage *s = &storm->stage;
	struct exchange_target target = {.name = "storm", .port = 80};
	uint64_t random = storm->random;
	struct io *ends[2];

	memset(storm, 0, sizeof(*storm));
	storm->random = random;
	s->script = &script;
	s->part = &script.parts[0];
	s->now = 1000;
	for (int i = 0; i < 16; i++)
		s->randoms[i] = draw(storm, UINT32_MAX);
	s->n_randoms = 16;
	target.rules = rules_ref(rules);
	target.kind = rules_connect(rules, target.name, target.port, &target.cluster);
	ck_assert_int_eq(target.kind, RULES_HTTP);
	memory_io_pair(ends, draw(storm, 4) ? 65536 : 1 + draw(storm, 64));
	s->program = ends[0];
	s->down = ends[1];
	memory_io_limit(s->down, draw(storm, 3) ? 0 : 1 + draw(storm, 40));
	s->exchange = exchange_new(&stage_ops, s, s->down, &target);
	ck_assert_ptr_nonnull(s->exchange);
	stage_drive(s);
}

static void connect_up(struct storm *storm)
{
	struct stage *s = &storm->stage;
	struct io *ends[2];

	s->acquiring = false;
	if (!draw(storm, 4)) {
		exchange_failed(s->exchange, (enum upstream_failure)draw(storm, 5), "weather");
		return;
	}
	io_close(s->server, draw(storm, 2));
	memory_io_pair(ends, draw(storm, 4) ? 65536 : 1 + draw(storm, 64));
	s->server = ends[0];
	s->up = ends[1];
	memory_io_limit(s->up, draw(storm, 3) ? 0 : 1 + draw(storm, 40));
	s->upstream = (struct upstream){.io = s->up, .reused = draw(storm, 2)};
	s->unseen = draw(storm, 2);
	s->acked = draw(storm, 2);
	s->no_retry = !draw(storm, 8);
	storm->response_len = storm->responded = 0;
	storm->server_shut = false;
	exchange_connected(s->exchange, &s->upstream);
}

/* The next message, now and then with a wrong byte in it. */
static void compose(struct storm *storm, const char *const *texts, unsigned n, char out[256],
		    size_t *len, size_t *done)
{
	const char *text = texts[draw(storm, n)];

	*len = strlen(text);
	*done = 0;
	memcpy(out, text, *len);
	if (!draw(storm, 12))
		out[draw(storm, (unsigned)*len)] = (char)draw(storm, 256);
}

/* Say some of it. */
static void speak(struct storm *storm, struct io *to, const char *text, size_t len, size_t *done)
{
	size_t piece = draw(storm, 3) ? len - *done : 1 + draw(storm, (unsigned)(len - *done));
	ssize_t n = io_write(to, text + *done, piece);

	if (n > 0)
		*done += (size_t)n;
	else if (n == IO_ERR)
		*done = len;
}

static void program_speaks(struct storm *storm)
{
	if (storm->program_shut)
		return;
	if (storm->requested == storm->request_len)
		compose(storm, requests, COUNT(requests), storm->request, &storm->request_len,
			&storm->requested);
	speak(storm, storm->stage.program, storm->request, storm->request_len, &storm->requested);
}

static void server_speaks(struct storm *storm)
{
	if (storm->server_shut || !storm->stage.server)
		return;
	if (storm->responded == storm->response_len)
		compose(storm, responses, COUNT(responses), storm->response, &storm->response_len,
			&storm->responded);
	speak(storm, storm->stage.server, storm->response, storm->response_len, &storm->responded);
}

static void listen_to(struct io *io)
{
	char drop[512];

	while (io && io_read(io, drop, sizeof(drop)) > 0)
		continue;
}

static void time_passes(struct storm *storm)
{
	struct stage *s = &storm->stage;

	if (s->timer) {
		s->now = s->timer;
		s->timer = 0;
	}
}

/* The network: rare things. */
static void trouble(struct storm *storm)
{
	struct stage *s = &storm->stage;

	switch (draw(storm, 7)) {
	case 0:
		io_shutdown(s->program);
		storm->program_shut = true;
		break;
	case 1:
		exchange_abandon(s->exchange);
		break;
	case 2:
		if (s->up)
			memory_io_break(s->up, "connection reset by peer");
		break;
	case 3: /* what it has said can still be read */
		io_close(s->server, false);
		s->server = NULL;
		break;
	default:
		if (s->server && !storm->server_shut) {
			if (s->up)
				s->up->truncated = draw(storm, 2);
			io_shutdown(s->server);
			storm->server_shut = true;
		}
	}
}

static void act(struct storm *storm)
{
	struct stage *s = &storm->stage;

	switch (draw(storm, 12)) {
	case 0:
	case 1:
	case 2:
		program_speaks(storm);
		break;
	case 3:
	case 4:
	case 5:
		server_speaks(storm);
		break;
	case 6:
		listen_to(s->program);
		break;
	case 7:
		listen_to(s->server);
		for (int i = 0; i < s->n_copies; i++)
			if (draw(storm, 2))
				listen_to(s->copies[i].stream);
		break;
	case 8:
		time_passes(storm);
		break;
	case 9:
		if (!draw(storm, 3))
			trouble(storm);
		break;
	default:
		if (s->acquiring)
			connect_up(storm);
	}
}

/* Both sides have gone, and time goes on: the exchange has to find its end. */
static void finish(struct storm *storm)
{
	struct stage *s = &storm->stage;

	for (int i = 0; i < 200 && s->exchange; i++) {
		if (!storm->program_shut) {
			io_shutdown(s->program);
			storm->program_shut = true;
		}
		if (s->acquiring) {
			s->acquiring = false;
			exchange_failed(s->exchange, UPSTREAM_CONNECT, "the end");
		}
		if (s->up && s->server && !storm->server_shut) {
			io_shutdown(s->server);
			storm->server_shut = true;
		}
		listen_to(s->program);
		listen_to(s->server);
		for (int j = 0; j < s->n_copies; j++)
			listen_to(s->copies[j].stream);
		stage_drive(s);
		if (s->exchange)
			time_passes(storm);
	}
	ck_assert_msg(!s->exchange, "waits in step %s for what cannot come",
		      exchange_step(s->exchange));
	ck_assert_ptr_null(s->up);
	io_close(s->program, false);
	io_close(s->server, false);
	for (int i = 0; i < s->n_copies; i++)
		io_close(s->copies[i].stream, false);
}

START_TEST(exchanges_end)
{
	struct storm *storm = calloc(1, sizeof(*storm));
	struct rules *rules = load();

	storm->random = 0x9E3779B97F4A7C15u * (unsigned)(_i + 1);
	for (int i = 0; i < STORMS; i++) {
		begin(storm, rules);
		for (unsigned n = 20 + draw(storm, 200); n && storm->stage.exchange; n--) {
			act(storm);
			if (storm->stage.exchange)
				stage_drive(&storm->stage);
		}
		finish(storm);
	}
	rules_unref(rules);
	free(storm);
}
END_TEST

Suite *exchange_storm_suite(void);
Suite *exchange_storm_suite(void)
{
	Suite *suite = suite_create("exchange_storm");
	TCase *storms = tcase_create("storm");

	tcase_add_loop_test(storms, exchanges_end, 0, SEEDS);
	tcase_set_timeout(storms, 120);
	suite_add_tcase(suite, storms);
	return suite;
}
