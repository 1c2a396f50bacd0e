/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From left to right: what programs ask for, the routes of its VirtualService with their conditions,
 * the clusters that they lead to, and how these are reached. Hosts and clusters come in the order of
 * their names, so that the picture of equal rules is equal text.
 */
#include "rules/graph.h"

#include "rules/model.h"

/* Text inside of a quoted label. */
static void put_text(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc((unsigned char)*text < 0x20 ? ' ' : *text, out);
	}
}

static void put_match(FILE *out, const char *field, const struct string_match *match)
{
	static const char *const kinds[] = {
	    [MATCH_PRESENT] = "present", [MATCH_EXACT] = "=", [MATCH_PREFIX] = "prefix",
	    [MATCH_REGEX] = "regex",
	};

	if (!match)
		return;
	fputs("\\n", out);
	put_text(out, field);
	fprintf(out, " %s ", kinds[match->kind]);
	put_text(out, match->kind == MATCH_EXACT    ? match->exact.s
		      : match->kind == MATCH_PREFIX ? match->prefix.s
		      : match->kind == MATCH_REGEX  ? match->regex.s
						    : "");
}

static void put_block(FILE *out, const struct http_match *match)
{
	const struct header_match *headers = match->headers.items;

	put_match(out, "path", match->uri);
	put_match(out, "method", match->method);
	put_match(out, "authority", match->authority);
	for (size_t i = 0; i < match->headers.n; i++)
		put_match(out, headers[i].name.s, &headers[i].match);
	if (match->port.set)
		fprintf(out, "\\nport = %lld", match->port.value);
	if (match->without_headers.n || match->query_params.n || match->source_labels.n ||
	    match->source_namespace.s)
		fputs("\\nand more", out);
}

static void put_http_label(FILE *out, const struct http_route *route, size_t index)
{
	const struct http_match *blocks = route->match.items;

	fprintf(out, "route %zu", index);
	if (route->name.s) {
		putc(' ', out);
		put_text(out, route->name.s);
	}
	for (size_t i = 0; i < route->match.n; i++) {
		if (i)
			fputs("\\nor", out);
		put_block(out, &blocks[i]);
	}
	if (route->rewrite) {
		fputs("\\nrewrite ", out);
		put_text(out, route->rewrite->authority.s);
		put_text(out, route->rewrite->uri.s);
	}
	if (route->redirect)
		fputs("\\nredirect", out);
	if (route->direct_response)
		fprintf(out, "\\nanswer %lld", route->direct_response->status.value);
}

static void put_cluster_id(FILE *out, const char *host, const char *subset, unsigned port)
{
	fputs("\"cluster ", out);
	put_text(out, host);
	if (subset) {
		putc(' ', out);
		put_text(out, subset);
	}
	fprintf(out, ":%u\"", port);
}

static void put_destinations(FILE *out, const char *kind, const char *service, size_t index,
			     const struct list *list)
{
	const struct route_destination *all = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct destination *to = all[i].destination;

		if (!to || !to->host.s)
			continue;
		fprintf(out, "  \"%s ", kind);
		put_text(out, service);
		fprintf(out, " %zu\" -> ", index);
		put_cluster_id(out, to->service ? to->service->host : to->host.s, to->subset.s,
			       to->cluster ? to->cluster->port
			       : to->port  ? (unsigned)to->port->number.value
					   : 0);
		if (list->n > 1)
			fprintf(out, " [label=\"%lld\"]", all[i].weight.value);
		fputs(";\n", out);
	}
}

static void put_route_node(FILE *out, const char *kind, const char *service, size_t index)
{
	fprintf(out, "  \"%s ", kind);
	put_text(out, service);
	fprintf(out, " %zu\" [shape=note, label=\"", index);
}

