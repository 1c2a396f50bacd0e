/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRewrite.uri (istio-semantics 2.5): plain replacement of bytes, so that a prefix "/foo"
 * rewritten to "/" makes "//bar" out of "/foo/bar", as in Envoy.
 */
#include <string.h>

#include "rules/rules.h"

struct sink {
	char *out;
	size_t size, len;
};

static void put(struct sink *sink, const char *text, size_t len)
{
	if (sink->len < sink->size) {
		size_t room = sink->size - sink->len;

		memcpy(sink->out + sink->len, text, len < room ? len : room);
	}
	sink->len += len;
}

size_t rules_rewrite_target(const struct verdict *verdict, const char *path, char *out, size_t size)
{
	struct sink sink = {out, size, 0};
	size_t path_len = strcspn(path, "?#");
	const char *query = path + path_len;
	size_t replaced = 0;

	/* "*" of an OPTIONS request is no path. */
	if (verdict->rewrite_uri && path[0] == '/') {
		put(&sink, verdict->rewrite_uri, strlen(verdict->rewrite_uri));
		replaced = verdict->rewrite_prefix < path_len ? verdict->rewrite_prefix : path_len;
	}
	put(&sink, path + replaced, path_len - replaced);
	if (*query == '?')
		put(&sink, query, strcspn(query, "#"));
	if (size)
		out[sink.len < size ? sink.len : size - 1] = '\0';
	return sink.len;
}
