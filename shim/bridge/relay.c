/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request up, response down, both at once: a destination may answer before it has read the whole
 * request, and 1xx answers come in between. Bodies go from the buffer they were read into straight
 * to the other stream, in the framing in which they came; http1_body only watches them pass to
 * know where the message ends. The one exception is a chunked answer to an HTTP/1.0 program, whose
 * framing is taken off.
 *
 * The request head stays in up_out until the request is over, and resend.c keeps the body, so that
 * it can be sent again.
 */
#include "shim/bridge/exchange_state.h"

#include <string.h>

#include "shim/bridge/resilience.h"
#include "shim/log.h"

/* Each 1xx takes memory until the request is over. */
#define INTERIM_MAX 100

/* Larger bodies are not worth a copy. */
#define JOIN_MAX 4096

/* Three TLS records. */
#define PIECE_MAX 49152

/* What a pump found. */
enum pump {
	PUMP_IDLE,  /* nothing can move now */
	PUMP_MOVED, /* something moved: look at the other direction again */
	PUMP_LEFT,  /* the step was changed, or the exchange is over: see `x->step`, `x->gone` */
};

static bool wants(ssize_t n)
{
	return n == IO_WANT_READ || n == IO_WANT_WRITE;
}

static void spend(struct exchange *x, size_t n)
{
	x->budget -= n < x->budget ? n : x->budget;
}

/* The program is gone, or the message to it is broken beyond repair. */
static enum pump break_off(struct exchange *x)
{
	exchange_break(x);
	return PUMP_LEFT;
}

/* Bytes at the front of `in` that may pass. Looks at what is there if nothing was. */
static int passing_look(struct passing *p, struct buf *in, bool strip)
{
	size_t data_len = 0, len = buf_len(in);

	if (p->ready || p->body.done || !len)
		return 0;
	char *data = buf_data(in);
	ssize_t n = http1_body_feed(&p->body, data, len, strip ? data : NULL, &data_len);
	if (n < 0)
		return -1;
	p->ready = strip ? data_len : (size_t)n;
	p->skip = (size_t)n - p->ready;
	if (!p->ready) {
		buf_take(in, p->skip);
		p->skip = 0;
	}
	return 0;
}

/* n of them were written. */
static void passing_wrote(struct passing *p, struct buf *in, size_t n)
{
	p->ready -= n;
	buf_take(in, n);
	if (!p->ready) {
		buf_take(in, p->skip);
		p->skip = 0;
	}
}

/* Larger pieces of a body that does not fit: the buffer is given back behind the request. */
static void widen(struct buf *buf, const struct http1_body *body)
{
	bool fits = body->framing == HTTP1_LENGTH && body->left <= buf->capacity;

	if (!fits && buf->capacity < PIECE_MAX && buf_grow(buf, PIECE_MAX) < 0) {
		/* the pieces stay as they are */
	}
}

/* ---- request ----------------------------------------------------------------------------- */

static enum pump send_broken(struct exchange *x)
{
	/* The destination may have answered before it closed: that is for the reader to find
	 * out, who also notices when there is no answer. */
	x->send_broken = true;
	return PUMP_IDLE;
}

static enum pump send_head(struct exchange *x)
{
	ssize_t n = io_write(x->up->io, buf_data(&x->up_out) + x->head_sent,
			     buf_len(&x->up_out) - x->head_sent);

	if (wants(n))
		return PUMP_IDLE;
	if (n < 0)
		return send_broken(x);
	x->head_sent += (size_t)n;
	return PUMP_MOVED;
}

static enum pump send_body(struct exchange *x)
{
	const char *data = buf_data(&x->down_in);
	bool again = resend_left(x) > 0;
	ssize_t n = again ? resend_write(x) : io_write(x->up->io, data, x->sending.ready);

	if (wants(n))
		return PUMP_IDLE;
	if (n < 0)
		return send_broken(x);
	if (!again) {
		resend_keep(x, data, (size_t)n);
		passing_wrote(&x->sending, &x->down_in, (size_t)n);
		mirror_body(x, data, (size_t)n);
	}
	spend(x, (size_t)n);
	return PUMP_MOVED;
}

/* What the program has in memory goes from there, unless its framing has to be understood first. */
static enum pump send_peeked(struct exchange *x, const char *data, size_t n)
{
	ssize_t written =
	    io_write(x->up->io, data, n < x->sending.body.left ? n : x->sending.body.left);

