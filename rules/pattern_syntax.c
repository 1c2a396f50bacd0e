/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RE2's syntax (https://github.com/google/re2/wiki/Syntax) into PCRE2's.
 *
 * Every construct is read by RE2's grammar and written anew, so that nothing which only PCRE2 knows
 * gets through, and what both know but mean differently (\s, \v, \b in classes, quantified
 * anchors, script names) comes out with RE2's meaning. Literals are escaped.
 */
#include "rules/pattern.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/utf8.h"

#define MAX_REPEAT 1000 /* RE2's kMaxRepeat, for repetitions inside of repetitions together */
#define MAX_DEPTH  512

/* RE2 takes in what a class folds to before it negates it; PCRE2 folds what is left. */
#define FOLDED "not supported: where case does not matter, "

struct translation {
	const char *at, *end;
	char *out;
	size_t len;
	unsigned depth;	 /* of open groups */
	bool can_repeat; /* something stands here that a quantifier may follow */
	bool dfa;	 /* for the DFA matcher: see wrap() */
	size_t atom;	 /* where in `out` the last atom begins */
	/* Flags as "(?i)", which a quantifier for what stands before them may follow. */
	char pending[64];
	bool quantified; /* the last atom has a quantifier */
	bool folds; /* some flag made the case irrelevant */
	/* Products of the counted repetitions: in the open groups, and of the last atom. */
	unsigned repeats[MAX_DEPTH + 1], repeat;
	struct pattern_error *error;
};

static int fail(struct translation *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int fail(struct translation *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->error->text, sizeof(t->error->text), format, args);
	va_end(args);
	return -1;
}

/* `out` has room for the longest translation of every input byte: see PATTERN_OUT_MAX. */
static void put(struct translation *t, const char *text)
{
	size_t len = strlen(text);

	memcpy(t->out + t->len, text, len);
	t->len += len;
}

static void put_char(struct translation *t, unsigned long code)
{
	char text[16];

	if (code < 0x80 && ascii_is_alnum((int)code))
		snprintf(text, sizeof(text), "%c", (int)code);
	else
		snprintf(text, sizeof(text), "\\x{%lX}", code);
	put(t, text);
}

static void flush(struct translation *t)
{
	put(t, t->pending);
	t->pending[0] = '\0';
}

static bool next_is(const struct translation *t, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(t->end - t->at) >= len && !memcmp(t->at, text, len);
}

static unsigned long take_char(struct translation *t)
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
			return fail(t, "invalid escape sequence: \\x out of range");
	}
	if (braces ? !digits || t->at == t->end || *t->at++ != '}' : digits != 2)
		return fail(t, "invalid escape sequence: \\x");
	return 0;
}

/* A backslash and one character have been read: the character it stands for. */
static int char_escape(struct translation *t, unsigned long c, unsigned long *code)
{
	static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	const char *known;

	if (c == 'x')
		return hex_escape(t, code);
	if (c >= '1' && c <= '9' && (c > '7' || t->at == t->end || *t->at < '0' || *t->at > '7'))
		return fail(t, "back-references are not supported: \\%c", (int)c);
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
		return fail(t, "invalid escape sequence: \\%c", c < 0x80 ? (int)c : '?');
	return 0;
}

/* \d \D \s \S \w \W. In RE2 \s has no vertical tab, in PCRE2 it has. */
static bool perl_class(struct translation *t, unsigned long c, bool in_class)
{
	switch (c) {
	case 'd':
		put(t, in_class ? "0-9" : "[0-9]");
		return true;
	case 'D':
		put(t, in_class ? "\\x{0}-/:-\\x{10FFFF}" : "[^0-9]");
		return true;
	case 's':
		put(t, in_class ? "\\t\\n\\f\\r\\x20" : "[\\t\\n\\f\\r\\x20]");
		return true;
	case 'S':
		put(t, in_class ? "\\x{0}-\\x{8}\\x{B}\\x{E}-\\x{1F}!-\\x{10FFFF}"
				: "[^\\t\\n\\f\\r\\x20]");
		return true;
	case 'w':
		put(t, in_class ? "0-9A-Za-z_" : "[0-9A-Za-z_]");
		return true;
	case 'W':
		put(t,
		    in_class ? "\\x{0}-/:-@\\x{5B}-\\x{5E}`\\x{7B}-\\x{10FFFF}" : "[^0-9A-Za-z_]");
		return true;
	default:
		return false;
	}
}

static bool is_category(const char *name, size_t len)
{
	static const char *const all[] = {
	    "Any", "C",	 "Cc", "Cf", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
	    "Mc",  "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
	    "Po",  "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs",
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strlen(all[i]) == len && !memcmp(all[i], name, len))
			return true;
	return false;
}

