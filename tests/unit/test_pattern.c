/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rules/pattern.h"

Suite *pattern_suite(void);

/* Matching. Where RE2 and PCRE2 differ, RE2's answer stands here. */
static const struct {
	const char *pattern, *text;
	bool match;
} matches[] = {
    {".*", "", true},
    {".*", "/a?b", true},
    {".*", "a\nb", false},
    {"(?s).*", "a\nb", true},
    {"/t[io]c", "/tic", true},
    {"/t[io]c", "/tick", false},
    {"a|ab", "ab", true},
    {"ab|a", "a", true},
    {"a", "xa", false},
    {"^a$", "a", true},
    {"a$", "a\n", false},
    {"(?m)a$\n", "a\n", true},
    {"(?m)^a\n^", "a\n", true},
    {"\\Aa\\z", "a", true},
    {"\\s", "\v", false},
    {"[\\s]", "\v", false},
    {"\\S", "\v", true},
    {"[\\S]", "\v", true},
    {"[^\\S]", " ", true},
    {"\\v", "\v", true},
    {"\\v", "\n", false},
    {"[[:space:]]", "\v", true},
    {"\\d+", "123", true},
    {"\\d", "\xd9\xa3", false}, /* ARABIC-INDIC DIGIT THREE */
    {"\\pN", "\xd9\xa3", true},
    {"\\w+", "a_9", true},
    {"\\w", "\xc3\xa9", false},
    {"\\pL", "\xc3\xa9", true},
    {"\\p{Greek}", "\xce\xb1", true},
    {"\\p{^Greek}", "a", true},
    {"\\P{Greek}", "\xce\xb1", false},
    {"[\\p{Lu}x]", "x", true},
    {".", "\xc3\xa9", true},
    {".", "\xff", false},
    {".*", "a\xff", false},
    {"[^a]", "\n", true},
    {"(?i)HeLLo", "hEllO", true},
    {"(?i:a)b", "AB", false},
    {"(?-i)a", "A", false},
    {"a*?", "aaa", true},
    {"(?U)a+", "aaa", true},
    {"x{2}", "xx", true},
    {"x{2,}", "xxx", true},
    {"x{1,2}", "xxx", false},
    {"x{,2}", "x{,2}", true},
    {"a{", "a{", true},
    {"{", "{", true},
    {"\\Qa.b\\E", "a.b", true},
    {"\\Qa.b\\E", "axb", false},
    {"\\Qab\\E+", "abb", true},
    {"\\Qa", "a", true},
    {"[]a]", "]", true},
    {"[^]a]", "b", true},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[[]", "[", true},
    {"[a-c-e]", "-", true},
    {"[[:alpha:]]", "x", true},
    {"[[:^alpha:]]", "1", true},
    {"[.]", ".", true},
    {"[.]", "a", false},
    {"[\\]]", "]", true},
    {"[\\x41-\\x43]", "B", true},
    {"\\x41", "A", true},
    {"\\x{263a}", "\xe2\x98\xba", true},
    {"\\101", "A", true},
    {"\\07", "\a", true},
    {"(?P<n>a)b", "ab", true},
    {"(?:a)b", "ab", true},
    {"^*a", "a", true},
    {"(?:)", "", true},
    {"a||b", "", true},
    {"()*", "", true},
    {"\\b/\\B", "/", false},
    {"a\\b-", "a-", true},
    {"#a b", "#a b", true},
    {"\\-\\/\\:", "-/:", true},
    {"", "", true},
};

/* The table that RE2 itself is asked, too. */
static const struct {
	const char *pattern, *text;
	int match; /* -1: refused */
} rows[] = {
#define ROW(pattern, text, match) {pattern, text, match},
#include "tests/re2/table.def"
#undef ROW
};

START_TEST(table)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new(rows[_i].pattern, &error);
	int match =
	    pattern ? (int)pattern_match(pattern, rows[_i].text, strlen(rows[_i].text)) : -1;

	ck_assert_msg(match == rows[_i].match, "/%s/ on \"%s\": %d %s", rows[_i].pattern,
		      rows[_i].text, match, pattern ? "" : error.text);
	ck_assert(pattern || error.text[0]);
	pattern_free(pattern);
}
END_TEST

/* What makes a backtracking matcher explode has RE2's answer, and no bound is hit. */
static const struct {
	const char *pattern, *piece; /* repeated to 8 KB */
	const char *tail;
	bool match;
} explosive[] = {
    {"(a+)+$", "a", "", true},		 {"(a+)+$", "a", "!", false},
    {"(a|aa)+$", "a", "", true},	 {"(a|aa)+$", "a", "!", false},
    {"(a?){50}a{50}", "a", "", false},	 {"((a*)*)*b", "a", "b", true},
    {"((a*)*)*b", "a", "c", false},	 {"([a-z]+)*\\d", "ab", "", false},
    {"([a-z]+)*\\d", "ab", "7", true},	 {"(x+x+)+y", "x", "", false},
    {"(.*)*x", "xy", "", false},	 {".*.*.*.*=x", "a", "=x", true},
    {"(a|b|ab)*c", "ab", "", false},	 {"(\xc3\xa9+)+\\d", "\xc3\xa9", "", false},
    {"(a{2,})+b", "a", "", false},
};

START_TEST(explosion)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new(explosive[_i].pattern, &error);
	char text[8300] = "";

	ck_assert_msg(pattern, "%s", error.text);
	while (strlen(text) < 8192)
		strcat(text, explosive[_i].piece);
	strcat(text, explosive[_i].tail);
	ck_assert_int_eq(pattern_match(pattern, text, strlen(text)),
			 explosive[_i].match ? PATTERN_MATCH : PATTERN_NO_MATCH);
	ck_assert(!pattern_risky(pattern));
	pattern_free(pattern);
}
END_TEST

