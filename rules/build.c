/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From resources to what requests meet: tables of services, policies and routes by host, then the
 * registry hosts, each joined with what applies to it. Every step is one walk over a list with
 * look-ups in tables, so that the whole is linear in the size of the rules.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"

int pointers_add(struct pointers *pointers, void *item)
{
	if (pointers->n == pointers->size) {
		size_t size = pointers->size ? pointers->size * 2 : 16;
		void **grown = realloc(pointers->items, size * sizeof(*grown));

		if (!grown)
			return -1;
		pointers->items = grown;
		pointers->size = size;
	}
	pointers->items[pointers->n++] = item;
	return 0;
}

void pointers_release(struct pointers *pointers)
{
	free(pointers->items);
	memset(pointers, 0, sizeof(*pointers));
}

/* ---- services ----------------------------------------------------------------------------- */

/* Istio keeps the oldest service of a name; here, the first in file order. */
static void warn_hidden_service(struct diags *diags, const struct service *first,
				const struct service_entry *entry, const struct text *host)
{
	const struct service_port *ports = entry->ports.items;

	for (size_t i = 0; i < entry->ports.n; i++) {
		const struct cluster *cluster =
		    ports[i].number.set ? service_cluster(first, (unsigned)ports[i].number.value)
					: NULL;

		if (cluster && ports[i].protocol.set &&
		    (int)cluster->protocol != ports[i].protocol.value - 1)
			diag_add(diags, SEVERITY_WARNING, &ports[i].where,
				 "Multiple ServiceEntries (%s, %s) define the same host \"%s\" and "
				 "port %u with conflicting protocols",
				 first->entry->name.s ? first->entry->name.s : "",
				 entry->name.s ? entry->name.s : "", host->s, cluster->port);
	}
	diag_add(
	    diags, SEVERITY_WARNING, &host->where,
	    "host \"%s\" is already defined by service entry \"%s\" (%s:%d): the first one wins",
	    host->s, first->entry->name.s ? first->entry->name.s : "", first->where.file,
	    first->where.line);
}

static int add_service(struct rules *rules, const struct service_entry *entry,
		       const struct text *host, struct diags *diags)
{
	const struct service_port *ports = entry->ports.items;
	const struct service *first = hostmap_get(&rules->services, host->s);
	const struct destination_rule *rule = hostmap_find(&rules->policies, host->s);
	struct service *service;

	if (first) {
		warn_hidden_service(diags, first, entry, host);
		return 0;
	}
	service = region_alloc(&rules->region, sizeof(*service));
	if (!service)
		return -1;
	service->host = host->s;
	service->wildcard = host->s[0] == '*';
	service->entry = entry;
	service->policy = rule ? rule->traffic_policy : NULL;
	service->where = host->where;
	service->clusters = region_array(&rules->region, entry->ports.n, sizeof(struct cluster));
	if (!service->clusters)
		return -1;
	for (size_t i = 0; i < entry->ports.n; i++) {
		if (!ports[i].number.set)
			continue;
		if (rules_build_cluster(&rules->region, service, &ports[i],
					&service->clusters[service->n_clusters]) < 0)
			return -1;
		service->n_clusters++;
	}
	return hostmap_put(&rules->services, host->s, service);
}

/* ---- policies and routes ------------------------------------------------------------------ */

static int add_policy(struct rules *rules, struct destination_rule *rule)
{
	struct destination_rule *first;

	if (!rule->host.s)
		return 0;
	first = hostmap_get(&rules->policies, rule->host.s);
	/* Rules for one host are merged: the first trafficPolicy wins (istio-semantics 1.3). A
	 * host whose rules have none still hides wildcards. */
	if (!first)
		return hostmap_put(&rules->policies, rule->host.s, rule);
	if (first->traffic_policy || !rule->traffic_policy)
		return 0;
	first->traffic_policy = rule->traffic_policy;
	return 0;
}

static int add_routes(struct rules *rules, const struct virtual_service *service,
		      struct diags *diags)
{
	const struct text *hosts = service->hosts.items;

