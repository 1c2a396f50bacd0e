/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange from its start to the upstream connection, and what comes after the answer. What
 * lies between is route.c's, fault.c's, retry.c's and relay.c's.
 *
 * A head is copied to the arena once it is complete, so that nothing that points into it moves
 * while bodies pass through the buffers.
 *
 * Between two requests there are no buffers, and no memory in the arenas: a program may have many
 * connections that do nothing, and the allocator gives to one what another has just given back.
 */
#include "shim/bridge/exchange_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "shim/bridge/resilience.h"
#include "shim/log.h"

#define BUFFER_SIZE 16384
#define HEAD_ROOM   2048
#define DRIVE_BYTES 1048576 /* then others have their turn */
#define DRIVE_STEPS 64
#define LINGER_MS   5000

#define TLS_HANDSHAKE 22 /* how TLS begins (RFC 8446 5.1), and HTTP cannot */
#define HEAD_TOO_LONG "the head of the request is longer than 65536 bytes"

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
	if (x->acquiring || x->retrying) {
		x->acquiring = x->retrying = false;
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

static void give_buffers(struct exchange *x)
{
	buf_release(&x->down_in);
	buf_release(&x->up_in);
	buf_release(&x->up_out);
	buf_release(&x->down_out);
	arena_release(&x->arena);
	arena_release(&x->up_arena);
}

/* All of them, or none. Returns 0 or -1 (no memory). */
static int take_buffers(struct exchange *x)
{
	if (x->down_in.block)
		return 0;
	if (buf_init(&x->down_in, BUFFER_SIZE) == 0 && buf_init(&x->up_in, BUFFER_SIZE) == 0 &&
	    buf_init(&x->up_out, HEAD_ROOM) == 0 && buf_init(&x->down_out, HEAD_ROOM) == 0)
		return 0;
	give_buffers(x);
	return -1;
}

/* ---- head: read and parse a request head ------------------------------------------------ */

static void request_reset(struct exchange *x)
{
	mirror_drop(x); /* they are in the arena */
	arena_reset(&x->arena);
	arena_reset(&x->up_arena);
	memset(&x->request, 0, sizeof(x->request));
	memset(&x->response, 0, sizeof(x->response));
	memset(&x->verdict, 0, sizeof(x->verdict));
	memset(&x->sending, 0, sizeof(x->sending));
	memset(&x->receiving, 0, sizeof(x->receiving));
	memset(&x->policy, 0, sizeof(x->policy));
	resend_release(x);
	timeout_stop(x);
	x->scanned = x->up_scanned = x->head_sent = 0;
	x->interim = x->attempt = 0;
	x->method = x->authority = x->path = x->dynamic = NULL;
	memset(&x->hash, 0, sizeof(x->hash));
	x->send_broken = x->failed = x->responding = x->have_response = false;
	x->up_keep = x->keep = x->want_fresh = false;
	x->delayed = x->clocked = x->exhausted = x->sent_lost = false;
	x->flag = NULL;
	buf_take(&x->up_out, buf_len(&x->up_out));
	buf_take(&x->up_in, buf_len(&x->up_in));
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
		return answer_bad_request(x, 431, "more than 1024 header fields");
	case -505:
		return answer_bad_request(x, 505, "meshshim speaks HTTP/1.0 and HTTP/1.1 only");
	default:
		return answer_bad_request(x, 400, why);
	}
	http1_body_init(&x->sending.body, &x->request);
	x->keep = x->request.keep_alive;
	x->step = &step_route;
	return STEP_MORE;
}

/* There is nothing more to read now. */
static enum step_result wait_for_head(struct exchange *x)
{
	if (!buf_len(&x->down_in))
		give_buffers(x);
	return STEP_WAIT;
}

static enum step_result run_head(struct exchange *x)
{
	if (take_buffers(x) < 0)
		return exchange_break(x);
	for (;;) {
		const char *why = NULL;

		if (buf_len(&x->down_in) && *buf_data(&x->down_in) == TLS_HANDSHAKE)
			return peek_refuse_hello(x);
		if (!x->scanned)
			buf_take(&x->down_in, http1_skip_empty_lines(buf_data(&x->down_in),
								     buf_len(&x->down_in)));
		ssize_t length = http1_head_length(buf_data(&x->down_in), buf_len(&x->down_in),
						   &x->scanned, &why);
		if (length < 0)
			return answer_bad_request(x, 400, why);
		if (length > HTTP1_HEAD_MAX)
			return answer_bad_request(x, 431, HEAD_TOO_LONG);
		if (length > 0)
			return parse_head(x, (size_t)length);
		if (buf_len(&x->down_in) >= HTTP1_HEAD_MAX)
			return answer_bad_request(x, 431, HEAD_TOO_LONG);
		if (!buf_room(&x->down_in) && buf_grow(&x->down_in, HTTP1_HEAD_MAX) < 0)
			return exchange_break(x);
		ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);
		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return wait_for_head(x);
		if (n <= 0) /* the end, lawful or in the middle of a head: nobody to answer */
			return STEP_DONE;
		if ((size_t)n >= x->budget) /* empty lines without end */
			return STEP_MORE;
		x->budget -= (size_t)n;
	}
}

const struct step step_head = {"head", run_head};

/* ---- acquire: an upstream connection ----------------------------------------------------- */

static enum step_result run_acquire(struct exchange *x)
{
	bool http = x->target.kind == RULES_HTTP;

