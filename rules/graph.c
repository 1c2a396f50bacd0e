/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From left to right: what programs ask for, the routes of its VirtualService with their
 * conditions, the clusters that they lead to, and how these are reached. Hosts come in the order of
 * their names, clusters below their hosts, routes as they were written, so that the picture of
 * equal rules is equal text.
 *
 * Nodes are named by what they are ("host web", "http web 0", "cluster api:443"). Escapes mean the
 * same in names and labels, and names are never seen.
 */
#include "rules/graph.h"

#include <string.h>

#include "rules/lookup.h"
#include "rules/utf8.h"

#define LABEL_MAX 80 /* bytes of one value: regular expressions go on and on */

/* ---- text --------------------------------------------------------------------------------- */

/* Inside of quotes. Graphviz knows backslashes in labels, and entities. */
static void put_bytes(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '&')
			fputs("&amp;", out);
		else
			putc(c < 0x20 || c == 0x7f ? ' ' : c, out);
	}
}

static void put_text(FILE *out, const char *text)
{
	if (text)
		put_bytes(out, text, strlen(text));
}

static void put_short(FILE *out, const char *text)
{
	size_t len = strlen(text);

	if (!len)
		fputs("\\\"\\\"", out);
	if (len <= LABEL_MAX) {
		put_bytes(out, text, len);
		return;
	}
	put_bytes(out, text, utf8_valid_prefix(text, LABEL_MAX));
	fputs("...", out);
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void put_host_node(FILE *out, const struct host *host)
{
	fputs("\"host ", out);
	put_text(out, host->registry.name);
	putc('"', out);
}

static void put_route_node(FILE *out, const char *kind, const struct virtual_service *service,
			   size_t index)
{
	fprintf(out, "\"%s ", kind);
	put_text(out, service->name.s);
	fprintf(out, " %zu\"", index);
}

static void put_cluster_node(FILE *out, const struct cluster *cluster)
{
	fputs("\"cluster ", out);
	put_text(out, cluster->host);
	fprintf(out, ":%u", cluster->port);
	if (cluster->subset) {
		putc(' ', out);
		put_text(out, cluster->subset);
	}
	putc('"', out);
}

/* ---- conditions --------------------------------------------------------------------------- */

static void put_match(FILE *out, const char *what, const char *name,
		      const struct string_match *match)
{
	if (!match)
		return;
	fputs("\\n", out);
	put_text(out, what);
	put_text(out, name);
	switch (match->kind) {
	case MATCH_PRESENT:
		fputs(" is there", out);
		break;
	case MATCH_EXACT:
		fputs(" = ", out);
		put_short(out, match->exact.s);
		break;
	case MATCH_PREFIX:
		fputs(" begins ", out);
		put_short(out, match->prefix.s);
		break;
	case MATCH_REGEX:
		fputs(" ~ ", out);
		put_short(out, match->regex.s);
		break;
	}
}

static void put_matches(FILE *out, const char *what, const struct list *list)
{
	const struct header_match *items = list->items;

	for (size_t i = 0; i < list->n; i++)
		put_match(out, what, items[i].name.s, &items[i].match);
}

static void put_port(FILE *out, const struct number *port)
{
	if (port->set)
		fprintf(out, "\\nport = %lld", port->value);
}

static void put_block(FILE *out, const struct http_match *match)
{
	put_match(out, "path", NULL, match->uri);
	put_match(out, "scheme", NULL, match->scheme);
	put_match(out, "method", NULL, match->method);
	put_match(out, "authority", NULL, match->authority);
	put_matches(out, "header ", &match->headers);
	put_matches(out, "not: header ", &match->without_headers);
	put_matches(out, "parameter ", &match->query_params);
	put_port(out, &match->port);
}

/* Blocks for other gateways and workloads are as if they were not there. */
static void put_blocks(FILE *out, const struct list *list)
{
	const struct http_match *blocks = list->items;
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (blocks[i].excluded)
			continue;
		if (n++)
			fputs("\\nor", out);
		put_block(out, &blocks[i]);
	}
	if (list->n && !n)
		fputs("\\nnot for this process", out);
}