	if (wants(written))
		return PUMP_IDLE;
	if (written < 0)
		return send_broken(x);
	http1_body_feed(&x->sending.body, data, (size_t)written, NULL, NULL);
	io_took(x->down, (size_t)written);
	resend_note(x, data, (size_t)written);
	mirror_body(x, data, (size_t)written);
	spend(x, (size_t)written);
	return PUMP_MOVED;
}

void relay_read_ahead(struct exchange *x)
{
	struct passing *p = &x->sending;

	/* Only to know when it is here as a whole; what is wrong with it is found when it is sent. */
	if (!x->policy.timeout && !x->policy.per_try_timeout)
		return;
	while (!p->body.done) {
		ssize_t n = http1_body_feed(&p->body, buf_data(&x->down_in) + p->ready,
					    buf_len(&x->down_in) - p->ready, NULL, NULL);

		if (n < 0)
			break;
		p->ready += (size_t)n;
		if (!p->body.done && buf_read_from(&x->down_in, x->down, SIZE_MAX) <= 0)
			break;
	}
	timeout_request_seen(x);
}

static enum pump pump_request(struct exchange *x)
{
	struct passing *p = &x->sending;

	if (x->send_broken)
		return PUMP_IDLE;
	if (x->head_sent < buf_len(&x->up_out))
		return send_head(x);
	if (passing_look(p, &x->down_in, false) < 0) {
		if (x->have_response)
			return break_off(x);
		x->keep = false;
		answer_local(x, 400, "DPE", p->body.why);
		return PUMP_LEFT;
	}
	timeout_request_seen(x);
	if (p->ready || resend_left(x))
		return send_body(x);
	if (p->body.done)
		return PUMP_IDLE;
	size_t peeked;
	const char *data = p->body.framing == HTTP1_LENGTH ? io_peek(x->down, &peeked) : NULL;
	if (data)
		return send_peeked(x, data, peeked);
	widen(&x->down_in, &p->body);
	ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);
	if (wants(n))
		return PUMP_IDLE;
	if (n == IO_EOF && x->have_response) {
		x->down_eof = true; /* it has its answer, or will have */
		return send_broken(x);
	}
	if (n <= 0) /* the program left in the middle of its request */
		return break_off(x);
	return PUMP_MOVED;
}

/* ---- response head ----------------------------------------------------------------------- */

/* The connection ended before the response began. */
static enum pump upstream_died(struct exchange *x, const char *why)
{
	log_debug("%s: %s", x->verdict.destination, why);
	if (retry_stale(x))
		return PUMP_LEFT;
	x->ops->report(x, x->up, OUTCOME_RESET);
	if (!retry_after_reset(x, why))
		answer_reset(x, 503, "UC", "connection termination", NULL);
	return PUMP_LEFT;
}

static enum pump protocol_error(struct exchange *x, const char *why)
{
	log_info("%s: malformed response: %s", x->verdict.destination, why);
	x->ops->report(x, x->up, OUTCOME_RESET);
	if (!retry_after_reset(x, "malformed response"))
		answer_reset(x, 502, "UPE", "protocol error", NULL);
	return PUMP_LEFT;
}

/* Put the head into down_out as the program shall see it. */
static int write_response_head(struct exchange *x, size_t max_fields)
{
	struct http1_head *head = &x->response;
	bool final = head->status >= 200;
	int failed = 0;

	head_strip_hop_by_hop(head, head->status == 101 || head->upgrade);
	if ((final || head->status == 101) && exchange_edit_response(x, head, &max_fields) < 0)
		return -1;
	if (!final || head->status == 204) { /* RFC 9110 8.6, RFC 9112 6.1 */
		head_remove(head, "content-length");
		head_remove(head, "transfer-encoding");
	}
	if (final && x->request.minor == 0) { /* which knows no transfer codings */
		head_remove(head, "transfer-encoding");
		head_remove(head, "trailer");
	}
	if (final && !x->keep)
		failed = head_set(head, max_fields, "Connection", "close");
	else if (final && x->request.minor == 0)
		failed = head_set(head, max_fields, "Connection", "keep-alive");
	if (failed || exchange_room(&x->down_out, head_length(head)) < 0)
		return -1;
	return head_write(head, &x->down_out) < 0 ? -1 : 0;
}

