/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From resources to what requests meet: tables of policies and services by host, then the registry
 * hosts (hosts.c). Every step is one walk over a list with look-ups in tables, so that the whole is
 * linear in the size of the rules.
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

const char *rules_key_of(struct rules *rules, const char *host)
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
		const char *name = subsets[i].name.s;
		struct merged_subset *added;

		if (!name || table_get(&merged->names, name, strlen(name)))
			continue; /* the first of a name counts; check.c says so */
		added = region_alloc(&rules->region, sizeof(*added));
		if (!added || table_put(&merged->names, name, strlen(name), added) < 0)
			return -1;
		added->subset = &subsets[i];
		added->rule = rule;
		added->index = merged->n_subsets;
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
	key = rules_key_of(rules, rule->host.s);
	merged = key ? hostmap_get(&rules->policies, key) : NULL;
	/* A host whose rules have no trafficPolicy still hides wildcards. */
	if (key && !merged) {
		merged = region_alloc(&rules->region, sizeof(*merged));
		if (!merged || pointers_add(&rules->merged, merged) < 0 ||
		    hostmap_put(&rules->policies, key, merged) < 0)
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
	struct service_port *ports = list->items;
	size_t groups = 1 + (service->rule ? service->rule->n_subsets : 0);
	const struct merged_subset *subset = NULL;

	service->clusters = region_array(&rules->region, list->n * groups, sizeof(struct cluster));
	if (!service->clusters)
		return -1;
	for (size_t group = 0; group < groups; group++) {
		for (size_t i = 0; i < list->n; i++) {
			if (!ports[i].number.set)
				continue;
			if (rules_build_cluster(rules, service, &ports[i],
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
	const char *key = rules_key_of(rules, host->s);
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
	return rules_build_hosts(rules, diags);
}
