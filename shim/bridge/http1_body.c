/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies. Those with a length, and those that last until the connection ends, are counted. A
 * chunked body (RFC 9112 7.1) is taken apart by llhttp; what lies between the pieces of data, the
 * framing, is read by a guard of ours as well, byte by byte. The guard closes llhttp's leniencies
 * (spaces after a size, any number of digits, endless extensions, CR and LF on their own), and
 * both must agree on where the body ends.
 */
#include "shim/bridge/http1.h"

#include <string.h>

#define LLHTTP_STRICT_MODE 1
#include <llhttp.h>

enum {
	CHUNK_LINE_MAX = 4096, /* size and extensions */
	CHUNK_DIGITS_MAX = 15, /* 2^60 bytes: no arithmetic overflows */
};

/* The lines of the framing, in the order in which they come: size, (data,) end of data, size ... */
enum line {
	LINE_SIZE,
	LINE_DATA_END, /* the CRLF behind a chunk's data */
	LINE_TRAILER,  /* a trailer field, or the empty line that ends the body */
	LINE_NONE,     /* the body is over */
};

struct guard {
	uint8_t line;	   /* enum line */
	bool cr;	   /* the last byte was CR */
	bool separate;	   /* behind the digits of the size, or the name of the trailer field */
	bool data;	   /* the size is not zero: data follows */
	uint32_t n;	   /* bytes of this line */
	uint32_t trailers; /* bytes of all trailer lines */
};

struct chunked {
	llhttp_t parser;
	struct guard guard;
};

_Static_assert(sizeof(struct chunked) <= sizeof(((struct http1_body *)NULL)->opaque),
	       "the chunk parser's state fits into struct http1_body");

/* ---- the guard -------------------------------------------------------------------------- */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *size_byte(struct guard *guard, char c)
{
	if (guard->n == CHUNK_LINE_MAX)
		return "chunk line too long";
	if (guard->separate)
		return NULL;
	if (c == ';' && guard->n > 0) {
		guard->separate = true;
		return NULL;
	}
	if (!is_hex(c))
		return "malformed chunk size";
	if (guard->n == CHUNK_DIGITS_MAX)
		return "chunk size too large";
	if (c != '0')
		guard->data = true;
	return NULL;
}

static const char *trailer_byte(struct guard *guard, char c)
{
	if (++guard->trailers > HTTP1_HEAD_MAX)
		return "trailers too long";
	if (guard->n == 0 && (c == ' ' || c == '\t'))
		return "folded trailer line";
	if (!guard->separate && (c == ' ' || c == '\t'))
		return "white space before the colon of a trailer";
	if (guard->n == 0 && c == ':')
		return "trailer without a name";
	if (c == ':')
		guard->separate = true;
	return NULL;
}

/* A line has come to its end. */
static const char *line_end(struct guard *guard)
{
	switch (guard->line) {
	case LINE_SIZE:
		if (guard->n == 0)
			return "malformed chunk size";
		guard->line = guard->data ? LINE_DATA_END : LINE_TRAILER;
		break;
	case LINE_DATA_END:
		guard->line = LINE_SIZE;
		break;
	case LINE_TRAILER:
		if (guard->n == 0)
			guard->line = LINE_NONE;
		else if (!guard->separate)
			return "trailer without a colon";
		break;
	}
	guard->n = 0;
	guard->separate = guard->data = false;
	return NULL;
}

static const char *guard_byte(struct guard *guard, char c)
{
	const char *why = NULL;

	if (guard->line == LINE_NONE)
		return "bytes behind the last chunk";
	if (guard->cr) {
		guard->cr = false;
		return c == '\n' ? line_end(guard) : "CR without LF in chunk framing";
	}
	if (c == '\r') {
		guard->cr = true;
		return NULL;
	}
	if (c == '\n')
		return "LF without CR in chunk framing";
	if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
		return "control character in chunk framing";
	if (guard->line == LINE_DATA_END)
		return "chunk longer than its size";
	if (guard->line == LINE_SIZE)
		why = size_byte(guard, c);
	else
		why = trailer_byte(guard, c);
	guard->n++;
	return why;
}