static enum pump begin_tunnel(struct exchange *x)
{
	if (!x->request.upgrade || x->request.minor == 0 || x->head_sent < buf_len(&x->up_out) ||
	    resend_left(x) || io_unsent(x->up->io))
		return protocol_error(x, "101 without an upgrade asked for");
	x->ops->report(x, x->up, x->response.status);
	x->have_response = true;
	x->keep = false;
	if (write_response_head(x, x->response.n_fields + 1) < 0)
		return break_off(x);
	buf_take(&x->up_out, buf_len(&x->up_out));
	x->head_sent = 0;
	x->step = &step_tunnel;
	return PUMP_LEFT;
}

static bool strips_chunks(const struct exchange *x)
{
	return x->request.minor == 0 && x->receiving.body.framing == HTTP1_CHUNKED;
}

/* A small body that came along with its head goes on with it: one packet, and one wake-up of the
 * program. What is wrong with it is told when the head is out. */
static void join_body(struct exchange *x)
{
	struct passing *p = &x->receiving;

	if (passing_look(p, &x->up_in, strips_chunks(x)) < 0 || !p->ready || p->ready > JOIN_MAX ||
	    exchange_room(&x->down_out, p->ready) < 0 ||
	    buf_put(&x->down_out, buf_data(&x->up_in), p->ready) < 0)
		return;
	passing_wrote(p, &x->up_in, p->ready);
}

static enum pump begin_response(struct exchange *x, size_t max_fields)
{
	struct http1_head *head = &x->response;

	if (head->status == 101)
		return begin_tunnel(x);
	if (head->status < 200) {
		if (++x->interim > INTERIM_MAX)
			return protocol_error(x, "too many interim responses");
		spend(x, 1024);
		/* RFC 9110 15.2: not for HTTP/1.0. */
		if (x->request.minor >= 1 && write_response_head(x, max_fields) < 0)
			return break_off(x);
		return PUMP_MOVED;
	}
	x->ops->report(x, x->up, head->status);
	if (retry_after_response(x))
		return PUMP_LEFT;
	x->have_response = true;
	timeout_stop_try(x);
	if (!resend_left(x))
		resend_release(x);
	x->up_keep = head->keep_alive && head->framing != HTTP1_UNTIL_CLOSE;
	if (head->framing == HTTP1_UNTIL_CLOSE ||
	    (head->framing == HTTP1_CHUNKED && x->request.minor == 0))
		x->keep = false;
	if (!exchange_request_done(x)) /* an answer before the request is over ends both */
		x->keep = false;
	http1_body_init(&x->receiving.body, head);
	if (write_response_head(x, max_fields) < 0)
		return break_off(x);
	join_body(x);
	return PUMP_MOVED;
}

static enum pump parse_response(struct exchange *x, size_t length)
{
	const char *why = "too many fields";
	char *text = arena_strndup(&x->up_arena, buf_data(&x->up_in), length);

	if (!text)
		return break_off(x);
	size_t lines = exchange_count_lines(text, length);
	struct field *fields = arena_alloc(&x->up_arena, (lines + 1) * sizeof(*fields));
	if (!fields)
		return break_off(x);
	buf_take(&x->up_in, length);
	x->up_scanned = 0;
	if (http1_parse_response(text, length, !strcmp(x->method, "HEAD"), fields,
				 lines < HTTP1_FIELDS_MAX ? lines : HTTP1_FIELDS_MAX, &x->response,
				 &why) < 0)
		return protocol_error(x, why);
	return begin_response(x, lines + 1);
}

static enum pump read_response_head(struct exchange *x)
{
	const char *why = NULL;
	ssize_t n = http1_head_length(buf_data(&x->up_in), buf_len(&x->up_in), &x->up_scanned,
				      &why);

	if (n < 0)
		return protocol_error(x, why);
	if (n > HTTP1_HEAD_MAX)
		return protocol_error(x, "head is too long");
	if (n > 0)
		return parse_response(x, (size_t)n);
	if (!buf_room(&x->up_in)) {
		if (buf_len(&x->up_in) >= HTTP1_HEAD_MAX)
			return protocol_error(x, "head is too long");
		if (buf_grow(&x->up_in, HTTP1_HEAD_MAX) < 0)
			return break_off(x);
	}
	n = buf_read_from(&x->up_in, x->up->io, SIZE_MAX);
	if (wants(n))
		return PUMP_IDLE;
	if (n <= 0)
		return upstream_died(x, n == IO_EOF ? "closed before it answered" :
						      io_error(x->up->io));
	x->responding = true;
	return PUMP_MOVED;
}

