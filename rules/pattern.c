/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2 backtracks, so a match can take exponential time; RE2 never does. The match limit makes the
 * backtracking matcher give up after some milliseconds at most; since its JIT may run over all of the
 * text in what it counts as one step, the limit depends on the length of the text. The DFA matcher
 * follows all alternatives at once; its time grows with the square of how many there are, so it is
 * fed piece by piece, and what the pieces cost is added up.
 *
 * The limit holds for each place where a search tries to begin. So a search goes by windows of few
 * such places, and looks at the clock between them. Where it gives up, the DFA matcher, which knows
 * no captures, can still tell that there is nothing to replace.
 */
#include "rules/pattern.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "rules/ascii.h"
#include "rules/pattern_risk.h"
#include "rules/utf8.h"

#define MATCH_LIMIT  100000	/* backtracking steps of one attempt, at most */
#define MATCH_WORK   5000000	/* steps times bytes that each may run over: some 2 ms */
#define CONTEXTS     7		/* limits: for texts of up to 16 bytes, 64, 256 ... */
#define HEAP_LIMIT   (4 * 1024) /* KiB of backtracking points, without JIT */
#define PARENS_LIMIT (PATTERN_MAX / 2)
#define DFA_SPACE    4096     /* ints: some 680 places to be at once */
#define DFA_PIECE    64	      /* bytes at a time */
#define DFA_WORK     20000000 /* comparisons of places: some 20 ms */
#define DFA_TIME     20000000 /* ns of the thread's own time, as not every place costs the same */
#define WINDOW	     64	      /* places to begin at, between two looks at the clock */
#define SEARCH_WORK  1000000  /* steps of all places together, where there are no windows */
#define SEARCH_TIME  20000000 /* ns of the thread's own time for one replacement */

struct pattern {
	pcre2_code *code; /* with captures, without JIT */
	pcre2_match_context *contexts[CONTEXTS];
	char *text; /* as RE2 has it; the DFA matcher's code is made of it */
	uint32_t groups;
	bool search, risky;
	_Atomic(pcre2_code *) fast; /* `code` with JIT; made at the first match */
	_Atomic(pcre2_code *) dfa;  /* made when the fast one first gives up */
};

static const uint32_t base_options =
    PCRE2_UTF | PCRE2_ALT_CIRCUMFLEX | PCRE2_NEVER_BACKSLASH_C;

/* What PCRE2 10.42 thinks it knows of where a match can begin is wrong for ".*" beyond invalid UTF-8,
 * and in its JIT for "^" of lines behind what may be empty. */
static const uint32_t search_options =
    PCRE2_MATCH_INVALID_UTF | PCRE2_USE_OFFSET_LIMIT | PCRE2_NO_START_OPTIMIZE;

/* ---- compiling ---------------------------------------------------------------------------- */

static pcre2_code *compile(const char *text, size_t len, uint32_t options,
			   struct pattern_error *error)
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
	code = pcre2_compile((PCRE2_SPTR)text, len, base_options | options, &number, &offset,
			     context);
	if (!code)
		pcre2_get_error_message(number, (PCRE2_UCHAR *)error->text, sizeof(error->text));
	pcre2_compile_context_free(context);
	return code;
}

/* Which limit is for a text of that length. */
static size_t context_for(size_t len)
{
	size_t i = 0;

	while (i < CONTEXTS - 1 && len > (size_t)16 << 2 * i)
		i++;
	return i;
}

static bool new_contexts(struct pattern *pattern)
{
	for (size_t i = 0; i < CONTEXTS; i++) {
		uint32_t limit = MATCH_WORK / (16 << 2 * i);

		pattern->contexts[i] = pcre2_match_context_create(NULL);
		if (!pattern->contexts[i])
			return false;
		pcre2_set_match_limit(pattern->contexts[i],
				      limit < MATCH_LIMIT ? limit : MATCH_LIMIT);
		pcre2_set_heap_limit(pattern->contexts[i], HEAP_LIMIT);
	}
	return true;
}

