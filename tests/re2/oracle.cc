/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle [--seed S] [--pairs N]: our regular expressions beside RE2's.
 *
 * Patterns are made from a grammar that has all of RE2's syntax, and some that RE2 refuses; texts are
 * made so that they often match. For each pair both must agree on: is the pattern valid, does the
 * whole text match, is the rewrite valid, what does it make of the text. A bound that was hit is no
 * answer; they are counted and must be rare. The table of tests/unit/test_pattern.c is asked too.
 * Last line: "N passed, N failed".
 */
#include <re2/re2.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

extern "C" {
#include "rules/pattern.h"
}

namespace {

std::mt19937 generator;

unsigned pick(unsigned n)
{
	return generator() % n;
}

template <size_t N> const char *one(const char *const (&list)[N])
{
	return list[pick(N)];
}

std::string atom(int depth);

std::string char_class()
{
	static const char *const parts[] = {
	    "a-c", "b", "0-9", "x", "\\d", "\\w", "\\s", "\\D", "[:alpha:]", "[:^digit:]", "\\pL",
	    "\\p{Greek}", "\\PN", "\\x41", "\\x{3b1}", "-", "é", "\\n", "A-Z", "_", ".", "^", "\\]",
	    "\\-", "[:word:]", "[:upper:]", "[:^lower:]", "[:punct:]", "[:^upper:]", "&&", "~~", "\\W", "\\S", "k", "S-T", "!-/", " ", "[",
	};
	std::string out = pick(4) ? "[" : "[^";

	for (unsigned n = 1 + pick(4); n; n--)
		out += one(parts);
	return out + "]";
}

std::string sequence(int depth)
{
	std::string out;

	for (unsigned n = pick(4) + (depth == 0); n; n--)
		out += atom(depth + 1);
	return out;
}

std::string alternatives(int depth)
{
	std::string out = sequence(depth);

	for (unsigned n = pick(5) ? 0 : 1 + pick(2); n; n--)
		out += "|" + sequence(depth);
	return out;
}

std::string single(int depth)
{
	static const char *const literals[] = {
	    "a", "b", "c", "ab", "0", "x", "/", "A", "é", "α", "k", "s", "-", "_", " ", "{", "}", "]",
	    "{,3}", "a{x}", ",", "K",
	};
	static const char *const escapes[] = {
	    "\\d", "\\w", "\\s", "\\D", "\\W", "\\S", "\\b", "\\B", "\\A", "\\z", "\\.", "\\/",
	    "\\n", "\\t", "\\x61", "\\x{62}", "\\Qa.b\\E", "\\Q*\\E", "\\pL", "\\PL", "\\p{Lu}",
	    "\\p{^Lu}", "\\pN", "\\p{Latin}", "\\141", "\\a", "\\f", "\\v", "\\r", "\\-", "\\\\",
	    "\\Qab", "\\_", "\\é",
	};
	static const char *const refused[] = {
	    "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "\\1", "\\Z", "\\G", "\\K", "(?>a)", "(?R)", "\\R",
	    "\\X", "\\h", "\\N", "(?#c)", "a++", "a**", "a{2}{3}", "(?P=n)", "(?(1)a)", "\\p{Nope}",
	    "[z-a]", "[", "(", ")", "\\", "*", "a{1001}", "(?|a)", "\\cA", "\\e", "\\o{17}", "(?x)a b",
	    "(*UTF8)", "\\8", "[[:nope:]]", "\\Q\\", "(?P<1>a)", "(?P<n>a)(?P<n>b)", "(?i", "(?z)",
	    "[\\8]", "[a-\\d]", "(a{1000}){1000}", "\\x{110000}", "\\x{}", "\\xg",
	};

	switch (pick(depth > 3 ? 8 : 12)) {
	case 0:
	case 1:
	case 2:
		return one(literals);
	case 3:
		return ".";
	case 4:
		return one(escapes);
	case 5:
		return char_class();
	case 6:
		return pick(2) ? "^" : "$";
	case 7:
		return pick(12) ? one(literals) : one(refused);
	case 8:
		return "(" + alternatives(depth) + ")";
	case 9:
		return "(?:" + alternatives(depth) + ")";
	case 10: {
		static const char *const flags[] = {"i", "s", "m", "U", "is", "-s", "i-s", "ms", "im", "-i", ""};

		return std::string("(?") + one(flags) + (pick(2) ? ")" : ":" + alternatives(depth) + ")");
	}
	default:
		return "(?P<n" + std::to_string(pick(1000)) + ">" + alternatives(depth) + ")";
	}
}

std::string atom(int depth)
{
	static const char *const quantifiers[] = {
	    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{0}", "{1}", "{,2}", "{0,}",
	};
	std::string out = single(depth);

	if (pick(3) == 0)
		out += one(quantifiers);
	return out;
}

std::string text()
{
	static const char *const parts[] = {
	    "a", "b", "c", "ab", "0", "x", "/", "A", "é", "α", "k", "s", "-", "_", " ", "{", "B", "S",
	    "\n", "a", "b", "aa", "K", "\xe2\x84\xaa" /* Kelvin */, "\xc5\xbf" /* long s */, ".", "*", "1",
	    "\xff", "\xce", "]", "\\", "Σ", "ς", "É", "\t",
	};
	std::string out;

	for (unsigned n = pick(9); n; n--)
		out += parts[pick(pick(6) ? 16 : sizeof(parts) / sizeof(parts[0]))];
	return out;
}

struct score {
	long passed, failed, limits, unsupported, known;
};

void report(score &total, bool same, const std::string &what, const std::string &pattern,
	    const std::string &input, const std::string &theirs, const std::string &ours)
{
	if (same) {
		total.passed++;
		return;
	}
	total.failed++;
	std::printf("FAIL %s: /%s/ on \"%s\": RE2 says %s, we say %s\n", what.c_str(),
		    pattern.c_str(), input.c_str(), theirs.c_str(), ours.c_str());
}

bool is_ascii(const std::string &text)
{
	for (unsigned char c : text)
		if (c >= 0x80)
			return false;
	return true;
}

void ask_replace(score &total, const RE2 &re, const std::string &pattern, const std::string &input)
{
	static const char *const rewrites[] = {"<\\0>", "", "X", "[\\1]", "\\2\\1", "\\\\", "\\9", "\\", "\\x", "é"};
	const std::string rewrite = one(rewrites);
	pattern_error error;
	struct pattern *search = pattern_new_search(pattern.c_str(), &error);
	std::string why, theirs = input, ours = input;
	char *out;
	size_t len;

	if (!search) {
		report(total, false, "search", pattern, input, "valid", error.text);
		return;
	}
	bool valid = re.CheckRewriteString(rewrite, &why);

	report(total, valid == pattern_check_rewrite(search, rewrite.c_str(), &error), "rewrite",
	       pattern, rewrite, valid ? "valid" : why, valid ? error.text : "valid");
	if (valid) {
		int count = RE2::GlobalReplace(&theirs, re, rewrite);
		pattern_result result = pattern_replace(search, input.data(), input.size(), rewrite.c_str(), &out, &len);

		if (result == PATTERN_MATCH) {
			ours.assign(out, len);
			std::free(out);
		}
		/* RE2 looks for \b and \B between the bytes of a character, too, and cuts it. */
		bool cut = pattern.find_first_of("bB") != std::string::npos && !is_ascii(input);
		/* And a repeated group that was empty once ends the repetition in PCRE2, and is what
		 * the group held; RE2 goes on, and remembers what it held before. */
		bool groups = pattern.find(")*") != std::string::npos ||
			      pattern.find(")+") != std::string::npos ||
			      pattern.find("){") != std::string::npos;

		if (result == PATTERN_LIMIT)
			total.limits++;
		else if (theirs != ours && (cut || groups))
			total.known++;
		else
			report(total, (count > 0) == (result == PATTERN_MATCH) && theirs == ours,
			       "replace by " + rewrite, pattern, input, theirs, ours);
	}
	pattern_free(search);
}

void ask(score &total, const std::string &pattern, const std::string &input)
{
	RE2::Options options;
	pattern_error error;

	options.set_log_errors(false);

	const RE2 re(pattern, options);
	struct pattern *own = pattern_new(pattern.c_str(), &error);

	/* \C is RE2's, but no user of Istio's: one byte of a character cannot be sent anywhere. */
	if (pattern.find("\\C") != std::string::npos)
		return;
	/* What PCRE2 has no words for is refused, and says so. */
	if (!own && re.ok() && std::strstr(error.text, "not supported: ")) {
		total.unsupported++;
		return;
	}
	report(total, re.ok() == (own != nullptr), "syntax", pattern, "", re.ok() ? "valid" : re.error(),
	       own ? "valid" : error.text);
	if (!re.ok() || !own) {
		pattern_free(own);
		return;
	}
	bool theirs = RE2::FullMatch(input, re);
	pattern_result ours = pattern_match(own, input.data(), input.size());

	if (ours == PATTERN_LIMIT)
		total.limits++;
	else
		report(total, theirs == (ours == PATTERN_MATCH), "match", pattern, input,
		       theirs ? "yes" : "no", ours == PATTERN_MATCH ? "yes" : "no");
	pattern_free(own);
	ask_replace(total, re, pattern, input);
}

struct row {
	const char *pattern, *text;
	int match; /* -1: refused */
};

const row rows[] = {
#define ROW(pattern, text, match) {pattern, text, match},
#include "tests/re2/table.def"
#undef ROW
};

void ask_rows(score &total)
{
	for (const row &row : rows) {
		RE2::Options options;

		options.set_log_errors(false);

		const RE2 re(row.pattern, options);
		int theirs = re.ok() ? RE2::FullMatch(row.text, re) : -1;

		report(total, theirs == row.match, "table", row.pattern, row.text,
		       std::to_string(theirs), std::to_string(row.match));
		ask(total, row.pattern, row.text);
	}
}

} // namespace

int main(int argc, char **argv)
{
	unsigned long seed = 1, pairs = 100000;
	score total = {0, 0, 0, 0, 0};

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!std::strcmp(argv[i], "--seed"))
			seed = std::strtoul(argv[i + 1], nullptr, 10);
		else if (!std::strcmp(argv[i], "--pairs"))
			pairs = std::strtoul(argv[i + 1], nullptr, 10);
	}
	generator.seed(static_cast<std::mt19937::result_type>(seed));
	ask_rows(total);
	for (unsigned long i = 0; i < pairs; i++) {
		std::string pattern = alternatives(0);

		ask(total, pattern, text());
	}
	/* A tenth of a per cent of either would be a hole in the test. */
	if (total.limits * 1000 > static_cast<long>(pairs)) {
		std::printf("FAIL %ld bounds were hit\n", total.limits);
		total.failed++;
	}
	if (total.known * 1000 > static_cast<long>(pairs)) {
		std::printf("FAIL %ld known differences\n", total.known);
		total.failed++;
	}
	std::printf("%ld bounds hit, %ld not supported, %ld known\n%ld passed, %ld failed\n", total.limits, total.unsupported, total.known, total.passed, total.failed);
	return total.failed ? 1 : 0;
}