/* ---- response body ----------------------------------------------------------------------- */

/* The destination's stream ended or broke within the body. */
static enum pump response_ended(struct exchange *x, ssize_t n)
{
	bool lawful = n == IO_EOF && http1_body_eof(&x->receiving.body) == 0;

	/* An end that TLS does not vouch for may be an attacker's: with nothing else to tell the
	 * length, the program must not take the part for the whole. */
	if (lawful && x->up->io->truncated && x->receiving.body.framing == HTTP1_UNTIL_CLOSE)
		lawful = false;
	if (lawful)
		return PUMP_MOVED;
	log_info("%s: response broken off: %s", x->verdict.destination,
		 n == IO_EOF ? "connection closed" : io_error(x->up->io));
	return break_off(x);
}

/* One read of the body into where it belongs to, if possible: the program's memory, unless its
 * framing has to be understood first. */
static ssize_t read_body(struct exchange *x)
{
	struct http1_body *body = &x->receiving.body;
	size_t room;
	char *data = body->framing == HTTP1_LENGTH ? io_room(x->down, &room) : NULL;
	ssize_t n;

	if (data) {
		n = io_read(x->up->io, data, room < body->left ? room : body->left);
		if (n > 0) {
			http1_body_feed(body, data, (size_t)n, NULL, NULL);
			io_filled(x->down, (size_t)n);
			spend(x, (size_t)n);
		}
		return n;
	}
	widen(&x->up_in, body);
	n = buf_read_from(&x->up_in, x->up->io, SIZE_MAX);
	/* What else there is goes along with it. An end or an error is found by the next read, too. */
	while (n > 0 && io_pending(x->up->io) &&
	       buf_read_from(&x->up_in, x->up->io, SIZE_MAX) > 0) {
	}
	return n;
}

static enum pump pump_response(struct exchange *x)
{
	struct passing *p = &x->receiving;
	ssize_t n;

	if (buf_len(&x->down_out)) {
		n = buf_write_to(&x->down_out, x->down);
		if (wants(n))
			return PUMP_IDLE;
		return n < 0 ? break_off(x) : PUMP_MOVED;
	}
	if (!x->have_response)
		return read_response_head(x);
	if (passing_look(p, &x->up_in, strips_chunks(x)) < 0) {
		log_info("%s: malformed body: %s", x->verdict.destination, p->body.why);
		return break_off(x);
	}
	if (p->ready) {
		n = io_write(x->down, buf_data(&x->up_in), p->ready);
		if (wants(n))
			return PUMP_IDLE;
		if (n < 0)
			return break_off(x);
		passing_wrote(p, &x->up_in, (size_t)n);
		spend(x, (size_t)n);
		return PUMP_MOVED;
	}
	if (p->body.done) {
		x->step = &step_next;
		return PUMP_LEFT;
	}
	n = read_body(x);
	if (wants(n))
		return PUMP_IDLE;
	return n <= 0 ? response_ended(x, n) : PUMP_MOVED;
}

static enum step_result relay(struct exchange *x)
{
	if (timeout_ran_out(x))
		return x->gone ? STEP_DONE : STEP_MORE;
	while (x->budget) {
		enum pump sent = pump_request(x);

		if (sent == PUMP_LEFT)
			return x->gone ? STEP_DONE : STEP_MORE;
		enum pump received = pump_response(x);
		if (received == PUMP_LEFT)
			return x->gone ? STEP_DONE : STEP_MORE;
		if (sent == PUMP_IDLE && received == PUMP_IDLE)
			return STEP_WAIT;
	}
	return STEP_MORE;
}

/* What goes up in one run goes in large pieces. */
static enum step_result run_relay(struct exchange *x)
{
	x->up->io->gather = true;
	enum step_result result = relay(x);
	if (x->up) {
		x->up->io->gather = false;
		if (io_flush(x->up->io) == IO_ERR && !x->send_broken) {
			send_broken(x);
			if (result == STEP_WAIT)
				result = STEP_MORE; /* the reader is to look why */
		}
	}
	resend_settle(x);
	return result;
}

const struct step step_relay = {"relay", run_relay};
