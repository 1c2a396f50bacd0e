/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer. An answer is right when its status is, its Content-Length is the size
 * that was asked for, and its body is the pattern that the origin's files hold: byte i is
 * pattern(i). The first answers of a connection are compared byte for byte, later ones at both ends
 * of every piece that was read, which a piece lost, doubled or moved does not survive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/bench/client.h"

#define WHOLE_ANSWERS 2

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 131 + (i >> 8) * 17 + (i >> 16) * 5);
}

int talk_prepare(struct settings *settings)
{
	size_t body = settings->post ? settings->size : 0;
	char length[64] = "";
	int head;

	settings->request = malloc(HEAD_MAX + body);
	if (!settings->request)
		return -1;
	if (settings->post)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body);
	head =
	    snprintf(settings->request, HEAD_MAX,
		     "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: meshshim-bench\r\n"
		     "Accept: */*\r\n%s\r\n",
		     settings->post ? "POST" : "GET", settings->path, settings->authority, length);
	if (head < 0 || head >= HEAD_MAX) {
		complain("the request's head is too long");
		return -1;
	}
	for (size_t i = 0; i < body; i++)
		settings->request[(size_t)head + i] = (char)pattern(i);
	settings->request_len = (size_t)head + body;
	return 0;
}

void talk_begin(struct talk *talk)
{
	talk->started = stat_now();
	talk->sent = talk->head_len = talk->body = talk->length = 0;
	talk->in_body = false;
}

/* The head is complete and ends with a zero: its status and length. */
static int read_head(struct talk *talk, const struct settings *settings)
{
	bool empty = settings->post;
	const char *line = talk->head;
	char *end;

	if (strncmp(line, empty ? "HTTP/1.1 204 " : "HTTP/1.1 200 ", 13) != 0) {
		complain("answer: %.40s", line);
		return -1;
	}
	talk->length = SIZE_MAX;
	while ((line = strchr(line, '\n')) != NULL) {
		if (strncasecmp(++line, "Content-Length:", 15) != 0)
			continue;
		talk->length = strtoull(line + 15, &end, 10);
		if (*end != '\r')
			talk->length = SIZE_MAX;
	}
	if (empty && talk->length == SIZE_MAX)
		talk->length = 0;
	if (talk->length != (empty ? 0 : settings->size)) {
		complain("an answer of another length:\n%s", talk->head);
		return -1;
	}
	talk->in_body = true;
	return 0;
}

/* `n` more bytes of the body. */
static int check_body(struct talk *talk, const char *data, size_t n)
{
	const unsigned char *bytes = (const unsigned char *)data;
	size_t step = talk->answers < WHOLE_ANSWERS || n < 2 ? 1 : n - 1;

	if (n > talk->length - talk->body) {
		complain("more than the answer's body");
		return -1;
	}
	for (size_t i = 0; i < n; i += step)
		if (bytes[i] != pattern(talk->body + i)) {
			complain("byte %zu of an answer is wrong", talk->body + i);
			return -1;
		}
	talk->body += n;
	return 0;
}

/* `n` bytes of the answer. */
static int take(struct talk *talk, const struct settings *settings, const char *data, size_t n)
{
	size_t room = sizeof(talk->head) - 1 - talk->head_len, before = talk->head_len, used;
	char *end;

	if (talk->in_body)
		return check_body(talk, data, n);
	room = n < room ? n : room;
	memcpy(talk->head + before, data, room);
	talk->head_len += room;
	end = memmem(talk->head, talk->head_len, "\r\n\r\n", 4);
	if (!end) {
		if (talk->head_len < sizeof(talk->head) - 1)
			return 0;
		complain("a head without end");
		return -1;
	}
	used = (size_t)(end + 4 - talk->head) - before;
	end[4] = '\0';
	if (read_head(talk, settings) < 0)
		return -1;
	return used < n ? check_body(talk, data + used, n - used) : 0;
}

static enum talk_state state_of(ssize_t result)
{
	return result == STREAM_WANT_READ    ? TALK_READ
	       : result == STREAM_WANT_WRITE ? TALK_WRITE
					     : TALK_FAILED;
}

enum talk_state talk_step(struct talk *talk, const struct settings *settings, char *buffer)
{
	ssize_t n;

	while (talk->sent < settings->request_len) {
		n = stream_send(&talk->stream, settings->request + talk->sent,
				settings->request_len - talk->sent);
		if (n < 0)
			return state_of(n);
		talk->sent += (size_t)n;
	}
	while (!talk->in_body || talk->body < talk->length) {
		n = stream_receive(&talk->stream, buffer, BUFFER);
		if (n < 0)
			return state_of(n);
		if (take(talk, settings, buffer, (size_t)n) < 0)
			return TALK_FAILED;
	}
	talk->answers++;
	return TALK_DONE;
}
