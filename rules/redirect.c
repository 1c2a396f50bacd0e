/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Location as Envoy writes it (its newUri(), istio-semantics 1.2): each part is the redirect's, else
 * the request's. A direct response is a redirect that says nothing.
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

/* What Istio makes of port and derivePort; 0: no port. That is also what it makes of the scheme's own
 * port, and Envoy then leaves the authority with the port that it came with. */
static unsigned port_of(const struct http_redirect *redirect, const struct rules_request *request,
			const char *scheme)
{
	unsigned port = 0;

	if (redirect->port.set)
		port = (unsigned)redirect->port.value;
	else if (redirect->derive_port.value == DERIVE_FROM_REQUEST_PORT)
		port = request->port;
	if ((port == 80 && !strcmp(scheme, "http")) || (port == 443 && !strcmp(scheme, "https")))
		return 0;
	return port;
}

static void put_authority(struct sink *sink, const struct http_redirect *redirect,
			  const struct rules_request *request, const char *scheme)
{
	const char *authority = given(&redirect->authority) ? redirect->authority.s
							    : request->authority;
	unsigned port = port_of(redirect, request, scheme);
	size_t len = host_len(authority);
	char text[16];

	if (port) {
		snprintf(text, sizeof(text), ":%u", port);
		sink_put(sink, authority, len);
		sink_text(sink, text);
	} else if (!given(&redirect->authority) && !strcmp(authority + len, ":80") &&
		   strcmp(scheme, "http") != 0) {
		sink_put(sink, authority, len); /* the old scheme's own port */
	} else {
		sink_text(sink, authority);
	}
}

/* The beginning of a path. Without its slash it would go on with the host's name. */
static void put_start(struct sink *sink, const char *text, size_t len)
{
	if (!len || *text != '/')
		sink_text(sink, "/");
	sink_put(sink, text, len);
}

static void put_path(struct sink *sink, const struct verdict *verdict,
		     const struct http_redirect *redirect, const struct path *path,
		     const char *query)
{
	const struct string_match *uri = verdict->match ? verdict->match->uri : NULL;
	size_t skip;

	if (given(&redirect->uri)) {
		put_start(sink, redirect->uri.s, strlen(redirect->uri.s));
		if (strchr(redirect->uri.s, '?'))
			return;
	} else if (given(&redirect->prefix_rewrite)) {
		skip = uri && uri->kind == MATCH_PREFIX ? uri->len : 1;
		skip = skip < path->len ? skip : path->len;
		put_start(sink, redirect->prefix_rewrite.s, strlen(redirect->prefix_rewrite.s));
		sink_put(sink, path->s + skip, path->len - skip);
	} else {
		put_start(sink, path->s, path->len);
	}
	if (*query == '?')
		sink_put(sink, query, strcspn(query, "#"));
}

/* See router.cc of Envoy: where a direct response says that something is elsewhere, it says where,
 * which without a redirect is here. */
static bool has_location(const struct verdict *verdict, int status)
{
	return verdict->action == RULES_REDIRECT || status == 201 ||
	       (status >= 300 && status <= 399);
}

size_t rules_location(const struct verdict *verdict, const struct rules_request *request,
		      int *status, char *out, size_t size)
{
	static const struct http_redirect unchanged;
	const struct http_route *route = verdict->route;
	const struct http_redirect *redirect = route->redirect ? route->redirect : &unchanged;
	const char *scheme = given(&redirect->scheme) ? redirect->scheme.s : "http";
	struct sink sink = {out, size, 0};
	struct path path;

	if (verdict->action == RULES_REDIRECT)
		*status = redirect_status(&redirect->redirect_code);
	else
		*status = (int)route->direct_response->status.value;
	if (!has_location(verdict, *status))
		return sink_end(&sink);
	if (rules_normalize(verdict->rules, request->path, &path) < 0)
		return SIZE_MAX;
	sink_text(&sink, scheme);
	sink_text(&sink, "://");
	put_authority(&sink, redirect, request, scheme);
	put_path(&sink, verdict, redirect, &path, request->path + strcspn(request->path, "?#"));
	path_release(&path);
	return sink_end(&sink);
}
