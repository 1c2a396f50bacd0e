/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/utf8.h"

#include <stdint.h>

unsigned long utf8_decode(const char *text, size_t n)
{
	static const unsigned char lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned long code = (unsigned char)text[0] & lead_mask[n];

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	return code;
}

size_t utf8_char_len(const char *text, size_t len)
{
	static const unsigned long smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c;
	unsigned long code;
	size_t n;

	if (!len)
		return 0;
	c = (unsigned char)text[0];
	if (c < 0x80)
		return 1;
	n = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
	if (!n || c >= 0xf8 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	code = utf8_decode(text, n);
	if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

size_t utf8_valid_prefix(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t n = utf8_char_len(text + at, len - at);

		if (!n)
			break;
		at += n;
	}
	return at;
}

bool utf8_is_control(unsigned long code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}