static void put_names(FILE *out, const char *what, const struct list *list)
{
	const struct text *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		fprintf(out, "\\n%s ", what);
		put_text(out, items[i].s);
	}
}

/* ---- destinations ------------------------------------------------------------------------- */

static void put_edge(FILE *out, const char *kind, const struct virtual_service *service,
		     size_t index)
{
	fputs("  ", out);
	put_route_node(out, kind, service, index);
	fputs(" -> ", out);
}

/* What is not in the registry stands at the end of the edge that leads to it. */
static void put_missing(FILE *out, const struct destination *to)
{
	fputs("\"missing ", out);
	put_text(out, to->host.s);
	if (to->port)
		fprintf(out, ":%lld", to->port->number.value);
	if (to->subset.s) {
		putc(' ', out);
		put_text(out, to->subset.s);
	}
	putc('"', out);
}

static bool same_subset(const struct cluster *cluster, const struct destination *to)
{
	return to->subset.s ? cluster->subset && !strcmp(cluster->subset, to->subset.s)
			    : !cluster->subset;
}

/* Without a port it is the one that the program dialled: any. Returns how many edges were drawn. */
static size_t put_any_port(FILE *out, const char *kind, const struct virtual_service *service,
			   size_t index, const struct destination *to, const char *attributes)
{
	size_t n = 0;

	if (!to->service || (to->port && to->port->number.set))
		return 0;
	for (size_t i = 0; i < to->service->n_all; i++) {
		if (!same_subset(&to->service->clusters[i], to))
			continue;
		put_edge(out, kind, service, index);
		put_cluster_node(out, &to->service->clusters[i]);
		fprintf(out, "%s;\n", attributes);
		n++;
	}
	return n;
}

static void put_destination(FILE *out, const char *kind, const struct virtual_service *service,
			    size_t index, const struct destination *to, const char *attributes)
{
	if (!to || !to->host.s)
		return;
	if (to->cluster) {
		put_edge(out, kind, service, index);
		put_cluster_node(out, to->cluster);
		fprintf(out, "%s;\n", attributes);
		return;
	}
	if (put_any_port(out, kind, service, index, to, attributes))
		return;
	fputs("  ", out);
	put_missing(out, to);
	fputs(" [shape=box, style=dashed];\n", out);
	put_edge(out, kind, service, index);
	put_missing(out, to);
	fprintf(out, "%s;\n", attributes);
}

static void put_destinations(FILE *out, const char *kind, const struct virtual_service *service,
			     size_t index, const struct list *list)
{
	const struct route_destination *all = list->items;

	for (size_t i = 0; i < list->n; i++) {
		char attributes[64] = "";

		if (list->n > 1)
			snprintf(attributes, sizeof(attributes), " [label=\"weight %lld\"%s]",
				 all[i].weight.value, all[i].weight.value ? "" : ", style=dotted");
		put_destination(out, kind, service, index, all[i].destination, attributes);
	}
}

static void put_mirrors(FILE *out, const struct virtual_service *service, size_t index,
			const struct http_route *route)
{
	static const char attributes[] = " [label=\"mirror\", style=dashed]";
	const struct http_mirror *mirrors = route->mirrors.items;

	put_destination(out, "http", service, index, route->mirror, attributes);
	for (size_t i = 0; i < route->mirrors.n; i++)
		put_destination(out, "http", service, index, mirrors[i].destination, attributes);
}

/* ---- routes ------------------------------------------------------------------------------- */

