/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange from its start to the upstream connection, and what comes after the answer. The
 * answer itself is relay.c's.
 *
 * A head is copied to the arena once it is complete, so that nothing that points into it moves
 * while bodies pass through the buffers.
 */
#include "shim/bridge/exchange_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "shim/log.h"

#define BUFFER_SIZE 16384
#define HEAD_ROOM   2048
#define DRIVE_BYTES 1048576 /* then others have their turn */
#define DRIVE_STEPS 64
#define LINGER_MS   5000

/* Room for fields that are added: Host, Connection. */
#define SPARE_FIELDS 4

/* ---- helpers ---------------------------------------------------------------------------- */

int exchange_room(struct buf *buf, size_t length)
{
	if (buf_room(buf) >= length)
		return 0;
	return buf_grow(buf, buf_len(buf) + length);
}

void exchange_release(struct exchange *x, bool reusable, bool reset)
{
	if (x->acquiring) {
		x->acquiring = false;
		x->ops->cancel(x);
	}
	if (x->up) {
		struct upstream *up = x->up;

		x->up = NULL;
		x->ops->release(x, up, reusable, reset);
	}
}

bool exchange_request_done(const struct exchange *x)
{
	return x->sending.body.done && !x->sending.ready;
}

enum step_result exchange_break(struct exchange *x)
{
	exchange_release(x, false, true);
	x->down_reset = true; /* closed by exchange_free(), behind loop_unwatch() */
	x->gone = true;
	return STEP_DONE;
}

size_t exchange_count_lines(const char *data, size_t n)
{
	size_t lines = 0;

	for (const char *end = data + n; (data = memchr(data, '\n', (size_t)(end - data))); data++)
		lines++;
	return lines;
}

/* ---- head: read and parse a request head ------------------------------------------------ */

static void request_reset(struct exchange *x)
{
	arena_reset(&x->arena);
	memset(&x->request, 0, sizeof(x->request));
	memset(&x->response, 0, sizeof(x->response));
	memset(&x->verdict, 0, sizeof(x->verdict));
	memset(&x->sending, 0, sizeof(x->sending));
	memset(&x->receiving, 0, sizeof(x->receiving));
	x->scanned = x->up_scanned = x->head_sent = 0;
	x->interim = 0;
	x->method = x->authority = x->path = NULL;
	x->send_broken = x->failed = x->responding = x->have_response = false;
	x->up_keep = x->keep = x->want_fresh = false;
	buf_take(&x->up_out, buf_len(&x->up_out));
	buf_take(&x->up_in, buf_len(&x->up_in));
}

static enum step_result bad_request(struct exchange *x, unsigned status, const char *why)
{
	x->keep = false;
	x->sending.body.done = false; /* whatever follows cannot be framed */
	return answer_local(x, status, "DPE", why);
}

static enum step_result parse_head(struct exchange *x, size_t length)
{
	const char *why = NULL;
	char *text = arena_strndup(&x->arena, buf_data(&x->down_in), length);

	if (!text)
		return exchange_break(x);
	buf_take(&x->down_in, length);
	x->max_fields = exchange_count_lines(text, length) + SPARE_FIELDS;
	size_t room = x->max_fields - SPARE_FIELDS;
	struct field *fields = arena_alloc(&x->arena, x->max_fields * sizeof(*fields));
	if (!fields)
		return exchange_break(x);
	if (room > HTTP1_FIELDS_MAX)
		room = HTTP1_FIELDS_MAX;
	switch (http1_parse_request(text, length, fields, room, &x->request, &why)) {
	case 0:
		break;
	case -431:
		return bad_request(x, 431, NULL);
	case -505:
		return bad_request(x, 505, "meshshim speaks HTTP/1.0 and HTTP/1.1 only");
	default:
		return bad_request(x, 400, why);
	}
	http1_body_init(&x->sending.body, &x->request);
	x->keep = x->request.keep_alive;
	x->step = &step_route;
	return STEP_MORE;
}

