/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio's analyzeUnreachableHTTPRules and its kin for tls and tcp, in one pass: each match block is
 * written down as text, and a table of these texts finds equal ones. A block with a path prefix is
 * noted under what it asks beside it and the prefix too, so that a later block, which asks for the
 * same or more and has a longer prefix, finds it.
 */
#include "rules/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/schema.h"

#define PREFIX_MAX 4096 /* longer ones are not compared: it would take the square of their length */

/* What is said about routes and blocks, whichever kind they are. */
struct rule {
	struct where where;
	char name[80]; /* "#0", "tcp #0" or the name that it has */
	size_t n;      /* blocks */
};

struct reach {
	struct reader *reader;
	const char *kind;	/* before the number of a route: "", "tls ", "tcp " */
	struct table seen;	/* text of a block -> struct rule */
	struct table prefixes;	/* conditions and prefix of a block -> struct rule */
	uint64_t lengths[PREFIX_MAX / 64]; /* of prefixes that occur in it */
	const struct rule *bare; /* a route without matches */
};

static struct rule *new_rule(struct reach *reach, const struct where *where,
			     const struct text *name, size_t index, size_t n)
{
	struct rule *rule = region_alloc(&reach->reader->rules->region, sizeof(*rule));

	if (!rule)
		return NULL;
	rule->where = *where;
	rule->n = n;
	if (name && name->s)
		snprintf(rule->name, sizeof(rule->name), "\"%.60s\"", name->s);
	else
		snprintf(rule->name, sizeof(rule->name), "%s#%zu", reach->kind, index);
	return rule;
}

static void unreachable(struct reach *reach, const char *code, const struct rule *rule,
			const char *reason)
{
	reader_say(reach->reader, SEVERITY_WARNING, code, &rule->where,
		   "VirtualService rule %s not used (%s)", rule->name, reason);
}

static void ineffective(struct reach *reach, const struct rule *rule, const struct where *where,
			const struct text *name, size_t index, const struct rule *earlier)
{
	char block[80];

	if (name && name->s)
		snprintf(block, sizeof(block), "\"%.60s\"", name->s);
	else
		snprintf(block, sizeof(block), "#%zu", index);
	reader_say(reach->reader, SEVERITY_INFO, "IST0131", where,
		   "VirtualService rule %s match %s is not used (duplicate/overlapping match in "
		   "rule %s)",
		   rule->name, block, earlier->name);
}

/* ---- blocks as text ----------------------------------------------------------------------- */

static void write_string_match(FILE *out, const char *field, const struct string_match *match)
{
	const char *text = match->exact.s    ? match->exact.s
			   : match->prefix.s ? match->prefix.s
					     : match->regex.s;

	fprintf(out, "%s %d %zu %s\n", field, match->kind, text ? strlen(text) : 0,
		text ? text : "");
}

static int compare_names(const void *left, const void *right)
{
	const struct header_match *const *a = left, *const *b = right;

	return strcmp((*a)->name.s ? (*a)->name.s : "", (*b)->name.s ? (*b)->name.s : "");
}

/* A map has no order. */
static void write_map(FILE *out, const char *field, const struct list *list)
{
	const struct header_match *items = list->items;
	const struct header_match **sorted = calloc(list->n + 1, sizeof(*sorted));

	fprintf(out, "%s %zu\n", field, list->n);
	for (size_t i = 0; sorted && i < list->n; i++)
		sorted[i] = &items[i];
	if (sorted)
		qsort(sorted, list->n, sizeof(*sorted), compare_names);
	for (size_t i = 0; sorted && i < list->n; i++)
		write_string_match(out, sorted[i]->name.s ? sorted[i]->name.s : "",
				   &sorted[i]->match);
	free(sorted);
}

static void write_text(FILE *out, const char *field, const char *text)
{
	fprintf(out, "%s %zu %s\n", field, text ? strlen(text) : 0, text ? text : "");
}

static void write_filters(FILE *out, const struct list *source_labels, const struct list *gateways,
			  const struct text *source_namespace, const struct number *port)
{
	const struct pair *labels = source_labels->items;
	const struct text *names = gateways->items;

	for (size_t i = 0; i < source_labels->n; i++) {
		write_text(out, "label", labels[i].name.s);
		write_text(out, "is", labels[i].value.s);
	}
	for (size_t i = 0; i < gateways->n; i++)
		write_text(out, "gateway", names[i].s);
	write_text(out, "namespace", source_namespace->s);
	fprintf(out, "port %lld\n", port->set ? port->value : 0);
}