/* \pN, \p{Name}, \p{^Name}: a general category, or a script (PCRE2's bare script names mean
 * script extensions; RE2 means the script). */
static int property(struct translation *t, bool negated)
{
	const char *name = t->at, *end = t->at + 1;
	char text[64];

	if (t->at < t->end && *t->at == '{') {
		name++;
		end = memchr(name, '}', (size_t)(t->end - name));
		if (end && name < end && *name == '^') {
			negated = !negated;
			name++;
		}
	}
	if (!end || name >= t->end || name >= end || end - name > 30)
		return fail(t, "invalid character class range: \\p");
	t->at = *t->at == '{' ? end + 1 : end;
	for (const char *c = name; c < end; c++)
		if (!ascii_is_alpha(*c) && *c != '_')
			return fail(t, "invalid character class range: \\p{%.*s}",
				    (int)(end - name), name);
	if (!is_category(name, (size_t)(end - name)) && end - name < 3)
		return fail(t, "invalid character class range: \\p{%.*s}", (int)(end - name), name);
	if (t->folds && end - name == 2 && name[0] == 'L' && strchr("ult", name[1]))
		return fail(t, FOLDED "\\p{%.2s}", name);
	snprintf(text, sizeof(text), "\\%c{%s%.*s}", negated ? 'P' : 'p',
		 is_category(name, (size_t)(end - name)) ? "" : "sc:", (int)(end - name), name);
	put(t, text);
	return 0;
}

/* ---- classes ------------------------------------------------------------------------------ */

/* [:alpha:] inside a class. Returns 1 if there was one, 0 if not, -1 for an unknown name. */
static int posix_class(struct translation *t)
{
	/* As ranges: PCRE2's own negated ones leave out what is not ASCII. */
	static const struct posix {
		const char *name, *ranges, *others;
	} all[] = {
	    {"alnum", "0-9A-Za-z",
	     "\\x{0}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{10FFFF}"},
	    {"alpha", "A-Za-z",
	     "\\x{0}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{10FFFF}"},
	    {"ascii", "\\x{0}-\\x{7F}",
	     "\\x{80}-\\x{10FFFF}"},
	    {"blank", "\\x{9}\\x{20}",
	     "\\x{0}-\\x{8}\\x{A}-\\x{1F}\\x{21}-\\x{10FFFF}"},
	    {"cntrl", "\\x{0}-\\x{1F}\\x{7F}",
	     "\\x{20}-\\x{7E}\\x{80}-\\x{10FFFF}"},
	    {"digit", "0-9",
	     "\\x{0}-\\x{2F}\\x{3A}-\\x{10FFFF}"},
	    {"graph", "\\x{21}-\\x{7E}",
	     "\\x{0}-\\x{20}\\x{7F}-\\x{10FFFF}"},
	    {"lower", "a-z",
	     "\\x{0}-\\x{60}\\x{7B}-\\x{10FFFF}"},
	    {"print", "\\x{20}-\\x{7E}",
	     "\\x{0}-\\x{1F}\\x{7F}-\\x{10FFFF}"},
	    {"punct", "\\x{21}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{7E}",
	     "\\x{0}-\\x{20}0-9A-Za-z\\x{7F}-\\x{10FFFF}"},
	    {"space", "\\x{9}-\\x{D}\\x{20}",
	     "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{10FFFF}"},
	    {"upper", "A-Z",
	     "\\x{0}-\\x{40}\\x{5B}-\\x{10FFFF}"},
	    {"word", "0-9A-Z\\x{5F}a-z",
	     "\\x{0}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{5E}\\x{60}\\x{7B}-\\x{10FFFF}"},
	    {"xdigit", "0-9A-Fa-f",
	     "\\x{0}-\\x{2F}\\x{3A}-\\x{40}G-\\x{60}g-\\x{10FFFF}"},
	};
	const char *name = t->at + 2, *end;
	bool negated;

	if (!next_is(t, "[:"))
		return 0;
	for (end = name; end + 1 < t->end && !(end[0] == ':' && end[1] == ']');)
		end++;
	if (end + 1 >= t->end)
		return 0; /* no ":]": a literal bracket */
	negated = name < end && *name == '^';
	name += negated;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strlen(all[i].name) != (size_t)(end - name) ||
		    memcmp(all[i].name, name, strlen(all[i].name)) != 0)
			continue;
		if (negated && t->folds)
			return fail(t, FOLDED "[:^%s:]", all[i].name);
		put(t, negated ? all[i].others : all[i].ranges);
		t->at = end + 2;
		return 1;
	}
	return fail(t, "invalid character class range: [:%.*s:]",
		    (int)(end - name > 20 ? 20 : end - name), name);
}

