/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"

/* Longer than any number that is meant as one. */
#define NUMBER_MAX 64

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static bool is_null(const char *text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

	return is_one_of(text, words);
}

static bool is_flag(const char *text, bool *flag)
{
	static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
					  "on",	  "On",	  "ON",	  "y",	 "Y",	NULL};
	static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO",
					 "off",	  "Off",   "OFF",   "n",  "N",	NULL};

	*flag = is_one_of(text, yes);
	return *flag || is_one_of(text, no);
}

/* Underscores between digits mean nothing. */
static bool without_underscores(const char *text, char out[NUMBER_MAX])
{
	size_t n = 0;

	for (; *text; text++) {
		if (*text == '_')
			continue;
		if (n + 1 == NUMBER_MAX)
			return false;
		out[n++] = *text;
	}
	out[n] = '\0';
	return true;
}

/* Go's strconv.ParseInt with base 0: 0x, 0o, 0b, and a plain 0 before octal digits. */
static bool is_integer(const char *text, long long *integer)
{
	char digits[NUMBER_MAX], *end;
	const char *at = text + (*text == '-' || *text == '+');
	bool negative = *text == '-';
	int base = 10;

	if (at[0] == '0' && at[1]) {
		char mark = (char)ascii_lower(at[1]);

		base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
		at += mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1;
	}
	if (!ascii_is_xdigit(*at) || strlen(at) + 2 > sizeof(digits))
		return false;
	digits[0] = negative ? '-' : '+';
	strcpy(digits + 1, at);
	errno = 0;
	*integer = strtoll(digits, &end, base);
	/* strtoll() takes a second prefix where the base allows it. */
	return !*end && !errno && !strpbrk(at, "xX");
}

/* [-+]? ( \. digits | digits ( \. digits? )? ) ( [eE] [-+]? digits )? */
static bool looks_decimal(const char *at)
{
	size_t before, after = 0;

	at += *at == '-' || *at == '+';
	before = strspn(at, "0123456789");
	at += before;
	if (*at == '.') {
		after = strspn(at + 1, "0123456789");
		at += 1 + after;
	}
	if (!before && !after)
		return false;
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '-' || *at == '+';
		if (!ascii_is_digit(*at))
			return false;
		at += strspn(at, "0123456789");
	}
	return !*at;
}

static bool is_decimal(const char *text, double *decimal)
{
	static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
	static const char *const minus[] = {"-.inf", "-.Inf", "-.INF", NULL};
	static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};

	if (looks_decimal(text))
		*decimal = strtod(text, NULL);
	else if (is_one_of(text, inf))
		*decimal = INFINITY;
	else if (is_one_of(text, minus))
		*decimal = -INFINITY;
	else if (is_one_of(text, nan_words))
		*decimal = NAN;
	else
		return false;
	return true;
}

struct scalar scalar_plain(const char *text)
{
	struct scalar scalar = {.kind = TREE_TEXT};
	char number[NUMBER_MAX];

	if (is_null(text)) {
		scalar.kind = TREE_NONE;
	} else if (is_flag(text, &scalar.flag)) {
		scalar.kind = TREE_FLAG;
	} else if (strchr("+-.0123456789", *text) && without_underscores(text, number)) {
		if (is_integer(number, &scalar.integer))
			scalar.kind = TREE_INTEGER;
		else if (is_decimal(number, &scalar.decimal))
			scalar.kind = TREE_DECIMAL;
	}
	return scalar;
}

const char *scalar_tagged(const char *tag, const char *text, struct scalar *out)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const struct {
		const char *name;
		enum tree_kind kind;
	} kinds[] = {
	    {"str", TREE_TEXT},	 {"timestamp", TREE_TEXT}, {"int", TREE_INTEGER},
	    {"bool", TREE_FLAG}, {"float", TREE_DECIMAL},  {"null", TREE_NONE},
	};
	struct scalar plain = scalar_plain(text);

	out->kind = TREE_TEXT;
	if (!strcmp(tag, "!"))
		return NULL;
	if (strncmp(tag, core, sizeof(core) - 1) != 0)
		return "this tag has no meaning here";
	tag += sizeof(core) - 1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(tag, kinds[i].name) != 0)
			continue;
		if (kinds[i].kind == TREE_DECIMAL && plain.kind == TREE_INTEGER) {
			plain.decimal = (double)plain.integer;
			plain.kind = TREE_DECIMAL;
		}
		if (kinds[i].kind == TREE_TEXT)
			return NULL;
		*out = plain;
		return plain.kind == kinds[i].kind ? NULL : "the value is not what its tag says";
	}
	return "a scalar with this tag is not understood";
}