static struct pattern *new_pattern(const char *text, bool search, struct pattern_error *error)
{
	struct pattern *pattern = calloc(1, sizeof(*pattern));
	char *translated = malloc(PATTERN_OUT_MAX);
	size_t len = strlen(text);
	long out = -1;

	snprintf(error->text, sizeof(error->text), "%s",
		 len > PATTERN_MAX ? "pattern too long" : "out of memory");
	if (!pattern || !translated || len > PATTERN_MAX)
		goto fail;
	out = pattern_translate(text, len, search ? PATTERN_FORM_SEARCH : PATTERN_FORM_MATCH,
				translated, error);
	if (out < 0)
		goto fail;
	pattern->code = compile(translated, (size_t)out,
				search ? search_options : PCRE2_ANCHORED | PCRE2_ENDANCHORED, error);
	if (!pattern->code)
		goto fail;
	pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &pattern->groups);
	pattern->search = search;
	pattern->risky = pattern_text_risky(translated, (size_t)out, search);
	pattern->text = strdup(text);
	if (pattern->text && new_contexts(pattern)) {
		free(translated);
		return pattern;
	}
	snprintf(error->text, sizeof(error->text), "out of memory");
fail:
	free(translated);
	pattern_free(pattern);
	return NULL;
}

struct pattern *pattern_new(const char *text, struct pattern_error *error)
{
	return new_pattern(text, false, error);
}

struct pattern *pattern_new_search(const char *text, struct pattern_error *error)
{
	return new_pattern(text, true, error);
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_code_free(pattern->code);
	pcre2_code_free(atomic_load_explicit(&pattern->fast, memory_order_relaxed));
	pcre2_code_free(atomic_load_explicit(&pattern->dfa, memory_order_relaxed));
	for (size_t i = 0; i < CONTEXTS; i++)
		pcre2_match_context_free(pattern->contexts[i]);
	free(pattern->text);
	free(pattern);
}

bool pattern_risky(const struct pattern *pattern)
{
	return pattern->risky;
}

/* Publish what one thread made, unless another was first. */
static const pcre2_code *publish(_Atomic(pcre2_code *) *place, pcre2_code *made)
{
	pcre2_code *before = NULL;

	if (!made || atomic_compare_exchange_strong_explicit(place, &before, made,
							     memory_order_acq_rel,
							     memory_order_acquire))
		return made;
	pcre2_code_free(made);
	return before;
}

/* The JIT counts no steps for alternatives inside of capturing groups, so that it gets none: a search
 * learns from it where an occurrence is, and captures from the other matcher (find_in_window()). */
static pcre2_code *new_fast_code(const struct pattern *pattern)
{
	struct pattern_error error;
	pcre2_code *code = NULL;
	char *text;
	long len;

	if (!pattern->search || !pattern->groups)
		return pcre2_code_copy(pattern->code);
	text = malloc(PATTERN_OUT_MAX);
	if (!text)
		return NULL;
	len = pattern_translate(pattern->text, strlen(pattern->text), PATTERN_FORM_MATCH, text,
				&error);
	if (len >= 0)
		code = compile(text, (size_t)len, search_options, &error);
	free(text);
	return code;
}

/* A JIT compilation costs more than thousands of loads can bear, and most patterns of a large set
 * are never asked. Without executable memory the code stays as it is and works, slower. */
static const pcre2_code *fast_code(const struct pattern *pattern)
{
	struct pattern *own = (struct pattern *)pattern;
	const pcre2_code *code = atomic_load_explicit(&own->fast, memory_order_acquire);
	pcre2_code *copy;

	if (code)
		return code;
	copy = new_fast_code(pattern);
	if (copy)
		pcre2_jit_compile(copy, PCRE2_JIT_COMPLETE);
	code = publish(&own->fast, copy);
	return code ? code : pattern->code;
}

