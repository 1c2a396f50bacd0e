/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Envoy does to paths before it routes them (istio-semantics 2.4): DECODE_AND_MERGE_SLASHES
 * decodes %2F and %5C, BASE and above make the path that its URL library (Chromium's) calls
 * canonical, MERGE_SLASHES and above merge runs of slashes.
 *
 * Canonical: backslashes are slashes, "%2e" is a dot wherever it stands, dot segments are resolved
 * (RFC 3986 5.2.4), and what has no place in a path is escaped. Other escapes stay as they came, as
 * the URL standard has it and Chromium since 2023; before, it also unescaped letters and digits.
 */
#include "rules/path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"

/* Whether a byte may not stand in a canonical path. */
static bool is_escaped(char c)
{
	static const bool escaped[256] = {
	    [0 ... ' '] = true, ['"'] = true, ['<'] = true, ['>'] = true,	  ['^'] = true,
	    ['`'] = true,	['{'] = true, ['|'] = true, ['}'] = true, [0x7f ... 0xff] = true,
	};

	return escaped[(unsigned char)c];
}

/* Whether three bytes are the escape of this character; `digits` in lower case. */
static bool is_escape_of(const char *s, const char *end, const char *digits)
{
	return end - s >= 3 && s[0] == '%' && ascii_equal_nocase_n(s + 1, digits, 2);
}

/* Nothing to do is the rule; it must cost one look at the bytes. */
static bool is_normal(const char *s, size_t len, enum normalization how)
{
	if (how == NORMALIZATION_NONE)
		return true;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\' || is_escaped(s[i]))
			return false;
		if (s[i] == '%' && (how == NORMALIZATION_DECODE_AND_MERGE_SLASHES ||
				    is_escape_of(s + i, s + len, "2e")))
			return false;
		if (s[i] == '/' && i + 1 < len &&
		    (s[i + 1] == '.' || (s[i + 1] == '/' && how >= NORMALIZATION_MERGE_SLASHES)))
			return false;
	}
	return true;
}

/* Every byte as it is in a canonical path; out has room for three times as many. */
static size_t decode(const char *s, size_t len, enum normalization how, char *out)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *end = s + len;
	char *to = out;

	for (; s < end; s++) {
		bool slash = how == NORMALIZATION_DECODE_AND_MERGE_SLASHES &&
			     (is_escape_of(s, end, "2f") || is_escape_of(s, end, "5c"));

		if (slash || is_escape_of(s, end, "2e")) {
			*to++ = slash ? '/' : '.';
			s += 2;
		} else if (*s == '\\') {
			*to++ = '/';
		} else if (is_escaped(*s)) {
			*to++ = '%';
			*to++ = hex[(unsigned char)*s >> 4];
			*to++ = hex[(unsigned char)*s & 15];
		} else {
			*to++ = *s;
		}
	}
	return (size_t)(to - out);
}

/* Whether a segment is "." (1) or ".." (2). */
static int dots(const char *s, const char *end)
{
	size_t len = (size_t)(end - s);

	return (len == 1 || len == 2) && !memcmp(s, "..", len) ? (int)len : 0;
}

/* In place: what is written is never longer than what was read. */
static size_t remove_dots(char *s, size_t len)
{
	const char *end = s + len, *in = s;
	size_t out = 0;

	while (in < end) {
		const char *segment = in + 1; /* *in is the slash before it */
		const char *next = memchr(segment, '/', (size_t)(end - segment));
		const char *stop = next ? next : end;
		int kind = dots(segment, stop);

		if (!kind) {
			memmove(s + out, in, (size_t)(stop - in));
			out += (size_t)(stop - in);
		} else {
			if (kind == 2)
				while (out && s[--out] != '/')
					;
			if (!next)
				s[out++] = '/'; /* a directory's name keeps its slash */
		}
		in = stop;
	}
	return out;
}

static size_t merge_slashes(char *s, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
		if (s[i] != '/' || !out || s[out - 1] != '/')
			s[out++] = s[i];
	return out;
}

int path_init(struct path *path, const char *target, enum normalization how)
{
	char *copy = path->small;

	path->owned = NULL;
	path->s = target;
	path->len = strcspn(target, "?#");
	if (target[0] != '/' || is_normal(target, path->len, how))
		return 0;
	/* Each byte may become an escape. */
	if (path->len > sizeof(path->small) / 3)
		copy = path->owned = malloc(3 * path->len);
	if (!copy)
		return -1;
	path->len = decode(target, path->len, how, copy);
	path->s = copy;
	path->len = remove_dots(copy, path->len);
	if (how >= NORMALIZATION_MERGE_SLASHES)
		path->len = merge_slashes(copy, path->len);
	return 0;
}

void path_release(struct path *path)
{
	free(path->owned);
}