static enum step_result run_head(struct exchange *x)
{
	for (;;) {
		const char *why = NULL;

		if (!x->scanned)
			buf_take(&x->down_in, http1_skip_empty_lines(buf_data(&x->down_in),
								     buf_len(&x->down_in)));
		ssize_t length = http1_head_length(buf_data(&x->down_in), buf_len(&x->down_in),
						   &x->scanned, &why);
		if (length < 0)
			return bad_request(x, 400, why);
		if (length > HTTP1_HEAD_MAX)
			return bad_request(x, 431, NULL);
		if (length > 0)
			return parse_head(x, (size_t)length);
		if (buf_len(&x->down_in) >= HTTP1_HEAD_MAX)
			return bad_request(x, 431, NULL);
		if (!buf_room(&x->down_in) && buf_grow(&x->down_in, HTTP1_HEAD_MAX) < 0)
			return exchange_break(x);
		ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);
		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return STEP_WAIT;
		if (n <= 0) /* the end, lawful or in the middle of a head: nobody to answer */
			return STEP_DONE;
	}
}

const struct step step_head = {"head", run_head};

/* ---- route: rules, rewriting ------------------------------------------------------------- */

/* Split an absolute-form target (RFC 9112 3.2.2). Returns -1 if it is malformed. */
static int absolute_form(struct exchange *x, const char *target)
{
	const char *start = strstr(target, "://");

	if (!start)
		return -1;
	start += 3;
	size_t n = strcspn(start, "/?#");
	if (!n || memchr(start, '@', n))
		return -1;
	x->authority = arena_strndup(&x->arena, start, n);
	const char *rest = start + n;
	if (*rest == '/') {
		x->path = rest;
	} else if (!*rest && !strcmp(x->method, "OPTIONS")) {
		x->path = "*"; /* RFC 9112 3.2.4 */
	} else {
		char *path = arena_alloc(&x->arena, strlen(rest) + 2);

		if (path) {
			path[0] = '/';
			strcpy(path + 1, rest);
		}
		x->path = path;
	}
	return x->authority && x->path ? 0 : -1;
}

/* Find authority and path of the request. NULL: fine, else why it is a bad request. */
static const char *read_target(struct exchange *x)
{
	const struct field *host = head_find(&x->request, "host", 0);
	char *target = arena_strndup(&x->arena, x->request.target, x->request.target_len);

	if (head_count(&x->request, "host") > 1)
		return "more than one Host field";
	if (!host && x->request.minor >= 1)
		return "no Host field";
	if (host)
		x->authority = arena_strndup(&x->arena, host->value, host->value_len);
	else if (x->target.port == 80)
		x->authority = x->target.name;
	else {
		char *authority = arena_alloc(&x->arena, strlen(x->target.name) + 8);

		if (authority)
			sprintf(authority, "%s:%u", x->target.name, (unsigned)x->target.port);
		x->authority = authority;
	}
	x->path = target;
	if (!target || !x->authority)
		return "out of memory";
	target[strcspn(target, "#")] = '\0'; /* a fragment is none of a server's business */
	bool absolute = ascii_equal_nocase_n(target, "http://", 7) ||
			ascii_equal_nocase_n(target, "https://", 8);
	if (absolute ? absolute_form(x, target) < 0 :
		       *target != '/' && (strcmp(target, "*") || strcmp(x->method, "OPTIONS")))
		return "malformed request target";
	/* What cannot be a host could be one host to us and another to the destination. */
	return strpbrk(x->authority, " \t,@/\\?#\"<>^`{|}") ? "malformed Host" : NULL;
}

/* The target as the verdict leaves it. NULL: it cannot be made, out of bounds or out of memory. */
static const char *rewritten_target(struct exchange *x)
{
	size_t size = strlen(x->path) + 256, n;
	char *out = arena_alloc(&x->arena, size);

	if (!out)
		return NULL;
	n = rules_rewrite_target(&x->verdict, x->path, out, size);
	if (n < size)
		return out;
	/* One that has grown much is made again, in a place of its length. */
	out = n != SIZE_MAX ? arena_alloc(&x->arena, n + 1) : NULL;
	if (out)
		rules_rewrite_target(&x->verdict, x->path, out, n + 1);
	return out;
}