/* Which parts of a block are written. */
enum { WITH_URI = 1, WITH_METHOD = 2, WITH_AUTHORITY = 4, WITH_ALL = 7 };

static void write_block(FILE *out, const struct http_match *match, unsigned parts)
{
	write_map(out, "headers", &match->headers);
	write_map(out, "without", &match->without_headers);
	write_map(out, "query", &match->query_params);
	write_filters(out, &match->source_labels, &match->gateways, &match->source_namespace,
		      &match->port);
	fprintf(out, "case %d\n", match->ignore_uri_case.value);
	if (match->scheme)
		write_string_match(out, "scheme", match->scheme);
	if (match->method && (parts & WITH_METHOD))
		write_string_match(out, "method", match->method);
	if (match->authority && (parts & WITH_AUTHORITY))
		write_string_match(out, "authority", match->authority);
	if (match->uri && (parts & WITH_URI))
		write_string_match(out, "uri", match->uri);
}

static void write_l4_block(FILE *out, const struct l4_match *match)
{
	const struct text *snis = match->sni_hosts.items, *nets = match->destination_subnets.items;

	for (size_t i = 0; i < match->sni_hosts.n; i++)
		write_text(out, "sni", snis[i].s);
	for (size_t i = 0; i < match->destination_subnets.n; i++)
		write_text(out, "subnet", nets[i].s);
	write_filters(out, &match->source_labels, &match->gateways, &match->source_namespace,
		      &match->port);
}

/* Equal texts ask for the same. NULL: out of memory. To be freed. */
static char *block_text(const struct http_match *match, unsigned parts, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	write_block(out, match, parts);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static char *l4_block_text(const struct l4_match *match, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	write_l4_block(out, match);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* ---- what was there before ---------------------------------------------------------------- */

/* The rule that has a block of that text already; NULL: none, and it is noted. */
static const struct rule *seen_before(struct reach *reach, struct table *table, const char *text,
				      size_t len, const struct rule *rule)
{
	const struct rule *earlier = text ? table_get(table, text, len) : NULL;
	const char *kept;

	if (earlier)
		return earlier;
	kept = text ? region_strndup(&reach->reader->rules->region, text, len) : NULL;
	if (!kept || table_put(table, kept, len, (void *)rule) < 0)
		reader_oom(reach->reader);
	return NULL;
}

static bool is_prefix(const struct http_match *match)
{
	return match->uri && match->uri->kind == MATCH_PREFIX && match->uri->prefix.s;
}

/* `parts` beside the path, and then the first `n` bytes of the prefix. */
static char *prefix_key(const struct http_match *match, unsigned parts, size_t n, size_t *len)
{
	size_t rest;
	char *text = block_text(match, parts, &rest), *key;

	key = text ? malloc(rest + n) : NULL;
	if (key) {
		memcpy(key, text, rest);
		memcpy(key + rest, match->uri->prefix.s, n);
		*len = rest + n;
	}
	free(text);
	return key;
}

/* The rule with a block that has a beginning of this one's prefix and asks for nothing that this
 * one does not ask for. */
static const struct rule *covering(struct reach *reach, const struct http_match *match)
{
	size_t size = strlen(match->uri->prefix.s), len;
	const struct rule *found = NULL;

	for (unsigned parts = 0; parts <= (WITH_METHOD | WITH_AUTHORITY) && !found; parts += 2) {
		char *key;

		if ((!match->method && (parts & WITH_METHOD)) ||
		    (!match->authority && (parts & WITH_AUTHORITY)))
			continue;
		key = prefix_key(match, parts, size, &len);
		if (!key)
			reader_oom(reach->reader);
		for (size_t n = 0; key && n <= size && n < PREFIX_MAX && !found; n++)
			if (reach->lengths[n / 64] & UINT64_C(1) << (n % 64))
				found = table_get(&reach->prefixes, key, len - size + n);
		free(key);
	}
	return found;
}

static void note_prefix(struct reach *reach, const struct http_match *match,
			const struct rule *rule)
{
	size_t size = strlen(match->uri->prefix.s), len = 0;
	char *key;

	if (size >= PREFIX_MAX)
		return;
	key = prefix_key(match, WITH_METHOD | WITH_AUTHORITY, size, &len);
	reach->lengths[size / 64] |= UINT64_C(1) << (size % 64);
	seen_before(reach, &reach->prefixes, key, len, rule);
	free(key);
}

/* ---- rules -------------------------------------------------------------------------------- */

/* Of blocks: how many are written a second time, and how many an earlier prefix covers. */
struct tally {
	size_t repeated, covered;
};

static void check_block(struct reach *reach, const struct rule *rule,
			const struct http_match *match, size_t index, struct tally *tally)
{
	size_t len = 0;
	char *text = block_text(match, WITH_ALL, &len);
	const struct rule *earlier = seen_before(reach, &reach->seen, text, len, rule);

	free(text);
	tally->repeated += earlier != NULL;
	if (!earlier && is_prefix(match)) {
		earlier = covering(reach, match);
		tally->covered += earlier != NULL;
		if (!earlier)
			note_prefix(reach, match, rule);
	}
	if (earlier)
		ineffective(reach, rule, &match->where, &match->name, index, earlier);
}

/* A catch-all whatever this process is and whatever port is dialled. */
static bool is_final(const struct http_match *match)
{
	return match->catch_all && !match->port.set && !match->source_labels.n &&
	       !match->source_namespace.s && !match->gateways.n;
}

/* Returns whether what follows a route without matches has been dealt with. */
static bool check_bare(struct reach *reach, const struct rule *rule)
{
	if (reach->bare)
		unreachable(reach, "IST0130", rule,
			    rule->n ? "route without matches defined before"
				    : "only the last rule can have no matches");
	else if (!rule->n)
		reach->bare = rule;
	return reach->bare != NULL;
}

/* Istio drops what follows a match of everything, and its analysis does not look for that. */
static void after_final(struct reach *reach, const struct rule *rule,
			const struct http_match *final)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "a match of everything is defined before, %.180s:%d",
		 final->where.file, final->where.line);
	unreachable(reach, NULL, rule, reason);
}