static const pcre2_code *dfa_code(const struct pattern *pattern)
{
	/* What is fed piece by piece cannot have its end demanded by an option. */
	const char *before = pattern->search ? "(?s:.)*(?:" : "(?:";
	const char *behind = pattern->search ? ")" : ")\\z";
	struct pattern *own = (struct pattern *)pattern;
	const pcre2_code *code = atomic_load_explicit(&own->dfa, memory_order_acquire);
	struct pattern_error error;
	char *text, *end;
	long len;

	if (code)
		return code;
	text = malloc(PATTERN_OUT_MAX + 16);
	if (!text)
		return NULL;
	end = stpcpy(text, before);
	len = pattern_translate(pattern->text, strlen(pattern->text), PATTERN_FORM_DFA, end, &error);
	if (len >= 0) {
		end = stpcpy(end + len, behind);
		/* What PCRE2 makes possessive, for the other matcher's sake, this one would recurse
		 * into. */
		code = publish(&own->dfa, compile(text, (size_t)(end - text),
						  PCRE2_ANCHORED | PCRE2_NO_AUTO_POSSESS, &error));
	}
	free(text);
	return code;
}

/* ---- matching ----------------------------------------------------------------------------- */

/* Whether an attempt ended for want of time or memory, not with an answer. */
static bool gave_up(int status)
{
	switch (status) {
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_JIT_STACKLIMIT:
	case PCRE2_ERROR_NOMEMORY:
		return true;
	default:
		return false;
	}
}

