/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dns_relay.h"

#include <stdint.h>
#include <stdlib.h>

#include "shim/bridge/buf.h"
#include "shim/dns_answer.h"

#define MESSAGE_MAX (2 + 65535) /* with its length */
#define FROM_SERVER 16384
#define ANSWERS     4096
#define ROUNDS      16 /* in one go */

struct dns_relay {
	struct io *down, *up;
	struct buf in;         /* from the program */
	size_t passing;        /* bytes of `in` and what follows that go to the server unseen */
	struct buf answers;    /* ours, whole messages but for what is already sent */
	struct buf from_up;    /* from the server */
	size_t delivering;     /* bytes of from_up, and of what follows, up to the next boundary */
	bool up_ready;         /* its handshake is done */
	bool up_failed;        /* nothing can be sent to it, nothing comes from it */
	bool down_eof, up_eof;
	bool down_shut, up_shut;
	bool broken;
};

struct dns_relay *dns_relay_new(struct io *down, struct io *up)
{
	struct dns_relay *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (buf_init(&r->in, MESSAGE_MAX) < 0 || buf_init(&r->answers, ANSWERS) < 0 ||
	    buf_init(&r->from_up, FROM_SERVER) < 0) {
		buf_release(&r->in);
		buf_release(&r->answers);
		free(r);
		return NULL;
	}
	r->down = down;
	r->up = up;
	r->up_failed = !up;
	return r;
}

void dns_relay_free(struct dns_relay *r)
{
	io_close(r->down, r->broken);
	io_close(r->up, r->broken);
	buf_release(&r->in);
	buf_release(&r->answers);
	buf_release(&r->from_up);
	free(r);
}

/* Bytes of the message at the front of a buffer, its length included; 0: not known yet. */
static size_t message_size(struct buf *buf)
{
	const uint8_t *data = (const uint8_t *)buf_data(buf);

	return buf_len(buf) < 2 ? 0 : 2 + ((size_t)data[0] << 8 | data[1]);
}

/* ---- from the program ------------------------------------------------------------------- */

enum finding {
	WAITS,   /* more has to come first, or to go */
	SETTLED, /* answered or dropped, and taken out of the buffer */
	PASSES,  /* the server's */
};

/* The message at the front of `in`, `size` bytes in all. */
static enum finding look(struct dns_relay *r, size_t size)
{
	size_t have = buf_len(&r->in) < size ? buf_len(&r->in) : size;
	const char *message = buf_data(&r->in) + 2;
	struct dns_question question;
	uint8_t answer[2 + DNS_REPLY_MAX];
	enum dns_status status = dns_read_question(message, have - 2, &question);

	bool short_of = have < size;

	if (status == DNS_SHORT && size - 2 >= DNS_HEADER && short_of && !r->down_eof)
		return WAITS;
	/* The start of what may have been a query of ours, at the end of the stream: no server can
	 * answer it, and none shall read it. */
	if (status == DNS_SHORT && have - 2 > DNS_HEADER && short_of) {
		buf_take(&r->in, have);
		return SETTLED;
	}
	if (status != DNS_QUERY || !dns_is_ours(&question))
		return PASSES;
	if (short_of && r->down_eof) {
		buf_take(&r->in, have);
		return SETTLED;
	}
	if (short_of)
		return WAITS;
	if (buf_room(&r->answers) < sizeof(answer))
		return WAITS;
	size_t len = dns_answer(message, size - 2, answer + 2);
	if (!len)
		return PASSES;
	answer[0] = (uint8_t)(len >> 8);
	answer[1] = (uint8_t)len;
	buf_take(&r->in, size);
	return buf_put(&r->answers, answer, 2 + len) < 0 ? WAITS : SETTLED;
}

/* Returns true if something was done. */
static bool sort_messages(struct dns_relay *r)
{
	bool moved = false;

	if (r->down_shut) { /* it is over */
		buf_take(&r->in, buf_len(&r->in));
		r->passing = 0;
	}
	while (!r->passing && buf_len(&r->in)) {
		size_t size = message_size(&r->in);

		if (!size && !r->down_eof)
			break;
		enum finding finding = size ? look(r, size) : PASSES;
		if (finding == WAITS)
			break;
		if (finding == PASSES)
			r->passing = size ? size : 1;
		moved = true;
	}
	return moved;
}

