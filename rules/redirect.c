/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRedirect as Envoy writes Location (its newUri(), istio-semantics 1.2): each part is the
 * redirect's, else the request's.
 */
#include <stdio.h>
#include <string.h>

#include "rules/path.h"
#include "rules/sink.h"
#include "rules/virtual_service.h"

static bool given(const struct text *text)
{
	return text->s && *text->s;
}

/* Where the port of an authority begins, with its colon; its end if there is none. */
static size_t host_len(const char *authority)
{
	const char *bracket = strrchr(authority, ']');
	const char *colon = strrchr(bracket ? bracket : authority, ':');

	return colon ? (size_t)(colon - authority) : strlen(authority);
}

static bool is_default(const char *scheme, const char *port)
{
	return (!strcmp(scheme, "http") && !strcmp(port, ":80")) ||
	       (!strcmp(scheme, "https") && !strcmp(port, ":443"));
}

static void put_authority(struct sink *sink, const struct http_redirect *redirect,
			  const struct rules_request *request, const char *scheme)
{
	const char *authority = given(&redirect->authority) ? redirect->authority.s
							    : request->authority;
	size_t len = host_len(authority);
	char port[16] = "";

	if (redirect->port.set)
		snprintf(port, sizeof(port), ":%lld", redirect->port.value);
	else if (redirect->derive_port.value == DERIVE_FROM_REQUEST_PORT)
		snprintf(port, sizeof(port), ":%u", request->port);
	else if (given(&redirect->authority) || !is_default("http", authority + len) ||
		 !strcmp(scheme, "http")) {
		/* The port as it was written, unless it was the old scheme's own. This is what
		 * FROM_PROTOCOL_DEFAULT comes to as well. */
		sink_text(sink, authority);
		return;
	}
	sink_put(sink, authority, len);
	if (!is_default(scheme, port))
		sink_text(sink, port);
}

static void put_path(struct sink *sink, const struct verdict *verdict,
		     const struct http_redirect *redirect, const struct path *path,
		     const char *query)
{
	const struct string_match *uri = verdict->match ? verdict->match->uri : NULL;
	size_t skip;

	if (given(&redirect->uri)) {
		sink_text(sink, redirect->uri.s);
		if (strchr(redirect->uri.s, '?'))
			return;
	} else if (redirect->prefix_rewrite.s) {
		skip = uri && uri->kind == MATCH_PREFIX ? uri->len : 1;
		skip = skip < path->len ? skip : path->len;
		sink_text(sink, redirect->prefix_rewrite.s);
		sink_put(sink, path->s + skip, path->len - skip);
	} else {
		sink_put(sink, path->s, path->len);
	}
	if (*query == '?')
		sink_put(sink, query, strcspn(query, "#"));
}

size_t rules_redirect(const struct verdict *verdict, const struct rules_request *request,
		      int *status, char *out, size_t size)
{
	const struct http_redirect *redirect = verdict->route->redirect;
	const char *scheme = given(&redirect->scheme) ? redirect->scheme.s : "http";
	struct sink sink = {out, size, 0};
	struct path path;

	*status = redirect_status(&redirect->redirect_code);
	if (rules_normalize(verdict->rules, request->path, &path) < 0)
		return SIZE_MAX;
	sink_text(&sink, scheme);
	sink_text(&sink, "://");
	put_authority(&sink, redirect, request, scheme);
	put_path(&sink, verdict, redirect, &path, request->path + strcspn(request->path, "?#"));
	path_release(&path);
	return sink_end(&sink);
}