static void put_rewrite(FILE *out, const struct http_rewrite *rewrite)
{
	if (rewrite->authority.s) {
		fputs("\\nauthority := ", out);
		put_short(out, rewrite->authority.s);
	}
	if (rewrite->uri.s) {
		fputs("\\npath := ", out);
		put_short(out, rewrite->uri.s);
	}
	if (rewrite->uri_regex_rewrite) {
		fputs("\\npath: ", out);
		put_short(out, rewrite->uri_regex_rewrite->match.s);
		fputs(" := ", out);
		put_short(out, rewrite->uri_regex_rewrite->rewrite.s);
	}
}

static void put_http_route(FILE *out, const struct virtual_service *service, size_t index,
			   const struct http_route *route)
{
	fputs("  ", out);
	put_route_node(out, "http", service, index);
	fputs(" [shape=note, label=\"", out);
	put_text(out, service->name.s);
	fprintf(out, " http #%zu", index);
	if (route->name.s) {
		putc(' ', out);
		put_text(out, route->name.s);
	}
	put_blocks(out, &route->match);
	if (route->rewrite)
		put_rewrite(out, route->rewrite);
	if (route->redirect)
		fprintf(out, "\\nredirect %lld",
			route->redirect->redirect_code.value ? route->redirect->redirect_code.value
							     : 301);
	if (route->direct_response)
		fprintf(out, "\\nanswer %lld", route->direct_response->status.value);
	fputs("\"];\n", out);
	put_destinations(out, "http", service, index, &route->route);
	put_mirrors(out, service, index, route);
}

static void put_stream_route(FILE *out, const char *kind, const struct virtual_service *service,
			     size_t index, const struct l4_route *route)
{
	const struct l4_match *blocks = route->match.items;
	size_t n = 0;

	fputs("  ", out);
	put_route_node(out, kind, service, index);
	fputs(" [shape=note, label=\"", out);
	put_text(out, service->name.s);
	fprintf(out, " %s #%zu", kind, index);
	for (size_t i = 0; i < route->match.n; i++) {
		if (blocks[i].excluded)
			continue;
		if (n++)
			fputs("\\nor", out);
		put_names(out, "SNI", &blocks[i].sni_hosts);
		put_names(out, "to", &blocks[i].destination_subnets);
		put_port(out, &blocks[i].port);
	}
	fputs(route->match.n && !n ? "\\nnot for this process\"];\n" : "\"];\n", out);
	put_destinations(out, kind, service, index, &route->route);
}

static void put_service(FILE *out, const struct virtual_service *service)
{
	const struct http_route *http = service->merged.items;
	const struct l4_route *tls = service->tls.items, *tcp = service->tcp.items;

	for (size_t i = 0; i < service->merged.n; i++)
		put_http_route(out, service, i, &http[i]);
	for (size_t i = 0; i < service->tls.n; i++)
		put_stream_route(out, "tls", service, i, &tls[i]);
	for (size_t i = 0; i < service->tcp.n; i++)
		put_stream_route(out, "tcp", service, i, &tcp[i]);
}

/* ---- hosts and clusters ------------------------------------------------------------------- */

static void put_tls(FILE *out, const struct client_tls *tls)
{
	static const char *const modes[] = {
	    [TLS_MODE_DISABLE] = "no TLS added",
	    [TLS_MODE_SIMPLE] = "TLS",
	    [TLS_MODE_MUTUAL] = "mutual TLS",
	};

	fprintf(out, "\\n%s", modes[tls->mode]);
	if (tls->mode == TLS_MODE_DISABLE)
		return;
	fputs(", SNI ", out);
	put_text(out, tls->sni ? tls->sni : "of the authority");
	for (size_t i = 0; i < tls->n_subject_alt_names; i++) {
		fputs(i ? ", " : "\\nverified as ", out);
		put_text(out, tls->subject_alt_names[i]);
	}
	if (tls->insecure_skip_verify)
		fputs("\\nNOT verified", out);
}