static bool read_program(struct dns_relay *r)
{
	if (r->down_eof || !buf_room(&r->in))
		return false;
	ssize_t n = buf_read_from(&r->in, r->down, buf_room(&r->in));

	r->down_eof = n == IO_EOF;
	r->broken |= n == IO_ERR;
	return n >= 0;
}

/* ---- to the server ---------------------------------------------------------------------- */

static bool server_is_ready(struct dns_relay *r)
{
	if (!r->up_ready && !r->up_failed) {
		int n = io_handshake(r->up);

		r->up_ready = n == 0;
		r->up_failed = n == IO_ERR;
	}
	return r->up_ready && !r->up_failed;
}

static bool write_server(struct dns_relay *r)
{
	size_t n = r->passing < buf_len(&r->in) ? r->passing : buf_len(&r->in);

	if (!server_is_ready(r)) {
		r->broken |= r->up_failed && n > 0;
		return false;
	}
	if (n == 0) {
		if (r->down_eof && !buf_len(&r->in) && !r->up_shut)
			r->up_shut = io_shutdown(r->up) == 0;
		return false;
	}
	ssize_t written = io_write(r->up, buf_data(&r->in), n);
	if (written == IO_ERR) /* what it said before is still to be read, its end too */
		written = (ssize_t)n;
	if (written <= 0)
		return false;
	buf_take(&r->in, (size_t)written);
	r->passing -= (size_t)written;
	return true;
}

/* ---- from the server, to the program ---------------------------------------------------- */

static bool read_server(struct dns_relay *r)
{
	if (r->up_eof || !server_is_ready(r) || !buf_room(&r->from_up))
		return false;
	ssize_t n = buf_read_from(&r->from_up, r->up, buf_room(&r->from_up));

	r->up_eof = n == IO_EOF;
	r->broken |= n == IO_ERR;
	return n >= 0;
}

/* Up to `max` bytes. Returns how many, 0: none now. */
static size_t write_program(struct dns_relay *r, struct buf *from, size_t max)
{
	size_t n = max < buf_len(from) ? max : buf_len(from);
	ssize_t written = n ? io_write(r->down, buf_data(from), n) : 0;

	r->broken |= written == IO_ERR;
	if (written <= 0)
		return 0;
	buf_take(from, (size_t)written);
	return (size_t)written;
}

static bool deliver(struct dns_relay *r)
{
	bool moved = false;

	if (!r->delivering) {
		moved = write_program(r, &r->answers, buf_len(&r->answers)) > 0;
		if (buf_len(&r->answers))
			return moved;
		r->delivering = message_size(&r->from_up);
		if (!r->delivering && r->up_eof)
			r->delivering = buf_len(&r->from_up);
	}
	size_t n = write_program(r, &r->from_up, r->delivering);

	r->delivering -= n;
	return moved || n > 0;
}

/* ---- the whole -------------------------------------------------------------------------- */

/* Whether all is said and done. */
static bool is_done(struct dns_relay *r)
{
	bool delivered = !buf_len(&r->answers) && !buf_len(&r->from_up);

	if (r->broken)
		return true;
	/* The server has closed: so do we, and wait until the program does, lest a reset for what
	 * it still sends takes away what it has not read. */
	if (r->up_eof && delivered && !r->down_shut)
		r->down_shut = io_shutdown(r->down) == 0;
	return r->down_eof && delivered && !buf_len(&r->in) && (r->up_eof || r->up_failed);
}

enum dns_relay_result dns_relay_drive(struct dns_relay *r)
{
	bool moved = true;

	for (int i = 0; moved && i < ROUNDS; i++) {
		moved = read_program(r);
		moved |= sort_messages(r);
		moved |= write_server(r);
		moved |= read_server(r);
		moved |= deliver(r);
		if (is_done(r))
			return DNS_RELAY_DONE;
	}
	return moved ? DNS_RELAY_MORE : DNS_RELAY_WAIT;
}