	for (size_t i = 0; !service->inert && i < service->hosts.n; i++) {
		const struct route_host *first = hostmap_get(&rules->routes, hosts[i].s);
		struct route_host *added;

		if (first && first->service != service)
			diag_add(
			    diags, SEVERITY_WARNING, &hosts[i].where,
			    "The VirtualServices %s, %s associated with mesh gateway define the "
			    "same host %s which can lead to undefined behavior: the first one wins "
			    "(%s:%d)",
			    first->service->name.s ? first->service->name.s : "",
			    service->name.s ? service->name.s : "", hosts[i].s,
			    first->host->where.file, first->host->where.line);
		if (first)
			continue;
		added = region_alloc(&rules->region, sizeof(*added));
		if (!added)
			return -1;
		added->service = service;
		added->host = &hosts[i];
		if (hostmap_put(&rules->routes, hosts[i].s, added) < 0)
			return -1;
	}
	return 0;
}

/* ---- hosts -------------------------------------------------------------------------------- */

static struct host *add_host(struct rules *rules, const char *name, const struct where *where)
{
	struct host *host = region_alloc(&rules->region, sizeof(*host));

	if (!host || hostmap_put(&rules->hosts, name, host) < 0 ||
	    pointers_add(&rules->host_list, host) < 0)
		return NULL;
	host->registry.name = name;
	host->registry.wildcard = name[0] == '*';
	host->registry.where = *where;
	return host;
}

static bool has_http_port(const struct service *service)
{
	for (size_t i = 0; i < service->n_clusters; i++)
		if (service->clusters[i].protocol == PROTOCOL_HTTP)
			return true;
	return false;
}

static int add_service_host(struct rules *rules, const struct service *service)
{
	struct host *host = add_host(rules, service->host, &service->where);
	struct hostmap_walk walk;
	struct route_host *routes;

	if (!host)
		return -1;
	host->service = service;
	host->registry.addresses = service->entry->parsed_addresses;
	host->registry.n_addresses = service->entry->n_parsed_addresses;
	hostmap_walk_init(&walk, &rules->routes, service->host);
	while ((routes = hostmap_walk_next(&walk))) {
		if (!host->routes)
			host->routes = routes->service;
		if (routes->host->s[0] == '*' && has_http_port(service))
			routes->expanded = true;
	}
	return 0;
}

static int add_route_hosts(struct rules *rules, const struct virtual_service *service)
{
	const struct text *hosts = service->hosts.items;

	for (size_t i = 0; !service->inert && i < service->hosts.n; i++) {
		const struct route_host *routes = hostmap_get(&rules->routes, hosts[i].s);
		struct host *host = hostmap_get(&rules->hosts, hosts[i].s);

		if (!routes || routes->service != service || (!host && routes->expanded))
			continue;
		if (!host)
			host = add_host(rules, hosts[i].s, &hosts[i].where);
		if (!host)
			return -1;
		host->routes = service;
		host->named = true;
	}
	return 0;
}

static int compare_hosts(const void *left, const void *right)
{
	const struct host *const *a = left, *const *b = right;

	return strcmp((*a)->registry.name, (*b)->registry.name);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int build_services(struct rules *rules, struct diags *diags)
{
	for (size_t i = 0; i < rules->service_entries.n; i++) {
		const struct service_entry *entry = rules->service_entries.items[i];
		const struct text *hosts = entry->hosts.items;

		for (size_t j = 0; j < entry->hosts.n; j++)
			if (add_service(rules, entry, &hosts[j], diags) < 0)
				return -1;
	}
	return 0;
}

static int build_hosts(struct rules *rules)
{
	for (size_t i = 0; i < rules->service_entries.n; i++) {
		const struct service_entry *entry = rules->service_entries.items[i];
		const struct text *hosts = entry->hosts.items;

		for (size_t j = 0; j < entry->hosts.n; j++) {
			const struct service *service = hostmap_get(&rules->services, hosts[j].s);

			if (!service || hostmap_get(&rules->hosts, hosts[j].s))
				continue;
			if (add_service_host(rules, service) < 0)
				return -1;
		}
	}
	for (size_t i = 0; i < rules->virtual_services.n; i++)
		if (add_route_hosts(rules, rules->virtual_services.items[i]) < 0)
			return -1;
	if (rules->host_list.n)
		qsort(rules->host_list.items, rules->host_list.n, sizeof(void *), compare_hosts);
	return 0;
}

int rules_build(struct rules *rules, struct diags *diags)
{
	for (size_t i = 0; i < rules->destination_rules.n; i++)
		if (add_policy(rules, rules->destination_rules.items[i]) < 0)
			return -1;
	if (build_services(rules, diags) < 0)
		return -1;
	for (size_t i = 0; i < rules->virtual_services.n; i++)
		if (add_routes(rules, rules->virtual_services.items[i], diags) < 0)
			return -1;
	return build_hosts(rules);
}
