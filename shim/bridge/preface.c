/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the answer's last read brought beyond its head belongs to the stream and is read first; the
 * buffers go as soon as they are empty.
 */
#include "shim/bridge/preface.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/buf.h"
#include "shim/bridge/http1.h"
#include "shim/libc.h"

#define ANSWER_MAX 16384 /* bytes of the head of an answer to CONNECT */

struct preface {
	struct io io; /* first: a struct io * of this kind is a struct preface * */
	struct io *lower;
	struct buf out, in;
	/* Write what has to be said to `out`, once the lower stream is up. */
	int (*say)(struct preface *preface);
	bool said, ready, failed;
	bool answered; /* nothing has to be waited for (any more) */
	size_t scanned;
	int fd, version; /* PROXY */
};

static int fail(struct preface *preface)
{
	preface->failed = true;
	err_set(&preface->io.err, preface->lower->err.code, "%s", io_error(preface->lower));
	return IO_ERR;
}

/* ---- the answer to CONNECT ---------------------------------------------------------------- */

static int refused(struct preface *preface, const char *why)
{
	err_set(&preface->io.err, 0, "HTTP tunnel: %s", why);
	return fail(preface);
}

/* A whole head of `length` bytes is there. 0, or IO_ERR; interim answers are skipped. */
static int judge(struct preface *preface, size_t length)
{
	struct field fields[64];
	struct http1_head head;
	const char *why = "too many fields";
	char text[64];

	if (http1_parse_response(buf_data(&preface->in), length, false, fields, 64, &head, &why) <
	    0)
		return refused(preface, why);
	if (head.status >= 300 || head.status == 101) {
		snprintf(text, sizeof(text), "the proxy answered %u to CONNECT",
			 (unsigned)head.status);
		return refused(preface, text);
	}
	buf_take(&preface->in, length);
	preface->answered = head.status >= 200;
	return 0;
}

static int read_answer(struct preface *preface)
{
	while (!preface->answered) {
		const char *why = NULL;
		ssize_t n = http1_head_length(buf_data(&preface->in), buf_len(&preface->in),
					      &preface->scanned, &why);

		if (n < 0)
			return refused(preface, why);
		if (n > 0) {
			preface->scanned = 0;
			if (judge(preface, (size_t)n) < 0)
				return IO_ERR;
			continue;
		}
		if (!buf_room(&preface->in))
			return refused(preface, "the proxy's answer is too long");
		n = buf_read_from(&preface->in, preface->lower, SIZE_MAX);
		if (n == IO_EOF)
			return refused(preface, "the proxy closed the connection");
		if (n < 0)
			return n == IO_ERR ? fail(preface) : (int)n;
	}
	return 0;
}

/* ---- the stream --------------------------------------------------------------------------- */

static int preface_handshake(struct io *io)
{
	struct preface *preface = (struct preface *)io;
	int result;

	if (preface->failed)
		return IO_ERR;
	if (preface->ready)
		return 0;
	result = io_handshake(preface->lower);
	if (result != 0)
		return result == IO_ERR ? fail(preface) : result;
	if (!preface->said && preface->say(preface) < 0)
		return fail(preface);
	preface->said = true;
	while (buf_len(&preface->out)) {
		ssize_t n = buf_write_to(&preface->out, preface->lower);

		if (n < 0)
			return n == IO_ERR ? fail(preface) : (int)n;
	}
	result = read_answer(preface);
	if (result != 0)
		return result;
	buf_release(&preface->out);
	preface->ready = true;
	return 0;
}

static ssize_t preface_read(struct io *io, void *data, size_t size)
{
	struct preface *preface = (struct preface *)io;
	int result = preface_handshake(io);
	size_t left = buf_len(&preface->in);

	if (result != 0)
		return result;
	if (left) {
		if (size > left)
			size = left;
		memcpy(data, buf_data(&preface->in), size);
		buf_take(&preface->in, size);
		return size ? (ssize_t)size : IO_WANT_READ;
	}
	buf_release(&preface->in);
	ssize_t n = io_read(preface->lower, data, size);
	io->truncated = preface->lower->truncated;
	return n == IO_ERR ? fail(preface) : n;
}

static ssize_t preface_write(struct io *io, const void *data, size_t size)
{
	struct preface *preface = (struct preface *)io;
	int result = preface_handshake(io);

	if (result != 0)
		return result;
	ssize_t n = io_write(preface->lower, data, size);
	/* What came before may still be read. */
	if (n == IO_ERR)
		err_set(&io->err, preface->lower->err.code, "%s", io_error(preface->lower));
	return n;
}

static int preface_shutdown(struct io *io)
{
	struct preface *preface = (struct preface *)io;
	int result = preface_handshake(io);

	if (result != 0)
		return result;
	result = io_shutdown(preface->lower);
	if (result == IO_ERR)
		err_set(&io->err, preface->lower->err.code, "%s", io_error(preface->lower));
	return result;
}

static bool preface_pending(const struct io *io)
{
	const struct preface *preface = (const struct preface *)io;

	return (preface->ready && buf_len(&preface->in)) || io_pending(preface->lower);
}

static void preface_close(struct io *io, bool reset)
{
	struct preface *preface = (struct preface *)io;

	io_close(preface->lower, reset);
	buf_release(&preface->out);
	buf_release(&preface->in);
	free(preface);
}

