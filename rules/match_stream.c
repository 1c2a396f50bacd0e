/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connection of which no request is read to a verdict (istio-semantics 1.2): tls routes by
 * the SNI of its ClientHello, tcp routes by address and port.
 */
#include <stdio.h>
#include <string.h>

#include "rules/choose.h"
#include "rules/explain.h"
#include "rules/hostname.h"
#include "rules/lookup.h"

struct stream_attempt {
	const struct rules_stream *stream;
	explain_note_fn *note;
	void *context;
	char why[256];
};

static bool sni_matches(const struct list *hosts, const char *sni)
{
	const struct text *items = hosts->items;
	size_t len = strlen(sni);

	for (size_t i = 0; i < hosts->n; i++) {
		const char *host = items[i].s;
		size_t tail = strlen(host);

		if (!strcmp(host, sni) || !strcmp(host, "*"))
			return true;
		if (host[0] == '*' && len > tail - 1 && !strcmp(sni + len - (tail - 1), host + 1))
			return true;
	}
	return false;
}

static bool in_subnet(const struct l4_match *match, const struct in6_addr *address)
{
	for (size_t i = 0; address && i < match->n_subnets; i++)
		if (hostname_in_block(&match->subnets[i], address))
			return true;
	return false;
}

static bool stream_matches(struct stream_attempt *attempt, const struct l4_match *match)
{
	const struct rules_stream *stream = attempt->stream;
	char sni[256];

	if (match->excluded) {
		snprintf(attempt->why, sizeof(attempt->why),
			 "it is for other gateways, labels or namespaces");
	} else if (match->port.set && match->port.value != stream->port) {
		snprintf(attempt->why, sizeof(attempt->why), "port %u is not %lld", stream->port,
			 match->port.value);
	} else if (match->n_subnets && !in_subnet(match, stream->address)) {
		snprintf(attempt->why, sizeof(attempt->why),
			 "the dialled address is in none of destinationSubnets");
	} else if (match->sni_hosts.n &&
		   (!stream->sni || !hostname_normalize(stream->sni, strlen(stream->sni), sni) ||
		    !sni_matches(&match->sni_hosts, sni))) {
		snprintf(attempt->why, sizeof(attempt->why), "SNI \"%.80s\" is none of sniHosts",
			 stream->sni ? stream->sni : "");
	} else {
		return true;
	}
	return false;
}

static bool try_stream(struct stream_attempt *attempt, const struct l4_route *route, int index,
		       struct verdict *verdict)
{
	const struct l4_match *blocks = route->match.items;

	for (size_t i = 0; i < (route->match.n ? route->match.n : 1); i++) {
		bool hit = !route->match.n || stream_matches(attempt, &blocks[i]);
		const struct explain_note text = {route->match.n ? blocks[i].where : route->where,
						  index, route->match.n ? (int)i : -1,
						  hit ? NULL : attempt->why};

		if (attempt->note)
			attempt->note(attempt->context, &text);
		if (!hit)
			continue;
		verdict->l4_route = route;
		verdict->route_index = index;
		verdict->match_index = text.match_index;
		verdict->where = text.where;
		return true;
	}
	return false;
}

/* Where nothing matches, or there is nothing to match, the connection goes to the host's own
 * cluster. */
void rules_explain_stream(const struct rules *rules, const struct rules_stream *stream,
			  struct verdict *verdict, explain_note_fn *on_note, void *context)
{
	struct stream_attempt attempt = {.stream = stream, .note = on_note, .context = context};
	const struct cluster *own = NULL;
	const struct virtual_service *service;
	const struct host *host = NULL;
	const struct list *list;
	bool http;
	char name[256];

	*verdict = (struct verdict){
	    .rules = rules, .route_index = -1, .match_index = -1, .action = RULES_NO_ROUTE};
	if (stream->name && hostname_normalize(stream->name, strlen(stream->name), name))
		host = lookup_serving(rules, name, stream->port, &own, &http);
	if (!host)
		return;
	verdict->host = host->registry.name;
	service = host->routes;
	list = service && stream->sni ? &service->tls : service ? &service->tcp : NULL;
	for (size_t i = 0; list && i < list->n && !verdict->l4_route; i++) {
		const struct l4_route *routes = list->items;

		verdict->virtual_service = service->name.s;
		try_stream(&attempt, &routes[i], (int)i, verdict);
	}
	if (verdict->l4_route) {
		choose_destination(&verdict->l4_route->route, verdict->l4_route->total_weight,
				   stream->random, stream->port, verdict);
		return;
	}
	verdict->cluster = own;
	verdict->action = own ? RULES_ROUTE : RULES_NO_ROUTE;
	verdict->destination = own ? own->host : NULL;
	verdict->where = own ? own->where : verdict->where;
}

void rules_match_stream(const struct rules *rules, const struct rules_stream *stream,
			struct verdict *verdict)
{
	rules_explain_stream(rules, stream, verdict, NULL, NULL);
}
