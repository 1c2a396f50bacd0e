/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of the bridge but its doors in a storm: programs that pipeline, upload, leave; origins that answer
 * early, late, in any framing, or break; pools, retries and mirrors between them. Every request has a
 * number that its answer repeats, so that an answer that gets to the wrong request is found out, and
 * a POST that no policy lets be sent again must not be whole at an origin twice.
 */
#include <check.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_scene.h"
#include "memory_io.h"
#include "rules/diag.h"
#include "shim/bridge/head.h"

#define SEEDS	 8
#define STORMS	 40 /* for each seed */
#define CALLERS	 12
#define REQUESTS 6 /* of each caller */
#define ROOM	 65536

struct text {
	char data[ROOM];
	size_t len, done;
};

struct caller {
	struct scene_program *program;
	unsigned asked; /* requests put into `says` */
	bool heads[REQUESTS];
	bool shut;
	struct text says, hears;
};

struct origin {
	struct text says, hears;
	bool ending, shut, broken;
	bool early; /* the request at the front has its answer already */
};

static uint64_t seed;
static struct caller callers[CALLERS];
static struct origin origins[ATTEMPTS];
static unsigned wholes[CALLERS * REQUESTS]; /* how often a request was whole at an origin */
static struct script script = {.file = "test_bridge_storm"};

static unsigned draw(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % n;
}

static void put(struct text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *to, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	to->len += (size_t)vsnprintf(to->data + to->len, ROOM - to->len, format, args);
	va_end(args);
	ck_assert_uint_lt(to->len, ROOM);
}

/* Say some of what is to be said. */
static void speak(struct io *io, struct text *text)
{
	size_t left = text->len - text->done;
	ssize_t n = left ? io_write(io, text->data + text->done,
				    draw(2) ? left : 1 + draw((unsigned)left))
			 : 0;

	if (n > 0)
		text->done += (size_t)n;
	else if (n == IO_ERR)
		text->done = text->len;
}

static void hear(struct io *io, struct text *text)
{
	ssize_t n;

	while ((n = io_read(io, text->data + text->len, ROOM - text->len)) > 0)
		text->len += (size_t)n;
	ck_assert_uint_lt(text->len, ROOM);
}

/* ---- callers ----------------------------------------------------------------------------- */

static void ask(struct caller *c)
{
	static const char *const paths[] = {"get", "get", "retry", "mirror", "headers", "fault"};
	const char *path = paths[draw(6)];
	unsigned id = (unsigned)(c - callers) * REQUESTS + c->asked;
	struct text *to = &c->says;

	switch (draw(4)) {
	case 0:
		c->heads[c->asked] = true;
		put(to, "HEAD /%s/%u HTTP/1.1\r\nHost: storm\r\n\r\n", path, id);
		break;
	case 1:
		put(to, "POST /%s/%u HTTP/1.1\r\nHost: storm\r\nContent-Length: 5\r\n\r\nhello", path,
		    id);
		break;
	case 2:
		put(to, "PUT /%s/%u HTTP/1.1\r\nHost: storm\r\nTransfer-Encoding: chunked\r\n%s\r\n"
			"5\r\nhello\r\n0\r\n\r\n", path, id, draw(2) ? "Expect: 100-continue\r\n" : "");
		break;
	default:
		put(to, "GET /%s/%u HTTP/1.1\r\nHost: storm\r\n%s\r\n", path, id,
		    draw(8) ? "" : "Connection: close\r\n");
	}
	c->asked++;
}

static void call(struct caller *c)
{
	if (!c->program) {
		if (scene.n_attempts < ATTEMPTS / 2)
			c->program = scene_connect("", "storm", 80);
		return;
	}
	if (!c->program->end)
		return;
	if (c->asked < REQUESTS && draw(2))
		ask(c);
	if (!c->shut)
		speak(c->program->end, &c->says);
	if (draw(2))
		hear(c->program->end, &c->hears);
	if (!draw(60) && !c->shut) {
		io_shutdown(c->program->end);
		c->shut = true;
	} else if (!draw(80)) {
		hear(c->program->end, &c->hears);
		scene_gone(c->program);
	}
}

