/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shim/dns_message.h"

/* A message under construction. */
static uint8_t message[70000];
static size_t len;

static void add(const void *data, size_t n)
{
	memcpy(message + len, data, n);
	len += n;
}

static void add16(unsigned value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	add(bytes, 2);
}

static void header(unsigned flags, unsigned questions, unsigned answers, unsigned authorities,
		   unsigned additional)
{
	len = 0;
	add16(0xbeef);
	add16(flags);
	add16(questions);
	add16(answers);
	add16(authorities);
	add16(additional);
}

static void add_name(const char *text)
{
	while (*text) {
		size_t label = strcspn(text, ".");
		uint8_t size = (uint8_t)label;

		add(&size, 1);
		add(text, label);
		text += label + (text[label] == '.');
	}
	add("", 1);
}

static void question(const char *name, unsigned type, unsigned class)
{
	add_name(name);
	add16(type);
	add16(class);
}

/* An OPT record with these options. */
static void add_opt(unsigned version, unsigned flags, const void *options, size_t n)
{
	add("", 1);
	add16(DNS_OPT);
	add16(4096);
	add16(version);
	add16(flags);
	add16((unsigned)n);
	add(options, n);
}

/* On the heap, in a block of its very size: the sanitizer sees a byte too many. */
static bool read_exactly(size_t n, struct dns_query *query)
{
	uint8_t *copy = malloc(n ? n : 1);

	memcpy(copy, message, n);
	bool good = dns_read_query(copy, n, query);

	query->cookie = NULL;
	free(copy);
	return good;
}

static enum dns_status status_of(size_t n)
{
	struct dns_question found;
	uint8_t *copy = malloc(n ? n : 1);

	memcpy(copy, message, n);
	enum dns_status status = dns_read_question(copy, n, &found);

	free(copy);
	return status;
}

static void is_other(void)
{
	struct dns_query query;

	ck_assert_int_eq(status_of(len), DNS_OTHER);
	ck_assert(!read_exactly(len, &query));
}

START_TEST(reads_a_query)
{
	struct dns_query query;

	header(0x0120, 1, 0, 0, 0);
	question("WwW.Example.test", DNS_AAAA, 1);
	ck_assert(dns_read_query(message, len, &query));
	ck_assert_str_eq(query.question.name, "WwW.Example.test");
	ck_assert_uint_eq(query.question.type, DNS_AAAA);
	ck_assert_uint_eq(query.question.end, len);
	ck_assert(!query.edns && !query.cookie);

	header(0, 1, 0, 0, 0);
	question("", DNS_A, 1);
	ck_assert(dns_read_query(message, len, &query));
	ck_assert_str_eq(query.question.name, "");
}
END_TEST

/* Cut off anywhere, it is no query; of the question's part it is known that more is to come. */
START_TEST(every_truncation)
{
	struct dns_query query;
	static const uint8_t options[] = {0, 8, 0, 2, 1, 2, 0, 10, 0, 16, 1, 2, 3, 4,
					  5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

	header(0x0100, 1, 0, 0, 2);
	question("a.host.example", DNS_A, 1);
	size_t end = len;
	add_opt(0, 0x8000, options, sizeof(options));
	add("\xc0\x0c", 2); /* a record of the name that was asked for */
	add16(DNS_A);
	add16(1);
	add16(0);
	add16(0);
	add16(4);
	add("\1\2\3\4", 4);
	for (size_t n = 0; n < len; n++) {
		ck_assert_msg(!read_exactly(n, &query), "%zu bytes", n);
		ck_assert_int_eq(status_of(n), n < end ? DNS_SHORT : DNS_QUERY);
	}
	ck_assert(read_exactly(len, &query));
	ck_assert(query.edns && query.dnssec_ok);
	ck_assert_uint_eq(query.cookie_len, 16);
	add("", 1);
	ck_assert(!read_exactly(len, &query)); /* and a byte too many */
}
END_TEST

START_TEST(other_messages)
{
	static const unsigned flags[] = {0x8100, 0x0800, 0x1000, 0x2000, 0x2800, 0x7800};
	struct dns_query query;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		header(flags[i], 1, 0, 0, 0);
		question("a.test", DNS_A, 1);
		is_other();
		/* It is known as soon as the flags are. */
		ck_assert_int_eq(status_of(4), DNS_OTHER);
		ck_assert_int_eq(status_of(3), DNS_SHORT);
	}
	header(0, 0, 0, 0, 0);
	is_other();
	header(0, 2, 0, 0, 0);
	question("a.test", DNS_A, 1);
	question("b.test", DNS_A, 1);
	is_other();
	for (unsigned class = 0; class < 300; class++) {
		header(0, 1, 0, 0, 0);
		question("a.test", DNS_A, class);
		ck_assert_int_eq(status_of(len), class == 1 ? DNS_QUERY : DNS_OTHER);
	}
	/* Records where a query has none. */
	for (int section = 0; section < 3; section++) {
		header(0, 1, section == 0, section == 1, section == 2);
		question("a.test", DNS_A, 1);
		ck_assert(!read_exactly(len, &query));
	}
	header(0, 1, 1, 0, 0);
	question("a.test", DNS_A, 1);
	add_opt(0, 0, "", 0);
	ck_assert(!read_exactly(len, &query));
}
END_TEST

