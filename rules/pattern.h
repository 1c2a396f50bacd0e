/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as Istio means them: RE2's syntax and answers, in bounded time. The engine is
 * PCRE2: its JIT under a small match limit; where that gives up, its DFA matcher, which does not
 * backtrack, under a bound on its work. A host that forbids executable memory has no JIT and gets
 * the same answers.
 *
 * Threads: a compiled pattern may be used by any number of threads at once. What matching needs
 * beyond the syntax is made at the first use and published atomically.
 */
#ifndef RULES_PATTERN_H
#define RULES_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_MAX 1024 /* longest pattern, in bytes (Istio's limit) */

struct pattern;

struct pattern_error {
	char text[160]; /* one line, no full stop */
};

/*
 * Compile for pattern_match(). NULL, with `error` filled: not valid RE2, or out of memory. Longer
 * patterns than PATTERN_MAX are for the caller to refuse (Istio has words of its own for them).
 */
struct pattern *pattern_new(const char *text, struct pattern_error *error)
    __attribute__((warn_unused_result));

/* The same for pattern_replace(). */
struct pattern *pattern_new_search(const char *text, struct pattern_error *error)
    __attribute__((warn_unused_result));

/* NULL is allowed. */
void pattern_free(struct pattern *pattern);

enum pattern_result {
	PATTERN_NO_MATCH,
	PATTERN_MATCH,
	PATTERN_LIMIT, /* every bound on time or memory was hit: counts as no match */
};

/* Does the whole text match (RE2::FullMatch)? Text that is not valid UTF-8 matches nothing. */
enum pattern_result pattern_match(const struct pattern *pattern, const char *text, size_t len);

#define PATTERN_REPLACED_MAX ((size_t)64 * 1024) /* bytes that a replacement may come to */

/*
 * RE2::GlobalReplace: every occurrence, from left to right, by `rewrite`, in which \0 is all of it,
 * \1 to \9 are the groups and \\ is a backslash. PATTERN_MATCH: `*out` is a malloc'd text of
 * `*out_len` bytes. PATTERN_NO_MATCH: there is none. PATTERN_LIMIT: a bound on time or length was
 * hit, or memory ran out.
 */
enum pattern_result pattern_replace(const struct pattern *pattern, const char *text, size_t len,
				    const char *rewrite, char **out, size_t *out_len)
    __attribute__((warn_unused_result));

/* RE2::CheckRewriteString: whether `rewrite` fits the pattern. False, with `error`: it does not. */
bool pattern_check_rewrite(const struct pattern *pattern, const char *rewrite,
			   struct pattern_error *error);

/* Whether a text of 8 KB might hit every bound; said of more patterns than it is true of. */
bool pattern_risky(const struct pattern *pattern);

/* What a translation is for. */
enum pattern_form {
	PATTERN_FORM_MATCH,  /* no groups capture */
	PATTERN_FORM_SEARCH, /* groups capture */
	PATTERN_FORM_DFA,    /* as MATCH, in the form that suits PCRE2's DFA matcher */
};

/*
 * Translate RE2 into PCRE2 of the same meaning (under UTF, newline LF, ALT_CIRCUMFLEX). `out` needs
 * PATTERN_OUT_MAX bytes for `len` <= PATTERN_MAX. Returns the length, or -1 with `error`.
 */
#define PATTERN_OUT_MAX (PATTERN_MAX * 64)
long pattern_translate(const char *text, size_t len, enum pattern_form form, char *out,
		       struct pattern_error *error)
    __attribute__((warn_unused_result));

#endif