static unsigned number_of(const struct http1_head *head, const char *name)
{
	const struct field *field = head_find(head, name, 0);

	return field ? (unsigned)strtoul(field->value, NULL, 10) : UINT_MAX;
}

/* What it heard are answers to what it asked, in that order; the last one may be cut short. */
static void judge(const struct caller *c)
{
	const char *data = c->hears.data;
	size_t left = c->hears.len;
	unsigned n = 0;

	while (left) {
		struct field fields[32];
		struct http1_head head;
		struct http1_body body;
		const char *why = "";
		size_t scanned = 0;
		ssize_t length = http1_head_length(data, left, &scanned, &why);

		ck_assert_msg(length >= 0, "%s", why);
		if (!length)
			return;
		ck_assert_uint_lt(n, c->asked);
		ck_assert_msg(http1_parse_response(data, (size_t)length, c->heads[n], fields, 32, &head,
						   &why) == 0, "%s", why);
		unsigned number = number_of(&head, "X-Number");
		if (number != UINT_MAX)
			ck_assert_uint_eq(number, (unsigned)(c - callers) * REQUESTS + n);
		data += length;
		left -= (size_t)length;
		if (head.status < 200)
			continue;
		http1_body_init(&body, &head);
		length = http1_body_feed(&body, data, left, NULL, NULL);
		ck_assert_int_ge(length, 0);
		data += length;
		left -= (size_t)length;
		n++;
	}
}

/* ---- origins ----------------------------------------------------------------------------- */

static void answer(struct origin *o, unsigned number, bool head)
{
	struct text *to = &o->says;

	if (!draw(6))
		put(to, "HTTP/1.1 10%u Interim\r\nX-Number: %u\r\n\r\n", draw(2) * 3, number);
	switch (draw(8)) {
	case 0:
		put(to, "HTTP/1.1 204 No Content\r\nX-Number: %u\r\n\r\n", number);
		break;
	case 1:
		put(to, "HTTP/1.1 503 Busy\r\nX-Number: %u\r\nContent-Length: 4\r\n\r\n%s", number,
		    head ? "" : "busy");
		break;
	case 2:
		put(to, "HTTP/1.1 200 OK\r\nX-Number: %u\r\nTransfer-Encoding: chunked\r\n\r\n%s", number,
		    head ? "" : "3\r\nabc\r\n0\r\nT: x\r\n\r\n");
		break;
	case 3:
		put(to, "HTTP/1.1 200 OK\r\nX-Number: %u\r\n\r\n%s", number, head ? "" : "to the end");
		o->ending = true;
		break;
	case 4:
		put(to, "HTTP/1.1 200 OK\r\nX-Number: %u\r\nConnection: close\r\nContent-Length: 3\r\n\r\n%s",
		    number, head ? "" : "end");
		o->ending = true;
		break;
	case 5:
		o->ending = true; /* no answer at all */
		break;
	default:
		put(to, "HTTP/1.1 200 OK\r\nX-Number: %u\r\nContent-Length: 5\r\n\r\n%s", number,
		    head ? "" : "hello");
	}
}