static void check_http(struct reach *reach, const struct list *list)
{
	const struct http_route *routes = list->items;
	const struct http_match *final = NULL;

	/* Most services have one route with one block, of which there is nothing to say. */
	if (!list->n || (list->n == 1 && routes->match.n < 2))
		return;

	for (size_t i = 0; i < list->n; i++) {
		const struct http_match *matches = routes[i].match.items, *before = final;
		const struct rule *rule = new_rule(reach, &routes[i].where, &routes[i].name, i,
						   routes[i].match.n);
		struct tally tally = {0};

		if (!rule)
			return;
		if (!rule->n && final && !reach->bare)
			after_final(reach, rule, final);
		if (check_bare(reach, rule))
			continue;
		for (size_t j = 0; j < rule->n; j++) {
			check_block(reach, rule, &matches[j], j, &tally);
			if (is_final(&matches[j]) && !final)
				final = &matches[j];
		}
		if (tally.repeated == rule->n)
			unreachable(reach, "IST0130", rule, "all matches used by prior rules");
		else if (before && tally.repeated + tally.covered < rule->n)
			after_final(reach, rule, before);
	}
}

static void check_l4(struct reach *reach, const struct list *list)
{
	const struct l4_route *routes = list->items;

	for (size_t i = 0; i < list->n; i++) {
		const struct l4_match *matches = routes[i].match.items;
		const struct rule *rule =
		    new_rule(reach, &routes[i].where, NULL, i, routes[i].match.n);
		size_t repeated = 0;

		if (!rule)
			return;
		if (check_bare(reach, rule))
			continue;
		for (size_t j = 0; j < rule->n; j++) {
			size_t len = 0;
			char *text = l4_block_text(&matches[j], &len);
			const struct rule *earlier =
			    seen_before(reach, &reach->seen, text, len, rule);

			free(text);
			repeated += earlier != NULL;
			if (earlier)
				ineffective(reach, rule, &matches[j].where, NULL, j, earlier);
		}
		if (repeated == rule->n)
			unreachable(reach, "IST0130", rule, "all matches used by prior rules");
	}
}

void reach_check(struct reader *reader, const struct virtual_service *service)
{
	const struct walk {
		const char *kind;
		void (*check)(struct reach *reach, const struct list *list);
		const struct list *routes;
	} walks[] = {
	    {"", check_http, &service->http},
	    {"tls ", check_l4, &service->tls},
	    {"tcp ", check_l4, &service->tcp},
	};

	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		struct reach reach = {.reader = reader, .kind = walks[i].kind};

		table_init(&reach.seen);
		table_init(&reach.prefixes);
		walks[i].check(&reach, walks[i].routes);
		table_release(&reach.seen);
		table_release(&reach.prefixes);
	}
}
