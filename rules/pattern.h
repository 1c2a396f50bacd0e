/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as Istio means them: RE2's syntax, matched against the whole text, in bounded
 * time. The engine is PCRE2 without its JIT (a host may forbid executable memory).
 *
 * Threads: a compiled pattern is immutable; any number of threads may match with it at once.
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
 * Compile. NULL, with `error` filled: not valid RE2, or out of memory. Longer patterns than
 * PATTERN_MAX are for the caller to refuse (Istio has words of its own for them).
 */
struct pattern *pattern_new(const char *text, struct pattern_error *error)
    __attribute__((warn_unused_result));

void pattern_free(struct pattern *pattern);

enum pattern_result {
	PATTERN_NO_MATCH,
	PATTERN_MATCH,
	PATTERN_LIMIT, /* the bound on time or memory was hit: counts as no match */
};

/* Does the whole text match? Text that is not valid UTF-8 matches nothing, as in RE2. */
enum pattern_result pattern_match(const struct pattern *pattern, const char *text, size_t len);

/*
 * Translate RE2 into PCRE2 of the same meaning (under UTF, newline LF, DOLLAR_ENDONLY,
 * ALT_CIRCUMFLEX). `out` needs PATTERN_OUT_MAX bytes for `len` <= PATTERN_MAX. Returns the length,
 * or -1 with `error`.
 */
#define PATTERN_OUT_MAX (PATTERN_MAX * 64)
long pattern_translate(const char *text, size_t len, char *out, struct pattern_error *error)
    __attribute__((warn_unused_result));

#endif