#define TEN(x) x x x x x x x x x x

static const struct {
	const char *pattern, *text, *rewrite, *out; /* NULL: nothing to replace */
} replacements[] = {
	/* Would take for ever if a step inside of a group did not count. */
	{TEN("(/|)") TEN("(/|)") TEN("(/|)") TEN("(/|)") TEN("(/|)") TEN("(/|)") "x",
	 TEN("//////////") "y", "z", NULL},
	{"((a|b)+)(/|)x", "abab/xab", "\\1-\\2", "abab-bab"},
    {"e", "/newforreg2_endpoint/tee", "X", "/nXwforrXg2_Xndpoint/tXX"},
    {"^/users/([^/]+)/(.*)$", "/users/joe/x", "/\\2/of/\\1", "/x/of/joe"},
    {"b*", "abc", "-", "-a-c-"},
    {"", "ab", "-", "-a-b-"},
    {"", "\xc3\xa9", "-", "-\xc3\xa9-"},
    {"(a)|b", "ab", "[\\1]", "[a][]"},
    {"a", "aaa", "", ""},
    {"a", "a", "\\\\\\0", "\\a"},
    {"x", "abc", "y", NULL},
    {"(?i)A", "aAb", "<\\0>", "<a><A>b"},
    {"/+", "//a///b", "/", "/a/b"},
};

START_TEST(replacing)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new_search(replacements[_i].pattern, &error);
	const char *text = replacements[_i].text;
	enum pattern_result result;
	char *out = NULL;
	size_t len = 0;

	ck_assert_msg(pattern, "%s", error.text);
	ck_assert(pattern_check_rewrite(pattern, replacements[_i].rewrite, &error));
	result = pattern_replace(pattern, text, strlen(text), replacements[_i].rewrite, &out, &len);
	ck_assert_int_eq(result, replacements[_i].out ? PATTERN_MATCH : PATTERN_NO_MATCH);
	if (replacements[_i].out) {
		ck_assert_uint_eq(len, strlen(replacements[_i].out));
		ck_assert_mem_eq(out, replacements[_i].out, len);
	}
	free(out);
	pattern_free(pattern);
}
END_TEST

START_TEST(bad_rewrites)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new_search("(a)", &error);
	char text[4096], *out;
	size_t len;

	ck_assert(!pattern_check_rewrite(pattern, "\\", &error));
	ck_assert(!pattern_check_rewrite(pattern, "\\x", &error));
	ck_assert(!pattern_check_rewrite(pattern, "\\2", &error));
	ck_assert_str_eq(error.text, "Rewrite schema requests 2 matches, but the regexp only has 1 "
				     "parenthesized subexpressions");
	/* 4 KB that would become 200 KB. */
	memset(text, 'a', sizeof(text));
	ck_assert_int_eq(pattern_replace(pattern, text, sizeof(text),
					 "01234567890123456789012345678901234567890123456789", &out,
					 &len),
			 PATTERN_LIMIT);
	pattern_free(pattern);
}
END_TEST