/* Names as a question may not have them. */
START_TEST(bad_names)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
	    {"\xc0\x0c", 2},	      /* to itself */
	    {"\xc0\x00", 2},	      /* into the header */
	    {"\x01" "a\xc0\x0c", 4},  /* a loop over a label */
	    {"\xc0\x0e\xc0\x0c", 4},  /* two that point to each other */
	    {"\xff\xff", 2},	      /* far away */
	    {"\x40" "a", 2},	      /* neither a label nor a pointer */
	    {"\x80" "a", 2},
	    {"\x03" "a.b\0", 5},      /* a dot within a label */
	    {"\x03" "a\0b\0", 5},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		header(0, 1, 0, 0, 0);
		add(bad[i].bytes, bad[i].n);
		add16(DNS_A);
		add16(1);
		is_other();
	}
}
END_TEST

START_TEST(long_names)
{
	struct dns_query query;
	uint8_t label[64] = {63};

	memset(label + 1, 'x', 63);
	header(0, 1, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		add(label, 64);
	label[0] = 61; /* 3 * 64 + 62 + 1: 255 */
	add(label, 62);
	question("", DNS_A, 1);
	ck_assert(read_exactly(len, &query));
	ck_assert_uint_eq(strlen(query.question.name), 253);
	ck_assert_uint_eq(query.question.end, DNS_QUESTION_MAX);

	header(0, 1, 0, 0, 0);
	label[0] = 63;
	for (int i = 0; i < 3; i++)
		add(label, 64);
	label[0] = 62;
	add(label, 63);
	question("", DNS_A, 1);
	is_other();

	header(0, 1, 0, 0, 0);
	label[0] = 63;
	for (int i = 0; i < 1000; i++)
		add(label, 64);
	question("", DNS_A, 1);
	is_other();
}
END_TEST

START_TEST(bad_additional_records)
{
	static const uint8_t short_option[] = {0, 10, 0, 9, 1, 2};
	static const uint8_t half_option[] = {0, 10, 0};
	struct dns_query query;

	header(0, 1, 0, 0, 2); /* two OPT records */
	question("a.test", DNS_A, 1);
	add_opt(0, 0, "", 0);
	add_opt(0, 0, "", 0);
	ck_assert(!read_exactly(len, &query));
	header(0, 1, 0, 0, 1); /* OPT of a name that is not the root */
	question("a.test", DNS_A, 1);
	add("\1x", 2);
	add_opt(0, 0, "", 0);
	ck_assert(!read_exactly(len, &query));
	header(0, 1, 0, 0, 1); /* options longer than their record */
	question("a.test", DNS_A, 1);
	add_opt(0, 0, short_option, sizeof(short_option));
	ck_assert(!read_exactly(len, &query));
	header(0, 1, 0, 0, 1);
	question("a.test", DNS_A, 1);
	add_opt(0, 0, half_option, sizeof(half_option));
	ck_assert(!read_exactly(len, &query));
	for (unsigned target = 20; target < 40; target++) { /* pointers forward or to themselves */
		header(0, 1, 0, 0, 1);
		question("a.test", DNS_A, 1); /* ends at 24 */
		add16(0xc000 | target);
		for (int i = 0; i < 5; i++)
			add16(0);
		ck_assert_int_eq(read_exactly(len, &query), target < 24);
	}
}
END_TEST

/* Any byte of a good message may be anything: nothing is read or written out of bounds. */
START_TEST(every_byte_changed)
{
	static const uint8_t cookie[20] = {0, 10, 0, 16, 1};
	uint8_t good[200], out[DNS_REPLY_MAX];

	header(0x0100, 1, 0, 0, 1);
	question("a.host.example", DNS_A, 1);
	add_opt(0, 0, cookie, sizeof(cookie));
	memcpy(good, message, len);
	for (size_t i = 0; i < len; i++)
		for (unsigned value = 0; value < 256; value++) {
			struct dns_query query;
			struct dns_reply reply = {.has4 = true, .pointer = "b.example"};
			uint8_t *copy = malloc(len);

			memcpy(copy, good, len);
			copy[i] = (uint8_t)value;
			if (dns_read_query(copy, len, &query))
				ck_assert_uint_gt(dns_write_reply(copy, &query, &reply, out), 0);
			free(copy);
		}
}
END_TEST

static size_t reply_to(const struct dns_reply *reply, uint8_t out[DNS_REPLY_MAX])
{
	struct dns_query query;

	ck_assert(dns_read_query(message, len, &query));
	return dns_write_reply(message, &query, reply, out);
}

START_TEST(writes_addresses)
{
	static const uint8_t wanted[] = {
	    0xbe, 0xef, 0x85, 0x80, 0, 1, 0, 2, 0, 0, 0, 0,	       /* header */
	    1, 'A', 4, 't', 'E', 's', 'T', 0, 0, 255, 0, 1,	       /* question */
	    0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 240, 240, 1, 2,   /* A */
	    0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 30, 0, 16, 0x20, 1, 0, 2,  /* AAAA */
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
	};
	struct dns_reply reply = {.has4 = true, .has6 = true};
	uint8_t out[DNS_REPLY_MAX];

	inet_pton(AF_INET, "240.240.1.2", &reply.v4);
	inet_pton(AF_INET6, "2001:2::9", &reply.v6);
	header(0x0120, 1, 0, 0, 0); /* RD and AD */
	question("A.tEsT", DNS_ANY, 1);
	ck_assert_uint_eq(reply_to(&reply, out), sizeof(wanted));
	ck_assert_mem_eq(out, wanted, sizeof(wanted));
}
END_TEST

START_TEST(writes_edns)
{
	static const uint8_t cookie[] = {0, 3, 0, 0, 0, 10, 0, 16, 9, 8, 7, 6,
					 5, 4, 3, 2, 1, 2,  3, 4,  5, 6, 7, 8};
	static const uint8_t wanted[] = {0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 20, 0, 10, 0, 16, 9,
					 8, 7, 6,  5, 4,    3, 2, 1,    2, 3, 4, 5,  6,  7, 8};
	struct dns_reply reply = {.rcode = DNS_NXDOMAIN};
	uint8_t out[DNS_REPLY_MAX];

	header(0x0010, 1, 0, 0, 1);
	question("a.test", DNS_A, 1);
	size_t end = len;
	add_opt(0, 0x8000, cookie, sizeof(cookie));
	ck_assert_uint_eq(reply_to(&reply, out), end + sizeof(wanted));
	ck_assert_mem_eq(out + end, wanted, sizeof(wanted));
	ck_assert_uint_eq(out[3], 0x93); /* RA, CD and the code */
	ck_assert_uint_eq(out[11], 1);

	reply.rcode = DNS_BADVERS;
	ck_assert_uint_eq(reply_to(&reply, out), end + sizeof(wanted));
	ck_assert_uint_eq(out[3] & 15, 0);
	ck_assert_uint_eq(out[end + 5], 1);

	/* A client's cookie alone is no reason to answer with one. */
	header(0, 1, 0, 0, 1);
	question("a.test", DNS_A, 1);
	add_opt(0, 0, "\0\12\0\10abcdefgh", 12);
	ck_assert_uint_eq(reply_to(&reply, out), end + 11);
}
END_TEST

START_TEST(writes_pointers)
{
	static const uint8_t record[] = {0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 30, 0, 8,
					 1,    'b', 4, 't', 'e', 's', 't', 0};
	struct dns_reply reply = {.pointer = "b.test"};
	uint8_t out[DNS_REPLY_MAX];
	char text[300];

	header(0, 1, 0, 0, 0);
	question("2.1.240.240.in-addr.arpa", DNS_PTR, 1);
	ck_assert_uint_eq(reply_to(&reply, out), len + sizeof(record));
	ck_assert_mem_eq(out + len, record, sizeof(record));

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	reply.pointer = text;
	ck_assert_uint_eq(reply_to(&reply, out), 0);
	for (size_t i = 50; i < sizeof(text); i += 50)
		text[i] = '.';
	ck_assert_uint_eq(reply_to(&reply, out), 0);
	text[253] = '\0';
	ck_assert_uint_gt(reply_to(&reply, out), 0);
	reply.pointer = "a..b";
	ck_assert_uint_eq(reply_to(&reply, out), 0);
	reply.pointer = "";
	ck_assert_uint_eq(reply_to(&reply, out), 0);
}
END_TEST

/* Everything at its longest. */
START_TEST(fits_its_buffer)
{
	static uint8_t cookie[44] = {0, 10, 0, 40};
	char name[254];
	uint8_t out[DNS_REPLY_MAX];
	struct dns_reply reply = {.has4 = true, .has6 = true, .pointer = name};

	memset(name, 'x', sizeof(name) - 1);
	name[63] = name[127] = name[191] = '.';
	name[253] = '\0';
	header(0, 1, 0, 0, 1);
	question(name, DNS_PTR, 1);
	add_opt(0, 0, cookie, sizeof(cookie));
	ck_assert_uint_eq(reply_to(&reply, out), 12 + 259 + 16 + 28 + 12 + 255 + 11 + 44);
}
END_TEST

START_TEST(reverse_names)
{
	static const char *const bad[] = {
	    "",		      "in-addr.arpa",		   "1.240.240.in-addr.arpa",
	    "1.2.3.4",	      "1.2.3.4.in-addr.arpa.x",	   "5.1.2.3.4.in-addr.arpa",
	    "256.1.1.1.in-addr.arpa", "01.1.1.1.in-addr.arpa", "1111.1.1.1.in-addr.arpa",
	    "1..1.1.in-addr.arpa",    "1.2.3.4.ip6.arpa",      "a.b.c.d.in-addr.arpa",
	    "99999999999999999999.1.1.1.in-addr.arpa",	       "1.1.1.1.in-addr",
	};
	char text[INET6_ADDRSTRLEN], six[80] = "";
	struct in6_addr ip;

	ck_assert(dns_reverse_name("2.1.240.240.IN-addr.arpa", &ip));
	ck_assert_str_eq(inet_ntop(AF_INET6, &ip, text, sizeof(text)), "::ffff:240.240.1.2");
	ck_assert(dns_reverse_name("0.0.0.0.in-addr.arpa", &ip));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!dns_reverse_name(bad[i], &ip), "%s", bad[i]);
	strcat(six, "f.E.0.0.");
	for (int i = 0; i < 20; i++)
		strcat(six, "0.");
	strcat(six, "2.0.0.0.1.0.0.2.ip6.ARPA");
	ck_assert(dns_reverse_name(six, &ip));
	ck_assert_str_eq(inet_ntop(AF_INET6, &ip, text, sizeof(text)), "2001:2::ef");
	ck_assert(!dns_reverse_name(six + 2, &ip));
	six[0] = 'g';
	ck_assert(!dns_reverse_name(six, &ip));
	for (size_t n = 0; n < strlen(six); n++) {
		char part[80] = "";

		memcpy(part, six, n);
		part[0] = 'f';
		ck_assert(!dns_reverse_name(part, &ip));
	}
}
END_TEST

Suite *dns_message_suite(void);
Suite *dns_message_suite(void)
{
	Suite *suite = suite_create("dns_message");
	TCase *tcase = tcase_create("dns_message");

	tcase_add_test(tcase, reads_a_query);
	tcase_add_test(tcase, every_truncation);
	tcase_add_test(tcase, other_messages);
	tcase_add_test(tcase, bad_names);
	tcase_add_test(tcase, long_names);
	tcase_add_test(tcase, bad_additional_records);
	tcase_add_test(tcase, every_byte_changed);
	tcase_add_test(tcase, writes_addresses);
	tcase_add_test(tcase, writes_edns);
	tcase_add_test(tcase, writes_pointers);
	tcase_add_test(tcase, fits_its_buffer);
	tcase_add_test(tcase, reverse_names);
	suite_add_tcase(suite, tcase);
	return suite;
}
