/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that the mesh knows, each joined with the VirtualServices that apply to it
 * (istio-semantics 2.1, 2.2). In Istio every port has a table of virtual hosts of its own; here one
 * table says for each host, and for the ports where that makes a difference, what it comes to:
 *
 *   - A registered host has its VirtualServices in the order in which they count: those that name it, in
 *     file order, then those with wildcards, the longest first. The first one with an http route for
 *     the port takes the requests; tls and tcp routes of all of them count.
 *   - A name that is registered nowhere, or not with that port, is a host of its own on port 80, and
 *     on the ports where its VirtualService covers a registered host that speaks HTTP.
 *   - A wildcard that covers registered hosts with a port applies to these, and is no name of its own
 *     on that port.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"

/* ---- routes by host ----------------------------------------------------------------------- */

static void warn_same_host(struct rules *rules, struct diags *diags,
			   const struct route_hosts *hosts, const struct virtual_service *service,
			   const struct text *host)
{
	const struct route_host *first = hosts->first;
	const char *one = first->service->name.s, *other = service->name.s;
	const struct topic topic = {"IST0109", region_printf(&rules->region, "VirtualService %s",
							     other ? other : "")};

	diag_about(diags, SEVERITY_ERROR, &topic, &host->where,
		   "The VirtualServices %s, %s associated with mesh gateway define the same host "
		   "%s which can lead to undefined behavior: the first one wins (%s:%d)",
		   one ? one : "", other ? other : "", host->s, first->host->where.file,
		   first->host->where.line);
}

static struct route_hosts *hosts_of(struct rules *rules, const char *key)
{
	struct route_hosts *hosts = hostmap_get(&rules->routes, key);

	if (hosts)
		return hosts;
	hosts = region_alloc(&rules->region, sizeof(*hosts));
	return hosts && hostmap_put(&rules->routes, key, hosts) == 0 ? hosts : NULL;
}

static int add_route_host(struct rules *rules, struct virtual_service *service,
			  const struct text *host, struct diags *diags)
{
	const char *key = rules_key_of(rules, host->s);
	struct route_hosts *hosts = key ? hosts_of(rules, key) : NULL;
	struct route_host *added;

	if (!hosts)
		return -1;
	/* Two spellings of one name, in one VirtualService. */
	if (hosts->last && hosts->last->service == service)
		return 0;
	added = region_alloc(&rules->region, sizeof(*added));
	if (!added)
		return -1;
	added->service = service;
	added->host = host;
	if (hosts->first) {
		warn_same_host(rules, diags, hosts, service, host);
		hosts->last->next = added;
	} else {
		hosts->first = added;
	}
	hosts->last = added;
	return 0;
}

static int add_routes(struct rules *rules, struct diags *diags)
{
	for (size_t i = 0; i < rules->virtual_services.n; i++) {
		struct virtual_service *service = rules->virtual_services.items[i];
		const struct text *hosts = service->hosts.items;

		for (size_t j = 0; !service->inert && j < service->hosts.n; j++)
			if (add_route_host(rules, service, &hosts[j], diags) < 0)
				return -1;
	}
	return 0;
}

/* ---- registered hosts --------------------------------------------------------------------- */

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

/* What a VirtualService's host and a service have in common decides where the former is open. */
static int note_ports(struct region *region, struct route_hosts *hosts,
		      const struct service *service)
{
	for (size_t i = 0; i < service->n_clusters; i++) {
		const struct cluster *cluster = &service->clusters[i];

		if (port_set_add(&hosts->covered, region, cluster->port) < 0 ||
		    (protocol_is_http(cluster->protocol) &&
		     port_set_add(&hosts->http, region, cluster->port) < 0))
			return -1;
	}
	return 0;
}

static int join_routes(struct rules *rules, struct host *host, const char *key)
{
	struct hostmap_walk walk;
	struct route_hosts *hosts;

	hostmap_walk_init(&walk, &rules->routes, key);
	while ((hosts = hostmap_walk_next(&walk))) {
		if (!host->routes)
			host->routes = hosts->first->service;
		if (note_ports(&rules->region, hosts, host->service) < 0)
			return -1;
	}
	return 0;
}

/* Istio makes a service's addresses names of its virtual host. */
static int add_addresses(struct rules *rules, const struct host *host)
{
	for (size_t i = 0; i < host->registry.n_addresses; i++) {
		const struct rules_address *address = &host->registry.addresses[i];
		const char *key = (const char *)&address->address;

		if (address->prefix == 128 &&
		    !table_get(&rules->addresses, key, sizeof(address->address)) &&
		    table_put(&rules->addresses, key, sizeof(address->address), (void *)host) < 0)
			return -1;
	}
	return 0;
}