START_TEST(meaning)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new(matches[_i].pattern, &error);

	ck_assert_msg(pattern, "%s: %s", matches[_i].pattern, error.text);
	ck_assert_msg(pattern_match(pattern, matches[_i].text, strlen(matches[_i].text)) ==
			  (matches[_i].match ? PATTERN_MATCH : PATTERN_NO_MATCH),
		      "%s against \"%s\"", matches[_i].pattern, matches[_i].text);
	pattern_free(pattern);
}
END_TEST

static const struct {
	const char *pattern, *error;
} refused[] = {
    {"(?=a)", "look-around assertions are not supported: (?="},
    {"(?!a)", "look-around assertions are not supported: (?!"},
    {"(?<=a)b", "look-around assertions are not supported: (?<="},
    {"(?<!a)b", "look-around assertions are not supported: (?<!"},
    {"(a)\\1", "back-references are not supported: \\1"},
    {"\\8", "back-references are not supported: \\8"},
    {"(?P=n)", "invalid or unsupported Perl syntax: (?P="},
    {"(?P>n)", "invalid or unsupported Perl syntax: (?P>"},
    {"\\k<n>", "invalid escape sequence: \\k"},
    {"\\g1", "invalid escape sequence: \\g"},
    {"a*+", "invalid nested repetition operator: *+"},
    {"a++", "invalid nested repetition operator: ++"},
    {"a?+", "invalid nested repetition operator: ?+"},
    {"a**", "invalid nested repetition operator: **"},
    {"(?>a)", "invalid or unsupported Perl syntax: (?>a"},
    {"(?R)", "invalid or unsupported Perl syntax: (?R)"},
    {"(?1)", "invalid or unsupported Perl syntax: (?1)"},
    {"(?(1)a)", "invalid or unsupported Perl syntax: (?(1"},
    {"(?C)", "invalid or unsupported Perl syntax: (?C)"},
    {"(?#x)", "invalid or unsupported Perl syntax: (?#x"},
    {"(?x)a", "invalid or unsupported Perl syntax: (?x)"},
    {"(?J)", "invalid or unsupported Perl syntax: (?J)"},
    {"(?|a)", "invalid or unsupported Perl syntax: (?|a"},
    {"(?i-)a", "invalid or unsupported Perl syntax: (?i-"},
    {"(*UTF)", "missing argument to repetition operator: *"},
    {"(*ACCEPT)", "missing argument to repetition operator: *"},
    {"*a", "missing argument to repetition operator: *"},
    {"a|+", "missing argument to repetition operator: +"},
    {"(?i)*", "missing argument to repetition operator: *"},
    {"{2}", "missing argument to repetition operator: {2}"},
    {"\\C", "invalid escape sequence: \\C"},
    {"\\G", "invalid escape sequence: \\G"},
    {"\\K", "invalid escape sequence: \\K"},
    {"\\R", "invalid escape sequence: \\R"},
    {"\\X", "invalid escape sequence: \\X"},
    {"\\Z", "invalid escape sequence: \\Z"},
    {"\\h", "invalid escape sequence: \\h"},
    {"\\H", "invalid escape sequence: \\H"},
    {"\\N", "invalid escape sequence: \\N"},
    {"\\e", "invalid escape sequence: \\e"},
    {"\\cA", "invalid escape sequence: \\c"},
    {"[\\b]", "invalid escape sequence: \\b"},
    {"[\\Qa\\E]", "invalid escape sequence: \\Q"},
    {"\\x4", "invalid escape sequence: \\x"},
    {"\\x{110000}", "invalid escape sequence: \\x out of range"},
    {"\\p{L&}", "invalid character class range: \\p{L&}"},
    {"\\pX", "invalid character class range: \\p{X}"},
    {"\\p{", "invalid character class range: \\p"},
    {"\\p", "invalid character class range: \\p"},
    {"[[:foo:]]", "invalid character class range: [:foo:]"},
    {"[b-a]", "invalid character class range"},
    {"[a-\\d]", "invalid escape sequence: \\d"},
    {"[a", "missing closing ]"},
    {"[]", "missing closing ]"},
    {"[", "missing closing ]"},
    {"(a", "missing closing )"},
    {"a)", "unexpected )"},
    {"a\\", "trailing backslash"},
    {"[\\", "trailing backslash"},
    {"a{1001}", "invalid repeat count: {1001}"},
    {"a{2,1}", "invalid repeat count: {2,1}"},
    {"(?P<a-b>c)", "invalid named capture group"},
};

