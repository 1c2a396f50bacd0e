/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guests of test_fast.py share: one keep-alive connection, written to and read from in
 * every way there is. Answers are those of its origin: "METHOD PATH LENGTH ADLER32\n" for /echo, a
 * pattern for /size.
 */
#ifndef TESTS_PRELOAD_FAST_H
#define TESTS_PRELOAD_FAST_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <sys/uio.h>

#include "tests/preload/guest.h"

/* A system call by the bare instruction, past libc and whoever hooks it. */
static inline long bare(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	result = x0;
#else
	result = syscall(number, a, b, c, d, e, f);
	return result;
#endif
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static inline long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* How many bytes the kernel has carried for the program. (<linux/tcp.h> has tcpi_bytes_sent, but
 * cannot stand beside <netinet/tcp.h>.) */
static inline uint64_t carried(int fd)
{
	char info[256];
	socklen_t len = sizeof(info);
	uint64_t bytes;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) < 0 || len < 208)
		die("TCP_INFO");
	memcpy(&bytes, info + 200, sizeof(bytes));
	return bytes;
}

enum { BY_SEND, BY_WRITE, BY_BARE, BY_SENDTO, BY_WRITEV, BY_SENDMSG, SEND_WAYS };
enum { BY_RECV, BY_READ, BY_BARE_READ, BY_RECVFROM, BY_READV, BY_RECVMSG, BY_PEEK, RECV_WAYS };

static inline ssize_t put(int fd, const void *data, size_t len, int way)
{
	struct iovec parts[2] = {{(void *)data, len / 2}, {(char *)data + len / 2, len - len / 2}};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};

	switch (way) {
	case BY_SEND:
		return send(fd, data, len, MSG_NOSIGNAL);
	case BY_WRITE:
		return write(fd, data, len);
	case BY_BARE:
		return bare(SYS_write, fd, (long)data, (long)len, 0, 0, 0);
	case BY_SENDTO:
		return sendto(fd, data, len, 0, NULL, 0);
	case BY_WRITEV:
		return writev(fd, parts, 2);
	default:
		return sendmsg(fd, &msg, MSG_NOSIGNAL);
	}
}

static inline ssize_t get(int fd, void *data, size_t room, int way)
{
	struct iovec parts[2] = {{data, room / 2}, {(char *)data + room / 2, room - room / 2}};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;

	switch (way) {
	case BY_RECV:
		return recv(fd, data, room, 0);
	case BY_READ:
		return read(fd, data, room);
	case BY_BARE_READ:
		return bare(SYS_read, fd, (long)data, (long)room, 0, 0, 0);
	case BY_RECVFROM:
		return recvfrom(fd, data, room, 0, NULL, NULL);
	case BY_READV:
		return readv(fd, parts, 2);
	case BY_RECVMSG:
		return recvmsg(fd, &msg, 0);
	default:
		n = recv(fd, data, room, MSG_PEEK);
		return n > 0 ? recv(fd, data, (size_t)n, MSG_WAITALL) : n;
	}
}

static inline void put_all(int fd, const void *data, size_t len, int way)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = put(fd, (const char *)data + done, len - done, way);

		if (n <= 0)
			die("sending by way %d", way);
		done += (size_t)n;
	}
}

/* A connection and what was read ahead of its answers. */
struct link {
	int fd;
	int way;     /* of receiving; -1: any */
	size_t room; /* of one call; 0: any */
	unsigned seed;
	size_t at, len;
	char data[1 << 20];
	char text[256]; /* the last answer's body, if it was so short */
	int status;
};

static inline unsigned draw(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static inline void link_fill(struct link *link)
{
	static const size_t rooms[] = {1, 7, 100, 4096, 65536};
	size_t room = link->room ? link->room : rooms[draw(&link->seed) % 5];
	int way = link->way >= 0 ? link->way : (int)(draw(&link->seed) % RECV_WAYS);
	ssize_t n;

	do
		n = get(link->fd, link->data, room, way);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		die("receiving %zu bytes by way %d: %zd", room, way, n);
	link->at = 0;
	link->len = (size_t)n;
}

static inline char link_byte(struct link *link)
{
	if (link->at == link->len)
		link_fill(link);
	return link->data[link->at++];
}

static inline size_t link_line(struct link *link, char *line, size_t size)
{
	size_t n = 0;

	for (char c; (c = link_byte(link)) != '\n';) {
		if (n + 1 >= size)
			die("a long line");
		line[n++] = c;
	}
	if (!n || line[n - 1] != '\r')
		die("a bare line break");
	line[--n] = '\0';
	return n;
}

static inline char pattern(size_t i)
{
	return (char)(i % 251);
}

/* A body of `len` bytes: kept if it is short, else the pattern. */
static inline void link_body(struct link *link, size_t len, size_t *done)
{
	for (size_t i = 0; i < len; i++, ++*done) {
		char c = link_byte(link);

		if (*done + 1 < sizeof(link->text))
			link->text[*done] = c;
		else if (c != pattern(*done))
			die("byte %zu is %d and not %d", *done, c, pattern(*done));
	}
	link->text[*done < sizeof(link->text) ? *done : sizeof(link->text) - 1] = '\0';
}

/* The next answer. Returns its body's length. */
static inline size_t link_answer(struct link *link)
{
	char line[1024];
	size_t len = 0, done = 0;
	bool chunked = false;

	link_line(link, line, sizeof(line));
	if (sscanf(line, "HTTP/1.1 %d ", &link->status) != 1)
		die("no answer: %s", line);
	while (link_line(link, line, sizeof(line))) {
		if (strncasecmp(line, "content-length:", 15) == 0)
			len = strtoul(line + 15, NULL, 10);
		chunked = chunked || strncasecmp(line, "transfer-encoding: chunked", 26) == 0;
	}
	if (!chunked) {
		link_body(link, len, &done);
		return done;
	}
	do {
		link_line(link, line, sizeof(line));
		len = strtoul(line, NULL, 16);
		link_body(link, len, &done);
		link_line(link, line, sizeof(line));
	} while (len);
	return done;
}

/* Of the reader's own way from now on. */
static inline struct link *link_over(int fd, int way, size_t room)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		die("calloc");
	link->fd = fd;
	link->way = way;
	link->room = room;
	return link;
}

static inline uint32_t adler(const char *data, size_t len)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + (unsigned char)data[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

/* A request's text. Returns its length. */
static inline size_t ask_text(char *out, size_t size, const char *path)
{
	int n = snprintf(out, size, "GET %s HTTP/1.1\r\nHost: webserver\r\n\r\n", path);

	if (n < 0 || (size_t)n >= size)
		die("request too long");
	return (size_t)n;
}

static inline void ask(int fd, const char *path, int way)
{
	char text[512];

	put_all(fd, text, ask_text(text, sizeof(text), path), way);
}

/* The answer to ask(). */
static inline void told(struct link *link, const char *path)
{
	char wanted[256];

	link_answer(link);
	snprintf(wanted, sizeof(wanted), "GET %s 0 00000001\n", path);
	if (link->status != 200 || strcmp(link->text, wanted) != 0)
		die("%s: status %d, \"%s\"", path, link->status, link->text);
}

/* One request and its answer, by calls that may take the fast lane. */
static inline void trip(struct link *link, const char *path)
{
	ask(link->fd, path, BY_SEND);
	told(link, path);
}

#endif
