/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <string.h>
#include <sys/utsname.h>

#include "shim/bridge/format.h"

static struct arena arena;

static struct field request_fields[] = {{"X-A", "one", 3, 3}, {"x-a", "two", 3, 3}};
static struct field response_fields[] = {{"ETag", "\"e\"", 4, 3}};
static const struct http1_head request = {
    .request = true, .minor = 1, .method = "PUT", .method_len = 3, .fields = request_fields, .n_fields = 2};
static const struct http1_head response = {.status = 204, .fields = response_fields, .n_fields = 1};

static struct format_source source = {
    .request = &request,
    .response = &response,
    .authority = "web:81",
    .path = "/p?q",
    .source = "[::1]:40000",
    .port = 81,
};

static void expect(const char *value, const char *wanted)
{
	arena_init(&arena);
	ck_assert_str_eq(format_value(&arena, value, &source), wanted);
	arena_release(&arena);
}

START_TEST(plain_text_is_not_copied)
{
	const char *value = "a b";

	ck_assert_ptr_eq(format_value(&arena, value, &source), value);
}
END_TEST

START_TEST(signs)
{
	expect("%%", "%");
	expect("%%REQ(X-A)%%", "%REQ(X-A)%");
	expect("%REQ(X-A)%%REQ(X-A)%", "oneone");
	expect("100%% %", "100% %");
	expect("", "");
}
END_TEST

START_TEST(fields)
{
	expect("%REQ(x-A)%", "one");
	expect("%REQ(none)%", "");
	expect("%REQ(none?X-A)%", "one");
	expect("%REQ(X-A?none)%", "one");
	expect("%REQ(X-A):2%", "on");
	expect("%REQ(X-A):0%", "");
	expect("%REQ(X-A):99999999999999999999999%", "one");
	expect("%RESP(etag)%", "\"e\"");
	expect("%REQ(:METHOD)% %REQ(:path)% %REQ(:authority)% %REQ(host)% %REQ(:scheme)%",
	       "PUT /p?q web:81 web:81 http");
	expect("%RESP(:status)% %RESPONSE_CODE%", "204 204");
}
END_TEST

START_TEST(without_a_response)
{
	source.response = NULL;
	expect("[%RESP(etag)%%RESPONSE_CODE%%RESP(:status)%]", "[]");
	source.response = &response;
}
END_TEST

START_TEST(addresses)
{
	struct in6_addr ip;

	expect("[%DOWNSTREAM_LOCAL_ADDRESS%]", "[]");
	source.dialled = &ip;
	inet_pton(AF_INET6, "::ffff:10.1.2.3", &ip);
	expect("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "10.1.2.3:81 10.1.2.3");
	inet_pton(AF_INET6, "2001:db8::1", &ip);
	expect("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
	       "[2001:db8::1]:81 2001:db8::1");
	source.dialled = NULL;
	expect("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "[::1]:40000 ::1");
	source.source = "127.0.0.1:40000";
	expect("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1");
	source.source = NULL;
	expect("[%DOWNSTREAM_REMOTE_ADDRESS%]", "[]");
	expect("%DOWNSTREAM_LOCAL_PORT%", "81");
}
END_TEST

START_TEST(cluster)
{
	static const struct cluster whole = {.host = "a.example", .port = 80};
	static const struct cluster part = {.host = "a.example", .port = 80, .subset = "v1"};

	expect("[%UPSTREAM_CLUSTER%]", "[]");
	source.cluster = &whole;
	expect("%UPSTREAM_CLUSTER%", "outbound|80||a.example");
	source.cluster = &part;
	expect("%UPSTREAM_CLUSTER%", "outbound|80|v1|a.example");
	source.cluster = NULL;
}
END_TEST

START_TEST(times)
{
	static const struct {
		uint64_t s;
		const char *text;
	} list[] = {
	    {0, "1970-01-01T00:00:00.007Z"},	      {951782399, "2000-02-28T23:59:59.007Z"},
	    {951782400, "2000-02-29T00:00:00.007Z"},  {951868800, "2000-03-01T00:00:00.007Z"},
	    {1522796769, "2018-04-03T23:06:09.007Z"}, {1735689599, "2024-12-31T23:59:59.007Z"},
	    {1735689600, "2025-01-01T00:00:00.007Z"}, {4107542400, "2100-03-01T00:00:00.007Z"},
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		source.started = list[i].s * 1000 + 7;
		expect("%START_TIME%", list[i].text);
	}
}
END_TEST

START_TEST(others)
{
	struct utsname name;

	uname(&name);
	expect("%HOSTNAME%", name.nodename);
	expect("%PROTOCOL% %RESPONSE_FLAGS%", "HTTP/1.1 -");
	source.flags = "";
	expect("%RESPONSE_FLAGS%", "-");
	source.flags = "UF,URX";
	expect("[%RESPONSE_FLAGS%]", "[UF,URX]");
	source.flags = NULL;
}
END_TEST

Suite *format_suite(void);
Suite *format_suite(void)
{
	Suite *suite = suite_create("format");
	TCase *values = tcase_create("values");

	tcase_add_test(values, plain_text_is_not_copied);
	tcase_add_test(values, signs);
	tcase_add_test(values, fields);
	tcase_add_test(values, without_a_response);
	tcase_add_test(values, addresses);
	tcase_add_test(values, cluster);
	tcase_add_test(values, times);
	tcase_add_test(values, others);
	suite_add_tcase(suite, values);
	return suite;
}
