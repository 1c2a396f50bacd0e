/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only shows when all resources lie side by side: Istio's analyzers (istio-semantics 4), and
 * the clusters that destinations name.
 */
#include <stdio.h>
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"
#include "rules/suggest.h"

/* Each guess looks at every host; a rule set full of mistakes must not take for ever. */
#define MAX_GUESSES 32

struct check {
	struct rules *rules;
	struct diags *diags;
	int guesses;
};

/* ---- names of resources ------------------------------------------------------------------- */

struct resource {
	struct where where;
	struct text name;
};

/* All kinds of resources begin alike; copied, not cast. */
static int check_names(struct check *check, const struct pointers *list, const char *kind)
{
	struct table names;
	int status = 0;

	table_init(&names);
	for (size_t i = 0; i < list->n && status == 0; i++) {
		const struct where *first;
		struct resource resource;

		memcpy(&resource, list->items[i], sizeof(resource));
		if (!resource.name.s)
			continue;
		first = table_get(&names, resource.name.s, strlen(resource.name.s));
		if (first)
			diag_add(check->diags, SEVERITY_ERROR, &resource.name.where,
				 "%s \"%s\" is already defined (%s:%d)", kind, resource.name.s,
				 first->file, first->line);
		else
			status = table_put(&names, resource.name.s, strlen(resource.name.s),
					   list->items[i]);
	}
	table_release(&names);
	return status;
}

/* ---- destinations ------------------------------------------------------------------------- */

static void unknown_host(struct check *check, const struct text *host)
{
	const struct service *cover = hostmap_find(&check->rules->services, host->s);
	const struct pointers *hosts = &check->rules->host_list;
	struct suggestion suggestion;

	suggestion_init(&suggestion, host->s);
	if (!cover && check->guesses++ < MAX_GUESSES)
		for (size_t i = 0; i < hosts->n; i++) {
			const struct host *candidate = hosts->items[i];

			if (candidate->service)
				suggestion_offer(&suggestion, candidate->registry.name);
		}
	if (cover)
		diag_add(
		    check->diags, SEVERITY_ERROR, &host->where,
		    "Referenced host not found: \"%s\" (the wildcard \"%s\" does not make it a "
		    "destination, name the host in a service entry)",
		    host->s, cover->host);
	else if (suggestion.best)
		diag_add(check->diags, SEVERITY_ERROR, &host->where,
			 "Referenced host not found: \"%s\" (did you mean \"%s\"?)", host->s,
			 suggestion.best);
	else
		diag_add(check->diags, SEVERITY_ERROR, &host->where,
			 "Referenced host not found: \"%s\"", host->s);
}

/* "80, 443" */
static const char *port_list(const struct service *service, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < service->n_clusters && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%u", i ? ", " : "",
					service->clusters[i].port);
	return out;
}

static void choose_cluster(struct check *check, struct destination *destination)
{
	const struct service *service = destination->service;
	const struct port_selector *port = destination->port;
	char ports[128];

	if (port && port->number.set) {
		destination->cluster = service_cluster(service, (unsigned)port->number.value);
		if (!destination->cluster)
			diag_add(check->diags, SEVERITY_ERROR, &port->number.where,
				 "Referenced host:port not found: \"%s:%lld\" (its ports are: %s)",
				 service->host, port->number.value,
				 port_list(service, ports, sizeof(ports)));
	} else if (service->n_clusters == 1) {
		destination->cluster = &service->clusters[0];
	} else if (service->n_clusters > 1) {
		diag_add(
		    check->diags, SEVERITY_WARNING, &destination->where,
		    "This VirtualService routes to a service \"%s\" that exposes multiple ports "
		    "[%s]. Specifying a port in the destination is required to disambiguate: "
		    "without one, it is the port that the program dialled",
		    service->host, port_list(service, ports, sizeof(ports)));
	} else {
		diag_add(check->diags, SEVERITY_ERROR, &destination->where,
			 "Referenced host \"%s\" has no ports", service->host);
	}
}