/* Apply the verdict: target, Host, and the fields that are between us and the program only. */
static int rewrite_request(struct exchange *x, const char *target)
{
	const struct verdict *v = &x->verdict;

	x->request.target = target;
	x->request.target_len = (uint32_t)strlen(target);
	if (x->request.minor == 0)
		head_remove(&x->request, "expect"); /* RFC 9110 10.1.1 */
	head_strip_hop_by_hop(&x->request, x->request.upgrade && x->request.minor >= 1);
	if (head_set(&x->request, x->max_fields, "Host",
		     v->authority ? v->authority : x->authority) < 0)
		return -1;
	buf_take(&x->up_out, buf_len(&x->up_out));
	if (exchange_room(&x->up_out, head_length(&x->request)) < 0)
		return -1;
	return head_write(&x->request, &x->up_out) < 0 ? -1 : 0;
}

static enum step_result run_route(struct exchange *x)
{
	const char *why, *target;

	x->method = arena_strndup(&x->arena, x->request.method, x->request.method_len);
	if (!x->method)
		return exchange_break(x);
	if (!strcmp(x->method, "CONNECT"))
		return bad_request(x, 501, "meshshim does not tunnel CONNECT: let the program "
					   "connect to the host itself");
	why = read_target(x);
	if (why)
		return bad_request(x, 400, why);

	struct rules_request request = {
	    .method = x->method,
	    .authority = x->authority,
	    .path = x->path,
	    .dialled = x->target.name,
	    .port = x->target.port,
	    .fields = x->request.fields,
	    .n_fields = x->request.n_fields,
	    .random = x->ops->random(x),
	};
	rules_match(x->target.rules, &request, &x->verdict);
	if (x->verdict.regex_limit)
		log_warn("%s: a regular expression takes too long on the path \"%.200s\" and counts "
			 "as no match", x->target.name, x->path);
	switch (x->verdict.action) {
	case RULES_ROUTE:
		break;
	case RULES_NO_ROUTE:
		return answer_local(x, 404, "NR", NULL);
	case RULES_NO_CLUSTER:
		return answer_local(x, 503, "NC", NULL);
	case RULES_REQUEST_BLOCKED:
	case RULES_REQUEST_DIRECT:
		return answer_local(x, 502, "NR", NULL);
	case RULES_REDIRECT:
	case RULES_DIRECT_RESPONSE:
		/* Rules that have these are refused when they are loaded (rules_gaps()). */
		return answer_local(x, 500, "-", NULL);
	}
	if (rules_server_name(x->verdict.cluster,
			      x->verdict.authority ? x->verdict.authority : x->authority,
			      x->server_name, sizeof(x->server_name)) < 0)
		return bad_request(x, 400, "Host is too long");
	target = rewritten_target(x);
	if (!target)
		return answer_local(x, 500, "-", "the request target cannot be rewritten");
	if (rewrite_request(x, target) < 0)
		return exchange_break(x);
	log_debug("%s:%u %s %s -> %s:%u as %s", x->target.name, (unsigned)x->target.port,
		  x->method, x->path, x->verdict.cluster->host,
		  (unsigned)x->verdict.cluster->port, x->server_name);
	x->step = &step_acquire;
	return STEP_MORE;
}

const struct step step_route = {"route", run_route};

/* ---- acquire: an upstream connection ----------------------------------------------------- */

static enum step_result run_acquire(struct exchange *x)
{
	bool http = x->target.kind == RULES_HTTP;

	if (!x->up && !x->acquiring && !x->failed) {
		x->acquiring = true;
		x->ops->acquire(x, http ? x->verdict.cluster : x->target.cluster, x->server_name,
				http, x->want_fresh);
	}
	if (x->failed) {
		x->failed = false;
		if (http)
			return answer_failure(x, x->failure, x->reason);
		log_info("%s:%u: %s", x->target.name, (unsigned)x->target.port, x->reason);
		return exchange_break(x);
	}
	if (!x->up)
		return STEP_WAIT;
	x->head_sent = 0;
	x->send_broken = false;
	x->step = http ? &step_relay : &step_tunnel;
	return STEP_MORE;
}

const struct step step_acquire = {"acquire", run_acquire};

void exchange_connected(struct exchange *x, struct upstream *upstream)
{
	x->acquiring = false;
	x->up = upstream;
}

void exchange_failed(struct exchange *x, enum upstream_failure failure, const char *reason)
{
	x->acquiring = false;
	x->failed = true;
	x->failure = failure;
	snprintf(x->reason, sizeof(x->reason), "%s", reason);
}

/* ---- next and linger: after the answer --------------------------------------------------- */