static int64_t thread_clock(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* The text is valid UTF-8 by now, and is cut between characters. */
static enum pattern_result run_dfa(const pcre2_code *code, const char *text, size_t len, size_t at,
				   pcre2_match_data *data, int *space)
{
	uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_DFA_SHORTEST;
	int64_t until = thread_clock() + DFA_TIME;
	uint64_t work = 0;

	for (;;) {
		size_t piece = len - at < DFA_PIECE ? len - at : DFA_PIECE;
		bool last;
		uint64_t places;
		int status;

		while (at + piece < len && ((unsigned char)text[at + piece] & 0xc0) == 0x80)
			piece++;
		last = at + piece == len;
		status = pcre2_dfa_match(code, (PCRE2_SPTR)text, at + piece, at,
					 options | (last ? 0 : PCRE2_PARTIAL_HARD), data, NULL,
					 space, DFA_SPACE);
		if (status != PCRE2_ERROR_PARTIAL)
			return status >= 0 ? PATTERN_MATCH
			       : status == PCRE2_ERROR_NOMATCH ? PATTERN_NO_MATCH
							       : PATTERN_LIMIT;
		at += piece;
		/* PCRE2 keeps the number of places in its second word, for going on. */
		places = (uint64_t)space[1];
		work += piece * (places + places * places / 2);
		if (work > DFA_WORK || thread_clock() > until)
			return PATTERN_LIMIT;
		options |= PCRE2_DFA_RESTART;
	}
}

/* Whether the text from `at` on matches; for a search, whether something in it does. */
static enum pattern_result match_dfa(const struct pattern *pattern, const char *text, size_t len,
				     size_t at, pcre2_match_data *data)
{
	const pcre2_code *code = dfa_code(pattern);
	int *space = code ? malloc(DFA_SPACE * sizeof(*space)) : NULL;
	enum pattern_result result = PATTERN_LIMIT;

	if (space)
		result = run_dfa(code, text, len, at, data, space);
	free(space);
	return result;
}

enum pattern_result pattern_match(const struct pattern *pattern, const char *text, size_t len)
{
	/* Of its own for each match: the code is shared between threads, this is the state. */
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	enum pattern_result result = PATTERN_NO_MATCH;
	int status;

	if (!data)
		return PATTERN_LIMIT;
	status = pcre2_match(fast_code(pattern), (PCRE2_SPTR)text, len, 0, 0, data,
			     pattern->contexts[context_for(len)]);
	if (status >= 0)
		result = PATTERN_MATCH;
	else if (gave_up(status))
		result = match_dfa(pattern, text, len, 0, data);
	pcre2_match_data_free(data);
	return result;
}

/* ---- replacing ---------------------------------------------------------------------------- */

struct replacement {
	const struct pattern *pattern;
	const char *text, *rewrite;
	size_t len;
	pcre2_match_data *data;
	pcre2_match_context *context; /* of its own, as the window moves */
	bool valid;		      /* UTF-8 */
	int64_t until;		      /* by the thread's clock, ns; 0: not asked yet */
	size_t tried;		      /* places to begin at, since it was asked */
	char *out;
	size_t n, size;
	bool failed; /* out of memory, or too long */
};

static void append(struct replacement *r, const char *text, size_t len)
{
	size_t size = r->size ? r->size * 2 : 256;
	char *grown;

	if (r->failed || r->n + len > PATTERN_REPLACED_MAX) {
		r->failed = true;
		return;
	}
	while (size < r->n + len)
		size *= 2;
	if (!r->out || r->n + len > r->size) {
		grown = realloc(r->out, size);
		if (!grown) {
			r->failed = true;
			return;
		}
		r->out = grown;
		r->size = size;
	}
	memcpy(r->out + r->n, text, len);
	r->n += len;
}

static void append_rewrite(struct replacement *r, const PCRE2_SIZE *ends, uint32_t groups)
{
	for (const char *at = r->rewrite; *at; at++) {
		unsigned group;

		if (*at != '\\' || !at[1]) {
			append(r, at, 1);
			continue;
		}
		at++;
		group = ascii_is_digit(*at) ? (unsigned)(*at - '0') : 10;
		if (group > 9)
			append(r, at, 1);
		else if (group <= groups && ends[2 * group] != PCRE2_UNSET)
			append(r, r->text + ends[2 * group],
			       ends[2 * group + 1] - ends[2 * group]);
	}
}

/* Bytes of the character at `at`, 1 for what is none. */
static size_t char_len(const struct replacement *r, size_t at)
{
	size_t n = 1;

	if ((unsigned char)r->text[at] >= 0xc0)
		while (at + n < r->len && n < 4 && ((unsigned char)r->text[at + n] & 0xc0) == 0x80)
			n++;
	return n;
}

static bool is_late(struct replacement *r, size_t tried)
{
	int64_t now;

	r->tried += tried;
	if (r->tried < WINDOW)
		return false;
	r->tried = 0;
	now = thread_clock();
	if (!r->until)
		r->until = now + SEARCH_TIME;
	return now > r->until;
}

/* The first occurrence that begins in the window from `at`. Beyond invalid UTF-8 PCRE2 does not keep
 * to a window, so that there it is the whole rest. */
static int find_in_window(struct replacement *r, size_t at)
{
	const struct pattern *pattern = r->pattern;
	int status;

	pcre2_set_offset_limit(r->context, r->valid ? at + WINDOW - 1 : PCRE2_UNSET);
	status = pcre2_match(fast_code(pattern), (PCRE2_SPTR)r->text, r->len, at, 0, r->data,
			     r->context);
	/* The JIT's stack is small; the other matcher has the heap. */
	if (status == PCRE2_ERROR_JIT_STACKLIMIT)
		return pcre2_match(pattern->code, (PCRE2_SPTR)r->text, r->len, at, PCRE2_NO_JIT,
				   r->data, r->context);
	if (status < 0 || !pattern->groups)
		return status;
	return pcre2_match(pattern->code, (PCRE2_SPTR)r->text, r->len,
			   pcre2_get_ovector_pointer(r->data)[0], PCRE2_NO_JIT | PCRE2_ANCHORED,
			   r->data, r->context);
}

/* The DFA matcher takes valid UTF-8 only. */
static bool is_absent(const struct replacement *r, size_t at)
{
	return r->valid && match_dfa(r->pattern, r->text, r->len, at, r->data) == PATTERN_NO_MATCH;
}

/* The first occurrence from `at` on. PCRE2_ERROR_NOMATCH: none; another error: it gave up. */
static int find(struct replacement *r, size_t at)
{
	int status = PCRE2_ERROR_NOMATCH;

	for (size_t from = at; from <= r->len && status == PCRE2_ERROR_NOMATCH;) {
		size_t next = r->valid ? from + WINDOW : r->len + 1;

		while (next < r->len && ((unsigned char)r->text[next] & 0xc0) == 0x80)
			next++;
		status = find_in_window(r, from);
		if (is_late(r, status >= 0 ? 1 : WINDOW))
			status = PCRE2_ERROR_MATCHLIMIT;
		from = next;
	}
	if (status < 0 && status != PCRE2_ERROR_NOMATCH && is_absent(r, at))
		return PCRE2_ERROR_NOMATCH;
	return status;
}

/* RE2's loop: an empty match where the last one ended does not count. Returns the number of
 * replacements, or -1. */
static long replace_all(struct replacement *r)
{
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(r->data);
	size_t at = 0, last = SIZE_MAX;
	long count = 0;

	while (at <= r->len) {
		int status = find(r, at);

		if (status == PCRE2_ERROR_NOMATCH)
			break;
		if (status < 0 || r->failed)
			return -1;
		append(r, r->text + at, ends[0] - at);
		at = ends[0];
		if (ends[0] == last && ends[1] == last) {
			size_t n = at < r->len ? char_len(r, at) : 1;

			if (at < r->len)
				append(r, r->text + at, n);
			at += n;
			continue;
		}
		append_rewrite(r, ends, r->pattern->groups);
		at = last = ends[1];
		count++;
	}
	if (count && at < r->len)
		append(r, r->text + at, r->len - at);
	return r->failed ? -1 : count;
}

enum pattern_result pattern_replace(const struct pattern *pattern, const char *text, size_t len,
				    const char *rewrite, char **out, size_t *out_len)
{
	struct replacement r = {
	    .pattern = pattern,
	    .text = text,
	    .rewrite = rewrite,
	    .len = len,
	    .data = pcre2_match_data_create_from_pattern(pattern->code, NULL),
	    .context = pcre2_match_context_copy(pattern->contexts[context_for(len)]),
	};
	long count = -1;

	r.valid = utf8_valid_prefix(text, len) == len;
	if (r.context && !r.valid)
		pcre2_set_match_limit(r.context, len < 1000 ? SEARCH_WORK / 1000
							    : (uint32_t)(SEARCH_WORK / len));
	if (r.data && r.context)
		count = replace_all(&r);
	pcre2_match_data_free(r.data);
	pcre2_match_context_free(r.context);
	if (count > 0 && !r.out)
		append(&r, "", 0); /* replaced by nothing */
	if (count > 0 && r.out) {
		*out = r.out;
		*out_len = r.n;
		return PATTERN_MATCH;
	}
	free(r.out);
	return count ? PATTERN_LIMIT : PATTERN_NO_MATCH;
}

bool pattern_check_rewrite(const struct pattern *pattern, const char *rewrite,
			   struct pattern_error *error)
{
	unsigned most = 0;

	for (const char *at = rewrite; *at; at++) {
		if (*at != '\\')
			continue;
		at++;
		if (!*at) {
			snprintf(error->text, sizeof(error->text),
				 "Rewrite schema error: '\\' not allowed at end");
			return false;
		}
		if (*at == '\\')
			continue;
		if (!ascii_is_digit(*at)) {
			snprintf(error->text, sizeof(error->text),
				 "Rewrite schema error: '\\' must be followed by a digit or '\\'.");
			return false;
		}
		if ((unsigned)(*at - '0') > most)
			most = (unsigned)(*at - '0');
	}
	if (most <= pattern->groups)
		return true;
	snprintf(error->text, sizeof(error->text),
		 "Rewrite schema requests %u matches, but the regexp only has %u parenthesized "
		 "subexpressions",
		 most, pattern->groups);
	return false;
}