static void put_streams(FILE *out, const char *kind, const char *name, const struct list *list)
{
	const struct l4_route *routes = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct l4_match *blocks = routes[i].match.items;

		put_route_node(out, kind, name, i);
		fprintf(out, "%s route %zu", kind, i);
		for (size_t j = 0; j < routes[i].match.n; j++) {
			const struct text *snis = blocks[j].sni_hosts.items;

			for (size_t k = 0; k < blocks[j].sni_hosts.n; k++) {
				fputs("\\nSNI ", out);
				put_text(out, snis[k].s);
			}
		}
		fputs("\"];\n", out);
		put_destinations(out, kind, name, i, &routes[i].route);
	}
}

static void put_service(FILE *out, const struct virtual_service *service)
{
	const struct http_route *routes = service->merged.items;
	const char *name = service->name.s ? service->name.s : "";

	for (size_t i = 0; i < service->merged.n; i++) {
		put_route_node(out, "http", name, i);
		put_http_label(out, &routes[i], i);
		fputs("\"];\n", out);
		put_destinations(out, "http", name, i, &routes[i].route);
	}
	put_streams(out, "tls", name, &service->tls);
	put_streams(out, "tcp", name, &service->tcp);
}

static void put_edges(FILE *out, const struct host *host, const char *kind, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fputs("  \"host ", out);
		put_text(out, host->registry.name);
		fprintf(out, "\" -> \"%s ", kind);
		put_text(out, host->routes->name.s);
		fprintf(out, " %zu\";\n", i);
	}
}

static void put_cluster(FILE *out, const struct cluster *cluster)
{
	static const char *const modes[] = {"plain", "TLS", "mutual TLS"};

	fputs("  ", out);
	put_cluster_id(out, cluster->host, cluster->subset, cluster->port);
	fputs(" [shape=box, label=\"", out);
	put_text(out, cluster->host);
	if (cluster->subset) {
		fputs(" subset ", out);
		put_text(out, cluster->subset);
	}
	fprintf(out, ":%u\\n%s", cluster->port, modes[cluster->tls.mode]);
	if (cluster->tls.sni) {
		fputs(", SNI ", out);
		put_text(out, cluster->tls.sni);
	}
	if (cluster->tls.insecure_skip_verify)
		fputs("\\nNOT verified", out);
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		fputs("\\n", out);
		put_text(out, cluster->endpoints[i].address);
		if (cluster->endpoints[i].port)
			fprintf(out, ":%u", cluster->endpoints[i].port);
	}
	fputs("\"];\n", out);
}

static void put_host(FILE *out, const struct host *host)
{
	const struct service *service = host->service;

	fputs("  \"host ", out);
	put_text(out, host->registry.name);
	fputs("\" [shape=ellipse, label=\"", out);
	put_text(out, host->registry.name);
	fputs("\"];\n", out);
	for (size_t i = 0; service && i < service->n_all; i++)
		put_cluster(out, &service->clusters[i]);
	if (host->routes) {
		put_edges(out, host, "http", host->routes->merged.n);
		put_edges(out, host, "tls", host->routes->tls.n);
		put_edges(out, host, "tcp", host->routes->tcp.n);
	}
	/* What has no route of its own goes to the host's own clusters. */
	for (size_t i = 0; service && i < service->n_clusters; i++) {
		if (host->routes && protocol_is_http(service->clusters[i].protocol))
			continue;
		fputs("  \"host ", out);
		put_text(out, host->registry.name);
		fputs("\" -> ", out);
		put_cluster_id(out, service->host, NULL, service->clusters[i].port);
		fputs(";\n", out);
	}
}

int rules_graph(const struct rules *rules, FILE *out)
{
	fputs("digraph meshshim {\n  rankdir=LR;\n", out);
	for (size_t i = 0; i < rules->host_list.n; i++)
		put_host(out, rules->host_list.items[i]);
	for (size_t i = 0; i < rules->virtual_services.n; i++) {
		const struct virtual_service *service = rules->virtual_services.items[i];

		if (service->hosts.n && !service->inert)
			put_service(out, service);
	}
	fputs("}\n", out);
	return ferror(out) ? -1 : 0;
}
