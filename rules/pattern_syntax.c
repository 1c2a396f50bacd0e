/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RE2's syntax (https://github.com/google/re2/wiki/Syntax) into PCRE2's.
 *
 * Every construct is read by RE2's grammar and written anew, so that nothing which only PCRE2 knows
 * gets through, and what both know but mean differently (\s, \v, \b in classes, quantified
 * anchors, script names) comes out with RE2's meaning. Literals are escaped.
 */
#include "rules/pattern_translation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/utf8.h"

#define MAX_REPEAT 1000 /* RE2's kMaxRepeat, for repetitions inside of repetitions together */

int translation_fail(struct translation *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->error->text, sizeof(t->error->text), format, args);
	va_end(args);
	return -1;
}

/* `out` has room for the longest translation of every input byte: see PATTERN_OUT_MAX. */
void translation_put(struct translation *t, const char *text)
{
	size_t len = strlen(text);

	memcpy(t->out + t->len, text, len);
	t->len += len;
}

static void put_plain(struct translation *t, unsigned long code)
{
	char text[16];

	if (code < 0x80 && ascii_is_alnum((int)code))
		snprintf(text, sizeof(text), "%c", (int)code);
	else
		snprintf(text, sizeof(text), "\\x{%lX}", code);
	translation_put(t, text);
}

/* A literal. PCRE2 has no words for what no text in UTF-8 can hold. */
int translation_put_char(struct translation *t, unsigned long code)
{
	if (code >= 0xd800 && code <= 0xdfff)
		return translation_fail(t, "not supported: \\x{%lX}, a surrogate", code);
	put_plain(t, code);
	return 0;
}

static void flush(struct translation *t)
{
	translation_put(t, t->pending);
	t->pending[0] = '\0';
}

bool translation_next_is(const struct translation *t, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(t->end - t->at) >= len && !memcmp(t->at, text, len);
}

unsigned long translation_take_char(struct translation *t)
{
	size_t n = utf8_char_len(t->at, (size_t)(t->end - t->at));
	unsigned long code = n ? utf8_decode(t->at, n) : 0xfffd;

	t->at += n ? n : 1;
	return code;
}

/* ---- escapes ------------------------------------------------------------------------------ */

static int hex_escape(struct translation *t, unsigned long *code)
{
	bool braces = t->at < t->end && *t->at == '{';
	int digits = 0;

	t->at += braces;
	for (*code = 0; t->at < t->end && ascii_is_xdigit(*t->at); t->at++, digits++) {
		int c = ascii_lower(*t->at);

		if (!braces && digits == 2)
			break;
		*code = *code * 16 + (unsigned long)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
		if (*code > 0x10ffff)
			return translation_fail(t, "invalid escape sequence: \\x out of range");
	}
	if (braces ? !digits || t->at == t->end || *t->at++ != '}' : digits != 2)
		return translation_fail(t, "invalid escape sequence: \\x");
	return 0;
}

/* A backslash and one character have been read: the character it stands for. */
int translation_char_escape(struct translation *t, unsigned long c, unsigned long *code)
{
	static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	const char *known;

	if (c == 'x')
		return hex_escape(t, code);
	if (c >= '1' && c <= '9' && (c > '7' || t->at == t->end || *t->at < '0' || *t->at > '7'))
		return translation_fail(t, "back-references are not supported: \\%c", (int)c);
	if (c >= '0' && c <= '7') {
		*code = c - '0';
		for (int i = 0; i < 2 && t->at < t->end && *t->at >= '0' && *t->at <= '7'; i++)
			*code = *code * 8 + (unsigned long)(*t->at++ - '0');
		return 0;
	}
	known = c < 0x80 && c ? strchr(names, (int)c) : NULL;
	if (known)
		*code = (unsigned long)values[known - names];
	else if (c < 0x80 && !ascii_is_alnum((int)c))
		*code = c;
	else
		return translation_fail(t, "invalid escape sequence: \\%c", c < 0x80 ? (int)c : '?');
	return 0;
}

/* ---- groups and quantifiers --------------------------------------------------------------- */

/* Who only asks for a match needs no captures, and PCRE2's JIT counts no steps in them. */
static void put_open(struct translation *t)
{
	translation_put(t, t->form == PATTERN_FORM_SEARCH ? "(" : "(?:");
}

static int group_name(struct translation *t, size_t skip)
{
	const char *name = t->at + skip;
	const char *end = memchr(name, '>', (size_t)(t->end - name));

	if (!end || end == name)
		return translation_fail(t, "invalid named capture group");
	for (const char *c = name; c < end; c++) /* and letters of all languages */
		if ((unsigned char)*c < 0x80 && !ascii_is_alnum(*c) && *c != '_')
			return translation_fail(t, "invalid named capture group");
	t->at = end + 1;
	put_open(t);
	return 0;
}

