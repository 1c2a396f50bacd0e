/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Envoy does to paths before it routes them (istio-semantics 2.4): DECODE_AND_MERGE_SLASHES
 * decodes %2F and %5C, BASE and above turn backslashes into slashes and resolve dot segments
 * (RFC 3986 5.2.4; "%2e" is a dot, as in the URL library that Envoy uses), MERGE_SLASHES and above
 * merge runs of slashes. All other bytes stay as they came.
 */
#include "rules/path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"

/* How many bytes of `s` are a dot: 1, 3 ("%2e"), or 0. */
static size_t dot(const char *s, const char *end)
{
	if (s < end && *s == '.')
		return 1;
	return end - s >= 3 && ascii_equal_nocase_n(s, "%2e", 3) ? 3 : 0;
}

/* Whether a segment is "." (1) or ".." (2), in any spelling. */
static int dots(const char *s, const char *end)
{
	size_t first = dot(s, end), second;

	if (!first)
		return 0;
	if (s + first == end)
		return 1;
	second = dot(s + first, end);
	return second && s + first + second == end ? 2 : 0;
}

/* Nothing to do is the rule; it must cost one look at the bytes. */
static bool is_normal(const char *s, size_t len, enum normalization how)
{
	if (how == NORMALIZATION_NONE)
		return true;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\')
			return false;
		if (s[i] == '%' && how == NORMALIZATION_DECODE_AND_MERGE_SLASHES)
			return false;
		if (s[i] == '/' && i + 1 < len &&
		    (dot(s + i + 1, s + len) ||
		     (s[i + 1] == '/' && how >= NORMALIZATION_MERGE_SLASHES)))
			return false;
	}
	return true;
}

static size_t decode_slashes(char *s, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		if (len - i >= 3 && (ascii_equal_nocase_n(s + i, "%2f", 3) ||
				     ascii_equal_nocase_n(s + i, "%5c", 3))) {
			s[out++] = '/';
			i += 2;
		} else {
			s[out++] = s[i];
		}
	}
	return out;
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
	if (path->len > sizeof(path->small))
		copy = path->owned = malloc(path->len);
	if (!copy)
		return -1;
	memcpy(copy, target, path->len);
	path->s = copy;
	if (how == NORMALIZATION_DECODE_AND_MERGE_SLASHES)
		path->len = decode_slashes(copy, path->len);
	for (size_t i = 0; i < path->len; i++)
		if (copy[i] == '\\')
			copy[i] = '/';
	path->len = remove_dots(copy, path->len);
	if (how >= NORMALIZATION_MERGE_SLASHES)
		path->len = merge_slashes(copy, path->len);
	return 0;
}

void path_release(struct path *path)
{
	free(path->owned);
}
