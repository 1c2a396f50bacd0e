/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connection of which no request is read to a verdict (istio-semantics 1.2): tls routes by
 * the SNI of its ClientHello, tcp routes by address and port.
 *
 * Istio makes a filter chain of each block that fits this process and port, and Envoy takes the most
 * specific chain: the one with the narrowest destination, then the one with the longest name. The
 * routes of all VirtualServices for the host take part. tls routes are for ports that say TLS or
 * HTTPS, tcp routes for all others.
 */
#include <stdio.h>
#include <string.h>

#include "rules/choose.h"
#include "rules/explain.h"
#include "rules/hostname.h"
#include "rules/lookup.h"

/* How narrowly a block asks; compared in this order. */
struct rank {
	int subnet; /* bits of the prefix */
	int name;   /* characters of the SNI host; an exact one beats wildcards */
};

struct stream_attempt {
	const struct rules_stream *stream;
	const struct host *host;
	struct verdict *verdict;
	explain_note_fn *note;
	void *context;
	char sni[256]; /* normalized; "": none */
	struct rank best;
	bool applies; /* some tls block is for this process and port, whatever its names */
	char why[256];
};

#define EXACT_NAME 256 /* longer than any wildcard */

/* -1: none of them. */
static int sni_rank(const struct list *hosts, const char *sni)
{
	const struct text *items = hosts->items;
	size_t len = strlen(sni);
	int best = -1;

	for (size_t i = 0; i < hosts->n && *sni; i++) {
		const char *host = items[i].s;
		size_t tail = strlen(host);
		int rank = -1;

		if (!strcmp(host, sni))
			rank = EXACT_NAME;
		else if (host[0] == '*' && len > tail - 1 &&
			 !strcmp(sni + len - (tail - 1), host + 1))
			rank = (int)tail;
		best = rank > best ? rank : best;
	}
	return best;
}

static int subnet_rank(const struct rules_address *blocks, size_t n, const struct in6_addr *address)
{
	int best = -1;

	for (size_t i = 0; address && i < n; i++)
		if (hostname_in_block(&blocks[i], address) && (int)blocks[i].prefix > best)
			best = (int)blocks[i].prefix;
	return best;
}

/* What a block without subnets is narrowed to: the service's own address that was dialled. Each
 * service has one of its own, where none was given. */
static int own_rank(const struct stream_attempt *attempt)
{
	const struct rules_host *host = &attempt->host->registry;
	int rank = subnet_rank(host->addresses, host->n_addresses, attempt->stream->address);

	if (rank < 0)
		rank = attempt->stream->address && !host->n_addresses ? 128 : 0;
	return rank;
}

static bool fits(struct stream_attempt *attempt, const struct l4_match *match)
{
	const struct rules_stream *stream = attempt->stream;

	if (match->excluded) {
		snprintf(attempt->why, sizeof(attempt->why),
			 "it is for other gateways, labels or namespaces");
		return false;
	}
	if (match->port.set && match->port.value != stream->port) {
		snprintf(attempt->why, sizeof(attempt->why), "port %u is not %lld", stream->port,
			 match->port.value);
		return false;
	}
	return true;
}

static bool rank_block(struct stream_attempt *attempt, const struct l4_match *match, bool tls,
		       struct rank *rank)
{
	if (!fits(attempt, match))
		return false;
	attempt->applies |= tls;
	rank->subnet = match->n_subnets ? subnet_rank(match->subnets, match->n_subnets,
						      attempt->stream->address)
					: own_rank(attempt);
	rank->name = tls ? sni_rank(&match->sni_hosts, attempt->sni) : 0;
	/* Beside tcp blocks with subnets the service keeps a chain for its own address. */
	if (!tls && match->n_subnets && rank->subnet >= 0 && rank->subnet < own_rank(attempt)) {
		snprintf(attempt->why, sizeof(attempt->why),
			 "the service's own address is more specific than destinationSubnets");
		return false;
	}
	if (rank->subnet < 0)
		snprintf(attempt->why, sizeof(attempt->why),
			 "the dialled address is in none of destinationSubnets");
	else if (rank->name < 0)
		snprintf(attempt->why, sizeof(attempt->why), "SNI \"%.80s\" is none of sniHosts",
			 attempt->sni);
	return rank->subnet >= 0 && rank->name >= 0;
}

static bool is_narrower(const struct rank *one, const struct rank *other)
{
	if (one->subnet != other->subnet)
		return one->subnet > other->subnet;
	return one->name > other->name;
}

