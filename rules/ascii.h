/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Characters and case as protocols and rule files mean them: ASCII, whatever the program's locale
 * says. <ctype.h> and strcasecmp(3) follow setlocale(3), which belongs to the program: in Turkish
 * "I" and "i" are not the same letter, but `ID` and `id` are the same header field.
 *
 * Arguments may be plain chars; what is beyond ASCII is no letter, no digit and keeps its value.
 */
#ifndef RULES_ASCII_H
#define RULES_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool ascii_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_upper(int c)
{
	return c >= 'A' && c <= 'Z';
}

static inline int ascii_lower(int c)
{
	return ascii_is_upper(c) ? c - 'A' + 'a' : c;
}

static inline bool ascii_is_alpha(int c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static inline bool ascii_is_alnum(int c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

static inline bool ascii_is_xdigit(int c)
{
	return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* The first n bytes of both, none of which is looked at behind a NUL. */
static inline bool ascii_equal_nocase_n(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
		if (!a[i])
			return true;
	}
	return true;
}

static inline bool ascii_equal_nocase(const char *a, const char *b)
{
	return ascii_equal_nocase_n(a, b, (size_t)-1);
}

#endif