static void check_destination(struct check *check, struct destination *destination)
{
	const struct cluster *cluster;

	if (!destination || !destination->host.s)
		return;
	destination->service = hostmap_get(&check->rules->services, destination->host.s);
	if (!destination->service) {
		unknown_host(check, &destination->host);
		return;
	}
	choose_cluster(check, destination);
	cluster = destination->cluster;
	if (cluster && cluster->protocol == PROTOCOL_TLS && cluster->tls.mode == TLS_MODE_DISABLE)
		diag_add(check->diags, SEVERITY_WARNING, &destination->where,
			 "plain HTTP goes to port %u of \"%s\", which expects TLS: no "
			 "DestinationRule sets a tls mode for it",
			 cluster->port, cluster->host);
}

static void check_routes(struct check *check, struct virtual_service *service)
{
	struct http_route *routes = service->http.items;

	/* One for gateways may name what only a cluster knows. */
	for (size_t i = 0; !service->inert && i < service->http.n; i++) {
		struct route_destination *destinations = routes[i].route.items;

		for (size_t j = 0; j < routes[i].route.n; j++)
			check_destination(check, destinations[j].destination);
	}
}

/* ---- destination rules -------------------------------------------------------------------- */

/* Which hosts of DestinationRules some service falls under. */
static int mark_used(const struct rules *rules, struct hostmap *used)
{
	for (size_t i = 0; i < rules->host_list.n; i++) {
		const struct host *host = rules->host_list.items[i];
		struct hostmap_walk walk;
		const struct destination_rule *rule;

		if (!host->service)
			continue;
		hostmap_walk_init(&walk, &rules->policies, host->registry.name);
		while ((rule = hostmap_walk_next(&walk)))
			if (!hostmap_get(used, rule->host.s) &&
			    hostmap_put(used, rule->host.s, (void *)rule) < 0)
				return -1;
	}
	return 0;
}

static int check_rule_hosts(struct check *check)
{
	const struct pointers *list = &check->rules->destination_rules;
	struct hostmap used;
	int status;

	hostmap_init(&used);
	status = mark_used(check->rules, &used);
	for (size_t i = 0; i < list->n && status == 0; i++) {
		const struct destination_rule *rule = list->items[i];

		if (rule->host.s && !hostmap_get(&used, rule->host.s))
			diag_add(check->diags, SEVERITY_WARNING, &rule->host.where,
				 "The host %s defined in the DestinationRule does not match any "
				 "services in the mesh",
				 rule->host.s);
	}
	hostmap_release(&used);
	return status;
}

/* Two policies for one host: Istio takes the first and says nothing. */
static void check_hidden_policies(struct check *check)
{
	const struct pointers *list = &check->rules->destination_rules;

	for (size_t i = 0; i < list->n; i++) {
		const struct destination_rule *rule = list->items[i];
		const struct destination_rule *first =
		    rule->host.s ? hostmap_get(&check->rules->policies, rule->host.s) : NULL;

		if (first && rule->traffic_policy && first->traffic_policy != rule->traffic_policy)
			diag_add(
			    check->diags, SEVERITY_WARNING, &rule->traffic_policy->where,
			    "host \"%s\" already has a trafficPolicy (%s:%d): the first one wins",
			    rule->host.s, first->traffic_policy->where.file,
			    first->traffic_policy->where.line);
	}
}

int rules_check(struct rules *rules, struct diags *diags)
{
	struct check check = {.rules = rules, .diags = diags};

	if (check_names(&check, &rules->service_entries, "service entry") < 0 ||
	    check_names(&check, &rules->virtual_services, "virtual service") < 0 ||
	    check_names(&check, &rules->destination_rules, "destination rule") < 0)
		return -1;
	for (size_t i = 0; i < rules->virtual_services.n; i++)
		check_routes(&check, rules->virtual_services.items[i]);
	check_hidden_policies(&check);
	return check_rule_hosts(&check);
}
