/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/preface.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory_io.h"
#include "shim/bridge/sock.h"

/* ---- CONNECT ------------------------------------------------------------------------------ */

static const char asked[] = "CONNECT db.example.com:5432 HTTP/1.1\r\n"
			    "Host: db.example.com:5432\r\n\r\n";

struct way {
	struct io *proxy, *stream;
};

static struct way way_to(const char *host, uint16_t port)
{
	struct io *ends[2];

	memory_io_pair(ends, 65536);
	struct way way = {ends[0], connect_tunnel_io(ends[1], host, port)};
	ck_assert_ptr_nonnull(way.stream);
	return way;
}

static void way_close(struct way *way)
{
	io_close(way->stream, false);
	io_close(way->proxy, false);
}

static void expect(struct io *io, const char *text)
{
	char got[512] = "";
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(got) - 1 && (n = io_read(io, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	ck_assert_str_eq(got, text);
}

static void say(struct io *io, const char *text)
{
	ck_assert_int_eq(io_write(io, text, strlen(text)), (ssize_t)strlen(text));
}

/* The answer comes in two pieces, whatever the place between them; what stands behind it is the
 * stream's. */
START_TEST(tunnel_opens)
{
	static const char answer[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello";

	for (size_t split = 0; split <= strlen(answer); split++) {
		struct way way = way_to("db.example.com", 5432);

		ck_assert_int_eq(io_handshake(way.stream), IO_WANT_READ);
		expect(way.proxy, asked);
		ck_assert_int_eq(io_write(way.stream, "early", 5), IO_WANT_READ);
		if (split)
			io_write(way.proxy, answer, split);
		io_handshake(way.stream);
		if (split < strlen(answer))
			say(way.proxy, answer + split);
		ck_assert_int_eq(io_handshake(way.stream), 0);
		expect(way.stream, "hello");
		ck_assert(!io_pending(way.stream));
		say(way.stream, "good day");
		expect(way.proxy, "good day");
		say(way.proxy, "and more");
		expect(way.stream, "and more");
		ck_assert_int_eq(io_shutdown(way.stream), 0);
		char byte;
		ck_assert_int_eq(io_read(way.proxy, &byte, 1), IO_EOF);
		way_close(&way);
	}
}
END_TEST

/* Bytes that no descriptor will announce are announced. */
START_TEST(surplus_is_pending)
{
	struct way way = way_to("db.example.com", 5432);
	char byte;

	say(way.proxy, "HTTP/1.0 200 OK\r\n\r\nab");
	ck_assert_int_eq(io_handshake(way.stream), 0);
	ck_assert(io_pending(way.stream));
	ck_assert_int_eq(io_read(way.stream, &byte, 1), 1);
	ck_assert_int_eq(byte, 'a');
	ck_assert(io_pending(way.stream));
	ck_assert_int_eq(io_read(way.stream, &byte, 1), 1);
	ck_assert(!io_pending(way.stream));
	way_close(&way);
}
END_TEST

START_TEST(interim_answers_are_skipped)
{
	struct way way = way_to("db.example.com", 5432);

	say(way.proxy, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n");
	ck_assert_int_eq(io_handshake(way.stream), 0);
	way_close(&way);
}
END_TEST

static const struct {
	const char *answer, *error;
} refusals[] = {
    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
     "HTTP tunnel: the proxy answered 403 to CONNECT"},
    {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
     "HTTP tunnel: the proxy answered 302 to CONNECT"},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP tunnel: the proxy answered 101 to CONNECT"},
    {"SSH-2.0-OpenSSH\r\n\r\n", NULL},
    {"HTTP/1.1 200 OK\n\n", NULL},
};

START_TEST(tunnel_is_refused)
{
	struct way way = way_to("db.example.com", 5432);

	ck_assert_int_eq(io_handshake(way.stream), IO_WANT_READ);
	say(way.proxy, refusals[_i].answer);
	ck_assert_int_eq(io_handshake(way.stream), IO_ERR);
	if (refusals[_i].error)
		ck_assert_str_eq(io_error(way.stream), refusals[_i].error);
	else
		ck_assert_int_eq(strncmp(io_error(way.stream), "HTTP tunnel: ", 13), 0);
	/* For good. */
	ck_assert_int_eq(io_write(way.stream, "x", 1), IO_ERR);
	way_close(&way);
}
END_TEST

START_TEST(proxy_closes)
{
	struct way way = way_to("db.example.com", 5432);

	say(way.proxy, "HTTP/1.1 200 O");
	io_shutdown(way.proxy);
	ck_assert_int_eq(io_handshake(way.stream), IO_ERR);
	ck_assert_str_eq(io_error(way.stream), "HTTP tunnel: the proxy closed the connection");
	way_close(&way);
}
END_TEST

/* An answer without end takes no memory without end. */
START_TEST(endless_answer)
{
	struct way way = way_to("db.example.com", 5432);
	int result = IO_WANT_READ;

	say(way.proxy, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 3000 && result == IO_WANT_READ; i++) {
		say(way.proxy, "X: 12345\r\n");
		result = io_handshake(way.stream);
	}
	ck_assert_int_eq(result, IO_ERR);
	ck_assert_str_eq(io_error(way.stream), "HTTP tunnel: the proxy's answer is too long");
	way_close(&way);
}
END_TEST

START_TEST(ipv6_target)
{
	struct way way = way_to("2001:db8::1", 443);

	ck_assert_int_eq(io_handshake(way.stream), IO_WANT_READ);
	expect(way.proxy, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
	way_close(&way);
}
END_TEST

/* One byte at a time, and a lower stream that is still connecting and that breaks. */
START_TEST(slow_lower)
{
	struct io *ends[2];

	memory_io_pair(ends, 65536);
	struct io *stream = connect_tunnel_io(ends[1], "db.example.com", 5432);
	memory_io_connecting(ends[1], true);
	ck_assert_int_eq(io_handshake(stream), IO_WANT_WRITE);
	memory_io_connecting(ends[1], false);
	memory_io_limit(ends[1], 1);
	ck_assert_int_eq(io_handshake(stream), IO_WANT_READ);
	expect(ends[0], asked);
	memory_io_break(ends[1], "connection reset by peer");
	ck_assert_int_eq(io_handshake(stream), IO_ERR);
	ck_assert_str_eq(io_error(stream), "connection reset by peer");
	io_close(stream, true);
	ck_assert(memory_io_is_reset(ends[1]));
	io_close(ends[0], false);
}
END_TEST

/* ---- PROXY -------------------------------------------------------------------------------- */

/* A connection of this family over loopback: a stream with a header in front and the peer's
 * descriptor, and the ports of both ends. */
struct connected {
	struct io *stream;
	int peer;
	unsigned from, to;
};

static struct connected connected(int family, int version)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *addr = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct connected c;

	ck_assert_int_eq(bind(listening, addr, len), 0);
	ck_assert_int_eq(listen(listening, 1), 0);
	ck_assert_int_eq(getsockname(listening, addr, &len), 0);
	ck_assert_int_eq(connect(fd, addr, len), 0);
	c.to = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	ck_assert_int_eq(getsockname(fd, addr, &len), 0);
	c.from = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	c.peer = accept(listening, NULL, NULL);
	ck_assert_int_ge(c.peer, 0);
	close(listening);
	c.stream = proxy_header_io(sock_io(fd, true), fd, version);
	ck_assert_ptr_nonnull(c.stream);
	ck_assert_int_eq(io_handshake(c.stream), 0);
	say(c.stream, "PING");
	return c;
}

static void received(struct connected *c, const void *expected, size_t len)
{
	unsigned char got[256];

	ck_assert_int_eq(recv(c->peer, got, len, MSG_WAITALL), (ssize_t)len);
	ck_assert_mem_eq(got, expected, len);
	ck_assert_int_eq(recv(c->peer, got, 4, MSG_WAITALL), 4);
	ck_assert_mem_eq(got, "PING", 4);
}

START_TEST(proxy_1)
{
	int family = _i ? AF_INET6 : AF_INET;
	struct connected c = connected(family, 1);
	const char *host = _i ? "::1" : "127.0.0.1";
	char line[128];

	int n = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", _i ? 6 : 4, host, host,
			 c.from, c.to);
	received(&c, line, (size_t)n);
	io_close(c.stream, false);
	close(c.peer);
}
END_TEST

START_TEST(proxy_2)
{
	int family = _i ? AF_INET6 : AF_INET;
	struct connected c = connected(family, 2);
	unsigned char head[64] = "\r\n\r\n\0\r\nQUIT\n\x21";
	struct in_addr v4 = {htonl(INADDR_LOOPBACK)};
	const void *address = _i ? (const void *)&in6addr_loopback : (const void *)&v4;
	size_t size = _i ? 16 : 4, at = 16;

	head[13] = _i ? 0x21 : 0x11;
	head[15] = (unsigned char)(2 * size + 4);
	memcpy(head + at, address, size);
	memcpy(head + at + size, address, size);
	at += 2 * size;
	head[at++] = (unsigned char)(c.from >> 8);
	head[at++] = (unsigned char)c.from;
	head[at++] = (unsigned char)(c.to >> 8);
	head[at++] = (unsigned char)c.to;
	received(&c, head, at);
	io_close(c.stream, false);
	close(c.peer);
}
END_TEST

/* A unix socket has no addresses to tell. */
START_TEST(proxy_unknown)
{
	static const char *const heads[] = {"PROXY UNKNOWN\r\n",
					    "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"};
	static const size_t sizes[] = {15, 16};
	char got[20];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	struct io *stream = proxy_header_io(sock_io(pair[0], false), pair[0], _i + 1);
	ck_assert_int_eq(io_handshake(stream), 0);
	ck_assert_int_eq(recv(pair[1], got, sizeof(got), MSG_DONTWAIT), (ssize_t)sizes[_i]);
	ck_assert_mem_eq(got, heads[_i], sizes[_i]);
	io_close(stream, false);
	close(pair[1]);
}
END_TEST

Suite *preface_suite(void);
Suite *preface_suite(void)
{
	Suite *suite = suite_create("preface");
	TCase *tunnel = tcase_create("CONNECT");
	TCase *proxy = tcase_create("PROXY");

	tcase_add_test(tunnel, tunnel_opens);
	tcase_add_test(tunnel, surplus_is_pending);
	tcase_add_test(tunnel, interim_answers_are_skipped);
	tcase_add_loop_test(tunnel, tunnel_is_refused, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tunnel, proxy_closes);
	tcase_add_test(tunnel, endless_answer);
	tcase_add_test(tunnel, ipv6_target);
	tcase_add_test(tunnel, slow_lower);
	tcase_add_loop_test(proxy, proxy_1, 0, 2);
	tcase_add_loop_test(proxy, proxy_2, 0, 2);
	tcase_add_loop_test(proxy, proxy_unknown, 0, 2);
	suite_add_tcase(suite, tunnel);
	suite_add_tcase(suite, proxy);
	return suite;
}
