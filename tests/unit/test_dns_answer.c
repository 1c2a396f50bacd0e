/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns_packets.h"
#include "shim/dns_answer.h"
#include "shim/names.h"

static uint8_t query[600], reply[DNS_REPLY_MAX];

/* The number of records in the answer, with its code: code * 100 + records; -1: not answered
 * here. */
static int ask(const char *name, unsigned type)
{
	struct dns_question question;
	size_t query_len = dns_query(query, name, type);

	errno = EDOM;
	size_t len = dns_answer(query, query_len, reply);
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(dns_read_question(query, query_len, &question), DNS_QUERY);
	ck_assert_int_eq(dns_is_ours(&question), len > 0);
	return len ? (reply[3] & 15) * 100 + reply[7] : -1;
}

START_TEST(addresses)
{
	struct name_answer found;

	ck_assert_int_eq(names_find("alpha.test", &found), NAME_MESH);
	ck_assert_int_eq(ask("ALPHA.test", DNS_A), 1);
	ck_assert_mem_eq(reply + 12 + 16 + 12, &found.v4, 4);
	ck_assert_int_eq(ask("alpha.test", DNS_AAAA), 1);
	ck_assert_mem_eq(reply + 12 + 16 + 12, &found.v6, 16);
	ck_assert_int_eq(ask("alpha.test", DNS_ANY), 2);
	ck_assert_int_eq(ask("a.wild.test", DNS_A), 1);
	ck_assert_int_eq(ask("wild.test", DNS_A), -1);
	ck_assert_int_eq(ask("beta.test", DNS_A), -1);
	ck_assert_int_eq(ask("alpha.test.corp.example", DNS_A), -1);
	ck_assert_int_eq(ask("", DNS_A), -1);
	ck_assert_int_eq(ask("127.0.0.1", DNS_A), -1);
}
END_TEST

/* What a resolver with a search domain asks for first; resolv.conf(5) has the variable. */
START_TEST(search_domain)
{
	struct name_answer found;

	ck_assert_int_eq(setenv("LOCALDOMAIN", "corp.example other.example", 1), 0);
	ck_assert_int_eq(names_find("alpha.test", &found), NAME_MESH);
	ck_assert_int_eq(ask("alpha.test.CORP.example", DNS_A), 1);
	ck_assert_mem_eq(reply + 12 + 29 + 12, &found.v4, 4);
	ck_assert_int_eq(ask("alpha.test.corp.example", DNS_HTTPS), 0);
	ck_assert_int_eq(ask("alpha.test.other.example", DNS_A), -1);
	ck_assert_int_eq(ask("beta.test.corp.example", DNS_A), -1);
	ck_assert_int_eq(ask("corp.example", DNS_A), -1);
	unsetenv("LOCALDOMAIN");
}
END_TEST

START_TEST(other_types)
{
	static const unsigned forwarded[] = {2, 6, 15, 16, 33, 35, 43, 99, 252, 257, 65535};

	ck_assert_int_eq(ask("alpha.test", DNS_CNAME), 0);
	ck_assert_int_eq(ask("alpha.test", DNS_HTTPS), 0);
	ck_assert_int_eq(ask("alpha.test", DNS_SVCB), 0);
	ck_assert_int_eq(ask("_8443._https.alpha.test", DNS_HTTPS), 0);
	ck_assert_int_eq(ask("_8443._https.alpha.test", DNS_A), -1);
	ck_assert_int_eq(ask("_8443._https.beta.test", DNS_HTTPS), -1);
	ck_assert_int_eq(ask("_", DNS_HTTPS), -1);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		ck_assert_int_eq(ask("alpha.test", forwarded[i]), -1);
}
END_TEST

START_TEST(pointers)
{
	struct name_answer found;
	char name[64];
	const uint8_t *byte = (const uint8_t *)&found.v4;

	ck_assert_int_eq(names_find("alpha.test", &found), NAME_MESH);
	snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", byte[3], byte[2], byte[1],
		 byte[0]);
	ck_assert_int_eq(ask(name, DNS_PTR), 1);
	ck_assert_int_eq(ask(name, DNS_A), -1);
	ck_assert_int_eq(ask("1.250.240.240.in-addr.arpa", DNS_PTR), 300);
	ck_assert_int_eq(ask("1.2.0.192.in-addr.arpa", DNS_PTR), -1);
	ck_assert_int_eq(ask("alpha.test", DNS_PTR), -1);
}
END_TEST

START_TEST(unknown_edns_version)
{
	static const uint8_t opt[] = {0, 0, 41, 16, 0, 0, 1, 0, 0, 0, 0};
	size_t len = dns_query(query, "alpha.test", DNS_A);

	memcpy(query + len, opt, sizeof(opt));
	query[11] = 1;
	ck_assert_uint_eq(dns_answer(query, len + sizeof(opt), reply), len + sizeof(opt));
	ck_assert_uint_eq(reply[len + 5], DNS_BADVERS >> 4);
}
END_TEST

/* What is malformed behind its question: a server may be less strict, and shall not answer it. */
START_TEST(malformed)
{
	static const uint8_t opt[] = {0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0};
	size_t len = dns_query(query, "alpha.test", DNS_A);

	memcpy(query + len, opt, sizeof(opt));
	ck_assert_uint_eq(dns_answer(query, len + 1, reply), len);
	ck_assert_uint_eq(reply[3] & 0xf, DNS_FORMERR);
	query[11] = 1;
	ck_assert_uint_eq(dns_answer(query, len + sizeof(opt) - 1, reply), len);
	ck_assert_uint_eq(reply[3] & 0xf, DNS_FORMERR);
	ck_assert_uint_gt(dns_answer(query, len + sizeof(opt), reply), len);
	ck_assert_uint_eq(reply[3] & 0xf, DNS_NOERROR);

	len = dns_query(query, "elsewhere.test", DNS_A);
	ck_assert_uint_eq(dns_answer(query, len + 1, reply), 0);
}
END_TEST

Suite *dns_answer_suite(void);
Suite *dns_answer_suite(void)
{
	Suite *suite = suite_create("dns_answer");
	TCase *tcase = tcase_create("dns_answer");

	tcase_add_checked_fixture(tcase, dns_rules_begin, dns_rules_end);
	tcase_add_test(tcase, addresses);
	tcase_add_test(tcase, search_domain);
	tcase_add_test(tcase, other_types);
	tcase_add_test(tcase, pointers);
	tcase_add_test(tcase, unknown_edns_version);
	tcase_add_test(tcase, malformed);
	suite_add_tcase(suite, tcase);
	return suite;
}
