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

/* A host name as tables are keyed by it. NULL: out of memory. */
static const char *key_of(struct rules *rules, const char *host)
{
	char key[256];

	rules_host_key(rules, host, key);
	return strcmp(key, host) != 0 ? region_strdup(&rules->region, key) : host;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* "ServiceEntry github" */
static const char *resource_of(struct rules *rules, const char *kind, const struct text *name)
{
	return region_printf(&rules->region, "%s %s", kind, or_empty(name->s));
}

/* ---- policies ----------------------------------------------------------------------------- */

static int add_subsets(struct rules *rules, struct merged_rule *merged,
		       const struct destination_rule *rule)
{
	const struct subset *subsets = rule->subsets.items;

	for (size_t i = 0; i < rule->subsets.n; i++) {
		const struct merged_subset *other = merged->subsets;
		struct merged_subset *added;

		while (other && subsets[i].name.s &&
		       strcmp(other->subset->name.s, subsets[i].name.s) != 0)
			other = other->next;
		if (!subsets[i].name.s || other)
			continue; /* the first of a name counts; check.c says so */
		added = region_alloc(&rules->region, sizeof(*added));
		if (!added)
			return -1;
		added->subset = &subsets[i];
		added->rule = rule;
		if (merged->last)
			merged->last->next = added;
		else
			merged->subsets = added;
		merged->last = added;
		merged->n_subsets++;
	}
	return 0;
}

static int add_policy(struct rules *rules, const struct destination_rule *rule)
{
	struct merged_rule *merged;
	const char *key;

	if (!rule->host.s)
		return 0;
	key = key_of(rules, rule->host.s);
	merged = key ? hostmap_get(&rules->policies, key) : NULL;
	/* A host whose rules have no trafficPolicy still hides wildcards. */
	if (key && !merged) {
		merged = region_alloc(&rules->region, sizeof(*merged));
		if (!merged || hostmap_put(&rules->policies, key, merged) < 0)
			return -1;
		merged->first = rule;
	}
	if (!merged)
		return -1;
	if (!merged->policy)
		merged->policy = rule->traffic_policy;
	return add_subsets(rules, merged, rule);
}

/* ---- services ----------------------------------------------------------------------------- */

static const struct service_port *same_port(const struct service_entry *entry,
					    const struct service_port *port)
{
	const struct service_port *ports = entry->ports.items;

	for (size_t i = 0; i < entry->ports.n; i++)
		if (port->number.set && ports[i].number.set &&
		    ports[i].number.value == port->number.value)
			return &ports[i];
	return NULL;
}

/* Istio keeps the oldest service of a name; here, the first in file order. */
static void warn_hidden_service(struct rules *rules, struct diags *diags,
				const struct service *first, const struct service_entry *entry,
				const struct text *host)
{
	const struct service_port *ports = entry->ports.items;
	struct topic topic = {"IST0177", resource_of(rules, "ServiceEntry", &entry->name)};

	for (size_t i = 0; i < entry->ports.n; i++) {
		const struct service_port *other = same_port(first->entry, &ports[i]);

		if (other && other->protocol.value != ports[i].protocol.value)
			diag_about(diags, SEVERITY_WARNING, &topic, &ports[i].where,
				   "Multiple ServiceEntries (%s, %s) define the same host \"%s\" "
				   "and port %lld with conflicting protocols (%s, %s)",
				   or_empty(first->entry->name.s), or_empty(entry->name.s), host->s,
				   ports[i].number.value, service_protocol_name(other),
				   service_protocol_name(&ports[i]));
	}
	topic.code = NULL;
	diag_about(
	    diags, SEVERITY_WARNING, &topic, &host->where,
	    "host \"%s\" is already defined by service entry \"%s\" (%s:%d): the first one wins",
	    host->s, or_empty(first->entry->name.s), first->where.file, first->where.line);
}

/* One cluster for each port, then one for each port of each subset. */
static int add_clusters(struct rules *rules, struct service *service)
{
	const struct list *list = &service->entry->ports;
	const struct service_port *ports = list->items;
	size_t groups = 1 + (service->rule ? service->rule->n_subsets : 0);
	const struct merged_subset *subset = NULL;

	service->clusters = region_array(&rules->region, list->n * groups, sizeof(struct cluster));
	if (!service->clusters)
		return -1;
	for (size_t group = 0; group < groups; group++) {
		for (size_t i = 0; i < list->n; i++) {
			if (!ports[i].number.set)
				continue;
			if (rules_build_cluster(&rules->region, service, &ports[i],
						subset ? subset->subset : NULL,
						&service->clusters[service->n_all]) < 0)
				return -1;
			service->n_all++;
		}
		if (!group)
			service->n_clusters = service->n_all;
		subset = subset ? subset->next : service->rule ? service->rule->subsets : NULL;
	}
	return 0;
}

static int add_service(struct rules *rules, const struct service_entry *entry,
		       const struct text *host, struct diags *diags)
{
	const char *key = key_of(rules, host->s);
	const struct service *first = key ? hostmap_get(&rules->services, key) : NULL;
	struct service *service;

	if (first) {
		warn_hidden_service(rules, diags, first, entry, host);
		return 0;
	}
	service = key ? region_alloc(&rules->region, sizeof(*service)) : NULL;
	if (!service)
		return -1;
	service->host = host->s;
	service->wildcard = host->s[0] == '*';
	service->entry = entry;
	service->rule = hostmap_find(&rules->policies, key);
	service->where = host->where;
	if (add_clusters(rules, service) < 0)
		return -1;
	return hostmap_put(&rules->services, key, service);
}

/* ---- routes ------------------------------------------------------------------------------- */

static void warn_hidden_routes(struct rules *rules, struct diags *diags,
			       const struct route_host *first,
			       const struct virtual_service *service, const struct text *host)
{
	const struct topic topic = {"IST0109",
				    resource_of(rules, "VirtualService", &service->name)};

	diag_about(diags, SEVERITY_ERROR, &topic, &host->where,
		   "The VirtualServices %s, %s associated with mesh gateway define the same host "
		   "%s which can lead to undefined behavior: the first one wins (%s:%d)",
		   or_empty(first->service->name.s), or_empty(service->name.s), host->s,
		   first->host->where.file, first->host->where.line);
}

static int add_routes(struct rules *rules, const struct virtual_service *service,
		      struct diags *diags)
{
	const struct text *hosts = service->hosts.items;

	for (size_t i = 0; !service->inert && i < service->hosts.n; i++) {
		const char *key = key_of(rules, hosts[i].s);
		const struct route_host *first = key ? hostmap_get(&rules->routes, key) : NULL;
		struct route_host *added;

		if (first && first->service != service)
			warn_hidden_routes(rules, diags, first, service, &hosts[i]);
		if (first)
			continue;
		added = key ? region_alloc(&rules->region, sizeof(*added)) : NULL;
		if (!added)
			return -1;
		added->service = service;
		added->host = &hosts[i];
		if (hostmap_put(&rules->routes, key, added) < 0)
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
		if (protocol_is_http(service->clusters[i].protocol))
			return true;
	return false;
}

static int add_service_host(struct rules *rules, const char *key, const struct service *service)
{
	struct host *host = add_host(rules, key, &service->where);
	struct hostmap_walk walk;
	struct route_host *routes;

	if (!host)
		return -1;
	host->service = service;
	host->registry.addresses = service->entry->parsed_addresses;
	host->registry.n_addresses = service->entry->n_parsed_addresses;
	hostmap_walk_init(&walk, &rules->routes, key);
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
		const char *key = key_of(rules, hosts[i].s);
		const struct route_host *routes = key ? hostmap_get(&rules->routes, key) : NULL;
		struct host *host = key ? hostmap_get(&rules->hosts, key) : NULL;

		if (!key)
			return -1;
		if (!routes || routes->service != service || (!host && routes->expanded))
			continue;
		if (!host)
			host = add_host(rules, key, &hosts[i].where);
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
			const char *key = key_of(rules, hosts[j].s);
			const struct service *service =
			    key ? hostmap_get(&rules->services, key) : NULL;

			if (!key || (service && !hostmap_get(&rules->hosts, key) &&
				     add_service_host(rules, key, service) < 0))
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
	const struct workload *workload = rules->mesh_config ? rules->mesh_config->workload : NULL;

	if (workload && workload->namespace.s) {
		rules->namespace = workload->namespace.s;
		rules->domain = workload->domain.s ? workload->domain.s : "cluster.local";
	}
	if (rules_inline_delegates(rules, diags) < 0)
		return -1;
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
