/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs under test share. They are plain programs: nothing here knows of the shim. A
 * failure prints one line to stderr and exits with 1.
 */
#ifndef TESTS_PRELOAD_GUEST_H
#define TESTS_PRELOAD_GUEST_H

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#define ANSWER_MAX 65536

/* A response: all that came until the end of the stream, and where its body starts. */
struct answer {
	size_t len;
	int status;
	char *body;
	char text[ANSWER_MAX];
};

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno: %s)\n", strerror(error));
	exit(1);
}

/* The first IPv4 address of a host. */
static inline struct addrinfo *resolve(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
	int error = getaddrinfo(host, port, &hints, &list);

	if (error)
		die("getaddrinfo %s: %s", host, gai_strerror(error));
	return list;
}

/* A blocking connection. */
static inline int dial(const char *host, const char *port)
{
	struct addrinfo *to = resolve(host, port);
	int fd = socket(to->ai_family, to->ai_socktype, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		die("connect %s", host);
	freeaddrinfo(to);
	return fd;
}

/* A GET that asks for the connection to be closed after the response. */
static inline size_t request_text(char *out, size_t size, const char *path)
{
	int n = snprintf(out, size,
			 "GET %s HTTP/1.1\r\nHost: webserver\r\nUser-Agent: guest\r\n"
			 "Connection: close\r\n\r\n",
			 path);

	if (n < 0 || (size_t)n >= size)
		die("request too long");
	return (size_t)n;
}

/* Append what was received. */
static inline void answer_add(struct answer *answer, const void *data, size_t n)
{
	if (answer->len + n >= sizeof(answer->text))
		die("answer too long");
	memcpy(answer->text + answer->len, data, n);
	answer->len += n;
	answer->text[answer->len] = '\0';
}

/* Look for status and body once the stream has ended. */
static inline void answer_parse(struct answer *answer)
{
	answer->text[answer->len] = '\0';
	if (sscanf(answer->text, "HTTP/1.1 %d ", &answer->status) != 1)
		die("no HTTP response but %zu bytes: %.100s", answer->len, answer->text);
	answer->body = strstr(answer->text, "\r\n\r\n");
	if (!answer->body)
		die("a response without an end of its head");
	answer->body += 4;
}

/* One request over a connection of its own, with write(2) and read(2). */
static inline void fetch(const char *host, const char *port, const char *path,
			 struct answer *answer)
{
	char request[1024];
	size_t len = request_text(request, sizeof(request), path);
	int fd = dial(host, port);
	ssize_t n;

	memset(answer, 0, offsetof(struct answer, text));
	if (write(fd, request, len) != (ssize_t)len)
		die("write");
	while ((n = read(fd, answer->text + answer->len, sizeof(answer->text) - 1 - answer->len)) >
	       0)
		answer->len += (size_t)n;
	if (n < 0)
		die("read");
	close(fd);
	answer_parse(answer);
}

/* Fetch, and insist on a 200 whose body is `body` (a final line break aside). */
static inline void expect(const char *host, const char *port, const char *path, const char *body)
{
	struct answer *answer = malloc(sizeof(*answer));

	if (!answer)
		die("malloc");
	fetch(host, port, path, answer);
	answer->body[strcspn(answer->body, "\n")] = '\0';
	if (answer->status != 200 || strcmp(answer->body, body) != 0)
		die("%s: status %d, body \"%s\", expected 200 and \"%s\"", path, answer->status,
		    answer->body, body);
	free(answer);
}

/* What a guest can do, by name. */
struct guest_mode {
	const char *name;
	void (*run)(void);
};

static inline void run_mode(const struct guest_mode *modes, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(modes[i].name, name) != 0)
			continue;
		modes[i].run();
		return;
	}
	die("no mode %s", name);
}

#endif