	if (timeout_ran_out(x))
		return x->gone ? STEP_DONE : STEP_MORE;
	if (!x->up && !x->acquiring && !x->failed) {
		const struct acquisition wish = {
		    .cluster = x->verdict.cluster,
		    .server_name = x->server_name,
		    .dynamic = x->dynamic,
		    .encrypted = x->encrypted,
		    .http = http,
		    .fresh = x->want_fresh,
		    .attempt = x->attempt,
		    .other_host = x->attempt && x->policy.other_host,
		    .hashed = x->hash.hashed,
		    .hash = x->hash.hash,
		};

		x->acquiring = true;
		x->retrying = false;
		x->ops->acquire(x, &wish);
	}
	if (x->failed && x->failure == UPSTREAM_NOT_READY) {
		x->failed = false;
		return STEP_WAIT; /* for the bridge's thread, which asks anew */
	}
	if (x->failed) {
		x->failed = false;
		if (http && retry_after_failure(x))
			return STEP_MORE;
		if (http)
			return answer_failure(x, x->failure, x->reason);
		log_info("%s:%u -> %s: %s", x->target.name, (unsigned)x->target.port,
			 x->verdict.destination, x->reason);
		return exchange_break(x);
	}
	if (!x->up) {
		relay_read_ahead(x);
		return STEP_WAIT;
	}
	x->head_sent = 0;
	x->send_broken = false;
	resend_rewind(x);
	timeout_connected(x);
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
	bool sent = whole && x->head_sent == buf_len(&x->up_out) && !resend_left(x) &&
		    !x->send_broken && !(x->up && io_unsent(x->up->io));

	timeout_stop(x);
	mirror_drop(x);
	/* Bytes that came behind the response belong to nobody: such a connection is not kept. */
	exchange_release(x, sent && x->have_response && x->up_keep && !buf_len(&x->up_in), !sent);
	if (whole && x->keep && !x->down_eof) {
		request_reset(x);
		x->step = &step_head;
		return STEP_MORE;
	}
	/* Closing with unread bytes would reset the connection, and the reset could overtake the
	 * answer: read them away first (RFC 9112 9.6). */
	if (x->down_eof || (whole && !buf_len(&x->down_in) &&
			    buf_read_from(&x->down_in, x->down, SIZE_MAX) <= 0))
		return STEP_DONE;
	x->step = &step_linger;
	deadline_set(x, DEADLINE_LINGER, LINGER_MS);
	return STEP_MORE;
}

const struct step step_next = {"next", run_next};

static enum step_result run_linger(struct exchange *x)
{
	if (!x->down_shut) {
		int n = io_shutdown(x->down);

		if (n == IO_WANT_READ || n == IO_WANT_WRITE)
			return deadline_passed(x, DEADLINE_LINGER) ? STEP_DONE : STEP_WAIT;
		if (n < 0)
			return STEP_DONE;
		x->down_shut = true;
	}
	for (;;) {
		buf_take(&x->down_in, buf_len(&x->down_in));
		ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);

		if (deadline_passed(x, DEADLINE_LINGER))
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

void exchange_abandon(struct exchange *x)
{
	/* Where there is an answer to wait for, nobody waits for it any more. Bytes have been said. */
	if (x->step == &step_tunnel)
		x->leaving = true;
	else
		x->gone = true;
}

/* ---- the object -------------------------------------------------------------------------- */

struct exchange *exchange_new(const struct exchange_ops *ops, void *env, struct io *down,
			      const struct exchange_target *target)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x || take_buffers(x) < 0) {
		free(x);
		io_close(down, true);
		rules_unref(target->rules);
		return NULL;
	}
	arena_init(&x->arena);
	arena_init(&x->up_arena);
	x->ops = ops;
	x->env = env;
	x->down = down;
	x->target = *target;
	request_reset(x);
	x->step = target->kind == RULES_HTTP ? &step_head : &step_peek;
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
	mirror_drop(x);
	io_close(x->down, x->down_reset);
	give_buffers(x);
	resend_release(x);
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
	if (x->step == &step_head || x->step == &step_peek)
		return buf_len(&x->down_in) > 0;
	return !x->sending.body.done;
}

bool exchange_is_idle(const struct exchange *x)
{
	return x->step == &step_head && !buf_len(&x->down_in) && !buf_len(&x->down_out) && !x->gone;
}

struct upstream *exchange_upstream(const struct exchange *x)
{
	return x->up;
}

bool exchange_has_unsent(const struct exchange *x)
{
	return buf_len(&x->down_in) || x->head_sent < buf_len(&x->up_out) ||
	       (x->up && io_unsent(x->up->io));
}

bool exchange_has_unread(const struct exchange *x)
{
	return buf_len(&x->down_out) || buf_len(&x->up_in) || (x->up && io_pending(x->up->io));
}

bool exchange_has_sent_all(const struct exchange *x)
{
	return x->sending.body.done && !exchange_has_unsent(x);
}

struct upstream *exchange_relays(const struct exchange *x)
{
	return x->step == &step_relay ? x->up : NULL;
}

bool exchange_hand_back(struct exchange *x)
{
	bool acquires = x->step == &step_acquire && !x->acquiring && !x->up && !x->attempt &&
			!x->want_fresh && !x->delayed && !x->n_mirrors;

	if (x->gone || (!acquires && x->step != &step_head))
		return false;
	buf_take(&x->down_in, buf_len(&x->down_in));
	request_reset(x);
	x->step = &step_head;
	return true;
}

const char *exchange_step(const struct exchange *x)
{
	return x->step->name;
}