/* A group has been opened. */
static int deeper(struct translation *t)
{
	if (t->depth == MAX_DEPTH)
		return translation_fail(t, "parentheses are nested deeper than %d", MAX_DEPTH);
	t->repeats[++t->depth] = 1;
	t->saved[t->depth] = t->flags;
	return 0;
}

/* "(?" has been seen: flags, with a colon or without. */
static int group_flags(struct translation *t)
{
	const char *from = t->at + 2, *at = from;
	struct pattern_flags flags = t->flags;
	bool minus = false;
	char text[32], shown_flags[16] = "", *to = shown_flags, *part = to;

	for (; at < t->end && (strchr("imsU", *at) || (*at == '-' && !minus)); at++) {
		minus |= *at == '-';
		flags.fold = *at == 'i' ? !minus : flags.fold;
		flags.multi = *at == 'm' ? !minus : flags.multi;
		if (strchr(part, *at))
			continue; /* once is enough */
		*to++ = *at;
		*to = '\0';
		part = *at == '-' ? to : part;
	}
	if (at == t->end || (*at != ':' && *at != ')') || (at > from && at[-1] == '-')) {
		int shown = (int)(t->end - t->at > 4 ? 4 : t->end - t->at);

		return translation_fail(t, "invalid or unsupported Perl syntax: %.*s", shown, t->at);
	}
	t->at = at + 1;
	snprintf(text, sizeof(text), "(?%s%c", shown_flags, *at);
	if (*at == ':') {
		flush(t);
		t->can_repeat = false;
		translation_put(t, text);
		if (deeper(t) < 0)
			return -1;
		t->flags = flags;
		return 0;
	}
	t->flags = flags;
	if (strlen(t->pending) + strlen(text) >= sizeof(t->pending))
		flush(t);
	if (at > from)
		strcat(t->pending, text);
	return 0;
}

static int open_group(struct translation *t)
{
	bool named = translation_next_is(t, "(?P<") ||
		     (translation_next_is(t, "(?<") && !translation_next_is(t, "(?<=") && !translation_next_is(t, "(?<!"));

	if (!named && (translation_next_is(t, "(?=") || translation_next_is(t, "(?!") || translation_next_is(t, "(?<")))
		return translation_fail(t, "look-around assertions are not supported: %.*s",
			    translation_next_is(t, "(?<") ? 4 : 3, t->at);
	if (!named && translation_next_is(t, "(?"))
		return group_flags(t);
	flush(t);
	t->can_repeat = false;
	if (deeper(t) < 0)
		return -1;
	if (named)
		return group_name(t, translation_next_is(t, "(?P<") ? 4 : 3);
	t->at++;
	put_open(t);
	return 0;
}

/* As RE2's: no leading zeros, and what overflows is none. */
static bool take_count(const char **at, const char *end, long *count)
{
	const char *from = *at;

	if (from == end || !ascii_is_digit(*from) ||
	    (*from == '0' && from + 1 < end && ascii_is_digit(from[1])))
		return false;
	for (*count = 0; *at < end && ascii_is_digit(**at); ++*at) {
		if (*count >= 100000000)
			return false;
		*count = *count * 10 + **at - '0';
	}
	return true;
}

/* {n}, {n,}, {n,m}: returns 1 and the text, 0 if the brace is a literal, -1 for an error. */
static int counted(struct translation *t, char *text, size_t size)
{
	const char *at = t->at + 1;
	long low = 0, high = -1, most;
	bool comma = false;

	if (!take_count(&at, t->end, &low))
		return 0;
	if (at < t->end && *at == ',') {
		comma = true;
		at++;
		if (at < t->end && *at != '}' && !take_count(&at, t->end, &high))
			return 0;
	}
	if (at == t->end || *at != '}')
		return 0;
	if (low > MAX_REPEAT || high > MAX_REPEAT || (high >= 0 && high < low))
		return translation_fail(t, "invalid repeat count: %.*s", (int)(at + 1 - t->at), t->at);
	if (!comma)
		snprintf(text, size, "{%ld}", low);
	else if (high < 0)
		snprintf(text, size, "{%ld,}", low);
	else
		snprintf(text, size, "{%ld,%ld}", low, high);
	most = comma && high >= 0 ? high : low;
	if (t->can_repeat && most > 1) {
		t->repeat *= (unsigned)most;
		if (t->repeat > MAX_REPEAT)
			return translation_fail(t, "invalid repetition size: %s", text);
		if (t->repeats[t->depth] < t->repeat)
			t->repeats[t->depth] = t->repeat;
	}
	t->at = at + 1;
	return 1;
}

/* The DFA matcher counts how often a single character was repeated by + or {n,}, and takes each count
 * for another place to be at; it does not count groups. */
static void wrap(struct translation *t, const char *quantifier)
{
	size_t len = strlen(quantifier);

	if (t->form != PATTERN_FORM_DFA || t->out[t->len - 1] == ')' ||
	    !(*quantifier == '+' || (len > 2 && quantifier[len - 2] == ',')))
		return;
	memmove(t->out + t->atom + 3, t->out + t->atom, t->len - t->atom);
	memcpy(t->out + t->atom, "(?:", 3);
	t->len += 3;
	translation_put(t, ")");
}

