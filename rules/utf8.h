/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef RULES_UTF8_H
#define RULES_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes from the start are whole, valid characters. */
size_t utf8_valid_prefix(const char *text, size_t len);

/* Bytes of the character that begins at `text` (which has `len` bytes); 0: not valid. */
size_t utf8_char_len(const char *text, size_t len);

/* The code point of a valid character of `n` bytes. */
unsigned long utf8_decode(const char *text, size_t n);

/* Characters that a terminal would act on, the tab among them: C0, DEL, C1, and what turns the
 * direction of text. */
bool utf8_is_control(unsigned long code);

#endif