/* ---- llhttp ----------------------------------------------------------------------------- */

/* One call of http1_body_feed(). */
struct feed {
	struct guard *guard;
	const char *mark; /* up to here bytes are accounted for, as framing or as data */
	char *out;
	size_t out_len;
	bool complete;
	const char *why;
};

static int read_framing(struct feed *feed, const char *end)
{
	while (feed->mark < end && !feed->why)
		feed->why = guard_byte(feed->guard, *feed->mark++);
	return feed->why ? -1 : 0;
}

static int on_data(llhttp_t *parser, const char *at, size_t n)
{
	struct feed *feed = parser->data;

	if (read_framing(feed, at) < 0)
		return HPE_USER;
	if (feed->guard->line != LINE_DATA_END || feed->guard->n > 0 || feed->guard->cr) {
		feed->why = "malformed chunk";
		return HPE_USER;
	}
	/* Downwards at most: what is still to be read is never written over. */
	if (feed->out)
		memmove(feed->out + feed->out_len, at, n);
	feed->out_len += n;
	feed->mark = at + n;
	return 0;
}

static int on_complete(llhttp_t *parser)
{
	((struct feed *)parser->data)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_body = on_data,
    .on_message_complete = on_complete,
};

/* llhttp enters a chunked body through a head only, so it gets one. */
static void chunked_init(struct chunked *chunked)
{
	static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

	memset(chunked, 0, sizeof(*chunked));
	llhttp_init(&chunked->parser, HTTP_REQUEST, &settings);
	llhttp_execute(&chunked->parser, head, sizeof(head) - 1);
}

static ssize_t chunked_feed(struct http1_body *body, const char *data, size_t n, char *out,
			    size_t *out_len)
{
	struct chunked *chunked = (struct chunked *)body->opaque;
	struct feed feed = {.guard = &chunked->guard, .mark = data, .out = out};
	const char *end = data + n;

	chunked->parser.data = &feed;
	llhttp_errno_t error = llhttp_execute(&chunked->parser, data, n);
	chunked->parser.data = NULL;
	*out_len = feed.out_len;
	if (feed.complete)
		end = llhttp_get_error_pos(&chunked->parser);
	if (!feed.why && error != HPE_OK && !feed.complete)
		feed.why = chunked->parser.reason ? chunked->parser.reason : "malformed chunk";
	if (!feed.why)
		read_framing(&feed, end);
	if (!feed.why && feed.complete != (chunked->guard.line == LINE_NONE))
		feed.why = "malformed end of a chunked body";
	if (feed.why) {
		body->why = feed.why;
		return -1;
	}
	body->done = feed.complete;
	return end - data;
}

/* ---- all framings ----------------------------------------------------------------------- */

void http1_body_init(struct http1_body *body, const struct http1_head *head)
{
	body->framing = head->framing;
	body->why = NULL;
	body->left = head->framing == HTTP1_LENGTH ? head->content_length : 0;
	body->done =
	    head->framing == HTTP1_NO_BODY || (head->framing == HTTP1_LENGTH && body->left == 0);
	if (head->framing == HTTP1_CHUNKED)
		chunked_init((struct chunked *)body->opaque);
}

ssize_t http1_body_feed(struct http1_body *body, const char *data, size_t n, char *data_out,
			size_t *data_len)
{
	size_t unused;
	size_t *out_len = data_len ? data_len : &unused;

	*out_len = 0;
	if (body->why)
		return -1;
	if (body->done || n == 0)
		return 0;
	if (body->framing == HTTP1_CHUNKED)
		return chunked_feed(body, data, n, data_out, out_len);
	if (body->framing == HTTP1_LENGTH) {
		if (n > body->left)
			n = (size_t)body->left;
		body->left -= n;
		body->done = body->left == 0;
	}
	if (data_out)
		memmove(data_out, data, n);
	*out_len = n;
	return (ssize_t)n;
}

int http1_body_eof(struct http1_body *body)
{
	if (body->why)
		return -1;
	if (body->framing == HTTP1_UNTIL_CLOSE)
		body->done = true;
	if (body->done)
		return 0;
	body->why = "connection closed in the middle of a message";
	return -1;
}
