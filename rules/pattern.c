/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 backtracks, so a match can take exponential time; RE2 never does. The match limit turns
 * that into "no match" after some milliseconds, the heap limit does the same for memory.
 */
#include "rules/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT  100000	 /* backtracking steps */
#define HEAP_LIMIT   (16 * 1024) /* KiB of backtracking points */
#define PARENS_LIMIT (PATTERN_MAX / 2)

struct pattern {
	pcre2_code *code;
	pcre2_match_context *context;
};

static const uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF |
				PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX |
				PCRE2_NEVER_BACKSLASH_C;

static pcre2_code *compile(const char *text, size_t len, struct pattern_error *error)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code = NULL;
	PCRE2_SIZE offset;
	int number;

	if (!context) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		return NULL;
	}
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(context, PARENS_LIMIT);
	code = pcre2_compile((PCRE2_SPTR)text, len, options, &number, &offset, context);
	if (!code)
		pcre2_get_error_message(number, (PCRE2_UCHAR *)error->text, sizeof(error->text));
	pcre2_compile_context_free(context);
	return code;
}

struct pattern *pattern_new(const char *text, struct pattern_error *error)
{
	struct pattern *pattern = calloc(1, sizeof(*pattern));
	char *translated = malloc(PATTERN_OUT_MAX);
	size_t len = strlen(text);
	long out;

	if (!pattern || !translated || len > PATTERN_MAX) {
		snprintf(error->text, sizeof(error->text), "%s",
			 len > PATTERN_MAX ? "pattern too long" : "out of memory");
		goto fail;
	}
	out = pattern_translate(text, len, translated, error);
	if (out < 0)
		goto fail;
	pattern->code = compile(translated, (size_t)out, error);
	if (!pattern->code)
		goto fail;
	pattern->context = pcre2_match_context_create(NULL);
	if (!pattern->context) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		goto fail;
	}
	pcre2_set_match_limit(pattern->context, MATCH_LIMIT);
	pcre2_set_heap_limit(pattern->context, HEAP_LIMIT);
	free(translated);
	return pattern;
fail:
	free(translated);
	pattern_free(pattern);
	return NULL;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_code_free(pattern->code);
	pcre2_match_context_free(pattern->context);
	free(pattern);
}

enum pattern_result pattern_match(const struct pattern *pattern, const char *text, size_t len)
{
	/* Of its own for each match: the code is shared between threads, this is the state. */
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int status;

	if (!data)
		return PATTERN_LIMIT;
	status = pcre2_match(pattern->code, (PCRE2_SPTR)text, len, 0, 0, data, pattern->context);
	pcre2_match_data_free(data);
	if (status >= 0)
		return PATTERN_MATCH;
	switch (status) {
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_NOMEMORY:
		return PATTERN_LIMIT;
	default:
		return PATTERN_NO_MATCH;
	}
}
