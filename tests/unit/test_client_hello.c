/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hellos are made here, piece by piece, so that each piece can be wrong. Every one is read in full, cut
 * off at every byte, and spread over records of every size; the bytes lie at the end of a page behind
 * which nothing is mapped, so that one read too far is a fault.
 */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/bridge/client_hello.h"

Suite *client_hello_suite(void);

struct bytes {
	unsigned char data[200000];
	size_t n;
};

static void put(struct bytes *to, const void *data, size_t n)
{
	ck_assert_uint_le(to->n + n, sizeof(to->data));
	memcpy(to->data + to->n, data, n);
	to->n += n;
}

static void put_number(struct bytes *to, size_t value, int size)
{
	while (size-- > 0)
		put(to, &(unsigned char){(unsigned char)(value >> (8 * size))}, 1);
}

/* What a hello is made of. */
struct hello {
	const char *name;    /* NULL: no server_name */
	size_t name_len;     /* 0: that of `name` */
	size_t name_type;
	int names;	     /* how many server_name extensions */
	size_t padding;	     /* bytes of another extension, before */
	size_t version;	     /* legacy_version */
	int bad_list;	     /* server_name_list is that much longer than it is */
	int bad_extension, bad_extensions; /* likewise */
	bool no_extensions;
	int behind; /* bytes after the extensions */
};

static void put_name(struct bytes *to, const struct hello *hello)
{
	size_t len = hello->name_len ? hello->name_len : strlen(hello->name);

	put_number(to, 0, 2);
	put_number(to, len + 5 + (size_t)hello->bad_extension, 2);
	put_number(to, len + 3 + (size_t)hello->bad_list, 2);
	put_number(to, hello->name_type, 1);
	put_number(to, len, 2);
	put(to, hello->name, len);
}

/* The handshake message, without records. */
static void make(struct bytes *to, const struct hello *hello)
{
	static struct bytes extensions, body;
	static const char random[32] = "0123456789abcdef0123456789abcdef";

	extensions.n = body.n = to->n = 0;
	if (hello->padding) {
		put_number(&extensions, 21, 2);
		put_number(&extensions, hello->padding, 2);
		for (size_t i = 0; i < hello->padding; i++)
			put_number(&extensions, 0, 1);
	}
	for (int i = 0; hello->name && i < (hello->names ? hello->names : 1); i++)
		put_name(&extensions, hello);
	put_number(&extensions, 0x2b, 2);
	put(&extensions, "\0\3\2\3\4", 5);

	put_number(&body, hello->version ? hello->version : 0x303, 2);
	put(&body, random, 32);
	put(&body, "\x04sess", 5);
	put(&body, "\0\4\x13\1\x13\2", 6);
	put(&body, "\1\0", 2);
	if (!hello->no_extensions) {
		put_number(&body, extensions.n + (size_t)hello->bad_extensions, 2);
		put(&body, extensions.data, extensions.n);
	}
	for (int i = 0; i < hello->behind; i++)
		put_number(&body, 0, 1);
	put_number(to, 1, 1);
	put_number(to, body.n, 3);
	put(to, body.data, body.n);
}

static void make_records(struct bytes *to, const struct bytes *message, size_t size)
{
	to->n = 0;
	for (size_t at = 0; at < message->n; at += size) {
		size_t piece = message->n - at < size ? message->n - at : size;

		put(to, "\x16\3\1", 3);
		put_number(to, piece, 2);
		put(to, message->data + at, piece);
	}
}

/* Read bytes behind which nothing can be read. */
static enum client_hello read_hello(const unsigned char *data, size_t n, char name[256])
{
	static unsigned char *end;
	size_t size = 1 << 18;

	if (!end) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		unsigned char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ck_assert_ptr_ne(map, MAP_FAILED);
		ck_assert_int_eq(mprotect(map + size, page, PROT_NONE), 0);
		end = map + size;
	}
	memcpy(end - n, data, n);
	memset(name, '?', 256);
	return client_hello_read((char *)end - n, n, name);
}