static enum step_result run_next(struct exchange *x)
{
	bool whole = exchange_request_done(x);
	bool sent = whole && x->head_sent == buf_len(&x->up_out) && !x->send_broken;

	/* Bytes that came behind the response belong to nobody: such a connection is not kept. */
	exchange_release(x, sent && x->have_response && x->up_keep && !buf_len(&x->up_in), !sent);
	if (whole && x->keep && !x->down_eof) {
		request_reset(x);
		x->step = &step_head;
		return STEP_MORE;
	}
	/* Closing with unread bytes would reset the connection, and the reset could overtake the
	 * answer: read them away first (RFC 9112 9.6). */
	if (x->down_eof || (whole && !buf_len(&x->down_in)))
		return STEP_DONE;
	x->step = &step_linger;
	x->timed_out = false;
	x->ops->timer(x, LINGER_MS);
	return STEP_MORE;
}

const struct step step_next = {"next", run_next};

static enum step_result run_linger(struct exchange *x)
{
	if (!x->down_shut) {
		int n = io_shutdown(x->down);

		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return x->timed_out ? STEP_DONE : STEP_WAIT;
		if (n < 0)
			return STEP_DONE;
		x->down_shut = true;
	}
	for (;;) {
		buf_take(&x->down_in, buf_len(&x->down_in));
		ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);

		if (x->timed_out)
			return STEP_DONE;
		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return STEP_WAIT;
		if (n <= 0)
			return STEP_DONE;
		if ((size_t)n >= x->budget)
			return STEP_MORE;
		x->budget -= (size_t)n;
	}
}

const struct step step_linger = {"linger", run_linger};

void exchange_timeout(struct exchange *x)
{
	x->timed_out = true;
}

void exchange_abandon(struct exchange *x)
{
	x->gone = true;
}

/* ---- the object -------------------------------------------------------------------------- */

struct exchange *exchange_new(const struct exchange_ops *ops, void *env, struct io *down,
			      const struct exchange_target *target)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x || buf_init(&x->down_in, BUFFER_SIZE) < 0 || buf_init(&x->up_in, BUFFER_SIZE) < 0 ||
	    buf_init(&x->up_out, HEAD_ROOM) < 0 || buf_init(&x->down_out, HEAD_ROOM) < 0) {
		if (x) {
			buf_release(&x->down_in);
			buf_release(&x->up_in);
			buf_release(&x->up_out);
			free(x);
		}
		io_close(down, true);
		rules_unref(target->rules);
		return NULL;
	}
	arena_init(&x->arena);
	x->ops = ops;
	x->env = env;
	x->down = down;
	x->target = *target;
	request_reset(x);
	if (target->kind == RULES_HTTP) {
		x->step = &step_head;
	} else {
		x->step = &step_acquire;
		x->want_fresh = true;
		x->verdict.destination = target->cluster->host;
		if (rules_server_name(target->cluster, target->name, x->server_name,
				      sizeof(x->server_name)) < 0)
			x->server_name[0] = '\0';
	}
	return x;
}

void *exchange_env(const struct exchange *x)
{
	return x->env;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	x->ops->timer(x, 0);
	exchange_release(x, false, true);
	io_close(x->down, x->down_reset);
	buf_release(&x->down_in);
	buf_release(&x->up_in);
	buf_release(&x->up_out);
	buf_release(&x->down_out);
	arena_release(&x->arena);
	rules_unref(x->target.rules);
	free(x);
}

enum exchange_result exchange_drive(struct exchange *x)
{
	x->budget = DRIVE_BYTES;
	for (int steps = 0; steps < DRIVE_STEPS; steps++) {
		if (x->gone)
			return EXCHANGE_DONE;
		if (!x->budget)
			return EXCHANGE_MORE;
		switch (x->step->run(x)) {
		case STEP_WAIT:
			return EXCHANGE_WAIT;
		case STEP_DONE:
			return EXCHANGE_DONE;
		case STEP_MORE:
			break;
		}
	}
	return EXCHANGE_MORE;
}

bool exchange_awaits_request(const struct exchange *x)
{
	return x->step == &step_head ? buf_len(&x->down_in) > 0 : !x->sending.body.done;
}

const char *exchange_step(const struct exchange *x)
{
	return x->step->name;
}
