/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader walks the bytes of the handshake and steps over the heads of records between them. How
 * long the hello is stands in its fourth byte: before all of it is there, only records are counted.
 */
#include "shim/bridge/client_hello.h"

#include <stdbool.h>
#include <string.h>

#define RECORD_HEAD	 5
#define RECORD_MAX	 16384 /* RFC 8446 5.1 */
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO	 1
#define MESSAGE_HEAD	 4
#define SERVER_NAME	 0 /* the extension, and its one kind of name: host_name */

struct reader {
	const unsigned char *at;
	size_t in_record; /* bytes of the present record that were not read */
	size_t left;	  /* bytes that may be read */
	bool bad;	  /* what is no record, or a length that leads out of what holds it */
};

/* The length of a record's content. 0: it is no record of a handshake. */
static size_t record_length(const unsigned char *head)
{
	size_t length = (size_t)head[3] << 8 | head[4];

	return head[0] == RECORD_HANDSHAKE && head[1] == 3 && length <= RECORD_MAX ? length : 0;
}

/* All bytes are known to be there. */
static unsigned next(struct reader *reader)
{
	if (!reader->left) {
		reader->bad = true;
		return 0;
	}
	reader->left--;
	if (!reader->in_record) {
		reader->in_record = record_length(reader->at);
		reader->at += RECORD_HEAD;
	}
	reader->in_record--;
	return *reader->at++;
}

static size_t number(struct reader *reader, int bytes)
{
	size_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | next(reader);
	return value;
}

static void skip(struct reader *reader, size_t n)
{
	while (n-- > 0 && !reader->bad)
		next(reader);
}

/* Enter a vector of `n` bytes: nothing behind it can be read until leave() with the result. */
static size_t enter(struct reader *reader, size_t n)
{
	size_t behind = 0;

	if (n > reader->left)
		reader->bad = true;
	else
		behind = reader->left - n;
	reader->left -= behind;
	return behind;
}

static void leave(struct reader *reader, size_t behind)
{
	reader->bad |= reader->left > 0;
	reader->left += behind;
}

/* ServerNameList: one host_name, as all servers demand. */
static void read_server_name(struct reader *reader, char name[256])
{
	size_t list = enter(reader, number(reader, 2));
	unsigned type = next(reader);
	size_t length = number(reader, 2);

	if (type != SERVER_NAME || !length || length > 255 || length != reader->left)
		reader->bad = true;
	for (size_t i = 0; i < length && !reader->bad; i++) {
		name[i] = (char)next(reader);
		reader->bad |= name[i] == '\0';
	}
	if (!reader->bad)
		name[length] = '\0';
	leave(reader, list);
}

static void read_extensions(struct reader *reader, char name[256])
{
	size_t all = enter(reader, number(reader, 2));

	while (reader->left && !reader->bad) {
		size_t type = number(reader, 2);
		size_t one = enter(reader, number(reader, 2));

		if (type == SERVER_NAME && *name)
			reader->bad = true; /* which of the two? */
		else if (type == SERVER_NAME)
			read_server_name(reader, name);
		else
			skip(reader, reader->left);
		leave(reader, one);
	}
	leave(reader, all);
}

static bool read_hello(struct reader *reader, char name[256])
{
	skip(reader, MESSAGE_HEAD);
	if (next(reader) != 3) /* legacy_version */
		return false;
	skip(reader, 1 + 32);		       /* random */
	skip(reader, next(reader));	       /* legacy_session_id */
	skip(reader, number(reader, 2));       /* cipher_suites */
	skip(reader, next(reader));	       /* legacy_compression_methods */
	if (reader->left && !reader->bad)
		read_extensions(reader, name);
	return !reader->bad && !reader->left;
}

/* The first bytes of a record's head, as far as they are there. */
static bool may_be_record(const unsigned char *head, size_t n)
{
	if (n >= RECORD_HEAD)
		return record_length(head) > 0;
	return (n < 1 || head[0] == RECORD_HANDSHAKE) && (n < 2 || head[1] == 3);
}

/* How much of the message the records hold; `message` gets its first bytes. False: these are none. */
static bool gather(const unsigned char *data, size_t n, unsigned char message[MESSAGE_HEAD],
		   size_t *have)
{
	size_t at = 0;

	*have = 0;
	while (at < n && (*have < MESSAGE_HEAD ||
			  *have < MESSAGE_HEAD + ((size_t)message[1] << 16 |
						  (size_t)message[2] << 8 | message[3]))) {
		if (!may_be_record(data + at, n - at))
			return false;
		if (n - at < RECORD_HEAD)
			return true;
		size_t length = record_length(data + at), there = n - at - RECORD_HEAD;

		at += RECORD_HEAD;
		if (there > length)
			there = length;
		for (size_t i = 0; i < there && *have + i < MESSAGE_HEAD; i++)
			message[*have + i] = data[at + i];
		*have += there;
		at += there;
	}
	return true;
}

enum client_hello client_hello_read(const char *data, size_t n, char name[256])
{
	const unsigned char *bytes = (const unsigned char *)data;
	unsigned char message[MESSAGE_HEAD] = {CLIENT_HELLO};
	struct reader reader = {.at = bytes};
	size_t have, whole;

	name[0] = '\0';
	if (!gather(bytes, n, message, &have) || message[0] != CLIENT_HELLO)
		return CLIENT_HELLO_NONE;
	whole = MESSAGE_HEAD +
		((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
	if (have < MESSAGE_HEAD || have < whole)
		return n < CLIENT_HELLO_MAX && whole < CLIENT_HELLO_MAX ? CLIENT_HELLO_MORE
									: CLIENT_HELLO_NONE;
	reader.left = whole;
	if (!read_hello(&reader, name)) {
		name[0] = '\0';
		return CLIENT_HELLO_NONE;
	}
	return CLIENT_HELLO_TLS;
}