static const struct {
	struct hello hello;
	enum client_hello is;
	const char *name;
} cases[] = {
    {{.name = "a.example"}, CLIENT_HELLO_TLS, "a.example"},
    {{.name = "A.Example"}, CLIENT_HELLO_TLS, "A.Example"},
    {{.name = NULL}, CLIENT_HELLO_TLS, ""},
    {{.no_extensions = true}, CLIENT_HELLO_TLS, ""},
    {{.name = "192.0.2.1"}, CLIENT_HELLO_TLS, "192.0.2.1"},
    {{.name = "a.example", .padding = 1200}, CLIENT_HELLO_TLS, "a.example"},
    {{.name = "old.example", .version = 0x301}, CLIENT_HELLO_TLS, "old.example"},
    /* RFC 6066: one name of each type; RFC 8446 4.2: one extension of each type */
    {{.name = "a.example", .names = 2}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .name_type = 1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a\0b", .name_len = 3}, CLIENT_HELLO_NONE, ""},
    {{.name = ""}, CLIENT_HELLO_NONE, ""},
    /* lengths that do not fit */
    {{.name = "a.example", .bad_list = 1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_list = -1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_extension = 1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_extension = -1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_extension = 100}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_extensions = 1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .bad_extensions = -1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .behind = 1}, CLIENT_HELLO_NONE, ""},
    {{.no_extensions = true, .behind = 1}, CLIENT_HELLO_NONE, ""},
    {{.name = "a.example", .version = 0x203}, CLIENT_HELLO_NONE, ""},
};

/* Whatever the size of the records: until the last byte more is wanted, and then it is known. */
START_TEST(cut_and_split)
{
	static struct bytes message, wire;
	char name[256];

	make(&message, &cases[_i].hello);
	for (size_t size = 1; size <= message.n; size++) {
		make_records(&wire, &message, size);
		for (size_t n = 0; n < wire.n; n++) {
			/* A record whose last byte is the hello's is known by its head alone. */
			enum client_hello is = read_hello(wire.data, n, name);

			ck_assert_msg(is == CLIENT_HELLO_MORE, "case %d, records of %zu, %zu bytes: %d",
				      _i, size, n, is);
			ck_assert_str_eq(name, "");
			if (size > 64 && n > 64 && n + 64 < wire.n)
				n += 16;
		}
		ck_assert_int_eq(read_hello(wire.data, wire.n, name), cases[_i].is);
		ck_assert_str_eq(name, cases[_i].name);
		put(&wire, "more\x17", 5); /* whatever is behind it */
		ck_assert_int_eq(read_hello(wire.data, wire.n, name), cases[_i].is);
		ck_assert_str_eq(name, cases[_i].name);
		if (size > 300)
			size += 250;
	}
}
END_TEST

/* Names are 255 bytes at most. */
START_TEST(long_names)
{
	static struct bytes message, wire;
	char name[256], text[300];

	memset(text, 'n', sizeof(text));
	for (size_t len = 250; len < 260; len++) {
		make(&message, &(struct hello){.name = text, .name_len = len});
		make_records(&wire, &message, 16384);
		if (len > 255) {
			ck_assert_int_eq(read_hello(wire.data, wire.n, name), CLIENT_HELLO_NONE);
			continue;
		}
		ck_assert_int_eq(read_hello(wire.data, wire.n, name), CLIENT_HELLO_TLS);
		ck_assert_uint_eq(strlen(name), len);
	}
}
END_TEST