/* One block, or a tcp route without any (`match` is NULL). */
static void try_block(struct stream_attempt *attempt, const struct virtual_service *service,
		      const struct l4_route *route, const struct l4_match *match, bool tls)
{
	const struct l4_route *routes = tls ? service->tls.items : service->tcp.items;
	const struct l4_match *blocks = route->match.items;
	struct explain_note note = {match ? match->where : route->where, (int)(route - routes),
				    match ? (int)(match - blocks) : -1, NULL};
	struct rank rank = {0, 0};
	bool hit = true;

	if (match)
		hit = rank_block(attempt, match, tls, &rank);
	else
		rank.subnet = own_rank(attempt);
	if (hit && attempt->verdict->l4_route && !is_narrower(&rank, &attempt->best)) {
		snprintf(attempt->why, sizeof(attempt->why), "another match is more specific");
		hit = false;
	}
	note.failed = hit ? NULL : attempt->why;
	if (attempt->note)
		attempt->note(attempt->context, &note);
	if (!hit)
		return;
	attempt->best = rank;
	attempt->verdict->routes = service;
	attempt->verdict->virtual_service = service->name.s;
	attempt->verdict->l4_route = route;
	attempt->verdict->route_index = note.route_index;
	attempt->verdict->match_index = note.match_index;
	attempt->verdict->where = note.where;
}

/* Returns whether the search is over: Istio leaves out what follows a tcp route for the whole service. */
static bool try_service(struct stream_attempt *attempt, const struct virtual_service *service,
			bool tls)
{
	const struct list *list = tls ? &service->tls : &service->tcp;
	const struct l4_route *routes = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct l4_match *blocks = routes[i].match.items;

		for (size_t j = 0; j < routes[i].match.n; j++) {
			try_block(attempt, service, &routes[i], &blocks[j], tls);
			if (!tls && !blocks[j].n_subnets && fits(attempt, &blocks[j]))
				return true;
		}
		if (!routes[i].match.n) {
			try_block(attempt, service, &routes[i], NULL, tls);
			return true;
		}
	}
	return false;
}

/* No block takes it. Where there are tls blocks for the port, the host's own name is none of the
 * names that are known there. */
static void without_route(const struct stream_attempt *attempt, const struct cluster *own)
{
	struct verdict *verdict = attempt->verdict;

	if (attempt->applies) {
		verdict->action = attempt->verdict->rules->policy == OUTBOUND_REGISTRY_ONLY
				      ? RULES_REQUEST_BLOCKED
				      : RULES_REQUEST_DIRECT;
		return;
	}
	verdict->cluster = own;
	verdict->action = own ? RULES_ROUTE : RULES_NO_ROUTE;
	verdict->destination = own ? own->host : NULL;
	verdict->where = own ? own->where : verdict->where;
}

void rules_explain_stream(const struct rules *rules, const struct rules_stream *stream,
			  struct verdict *verdict, explain_note_fn *on_note, void *context)
{
	struct stream_attempt attempt = {
	    .stream = stream, .verdict = verdict, .note = on_note, .context = context};
	const struct virtual_service *service, *before = NULL;
	const struct cluster *own = NULL;
	struct routes_walk walk;
	bool http, tls;
	char name[256];

	*verdict = (struct verdict){
	    .rules = rules, .route_index = -1, .match_index = -1, .action = RULES_NO_ROUTE};
	if (stream->name && hostname_normalize(stream->name, strlen(stream->name), name))
		attempt.host = lookup_serving(rules, name, stream->port, &own, &http);
	if (!attempt.host)
		return;
	verdict->host = attempt.host->registry.name;
	if (stream->sni)
		hostname_normalize(stream->sni, strlen(stream->sni), attempt.sni);
	tls = own && own->protocol == PROTOCOL_TLS;
	routes_walk_init(&walk, rules, attempt.host);
	while ((service = routes_walk_next(&walk))) {
		if (service != before && try_service(&attempt, service, tls))
			break;
		before = service;
	}
	if (verdict->l4_route)
		choose_destination(&verdict->l4_route->route, verdict->l4_route->total_weight,
				   stream->random, stream->port, verdict);
	else
		without_route(&attempt, own);
}

void rules_match_stream(const struct rules *rules, const struct rules_stream *stream,
			struct verdict *verdict)
{
	rules_explain_stream(rules, stream, verdict, NULL, NULL);
}