/* Look at the request at the front; answer it if it is whole, and now and then if it is not. */
static void serve(struct origin *o)
{
	struct text *from = &o->hears;
	struct field fields[32];
	struct http1_head head;
	struct http1_body body;
	const char *why = "", *data = from->data + from->done;
	size_t scanned = 0, left = from->len - from->done;
	ssize_t length = http1_head_length(data, left, &scanned, &why);

	ck_assert_msg(length >= 0, "%s", why);
	if (!length || o->ending)
		return;
	ck_assert_msg(http1_parse_request(data, (size_t)length, fields, 32, &head, &why) == 0, "%s",
		      why);
	const char *slash = memrchr(head.target, '/', head.target_len);
	unsigned number = (unsigned)strtoul(slash + 1, NULL, 10);
	http1_body_init(&body, &head);
	ssize_t rest = http1_body_feed(&body, data + length, left - (size_t)length, NULL, NULL);
	ck_assert_int_ge(rest, 0);
	if (!body.done) {
		if (head.expect_continue && !draw(4))
			put(&o->says, "HTTP/1.1 100 Continue\r\nX-Number: %u\r\n\r\n", number);
		if (!o->early && !draw(6)) {
			answer(o, number, false);
			o->early = true;
			o->ending = o->ending || draw(2);
		}
		return;
	}
	ck_assert_uint_lt(number, CALLERS * REQUESTS);
	if (*head.method == 'P' && memmem(head.target, head.target_len, "/retry/", 7) == NULL &&
	    memmem(head.target, head.target_len, "/mirror/", 8) == NULL)
		ck_assert_msg(++wholes[number] == 1, "request %u was sent twice", number);
	from->done += (size_t)(length + rest);
	if (!o->early)
		answer(o, number, *head.method == 'H');
	o->early = false;
}

static void host(size_t i)
{
	struct scene_attempt *a = &scene.attempts[i];
	struct origin *o = &origins[i];

	if (memory_io_is_closed(a->ours) || o->broken)
		return;
	if (io_handshake(a->ours) == IO_WANT_WRITE) {
		if (draw(6))
			memory_io_connecting(a->ours, false);
		else
			o->broken = true;
		if (o->broken)
			memory_io_break(a->ours, "connect: Connection refused");
		return;
	}
	hear(a->host, &o->hears);
	if (!o->shut && draw(4))
		serve(o);
	if (!o->shut)
		speak(a->host, &o->says);
	if (!o->shut && ((o->ending && o->says.done == o->says.len) || !draw(150))) {
		io_shutdown(a->host);
		o->shut = true;
	} else if (!draw(200)) {
		memory_io_break(a->ours, "connection reset by peer");
		o->broken = true;
	}
}

/* ---- the storm --------------------------------------------------------------------------- */

static void blow(struct rules *rules)
{
	memset(callers, 0, sizeof(callers));
	memset(origins, 0, sizeof(origins));
	memset(wholes, 0, sizeof(wholes));
	scene_open(&script, draw(3) ? 0 : 1 + draw(20));
	scene.rules = rules_ref(rules);
	for (int n = 0; n < 1500; n++) {
		if (draw(2))
			call(&callers[draw(CALLERS)]);
		else if (scene.n_attempts)
			host(draw((unsigned)scene.n_attempts));
		if (!draw(40))
			scene_advance(draw(400));
		else if (draw(3))
			scene_settle();
	}
	for (size_t i = 0; i < scene.n_attempts; i++)
		scene.attempts[i].spoken_of = true;
	for (size_t i = 0; i < CALLERS; i++) {
		if (callers[i].program && callers[i].program->end)
			hear(callers[i].program->end, &callers[i].hears);
		judge(&callers[i]);
	}
	scene_close();
}

START_TEST(answers_find_their_requests)
{
	struct diags diags;

	diags_init(&diags);
	struct rules *rules = rules_load("tests/replay/storm.cfg", &diags);
	ck_assert_msg(rules != NULL, "%s", diags.first ? diags.first->text : "");
	diags_release(&diags);
	seed = 77u * (unsigned)(_i + 1);
	for (int i = 0; i < STORMS; i++)
		blow(rules);
	rules_unref(rules);
}
END_TEST

Suite *bridge_storm_suite(void);
Suite *bridge_storm_suite(void)
{
	Suite *suite = suite_create("bridge_storm");
	TCase *storms = tcase_create("storm");

	tcase_add_loop_test(storms, answers_find_their_requests, 0, SEEDS);
	tcase_set_timeout(storms, 120);
	suite_add_tcase(suite, storms);
	return suite;
}
