/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <string.h>

#include "shim/address.h"

static socklen_t make(struct sockaddr_storage *storage, const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};

	memset(storage, 0, sizeof(*storage));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(storage, &in, sizeof(in));
		return sizeof(in);
	}
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	memcpy(storage, &in6, sizeof(in6));
	return sizeof(in6);
}

START_TEST(remote_and_local)
{
	static const struct {
		const char *text;
		bool remote;
	} cases[] = {
	    {"127.0.0.1", false}, {"127.255.0.9", false},        {"0.0.0.0", false},
	    {"::1", false},       {"::", false},                 {"::ffff:127.1.2.3", false},
	    {"10.0.0.1", true},   {"240.240.1.1", true},         {"::ffff:0.0.0.0", false},
	    {"2001:2::1", true},  {"::ffff:240.240.1.1", true},  {"fe80::1", true},
	    {"::2", true},        {"0.0.0.1", true},
	};
	struct sockaddr_storage addr;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		socklen_t len = make(&addr, cases[i].text);

		ck_assert_msg(address_is_remote((struct sockaddr *)&addr, len) == cases[i].remote,
			      "%s", cases[i].text);
	}
}
END_TEST

START_TEST(lengths_are_the_kernels)
{
	struct sockaddr_storage addr;
	struct in6_addr ip;
	uint16_t port = 0;

	make(&addr, "10.0.0.1");
	ck_assert(!address_split((struct sockaddr *)&addr, sizeof(struct sockaddr_in) - 1, &ip, &port));
	ck_assert(address_split((struct sockaddr *)&addr, sizeof(addr), &ip, &port));
	ck_assert_uint_eq(port, 80);
	ck_assert(IN6_IS_ADDR_V4MAPPED(&ip));
	make(&addr, "2001:2::1");
	ck_assert(!address_split((struct sockaddr *)&addr, ADDRESS_SIN6_MIN - 1, &ip, &port));
	ck_assert(address_split((struct sockaddr *)&addr, ADDRESS_SIN6_MIN, &ip, &port));
	addr.ss_family = AF_UNIX;
	ck_assert(!address_split((struct sockaddr *)&addr, sizeof(addr), &ip, &port));
	ck_assert(!address_split((struct sockaddr *)&addr, 1, &ip, &port));
	ck_assert(!address_split(NULL, 0, &ip, &port));
}
END_TEST

START_TEST(any_alignment)
{
	char bytes[sizeof(struct sockaddr_in6) + 1];
	struct sockaddr_storage addr;
	struct in6_addr ip;
	uint16_t port;
	socklen_t len = make(&addr, "2001:2::1");

	memcpy(bytes + 1, &addr, len);
	ck_assert(address_split((const struct sockaddr *)(const void *)(bytes + 1), len, &ip, &port));
	ck_assert_uint_eq(port, 80);
}
END_TEST

START_TEST(blocks)
{
	struct in6_addr ip;
	struct in6_addr block;

	inet_pton(AF_INET6, "::ffff:10.1.2.3", &ip);
	inet_pton(AF_INET6, "::ffff:10.1.3.0", &block);
	ck_assert(!address_in_block(&ip, &block, 128));
	ck_assert(!address_in_block(&ip, &block, 120));
	ck_assert(address_in_block(&ip, &block, 119));
	ck_assert(address_in_block(&ip, &ip, 128));
	ck_assert(!address_in_block(&ip, &ip, 129));
	inet_pton(AF_INET6, "ffff::", &block);
	ck_assert(address_in_block(&ip, &block, 0));
}
END_TEST

Suite *address_suite(void);
Suite *address_suite(void)
{
	Suite *suite = suite_create("address");
	TCase *tcase = tcase_create("address");

	tcase_add_test(tcase, remote_and_local);
	tcase_add_test(tcase, lengths_are_the_kernels);
	tcase_add_test(tcase, any_alignment);
	tcase_add_test(tcase, blocks);
	suite_add_tcase(suite, tcase);
	return suite;
}
