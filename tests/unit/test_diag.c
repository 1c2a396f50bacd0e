/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "rules/diag.h"
#include "rules/suggest.h"
#include "rules/utf8.h"

Suite *diag_suite(void);

START_TEST(list)
{
	const struct where where = {"a.cfg", 7}, whole = {"a.cfg", 0};
	struct diags diags;
	char out[64];

	diags_init(&diags);
	diag_add(&diags, SEVERITY_ERROR, &where, "bad %s", "thing");
	diag_add(&diags, SEVERITY_WARNING, &whole, "odd");
	diag_add(&diags, SEVERITY_REJECTED, NULL, "lost");
	diag_add(&diags, SEVERITY_INFO, NULL, "by the way");
	ck_assert_uint_eq(diags.errors, 2);
	ck_assert_uint_eq(diags.rejected, 1);
	ck_assert_uint_eq(diags.warnings, 1);
	ck_assert_uint_eq(diags.infos, 1);
	ck_assert_int_eq(diag_format(diags.first, out, sizeof(out)), 25);
	ck_assert_str_eq(out, "a.cfg:7: error: bad thing");
	diag_format(diags.first->next, out, sizeof(out));
	ck_assert_str_eq(out, "a.cfg: warning: odd");
	diag_format(diags.first->next->next, out, sizeof(out));
	ck_assert_str_eq(out, "error: lost");
	diag_format(diags.last, out, sizeof(out));
	ck_assert_str_eq(out, "info: by the way");
	ck_assert_int_eq(diag_format(diags.first, out, 4), 25);
	ck_assert_str_eq(out, "a.c");
	diags_release(&diags);
	ck_assert_ptr_null(diags.first);
	ck_assert_uint_eq(diags.errors, 0);
}
END_TEST

START_TEST(topics)
{
	const struct topic topic = {"IST0101", "VirtualService web"};
	const struct where where = {"a.cfg", 7};
	struct diags diags;
	char out[64];

	diags_init(&diags);
	diag_about(&diags, SEVERITY_ERROR, &topic, &where, "no %s", "host");
	ck_assert_str_eq(diags.first->code, "IST0101");
	ck_assert_str_eq(diags.first->resource, "VirtualService web");
	diag_format(diags.first, out, sizeof(out));
	ck_assert_str_eq(out, "a.cfg:7: error: [IST0101] no host");
	diags_release(&diags);
}
END_TEST

/* b.cfg was read before a.cfg. */
static size_t rank(const void *context, const char *file)
{
	(void)context;
	return file[0] == 'b' ? 1 : 2;
}

START_TEST(order)
{
	static const char *const wanted[] = {"none", "b1", "b2 first", "b2 second", "a1"};
	const struct where a1 = {"a.cfg", 1}, b1 = {"b.cfg", 1}, b2 = {"b.cfg", 2};
	struct diags diags;
	size_t i = 0;

	diags_init(&diags);
	diags_sort(&diags, rank, NULL);
	diag_add(&diags, SEVERITY_ERROR, &a1, "a1");
	diag_add(&diags, SEVERITY_ERROR, &b2, "b2 first");
	diag_add(&diags, SEVERITY_ERROR, &b1, "b1");
	diag_add(&diags, SEVERITY_WARNING, &b2, "b2 second");
	diag_add(&diags, SEVERITY_ERROR, NULL, "none");
	diags_sort(&diags, rank, NULL);
	for (const struct diag *diag = diags.first; diag; diag = diag->next)
		ck_assert_str_eq(diag->text, wanted[i++]);
	ck_assert_uint_eq(i, 5);
	ck_assert_str_eq(diags.last->text, "a1");
	diag_add(&diags, SEVERITY_ERROR, NULL, "more");
	ck_assert_str_eq(diags.last->text, "more");
	diags_release(&diags);
}
END_TEST

static const char *suggest(const char *word, const char *a, const char *b)
{
	struct suggestion suggestion;

	suggestion_init(&suggestion, word);
	suggestion_offer(&suggestion, a);
	suggestion_offer(&suggestion, b);
	return suggestion.best;
}

START_TEST(suggestions)
{
	ck_assert_pstr_eq(suggest("hots", "name", "hosts"), "hosts");
	ck_assert_pstr_eq(suggest("ohsts", "name", "hosts"), "hosts");
	ck_assert_pstr_eq(suggest("HOSTS", "name", "hosts"), "hosts");
	ck_assert_pstr_eq(suggest("hist", "host", "hits"), "host");
	ck_assert_ptr_null(suggest("x", "name", "hosts"));
	ck_assert_ptr_null(suggest("", "name", "hosts"));
	ck_assert_ptr_null(suggest("weight", "name", "hosts"));
}
END_TEST

START_TEST(utf8)
{
	ck_assert_uint_eq(utf8_valid_prefix("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10), 10);
	ck_assert_uint_eq(utf8_valid_prefix("a\xff", 2), 1);
	ck_assert_uint_eq(utf8_valid_prefix("\xc0\xaf", 2), 0);
	ck_assert_uint_eq(utf8_valid_prefix("\xed\xa0\x80", 3), 0);
	ck_assert_uint_eq(utf8_valid_prefix("\xf4\x90\x80\x80", 4), 0);
	ck_assert_uint_eq(utf8_valid_prefix("\xe2\x82", 2), 0);
	ck_assert_uint_eq(utf8_valid_prefix("\x80", 1), 0);
	ck_assert_uint_eq(utf8_decode("\xe2\x82\xac", 3), 0x20ac);
}
END_TEST

Suite *diag_suite(void)
{
	Suite *suite = suite_create("diag");
	TCase *tcase = tcase_create("diag");

	tcase_add_test(tcase, list);
	tcase_add_test(tcase, topics);
	tcase_add_test(tcase, order);
	tcase_add_test(tcase, suggestions);
	tcase_add_test(tcase, utf8);
	suite_add_tcase(suite, tcase);
	return suite;
}
