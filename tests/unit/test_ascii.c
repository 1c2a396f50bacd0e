/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Characters and numbers do not follow the program's locale. Locales are made for the test, where
 * localedef(1) and its sources are installed; else those tests have nothing to do.
 */
#include <check.h>
#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/ascii.h"
#include "rules/decimal.h"
#include "rules/diag.h"
#include "rules/dump.h"
#include "rules/rules.h"
#include "shim/bridge/head.h"

Suite *ascii_suite(void);

START_TEST(classes)
{
	for (int c = -128; c < 256; c++) {
		bool digit = c && strchr("0123456789", c) && c > 0;
		bool upper = c > 0 && c < 128 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ", c);
		bool alpha = upper || (c > 0 && c < 128 && strchr("abcdefghijklmnopqrstuvwxyz", c));

		ck_assert_int_eq(ascii_is_digit(c), digit);
		ck_assert_int_eq(ascii_is_upper(c), upper);
		ck_assert_int_eq(ascii_is_alpha(c), alpha);
		ck_assert_int_eq(ascii_is_alnum(c), alpha || digit);
		ck_assert_int_eq(ascii_is_xdigit(c),
				 digit || (c > 0 && c < 128 && strchr("abcdefABCDEF", c)));
		ck_assert_int_eq(ascii_lower(c), upper ? c + 32 : c);
	}
}
END_TEST

START_TEST(without_case)
{
	ck_assert(ascii_equal_nocase("Host", "hOST"));
	ck_assert(!ascii_equal_nocase("Host", "Hosts"));
	ck_assert(!ascii_equal_nocase("Hosts", "Host"));
	ck_assert(!ascii_equal_nocase("[", "{"));
	ck_assert(!ascii_equal_nocase("\xc0", "\xe0"));
	ck_assert(ascii_equal_nocase("", ""));
	ck_assert(ascii_equal_nocase_n("Hosts", "hostx", 4));
	ck_assert(!ascii_equal_nocase_n("Hosts", "hostx", 5));
	ck_assert(ascii_equal_nocase_n("a\0b", "A\0c", 3)); /* nothing counts behind a NUL */
	ck_assert(ascii_equal_nocase_n("a", "b", 0));
}
END_TEST

static const struct {
	double value;
	const char *text;
} decimals[] = {
    {0, "0"},	  {0.5, "0.5"},	      {-12.25, "-12.25"},		   {100, "100"},
    {0.1, "0.1"}, {1e-05, "1e-05"}, {0.30000000000000004, "0.30000000000000004"},
};

static void check_decimal(size_t i)
{
	char text[DECIMAL_MAX], *end;

	ck_assert_str_eq(decimal_format(decimals[i].value, text), decimals[i].text);
	ck_assert(decimal_parse(text, &end) == decimals[i].value);
	ck_assert_str_eq(end, "");
}

START_TEST(numbers)
{
	check_decimal((size_t)_i);
}
END_TEST

/* ---- in a locale -------------------------------------------------------------------------- */

static char directory[32];

static void setup(void)
{
	strcpy(directory, "/tmp/ascii.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
	char command[64];

	setlocale(LC_ALL, "C");
	unsetenv("LOCPATH");
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	ck_assert_int_eq(system(command), 0);
}

/* Whether the program has the locale now. */
static bool enter(const char *language)
{
	char command[160], name[32];

	snprintf(name, sizeof(name), "%s.UTF-8", language);
	snprintf(command, sizeof(command), "localedef -i %s -f UTF-8 %s/%s >/dev/null 2>&1", language,
		 directory, name);
	if (system(command) != 0)
		return setlocale(LC_ALL, name); /* it may be installed */
	setenv("LOCPATH", directory, 1);
	return setlocale(LC_ALL, name);
}

static struct rules *load(const char *content, struct diags *diags)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/mesh.cfg", directory);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	fclose(file);
	diags_init(diags);
	return rules_load(path, diags);
}

