/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 message framing and parsing (RFC 9112), llhttp in strict mode behind a small door. No
 * I/O and no allocation: heads are parsed in the caller's buffer, results point into it.
 *
 * Stricter than llhttp where two parties could disagree on where a message ends (request
 * smuggling): a head is first scanned as bytes, and bare CR, bare LF, NUL, obs-fold, white space
 * before a colon, both Content-Length and Transfer-Encoding, two lengths, and any transfer coding
 * but "chunked" alone are errors. The framing bytes of a chunked body must end their lines with
 * CRLF too.
 *
 * Threads: the owner's.
 */
#ifndef SHIM_BRIDGE_HTTP1_H
#define SHIM_BRIDGE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rules/rules.h" /* struct field */

#define HTTP1_HEAD_MAX   65536 /* bytes of a head; above: 431 (RFC 6585) */
#define HTTP1_FIELDS_MAX 1024  /* header fields of a head; above: 431 */

/*
 * Find the end of a head (start line, fields, empty line) in n bytes. `*scanned` is 0 at first and
 * keeps the progress between calls on a growing buffer. CRLFs before a request's start line
 * (RFC 9112 2.2) must have been skipped by the caller (http1_skip_empty_lines()).
 * Returns its length, 0 if more bytes are needed, or -1 with `*why` set to static text.
 */
ssize_t http1_head_length(const char *data, size_t n, size_t *scanned, const char **why);

/* How many bytes of CRLF stand at the front (at most one lone CR is left for later). */
size_t http1_skip_empty_lines(const char *data, size_t n);

enum http1_framing {
	HTTP1_NO_BODY,
	HTTP1_LENGTH,      /* Content-Length */
	HTTP1_CHUNKED,     /* Transfer-Encoding: chunked */
	HTTP1_UNTIL_CLOSE, /* responses only */
};

/* A parsed start line and what the head says about the message as a whole. Texts are not
 * NUL-terminated and point into the head. */
struct http1_head {
	bool request;
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	/* request */
	const char *method, *target;
	uint32_t method_len, target_len;
	/* response */
	uint16_t status;
	const char *reason;
	uint32_t reason_len;

	struct field *fields; /* in order, values without leading and trailing white space */
	size_t n_fields;

	enum http1_framing framing;
	uint64_t content_length; /* HTTP1_LENGTH */
	bool keep_alive;  /* the sender lets the connection live on (RFC 9112 9.3); not where a 1xx
			     or 204 speaks of a body */
	bool upgrade;     /* "Connection: upgrade" and an Upgrade field are there, but not for h2c */
	bool expect_continue; /* "Expect: 100-continue" */
};

/*
 * Parse the complete head of a request or response of `len` bytes as http1_head_length() found
 * it. `fields` is room for HTTP1_FIELDS_MAX fields, or for `max_fields`. For a response,
 * `to_head_request` says that it answers a HEAD request (no body whatever its fields say);
 * 1xx, 204 and 304 have none either, a 101 neither.
 * Returns 0; -1 with `*why` set to static text for a 400; -431 when there are too many fields;
 * -505 for an HTTP version other than 1.0 and 1.1.
 */
int http1_parse_request(const char *data, size_t len, struct field *fields, size_t max_fields,
			struct http1_head *head, const char **why);
int http1_parse_response(const char *data, size_t len, bool to_head_request,
			 struct field *fields, size_t max_fields, struct http1_head *head,
			 const char **why);

/* The reason phrase of a status code; "Unknown" for those that have none. Static text. */
const char *http1_reason(unsigned status);

/* The body of one message as it passes by. Opaque but for its size; no allocation. */
struct http1_body {
	enum http1_framing framing;
	bool done;        /* the message ended */
	const char *why;  /* after -1: static text */
	uint64_t left;    /* HTTP1_LENGTH */
	uint64_t opaque[16]; /* the chunk parser's state */
};

void http1_body_init(struct http1_body *body, const struct http1_head *head);

/*
 * Let n more bytes pass. Returns how many of them belong to this message (less than n: it is
 * done, the rest is the next message); -1: malformed. If `data_out` is not NULL the body's data
 * alone, without chunk framing and trailers, is copied there (room for n bytes) and `*data_len`
 * set; it may be `data` itself. After `done`, returns 0.
 */
ssize_t http1_body_feed(struct http1_body *body, const char *data, size_t n, char *data_out,
			size_t *data_len);

/* The stream ended. Returns 0 if that is a lawful end of this message (`done` is set), else -1. */
int http1_body_eof(struct http1_body *body);

#endif