static int class_char(struct translation *t, unsigned long *code)
{
	unsigned long c;

	if (t->at == t->end)
		return fail(t, "missing closing ]");
	c = take_char(t);
	if (c != '\\') {
		*code = c;
		return 0;
	}
	if (t->at == t->end)
		return fail(t, "trailing backslash");
	return char_escape(t, take_char(t), code);
}

/* \d and \p inside a class. Returns 1 if there was one, 0 if not, -1 for an error. */
static int class_escape(struct translation *t)
{
	if (t->end - t->at < 2 || t->at[0] != '\\')
		return 0;
	if (t->at[1] == 'p' || t->at[1] == 'P') {
		if (t->folds)
			return fail(t, FOLDED "[\\%c]", t->at[1]);
		t->at += 2;
		return property(t, t->at[-1] == 'P') < 0 ? -1 : 1;
	}
	if (t->folds && strchr("DSW", t->at[1]))
		return fail(t, FOLDED "[\\%c]", t->at[1]);
	if (!perl_class(t, (unsigned char)t->at[1], true))
		return 0;
	t->at += 2;
	return 1;
}

static int class_range(struct translation *t)
{
	unsigned long low, high;

	if (class_char(t, &low) < 0)
		return -1;
	put_char(t, low);
	if (t->end - t->at < 2 || t->at[0] != '-' || t->at[1] == ']')
		return 0;
	t->at++;
	if (class_char(t, &high) < 0)
		return -1;
	if (high < low)
		return fail(t, "invalid character class range");
	put(t, "-");
	put_char(t, high);
	return 0;
}

static int char_class(struct translation *t)
{
	bool first = true;

	t->at++;
	put(t, "[");
	if (next_is(t, "^")) {
		t->at++;
		put(t, "^");
	}
	while (t->at < t->end && (*t->at != ']' || first)) {
		int special = posix_class(t);

		first = false;
		if (!special)
			special = class_escape(t);
		if (special < 0 || (!special && class_range(t) < 0))
			return -1;
	}
	if (t->at == t->end)
		return fail(t, "missing closing ]");
	t->at++;
	put(t, "]");
	t->can_repeat = true;
	return 0;
}

/* ---- groups and quantifiers --------------------------------------------------------------- */

static int group_name(struct translation *t, size_t skip)
{
	const char *name = t->at + skip;
	const char *end = memchr(name, '>', (size_t)(t->end - name));

	if (!end || end == name)
		return fail(t, "invalid named capture group");
	for (const char *c = name; c < end; c++)
		if (!ascii_is_alnum(*c) && *c != '_')
			return fail(t, "invalid named capture group");
	t->at = end + 1;
	put(t, "(");
	return 0;
}

/* A group has been opened. */
static int deeper(struct translation *t)
{
	if (t->depth == MAX_DEPTH)
		return fail(t, "parentheses are nested deeper than %d", MAX_DEPTH);
	t->repeats[++t->depth] = 1;
	return 0;
}

/* "(?" has been seen: flags, with a colon or without. */
static int group_flags(struct translation *t)
{
	const char *from = t->at + 2, *at = from;
	bool minus = false;
	char text[32];

	for (; at < t->end && (strchr("imsU", *at) || (*at == '-' && !minus)); at++)
		minus |= *at == '-';
	if (at == t->end || (*at != ':' && *at != ')') || at - from > 16 ||
	    (at > from && at[-1] == '-')) {
		int shown = (int)(t->end - t->at > 4 ? 4 : t->end - t->at);

		return fail(t, "invalid or unsupported Perl syntax: %.*s", shown, t->at);
	}
	for (const char *flag = from; flag < at && *flag != '-'; flag++)
		t->folds |= *flag == 'i';
	t->at = at + 1;
	snprintf(text, sizeof(text), "(?%.*s%c", (int)(at - from), from, *at);
	if (*at == ':') {
		flush(t);
		t->can_repeat = false;
		put(t, text);
		return deeper(t);
	}
	if (strlen(t->pending) + strlen(text) >= sizeof(t->pending))
		flush(t);
	if (at > from)
		strcat(t->pending, text);
	return 0;
}

static int open_group(struct translation *t)
{
	bool named = next_is(t, "(?P<") ||
		     (next_is(t, "(?<") && !next_is(t, "(?<=") && !next_is(t, "(?<!"));

	if (!named && (next_is(t, "(?=") || next_is(t, "(?!") || next_is(t, "(?<")))
		return fail(t, "look-around assertions are not supported: %.*s",
			    next_is(t, "(?<") ? 4 : 3, t->at);
	if (!named && next_is(t, "(?"))
		return group_flags(t);
	flush(t);
	t->can_repeat = false;
	if (deeper(t) < 0)
		return -1;
	if (named)
		return group_name(t, next_is(t, "(?P<") ? 4 : 3);
	t->at++;
	put(t, "(");
	return 0;
}