static const char turkish[] =
    "serviceEntries = ( { name = \"i\"; hosts = [ \"eight.example.com\" ]; resolution = \"DNS\";\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"http\"; } ); } );\n"
    "virtualServices = ( { name = \"v\"; hosts = [ \"eight.example.com\" ]; http = (\n"
    "  { match = ( { uri = { exact = \"/INFO\"; }; ignoreUriCase = true;\n"
    "                headers = ( { name = \"x-id\"; exact = \"1\"; } ); } );\n"
    "    route = ( { destination = { host = \"eight.example.com\"; }; } ); } ); } );\n";

START_TEST(dotless_i)
{
	static const struct field id = {"X-ID", "1", 4, 1};
	static struct field fields[] = {{"TRANSFER-ENCODING", "GZIP, CHUNKED-I", 17, 15}};
	const struct http1_head head = {.fields = fields, .n_fields = 1};
	const struct rules_request request = {.method = "GET",
					      .authority = "EIGHT.EXAMPLE.COM",
					      .path = "/info",
					      .port = 80,
					      .fields = &id,
					      .n_fields = 1};
	struct verdict verdict;
	struct diags diags;
	struct rules *rules;

	if (!enter("tr_TR"))
		return;
	ck_assert_int_ne(tolower('I'), 'i'); /* or the locale is not what it should be */
	rules = load(turkish, &diags);
	ck_assert_msg(rules, "%s", diags.first ? diags.first->text : "?");
	ck_assert_ptr_nonnull(rules_find_host(rules, "EIGHT.EXAMPLE.COM"));
	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.action, RULES_ROUTE);
	ck_assert(head_has_token(&head, "transfer-encoding", "chunked-i"));
	rules_unref(rules);
	diags_release(&diags);
}
END_TEST

static const char percentages[] =
    "serviceEntries = ( { name = \"a\"; hosts = [ \"a.test\" ]; resolution = \"DNS\";\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n"
    "virtualServices = ( { name = \"v\"; hosts = [ \"a.test\" ]; http = (\n"
    "  { fault = { delay = { fixedDelay = \"1.5s\"; percentage = { value = %s; }; }; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); } ); } );\n";

START_TEST(decimal_comma)
{
	char content[600], one[] = "0,5", *end, *dumped = NULL;
	struct diags diags;
	struct rules *rules;
	size_t len;
	FILE *out;

	if (!enter("de_DE"))
		return;
	ck_assert(strtod(one, &end) == 0.5 && !*end); /* or the locale is not what it should be */
	for (size_t i = 0; i < sizeof(decimals) / sizeof(decimals[0]); i++)
		check_decimal(i);
	snprintf(content, sizeof(content), percentages, "12.5");
	rules = load(content, &diags);
	ck_assert_msg(rules, "%s", diags.first ? diags.first->text : "?");
	out = open_memstream(&dumped, &len);
	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(rules_dump(rules, out), 0);
	fclose(out);
	ck_assert_msg(strstr(dumped, "value = 12.5;") && strstr(dumped, "\"1.5s\""), "%s", dumped);
	free(dumped);
	rules_unref(rules);
	diags_release(&diags);

	snprintf(content, sizeof(content), percentages, "100.5");
	ck_assert_ptr_null(load(content, &diags));
	ck_assert_ptr_nonnull(strstr(diags.first->text, "percentage 100.5 is neither"));
	diags_release(&diags);
}
END_TEST

Suite *ascii_suite(void)
{
	Suite *suite = suite_create("ascii");
	TCase *plain = tcase_create("plain"), *locales = tcase_create("locales");

	tcase_add_test(plain, classes);
	tcase_add_test(plain, without_case);
	tcase_add_loop_test(plain, numbers, 0, (int)(sizeof(decimals) / sizeof(decimals[0])));
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(locales, setup, teardown);
	tcase_set_timeout(locales, 120); /* localedef(1) takes its time */
	tcase_add_test(locales, dotless_i);
	tcase_add_test(locales, decimal_comma);
	suite_add_tcase(suite, locales);
	return suite;
}