START_TEST(refusal)
{
	struct pattern_error error;

	ck_assert_msg(!pattern_new(refused[_i].pattern, &error), "%s", refused[_i].pattern);
	ck_assert_str_eq(error.text, refused[_i].error);
}
END_TEST

/* Families on which a backtracking engine explodes: an answer, soon, and never a false match. */
START_TEST(bounded)
{
	static const char *const families[] = {"(a+)+$",    "(a|aa)+$", "(a*)*b",
					       "(.*)*x",    "(a|a)*b",	"(?:a?){50}a{50}b",
					       "(.*.*.*)b", "(x+x+)+y", "((a*)*)*b"};
	struct pattern_error error;
	struct pattern *pattern = pattern_new(families[_i], &error);
	struct timespec from, to;
	char text[8192];

	ck_assert_msg(pattern, "%s", error.text);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '!';
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	ck_assert(pattern_match(pattern, text, sizeof(text)) != PATTERN_MATCH);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	/* Generous, for sanitizers and slow machines; without a bound it would be years. */
	ck_assert(to.tv_sec - from.tv_sec < 3);
	pattern_free(pattern);
}
END_TEST

START_TEST(long_paths)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new("/([a-z]+/)*.*\\.txt", &error);
	size_t len = 60000;
	char *text = malloc(len);

	for (size_t i = 0; i < len; i++)
		text[i] = i % 10 ? 'a' : '/';
	memcpy(text + len - 4, ".txt", 4);
	ck_assert(pattern_match(pattern, text, len) == PATTERN_MATCH);
	free(text);
	pattern_free(pattern);
}
END_TEST

static void *match_many(void *pattern)
{
	for (int i = 0; i < 2000; i++) {
		if (pattern_match(pattern, "/users/1234/x", 13) != PATTERN_MATCH ||
		    pattern_match(pattern, "/users/12c4/x", 13) != PATTERN_NO_MATCH)
			return pattern;
	}
	return NULL;
}

START_TEST(threads)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new("/users/(\\d+)/.*", &error);
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, match_many, pattern), 0);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(thread[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	pattern_free(pattern);
}
END_TEST

/* No pattern may crash the translator, overrun its buffer, or get past it and fail in PCRE2 in a
 * way that leaves no words. */
START_TEST(garbage)
{
	static const char alphabet[] = "ab\\[](){}*+?|^$.-:,01PpQE<>!=iU\xc3\xa9 &";
	struct pattern_error error;
	char text[PATTERN_MAX + 1];

	srand(1);
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)rand() % 12;
		struct pattern *pattern;

		for (size_t j = 0; j < len; j++)
			text[j] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		text[len] = '\0';
		pattern = pattern_new(text, &error);
		ck_assert(pattern || *error.text);
		if (pattern)
			pattern_match(pattern, "ab", 2);
		pattern_free(pattern);
	}
	memset(text, 0, sizeof(text));
	for (size_t j = 0; j + 1 < PATTERN_MAX; j += 2)
		memcpy(text + j, "\\W", 2);
	memcpy(text, "[a", 2);
	text[PATTERN_MAX - 2] = text[PATTERN_MAX - 1] = ']';
	pattern_free(pattern_new(text, &error));
}
END_TEST

Suite *pattern_suite(void)
{
	Suite *suite = suite_create("pattern");
	TCase *tcase = tcase_create("pattern");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, table, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tcase, explosion, 0, (int)(sizeof(explosive) / sizeof(explosive[0])));
	tcase_add_loop_test(tcase, replacing, 0,
			    (int)(sizeof(replacements) / sizeof(replacements[0])));
	tcase_add_test(tcase, bad_rewrites);
	tcase_add_loop_test(tcase, meaning, 0, (int)(sizeof(matches) / sizeof(matches[0])));
	tcase_add_loop_test(tcase, refusal, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_loop_test(tcase, bounded, 0, 9);
	tcase_add_test(tcase, long_paths);
	tcase_add_test(tcase, threads);
	tcase_add_test(tcase, garbage);
	suite_add_tcase(suite, tcase);
	return suite;
}