/* {n}, {n,}, {n,m}: returns 1 and the text, 0 if the brace is a literal, -1 for an error. */
static int counted(struct translation *t, char *text, size_t size)
{
	const char *at = t->at + 1;
	long low = 0, high = -1, most;
	bool comma = false;

	if (at == t->end || !ascii_is_digit(*at))
		return 0;
	for (; at < t->end && ascii_is_digit(*at); at++)
		low = low > MAX_REPEAT ? low : low * 10 + *at - '0';
	if (at < t->end && *at == ',') {
		comma = true;
		at++;
		if (at < t->end && ascii_is_digit(*at))
			high = 0;
		for (; at < t->end && ascii_is_digit(*at); at++)
			high = high > MAX_REPEAT ? high : high * 10 + *at - '0';
	}
	if (at == t->end || *at != '}')
		return 0;
	if (low > MAX_REPEAT || high > MAX_REPEAT || (high >= 0 && high < low))
		return fail(t, "invalid repeat count: %.*s", (int)(at + 1 - t->at), t->at);
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
			return fail(t, "invalid repetition size: %s", text);
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

	if (!t->dfa || t->out[t->len - 1] == ')' ||
	    !(*quantifier == '+' || (len > 2 && quantifier[len - 2] == ',')))
		return;
	memmove(t->out + t->atom + 3, t->out + t->atom, t->len - t->atom);
	memcpy(t->out + t->atom, "(?:", 3);
	t->len += 3;
	put(t, ")");
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
			put_char(t, take_char(t));
			t->can_repeat = true;
			return 0;
		}
	} else {
		t->at++;
	}
	if (!t->can_repeat)
		return fail(t, "missing argument to repetition operator: %.*s", (int)(t->at - from),
			    from);
	if (t->quantified || strchr(t->pending, 'U'))
		return fail(t, "not supported: a quantifier behind flags: %.32s%.16s", t->pending,
			    text);
	t->quantified = true;
	wrap(t, text);
	put(t, text);
	if (next_is(t, "?")) {
		t->at++;
		put(t, "?");
	}
	/* a** and a++ : RE2 has neither a double repetition nor a possessive one. */
	if (t->at < t->end &&
	    (strchr("*+?", *t->at) || (*t->at == '{' && counted(t, text, sizeof(text)) != 0)))
		return fail(t, "invalid nested repetition operator: %.*s",
			    (int)(t->at + 1 - from > 16 || t->at == t->end ? 2 : t->at + 1 - from),
			    from);
	return 0;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void quoted(struct translation *t)
{
	while (t->at < t->end && !next_is(t, "\\E")) {
		t->atom = t->len;
		put_char(t, take_char(t));
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
		return fail(t, "trailing backslash");
	c = take_char(t);
	if (c == 'Q') {
		quoted(t);
		return 0;
	}
	t->can_repeat = true;
	if (c == 'p' || c == 'P')
		return property(t, c == 'P');
	if (c < 0x80 && c && strchr("AbBz", (int)c)) {
		/* In a group of its own, as PCRE2 does not repeat bare assertions. */
		char text[] = {'(', '?', ':', '\\', (char)c, ')', '\0'};

		put(t, text);
		return 0;
	}
	if (perl_class(t, c, false))
		return 0;
	if (char_escape(t, c, &code) < 0)
		return -1;
	put_char(t, code);
	return 0;
}

static int close_group(struct translation *t)
{
	if (!t->depth)
		return fail(t, "unexpected )");
	t->repeat = t->repeats[t->depth--];
	if (t->repeats[t->depth] < t->repeat)
		t->repeats[t->depth] = t->repeat;
	t->at++;
	put(t, ")");
	t->can_repeat = true;
	return 0;
}

static int step(struct translation *t)
{
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
		return char_class(t);
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
		put(t, "|");
		t->can_repeat = false;
		break;
	case '^':
		put(t, "(?:^)");
		t->can_repeat = true;
		break;
	case '$':
		put(t, "(?:$)");
		t->can_repeat = true;
		break;
	case '.':
		put(t, ".");
		t->can_repeat = true;
		break;
	default:
		put_char(t, take_char(t));
		t->can_repeat = true;
		return 0;
	}
	t->at++;
	return 0;
}

long pattern_translate(const char *text, size_t len, bool dfa, char *out,
		       struct pattern_error *error)
{
	struct translation t = {
	    .at = text, .end = text + len, .out = out, .dfa = dfa, .error = error};

	error->text[0] = '\0';
	t.repeats[0] = t.repeat = 1;
	while (t.at < t.end)
		if (step(&t) < 0)
			return -1;
	flush(&t);
	if (t.depth) {
		fail(&t, "missing closing )");
		return -1;
	}
	out[t.len] = '\0';
	return (long)t.len;
}