static const struct io_ops preface_ops = {
    .name = "preface",
    .handshake = preface_handshake,
    .read = preface_read,
    .write = preface_write,
    .shutdown = preface_shutdown,
    .close = preface_close,
};

static struct preface *preface_new(struct io *lower, size_t out, size_t in)
{
	struct preface *preface = calloc(1, sizeof(*preface));

	if (!preface)
		return NULL;
	if (buf_init(&preface->out, out) < 0 || (in && buf_init(&preface->in, in) < 0)) {
		buf_release(&preface->out);
		free(preface);
		return NULL;
	}
	preface->io.ops = &preface_ops;
	preface->io.pending = preface_pending;
	preface->lower = lower;
	preface->answered = !in;
	return preface;
}

/* ---- PROXY -------------------------------------------------------------------------------- */

struct ends {
	struct sockaddr_storage from, to;
	int family; /* of both; AF_UNSPEC: not to be told */
};

static void find_ends(int fd, struct ends *ends)
{
	socklen_t from_len = sizeof(ends->from), to_len = sizeof(ends->to);

	memset(ends, 0, sizeof(*ends));
	if (getsockname(fd, (struct sockaddr *)&ends->from, &from_len) < 0 ||
	    real.getpeername(fd, (struct sockaddr *)&ends->to, &to_len) < 0)
		return;
	if (ends->from.ss_family == ends->to.ss_family &&
	    (ends->to.ss_family == AF_INET || ends->to.ss_family == AF_INET6))
		ends->family = ends->to.ss_family;
}

/* Address and port of one end, as they are on the wire. Returns the address's length. */
static size_t end_of(const struct sockaddr_storage *end, const void **address, uint16_t *port)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)end;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)end;

	if (end->ss_family == AF_INET) {
		*address = &v4->sin_addr;
		*port = v4->sin_port;
		return sizeof(v4->sin_addr);
	}
	*address = &v6->sin6_addr;
	*port = v6->sin6_port;
	return sizeof(v6->sin6_addr);
}

static int say_version_1(struct preface *preface)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[128];
	const void *from_address, *to_address;
	uint16_t from_port, to_port;
	struct ends ends;
	int n;

	find_ends(preface->fd, &ends);
	if (!ends.family)
		return buf_put(&preface->out, "PROXY UNKNOWN\r\n", 15);
	end_of(&ends.from, &from_address, &from_port);
	end_of(&ends.to, &to_address, &to_port);
	inet_ntop(ends.family, from_address, from, sizeof(from));
	inet_ntop(ends.family, to_address, to, sizeof(to));
	n = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
		     ends.family == AF_INET ? '4' : '6', from, to, (unsigned)ntohs(from_port),
		     (unsigned)ntohs(to_port));
	return buf_put(&preface->out, line, (size_t)n);
}

static int say_version_2(struct preface *preface)
{
	unsigned char head[16] = "\r\n\r\n\0\r\nQUIT\n";
	const void *from, *to;
	uint16_t from_port, to_port;
	struct ends ends;

	find_ends(preface->fd, &ends);
	head[12] = ends.family ? 0x21 : 0x20; /* version 2; PROXY, or LOCAL */
	if (!ends.family)
		return buf_put(&preface->out, head, sizeof(head));
	size_t n = end_of(&ends.from, &from, &from_port);
	end_of(&ends.to, &to, &to_port);
	head[13] = ends.family == AF_INET ? 0x11 : 0x21; /* TCP over IPv4, IPv6 */
	head[15] = (unsigned char)(2 * (n + sizeof(from_port)));
	if (buf_put(&preface->out, head, sizeof(head)) < 0 ||
	    buf_put(&preface->out, from, n) < 0 || buf_put(&preface->out, to, n) < 0 ||
	    buf_put(&preface->out, &from_port, sizeof(from_port)) < 0)
		return -1;
	return buf_put(&preface->out, &to_port, sizeof(to_port));
}

struct io *proxy_header_io(struct io *lower, int fd, int version)
{
	struct preface *preface = preface_new(lower, 128, 0);

	if (!preface)
		return NULL;
	preface->fd = fd;
	preface->say = version == 1 ? say_version_1 : say_version_2;
	return &preface->io;
}

/* ---- CONNECT ------------------------------------------------------------------------------ */

static int say_nothing_more(struct preface *preface)
{
	(void)preface;
	return 0;
}

struct io *connect_tunnel_io(struct io *lower, const char *host, uint16_t port)
{
	size_t size = 2 * strlen(host) + 64;
	struct preface *preface = preface_new(lower, size, ANSWER_MAX);
	bool v6 = strchr(host, ':') && *host != '[';
	char *text = preface ? malloc(size) : NULL;
	int n = 0;

	if (text)
		n = snprintf(text, size, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n\r\n",
			     v6 ? "[" : "", host, v6 ? "]" : "", (unsigned)port, v6 ? "[" : "",
			     host, v6 ? "]" : "", (unsigned)port);
	if (!text || buf_put(&preface->out, text, (size_t)n) < 0) {
		free(text);
		if (preface) {
			buf_release(&preface->out);
			buf_release(&preface->in);
			free(preface);
		}
		return NULL;
	}
	free(text);
	preface->say = say_nothing_more;
	return &preface->io;
}