static int quantifier(struct translation *t)
{
	char text[32] = {*t->at, '\0'};
	const char *from = t->at;
	int is_count;

	if (*t->at == '{') {
		is_count = counted(t, text, sizeof(text));
		if (is_count < 0)
			return -1;
		if (!is_count) {
			flush(t);
			t->atom = t->len;
			t->repeat = 1;
			t->quantified = false;
			put_plain(t, translation_take_char(t));
			t->can_repeat = true;
			return 0;
		}
	} else {
		t->at++;
	}
	if (!t->can_repeat)
		return translation_fail(t, "missing argument to repetition operator: %.*s", (int)(t->at - from),
			    from);
	if (t->quantified || strchr(t->pending, 'U'))
		return translation_fail(t, "not supported: a quantifier behind flags: %.32s%.16s", t->pending,
			    text);
	t->quantified = true;
	wrap(t, text);
	translation_put(t, text);
	if (translation_next_is(t, "?")) {
		t->at++;
		translation_put(t, "?");
	}
	/* a** and a++ : RE2 has neither a double repetition nor a possessive one. */
	if (t->at < t->end &&
	    (strchr("*+?", *t->at) || (*t->at == '{' && counted(t, text, sizeof(text)) != 0)))
		return translation_fail(t, "invalid nested repetition operator: %.*s",
			    (int)(t->at + 1 - from > 16 || t->at == t->end ? 2 : t->at + 1 - from),
			    from);
	return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void quoted(struct translation *t)
{
	while (t->at < t->end && !translation_next_is(t, "\\E")) {
		t->atom = t->len;
		put_plain(t, translation_take_char(t));
		t->can_repeat = true;
	}
	if (t->at < t->end)
		t->at += 2;
}

static int escape(struct translation *t)
{
	unsigned long c, code;

	t->at++;
	if (t->at == t->end)
		return translation_fail(t, "trailing backslash");
	c = translation_take_char(t);
	if (c == 'Q') {
		quoted(t);
		return 0;
	}
	t->can_repeat = true;
	if (c == 'p' || c == 'P')
		return translation_property(t, c == 'P', false);
	if (c < 0x80 && c && strchr("AbBz", (int)c)) {
		/* In a group of its own, as PCRE2 does not repeat bare assertions. */
		char text[] = {'(', '?', ':', '\\', (char)c, ')', '\0'};

		translation_put(t, text);
		return 0;
	}
	if (translation_perl_class(t, c, false))
		return 0;
	if (translation_char_escape(t, c, &code) < 0)
		return -1;
	return translation_put_char(t, code);
}

static int close_group(struct translation *t)
{
	if (!t->depth)
		return translation_fail(t, "unexpected )");
	t->flags = t->saved[t->depth];
	t->repeat = t->repeats[t->depth--];
	if (t->repeats[t->depth] < t->repeat)
		t->repeats[t->depth] = t->repeat;
	t->at++;
	translation_put(t, ")");
	t->can_repeat = true;
	return 0;
}

static int step(struct translation *t)
{
	/* Nothing, quoted, is not what a quantifier behind it would repeat. */
	if (translation_next_is(t, "\\Q\\E")) {
		t->at += 4;
		return 0;
	}
	if (!strchr("*+?{(", *t->at) || !*t->at) {
		flush(t);
		t->atom = t->len;
		t->repeat = 1;
		t->quantified = false;
	}
	switch (*t->at) {
	case '\\':
		return escape(t);
	case '[':
		return translation_class(t);
	case '(':
		return open_group(t);
	case ')':
		return close_group(t);
	case '*':
	case '+':
	case '?':
	case '{':
		return quantifier(t);
	case '|':
		translation_put(t, "|");
		t->can_repeat = false;
		break;
	case '^':
		translation_put(t, t->flags.multi ? "(?:^)" : "(?:\\A)");
		t->can_repeat = true;
		break;
	case '$':
		translation_put(t, t->flags.multi ? "(?:$)" : "(?:\\z)");
		t->can_repeat = true;
		break;
	case '.':
		translation_put(t, ".");
		t->can_repeat = true;
		break;
	default:
		put_plain(t, translation_take_char(t));
		t->can_repeat = true;
		return 0;
	}
	t->at++;
	return 0;
}

long pattern_translate(const char *text, size_t len, enum pattern_form form, char *out,
		       struct pattern_error *error)
{
	struct translation t = {
	    .at = text, .end = text + len, .out = out, .form = form, .error = error};

	error->text[0] = '\0';
	t.repeats[0] = t.repeat = 1;
	while (t.at < t.end)
		if (step(&t) < 0)
			return -1;
	flush(&t);
	if (t.depth) {
		translation_fail(&t, "missing closing )");
		return -1;
	}
	out[t.len] = '\0';
	return (long)t.len;
}