static int add_service_host(struct rules *rules, const char *key, const struct service *service)
{
	struct host *host = add_host(rules, key, &service->where);

	if (!host)
		return -1;
	host->service = service;
	host->registry.addresses = service->entry->parsed_addresses;
	host->registry.n_addresses = service->entry->n_parsed_addresses;
	host->registry.original = !service->entry->resolution.set ||
				  service->entry->resolution.value == RESOLUTION_NONE + 1;
	if (join_routes(rules, host, key) < 0)
		return -1;
	return add_addresses(rules, host);
}

static int add_service_hosts(struct rules *rules)
{
	for (size_t i = 0; i < rules->service_entries.n; i++) {
		const struct service_entry *entry = rules->service_entries.items[i];
		const struct text *hosts = entry->hosts.items;

		for (size_t j = 0; j < entry->hosts.n; j++) {
			const char *key = rules_key_of(rules, hosts[j].s);
			const struct service *service =
			    key ? hostmap_get(&rules->services, key) : NULL;

			if (!key || (service && !hostmap_get(&rules->hosts, key) &&
				     add_service_host(rules, key, service) < 0))
				return -1;
		}
	}
	return 0;
}

/* ---- names of VirtualServices alone ------------------------------------------------------- */

/* The ports of all its hosts together. */
static int collect_ports(struct rules *rules, struct virtual_service *service)
{
	const struct text *items = service->hosts.items;

	for (size_t i = 0; i < service->hosts.n; i++) {
		const char *key = rules_key_of(rules, items[i].s);
		const struct route_hosts *hosts = key ? hostmap_get(&rules->routes, key) : NULL;

		if (!key)
			return -1;
		for (size_t j = 0; hosts && j < hosts->http.n; j++)
			if (port_set_add(&service->http_ports, &rules->region,
					 hosts->http.items[j]) < 0)
				return -1;
	}
	return 0;
}

/* Whether some port is open for it. */
static bool is_open(const struct route_hosts *hosts, const struct route_host *host)
{
	const struct port_set *ports = &host->service->http_ports;

	if (route_host_opens(hosts, host, 80))
		return true;
	for (size_t i = 0; i < ports->n; i++)
		if (route_host_opens(hosts, host, ports->items[i]))
			return true;
	return false;
}

static int add_named_host(struct rules *rules, const char *key, const struct route_hosts *hosts)
{
	struct host *host = hostmap_get(&rules->hosts, key);
	const struct route_host *open = hosts->first;

	while (open && !is_open(hosts, open))
		open = open->next;
	if (!open)
		return 0;
	if (!host)
		host = add_host(rules, key, &open->host->where);
	if (!host)
		return -1;
	host->named = hosts;
	return 0;
}

static int add_named_hosts(struct rules *rules)
{
	for (size_t i = 0; i < rules->virtual_services.n; i++) {
		struct virtual_service *service = rules->virtual_services.items[i];

		if (!service->inert && collect_ports(rules, service) < 0)
			return -1;
	}
	for (size_t i = 0; i < rules->virtual_services.n; i++) {
		const struct virtual_service *service = rules->virtual_services.items[i];
		const struct text *items = service->hosts.items;

		for (size_t j = 0; !service->inert && j < service->hosts.n; j++) {
			const char *key = rules_key_of(rules, items[j].s);
			const struct route_hosts *hosts =
			    key ? hostmap_get(&rules->routes, key) : NULL;

			/* Once for each name, with the first that names it. */
			if (!key || (hosts && hosts->first->host == &items[j] &&
				     add_named_host(rules, key, hosts) < 0))
				return -1;
		}
	}
	return 0;
}

static int compare_hosts(const void *left, const void *right)
{
	const struct host *const *a = left, *const *b = right;

	return strcmp((*a)->registry.name, (*b)->registry.name);
}

int rules_build_hosts(struct rules *rules, struct diags *diags)
{
	if (add_routes(rules, diags) < 0 || add_service_hosts(rules) < 0 ||
	    add_named_hosts(rules) < 0)
		return -1;
	if (rules->host_list.n)
		qsort(rules->host_list.items, rules->host_list.n, sizeof(void *), compare_hosts);
	return 0;
}