/* The greatest hello that is waited for, and one that says at once that it is greater. */
START_TEST(long_hellos)
{
	static struct bytes message, wire;
	char name[256];

	make(&message, &(struct hello){.name = "a.example", .padding = 65000});
	make_records(&wire, &message, 16384);
	ck_assert_uint_lt(wire.n, CLIENT_HELLO_MAX);
	ck_assert_int_eq(read_hello(wire.data, wire.n - 1, name), CLIENT_HELLO_MORE);
	ck_assert_int_eq(read_hello(wire.data, wire.n, name), CLIENT_HELLO_TLS);
	ck_assert_str_eq(name, "a.example");

	/* The same in small records is too much, and is not waited for to the end. */
	make_records(&wire, &message, 30);
	ck_assert_uint_gt(wire.n, CLIENT_HELLO_MAX);
	ck_assert_int_eq(read_hello(wire.data, CLIENT_HELLO_MAX - 1, name), CLIENT_HELLO_MORE);
	ck_assert_int_eq(read_hello(wire.data, CLIENT_HELLO_MAX, name), CLIENT_HELLO_NONE);

	ck_assert_int_eq(read_hello((const void *)"\x16\3\1\0\4\1\1\0\0", 9, name),
			 CLIENT_HELLO_NONE);
	ck_assert_int_eq(read_hello((const void *)"\x16\3\1\0\4\1\0\xff\xff", 9, name),
			 CLIENT_HELLO_NONE);
	ck_assert_int_eq(read_hello((const void *)"\x16\3\1\0\4\1\0\xff\0", 9, name),
			 CLIENT_HELLO_MORE);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
} others[] = {
    {"GET / HTTP/1.1\r\n", 1},
    {"\x17", 1},		      /* another record */
    {"\x16\2", 2},		      /* another version */
    {"\x16\3\1\0\0", 5},	      /* RFC 8446 5.1: no empty fragments of handshakes */
    {"\x16\3\1\x40\1", 5},	      /* a record of more than 2^14 */
    {"\x16\3\1\0\1\2", 6},	      /* a ServerHello */
    {"\x16\3\1\0\1\1\x17", 7},	      /* another record between */
    {"\x80\x2e\1\3\1", 1},	      /* SSL 2.0 */
    {"\x16\3\1\0\4\1\0\0\0", 9},      /* an empty hello */
};

START_TEST(other_protocols)
{
	char name[256];

	for (size_t n = 0; n < others[_i].n; n++)
		ck_assert_int_eq(read_hello((const void *)others[_i].text, n, name),
				 CLIENT_HELLO_MORE);
	ck_assert_int_eq(read_hello((const void *)others[_i].text, others[_i].n, name),
			 CLIENT_HELLO_NONE);
	ck_assert_str_eq(name, "");
}
END_TEST

/* Any byte of it may be any other: no read leaves the bytes, and a name is a name. */
START_TEST(mutations)
{
	static struct bytes message, wire;
	char name[256];

	make(&message, &(struct hello){.name = "some.name.example", .padding = 7});
	for (size_t size = 20; size < 400; size += 379) {
		make_records(&wire, &message, size);
		for (size_t at = 0; at < wire.n; at++) {
			unsigned char was = wire.data[at];

			for (int value = 0; value < 256; value++) {
				wire.data[at] = (unsigned char)value;
				enum client_hello is = read_hello(wire.data, wire.n, name);

				ck_assert_ptr_nonnull(memchr(name, '\0', 256));
				ck_assert(is == CLIENT_HELLO_TLS || !*name);
			}
			wire.data[at] = was;
		}
	}
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		make_records(&wire, &message, 1 + (size_t)random() % 200);
		for (int i = 0; i < 3; i++)
			wire.data[(size_t)random() % wire.n] = (unsigned char)random();
		read_hello(wire.data, (size_t)random() % (wire.n + 1), name);
		ck_assert_ptr_nonnull(memchr(name, '\0', 256));
	}
}
END_TEST

Suite *client_hello_suite(void)
{
	Suite *suite = suite_create("client_hello");
	TCase *all = tcase_create("hellos");

	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, cut_and_split, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(all, long_names);
	tcase_add_test(all, long_hellos);
	tcase_add_loop_test(all, other_protocols, 0, sizeof(others) / sizeof(others[0]));
	tcase_add_test(all, mutations);
	suite_add_tcase(suite, all);
	return suite;
}