static void put_cluster(FILE *out, const struct cluster *cluster)
{
	fputs("  ", out);
	put_cluster_node(out, cluster);
	fputs(" [shape=box, label=\"", out);
	put_text(out, cluster->host);
	fprintf(out, ":%u", cluster->port);
	if (cluster->subset) {
		fputs(" subset ", out);
		put_text(out, cluster->subset);
	}
	put_tls(out, &cluster->tls);
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		const struct endpoint *endpoint = &cluster->endpoints[i];

		fputs(strchr(endpoint->address, ':') && endpoint->port ? "\\nat [" : "\\nat ", out);
		put_text(out, endpoint->address);
		if (endpoint->port)
			fprintf(out, "%s:%u", strchr(endpoint->address, ':') ? "]" : "",
				endpoint->port);
	}
	if (cluster->resolution == RESOLUTION_NONE)
		fputs("\\nat the address that was dialled", out);
	if (cluster->resolution == RESOLUTION_DYNAMIC_DNS)
		fputs("\\nat the name that was asked for", out);
	fputs("\"];\n", out);
}

static void put_edges(FILE *out, const struct host *host, const char *kind,
		      const struct virtual_service *service, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fputs("  ", out);
		put_host_node(out, host);
		fputs(" -> ", out);
		put_route_node(out, kind, service, i);
		fputs(";\n", out);
	}
}

/* Every VirtualService that may have something to say, each once. Of those behind the first one some
 * port or protocol is left, as the case may be. */
static void put_routes(FILE *out, const struct rules *rules, const struct host *host)
{
	const struct virtual_service *service, *before = NULL;
	struct routes_walk walk;

	routes_walk_init(&walk, rules, host);
	while ((service = routes_walk_next(&walk))) {
		if (service == before)
			continue;
		before = service;
		put_edges(out, host, "http", service, service->merged.n);
		put_edges(out, host, "tls", service, service->tls.n);
		put_edges(out, host, "tcp", service, service->tcp.n);
	}
}

static bool has_routes(const struct rules *rules, const struct host *host, bool tls)
{
	const struct virtual_service *service;
	struct routes_walk walk;

	routes_walk_init(&walk, rules, host);
	while ((service = routes_walk_next(&walk)))
		if (tls ? service->tls.n : service->tcp.n)
			return true;
	return false;
}

/* What has no route goes to the host's own cluster; so do connections that no route matches. */
static void put_own(FILE *out, const struct rules *rules, const struct host *host,
		    const struct cluster *cluster)
{
	bool http = protocol_is_http(cluster->protocol);

	if (http && lookup_http_routes(rules, host, cluster, cluster->port))
		return;
	fputs("  ", out);
	put_host_node(out, host);
	fputs(" -> ", out);
	put_cluster_node(out, cluster);
	if (!http && has_routes(rules, host, cluster->protocol == PROTOCOL_TLS))
		fputs(" [label=\"otherwise\"]", out);
	fputs(";\n", out);
}

static void put_host(FILE *out, const struct rules *rules, const struct host *host)
{
	const struct service *service = host->service;

	fputs("  ", out);
	put_host_node(out, host);
	fputs(" [shape=ellipse, label=\"", out);
	put_text(out, host->registry.name);
	fputs("\"];\n", out);
	for (size_t i = 0; service && i < service->n_all; i++)
		put_cluster(out, &service->clusters[i]);
	put_routes(out, rules, host);
	for (size_t i = 0; service && i < service->n_clusters; i++)
		put_own(out, rules, host, &service->clusters[i]);
}

int rules_graph(const struct rules *rules, FILE *out)
{
	fputs("digraph meshshim {\n  rankdir=LR;\n", out);
	for (size_t i = 0; i < rules->host_list.n; i++)
		put_host(out, rules, rules->host_list.items[i]);
	for (size_t i = 0; i < rules->virtual_services.n; i++) {
		const struct virtual_service *service = rules->virtual_services.items[i];

		if (service->hosts.n && !service->inert)
			put_service(out, service);
	}
	fputs("}\n", out);
	return ferror(out) ? -1 : 0;
}
