/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "rules/hostname.h"

Suite *hostname_suite(void);

static const struct {
	const char *name;
	bool fqdn, wildcard;
} names[] = {
    {"a", true, true},
    {"a.example.com", true, true},
    {"a.example.com.", true, true},
    {"A-b.c9", true, true},
    {"*", false, true},
    {"*.example.com", false, true},
    {"*-x.example.com", false, true},
    {"*x.example.com", false, true},
    {"a*.example.com", false, false},
    {"a.*.com", false, false},
    {"-a.com", false, false},
    {"a-.com", false, false},
    {"a..com", false, false},
    {".com", false, false},
    {".", false, false},
    {"", false, false},
    {"a_b.com", false, false},
    {"1.2", false, false},
    {"1.b2", true, true},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", true, true},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", false, false},
};

START_TEST(grammar)
{
	struct hostname_error error;

	ck_assert_msg(hostname_is_fqdn(names[_i].name, &error) == names[_i].fqdn, "%s",
		      names[_i].name);
	ck_assert_msg(hostname_is_wildcard_domain(names[_i].name, &error) == names[_i].wildcard,
		      "%s", names[_i].name);
}
END_TEST

START_TEST(too_long)
{
	struct hostname_error error;
	char name[260];

	for (size_t i = 0; i < 256; i++)
		name[i] = i % 2 ? '.' : 'a';
	name[255] = '\0';
	ck_assert(hostname_is_fqdn(name, &error));
	name[255] = 'a';
	name[256] = '\0';
	ck_assert(!hostname_is_fqdn(name, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "too long (max 255)"));
}
END_TEST

static const struct {
	const char *authority, *host;
} authorities[] = {
    {"webserver", "webserver"},
    {"WEBserver:80", "webserver"},
    {"a.example.com.:8080", "a.example.com"},
    {"[2001:DB8::1]", "2001:db8::1"},
    {"[2001:db8::1]:443", "2001:db8::1"},
    {"2001:db8::1", "2001:db8::1"},
    {"10.0.0.1:80", "10.0.0.1"},
    {"user:pw@host:1", ""},
    {"user@host", ""},
    {"", ""},
    {":80", ""},
    {"[", ""},
};

START_TEST(authority)
{
	char out[256];
	size_t len = hostname_of_authority(authorities[_i].authority, out);

	ck_assert_str_eq(out, authorities[_i].host);
	ck_assert_uint_eq(len, strlen(authorities[_i].host));
}
END_TEST

START_TEST(blocks)
{
	struct rules_address address;
	bool cidr;

	ck_assert(hostname_parse_cidr("10.1.2.3/8", &address, &cidr) && cidr);
	ck_assert_uint_eq(address.prefix, 104);
	ck_assert_int_eq(address.address.s6_addr[12], 10);
	ck_assert_int_eq(address.address.s6_addr[13], 0);
	ck_assert_int_eq(address.address.s6_addr[11], 0xff);
	ck_assert(hostname_parse_cidr("192.0.2.1", &address, &cidr) && !cidr);
	ck_assert_uint_eq(address.prefix, 128);
	ck_assert(hostname_parse_cidr("2001:db8::/32", &address, &cidr));
	ck_assert_uint_eq(address.prefix, 32);
	ck_assert(hostname_parse_cidr("0.0.0.0/0", &address, &cidr));
	ck_assert_uint_eq(address.prefix, 96);
	ck_assert(!hostname_parse_cidr("10.0.0.0/33", &address, &cidr));
	ck_assert(!hostname_parse_cidr("10.0.0.0/", &address, &cidr));
	ck_assert(!hostname_parse_cidr("10.0.0.0/4294967304", &address, &cidr));
	ck_assert(!hostname_parse_cidr("::/129", &address, &cidr));
	ck_assert(!hostname_parse_cidr("host/8", &address, &cidr));
}
END_TEST

START_TEST(port_names)
{
	ck_assert(hostname_is_label("http"));
	ck_assert(hostname_is_label("http-2"));
	ck_assert(hostname_is_label("HTTP"));
	ck_assert(!hostname_is_label("http_2"));
	ck_assert(!hostname_is_label("a.b"));
	ck_assert(!hostname_is_label(""));
}
END_TEST

Suite *hostname_suite(void)
{
	Suite *suite = suite_create("hostname");
	TCase *tcase = tcase_create("hostname");

	tcase_add_loop_test(tcase, grammar, 0, (int)(sizeof(names) / sizeof(names[0])));
	tcase_add_test(tcase, too_long);
	tcase_add_loop_test(tcase, authority, 0,
			    (int)(sizeof(authorities) / sizeof(authorities[0])));
	tcase_add_test(tcase, blocks);
	tcase_add_test(tcase, port_names);
	suite_add_tcase(suite, tcase);
	return suite;
}
