/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRewrite (istio-semantics 2.5): plain replacement of bytes, so that a prefix "/foo" rewritten
 * to "/" makes "//bar" out of "/foo/bar", as in Envoy.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/path.h"
#include "rules/sink.h"
#include "rules/virtual_service.h"

/* How much of the path a rewrite replaces. */
static size_t replaced_len(const struct verdict *verdict, const struct path *path)
{
	const struct string_match *uri = verdict->match ? verdict->match->uri : NULL;
	size_t len = 1; /* the implicit prefix "/" */

	if (uri && uri->kind == MATCH_PREFIX)
		len = uri->len;
	else if (uri && uri->kind != MATCH_PRESENT)
		len = path->len;
	return len < path->len ? len : path->len;
}

/* Returns 0, or -1: the pattern's bounds were hit, or memory ran out. */
static int replace(const struct regex_rewrite *rewrite, const struct path *path, struct sink *sink)
{
	size_t len;
	char *out;

	switch (pattern_replace(rewrite->pattern, path->s, path->len, rewrite->rewrite.s, &out, &len)) {
	case PATTERN_NO_MATCH:
		sink_put(sink, path->s, path->len);
		return 0;
	case PATTERN_MATCH:
		sink_put(sink, out, len);
		free(out);
		return 0;
	case PATTERN_LIMIT:
		break;
	}
	return -1;
}

static int rewrite_path(const struct verdict *verdict, const struct path *path, struct sink *sink)
{
	const struct http_rewrite *rewrite = verdict->route ? verdict->route->rewrite : NULL;
	size_t replaced;

	/* "*" of an OPTIONS request is no path. */
	if (!rewrite || path->s[0] != '/') {
		sink_put(sink, path->s, path->len);
		return 0;
	}
	if (rewrite->uri_regex_rewrite)
		return replace(rewrite->uri_regex_rewrite, path, sink);
	replaced = rewrite->uri.s && *rewrite->uri.s ? replaced_len(verdict, path) : 0;
	if (replaced || (rewrite->uri.s && *rewrite->uri.s))
		sink_text(sink, rewrite->uri.s);
	sink_put(sink, path->s + replaced, path->len - replaced);
	return 0;
}

size_t rules_rewrite_target(const struct verdict *verdict, const char *path, char *out, size_t size)
{
	const char *query = path + strcspn(path, "?#");
	struct sink sink = {out, size, 0};
	struct path normal;
	int status;

	if (rules_normalize(verdict->rules, path, &normal) < 0)
		return SIZE_MAX;
	status = rewrite_path(verdict, &normal, &sink);
	path_release(&normal);
	if (status < 0)
		return SIZE_MAX;
	/* Nothing left is no target at all: "GET  HTTP/1.1". An empty path is this one (RFC 9112 3.2.1). */
	if (!sink.len)
		sink_text(&sink, "/");
	if (*query == '?')
		sink_put(&sink, query, strcspn(query, "#"));
	return sink_end(&sink);
}
