/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only shows when all resources lie side by side: Istio's analyzers (istio-semantics 4), and
 * the clusters that destinations name.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rules/diag.h"
#include "rules/model.h"
#include "rules/suggest.h"

/* Each guess looks at every host or subset; a rule set full of mistakes must not take for ever. */
#define MAX_GUESSES 32

struct check {
	struct rules *rules;
	struct diags *diags;
	const char *kind, *name; /* of the resource that is being looked at */
	int guesses;
};

static void say(struct check *check, enum severity severity, const char *code,
		const struct where *where, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void say(struct check *check, enum severity severity, const char *code,
		const struct where *where, const char *format, ...)
{
	char resource[512], text[1024];
	const struct topic topic = {code, resource};
	va_list args;

	snprintf(resource, sizeof(resource), "%s %s", check->kind, check->name);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	diag_about(check->diags, severity, &topic, where, "%s", text);
}

static void set_resource(struct check *check, const char *kind, const struct text *name)
{
	check->kind = kind;
	check->name = name->s ? name->s : "";
}

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
		set_resource(check, kind, &resource.name);
		if (first)
			say(check, SEVERITY_REJECTED, NULL, &resource.name.where,
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

/* The service of a host, NULL: none. `host` is normalized. */
static const struct service *find_service(const struct check *check, const char *host)
{
	char key[256];

	return hostmap_get(&check->rules->services, rules_host_key(check->rules, host, key));
}

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
	if (cover) /* Istio's analysis is content with it */
		say(check, SEVERITY_WARNING, NULL, &host->where,
		    "the wildcard \"%s\" does not make \"%s\" a destination, requests are "
		    "answered 503: name the host in a service entry",
		    cover->host, host->s);
	else if (suggestion.best)
		say(check, SEVERITY_ERROR, "IST0101", &host->where,
		    "Referenced host not found: \"%s\" (did you mean \"%s\"?)", host->s,
		    suggestion.best);
	else
		say(check, SEVERITY_ERROR, "IST0101", &host->where,
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

static bool has_subset(const struct service *service, const char *subset)
{
	return service->rule && table_get(&service->rule->names, subset, strlen(subset));
}

static void unknown_subset(struct check *check, const struct destination *destination)
{
	const struct service *service = destination->service;
	const struct merged_subset *known = service->rule ? service->rule->subsets : NULL;
	struct suggestion suggestion;

	suggestion_init(&suggestion, destination->subset.s);
	if (check->guesses++ < MAX_GUESSES)
		for (; known; known = known->next)
			suggestion_offer(&suggestion, known->subset->name.s);
	if (suggestion.best)
		say(check, SEVERITY_ERROR, "IST0101", &destination->subset.where,
		    "Referenced host+subset in destinationrule not found: \"%s+%s\" (did you mean "
		    "\"%s\"?)",
		    destination->host.s, destination->subset.s, suggestion.best);
	else
		say(check, SEVERITY_ERROR, "IST0101", &destination->subset.where,
		    "Referenced host+subset in destinationrule not found: \"%s+%s\"",
		    destination->host.s, destination->subset.s);
}

static const struct cluster *cluster_of(const struct destination *destination, unsigned port)
{
	if (destination->subset.s && *destination->subset.s)
		return service_subset(destination->service, destination->subset.s, port);
	return service_cluster(destination->service, port);
}

static void choose_cluster(struct check *check, struct destination *destination)
{
	const struct service *service = destination->service;
	const struct port_selector *port = destination->port;
	char ports[128];

	if (port && port->number.set) {
		destination->cluster = cluster_of(destination, (unsigned)port->number.value);
		if (!service_cluster(service, (unsigned)port->number.value))
			say(check, SEVERITY_ERROR, "IST0101", &port->number.where,
			    "Referenced host:port not found: \"%s:%lld\" (its ports are: %s)",
			    service->host, port->number.value,
			    port_list(service, ports, sizeof(ports)));
	} else if (service->n_clusters == 1) {
		destination->cluster = cluster_of(destination, service->clusters[0].port);
	} else if (service->n_clusters > 1) {
		say(check, SEVERITY_ERROR, "IST0112", &destination->where,
		    "This VirtualService routes to a service \"%s\" that exposes multiple ports "
		    "[%s]. Specifying a port in the destination is required to disambiguate: "
		    "without one, it is the port that the program dialled",
		    service->host, port_list(service, ports, sizeof(ports)));
	} else {
		say(check, SEVERITY_ERROR, "IST0101", &destination->where,
		    "Referenced host \"%s\" has no ports", service->host);
	}
}

/* `http`: requests are sent there, which the bridge has to encrypt where the port expects it. */
static void check_destination(struct check *check, struct destination *destination, bool http)
{
	const struct cluster *cluster;

	if (!destination || !destination->host.s)
		return;
	destination->service = find_service(check, destination->host.s);
	if (!destination->service) {
		unknown_host(check, &destination->host);
		return;
	}
	choose_cluster(check, destination);
	if (destination->subset.s && *destination->subset.s &&
	    !has_subset(destination->service, destination->subset.s))
		unknown_subset(check, destination);
	cluster = destination->cluster;
	if (http && cluster && cluster->protocol == PROTOCOL_TLS &&
	    cluster->tls.mode == TLS_MODE_DISABLE)
		say(check, SEVERITY_WARNING, NULL, &destination->where,
		    "plain HTTP goes to port %u of \"%s\", which expects TLS: no DestinationRule "
		    "sets a tls mode for it",
		    cluster->port, cluster->host);
}

static void check_destinations(struct check *check, const struct list *list, bool http)
{
	struct route_destination *destinations = list->items;

	for (size_t i = 0; i < list->n; i++)
		check_destination(check, destinations[i].destination, http);
}

static void check_http_routes(struct check *check, const struct list *list)
{
	struct http_route *routes = list->items;

	for (size_t i = 0; i < list->n; i++) {
		struct http_mirror *mirrors = routes[i].mirrors.items;

		check_destinations(check, &routes[i].route, true);
		check_destination(check, routes[i].mirror, true);
		for (size_t j = 0; j < routes[i].mirrors.n; j++)
			check_destination(check, mirrors[j].destination, true);
	}
}

static void check_streams(struct check *check, const struct list *list)
{
	struct l4_route *routes = list->items;

	for (size_t i = 0; i < list->n; i++)
		check_destinations(check, &routes[i].route, false);
}

/* The mistake that users of Istio make most: http routes for what the program encrypts itself. */
static void check_applies(struct check *check, const struct virtual_service *service)
{
	const struct text *hosts = service->hosts.items;

	for (size_t i = 0; service->http.n && i < service->hosts.n; i++) {
		const struct service *target = find_service(check, hosts[i].s);
		bool http = !target || !target->n_clusters;
		char ports[128];

		for (size_t j = 0; target && j < target->n_clusters; j++)
			http |= protocol_is_http(target->clusters[j].protocol);
		if (!http)
			say(check, SEVERITY_WARNING, NULL, &hosts[i].where,
			    "http routes apply to plain HTTP on port 80 only: \"%s\" has no HTTP "
			    "port, and what comes for its ports (%s) is passed on unread",
			    hosts[i].s, port_list(target, ports, sizeof(ports)));
	}
}

/* The copies that delegates made share their destinations with what was written, so that each is
 * looked at once; a delegate's own are looked at with itself. */
static void check_routes(struct check *check, struct virtual_service *service)
{
	/* One for gateways may name what only a cluster knows. */
	if (service->inert)
		return;
	set_resource(check, "VirtualService", &service->name);
	check_http_routes(check, &service->http);
	check_streams(check, &service->tls);
	check_streams(check, &service->tcp);
	check_applies(check, service);
}

/* ---- destination rules -------------------------------------------------------------------- */

/* Which hosts of DestinationRules some service falls under. */
static int mark_used(const struct rules *rules, struct hostmap *used)
{
	for (size_t i = 0; i < rules->host_list.n; i++) {
		const struct host *host = rules->host_list.items[i];
		struct hostmap_walk walk;
		const struct merged_rule *rule;

		if (!host->service)
			continue;
		hostmap_walk_init(&walk, &rules->policies, host->registry.name);
		while ((rule = hostmap_walk_next(&walk)))
			if (!hostmap_get(used, rule->first->host.s) &&
			    hostmap_put(used, rule->first->host.s, (void *)rule) < 0)
				return -1;
	}
	return 0;
}

/* Two policies for one host: Istio takes the first and says nothing. */
static void check_merged(struct check *check, const struct merged_rule *merged,
			 const struct destination_rule *rule)
{
	const struct subset *subsets = rule->subsets.items;

	if (rule->traffic_policy && merged->policy != rule->traffic_policy)
		say(check, SEVERITY_WARNING, NULL, &rule->traffic_policy->where,
		    "host \"%s\" already has a trafficPolicy (%s:%d): the first one wins",
		    rule->host.s, merged->policy->where.file, merged->policy->where.line);
	for (size_t i = 0; i < rule->subsets.n; i++) {
		const char *name = subsets[i].name.s;
		const struct merged_subset *first =
		    name ? table_get(&merged->names, name, strlen(name)) : NULL;

		if (first && first->rule != rule)
			say(check, SEVERITY_WARNING, NULL, &subsets[i].where,
			    "host \"%s\" already has a subset \"%s\" (%s:%d): the first one wins",
			    rule->host.s, name, first->subset->where.file,
			    first->subset->where.line);
	}
}

static void check_subsets(struct check *check, const struct destination_rule *rule)
{
	const struct service *service = find_service(check, rule->host.s);
	const struct subset *subsets = rule->subsets.items;

	for (size_t i = 0; service && i < rule->subsets.n; i++) {
		const struct cluster *cluster =
		    subsets[i].name.s && service->n_clusters
			? service_subset(service, subsets[i].name.s, service->clusters[0].port)
			: NULL;

		if (cluster && !cluster->n_endpoints && cluster->resolution != RESOLUTION_NONE &&
		    cluster->resolution != RESOLUTION_DYNAMIC_DNS)
			say(check, SEVERITY_ERROR, "IST0173", &subsets[i].where,
			    "The Subset %s defined in the DestinationRule does not select any "
			    "pods: no endpoint of \"%s\" has its labels",
			    subsets[i].name.s, service->host);
	}
}

/* Whether the system's CA store will do the verifying, as nothing else is named. */
static bool relies_on_system(const struct tls_settings *tls)
{
	return tls && tls->mode.set && tls->mode.value != TLS_MODE_DISABLE &&
	       !tls->insecure_skip_verify.value &&
	       !(tls->ca_certificates.s && *tls->ca_certificates.s);
}

static const char *mode_name(const struct tls_settings *tls)
{
	return tls->mode.value == TLS_MODE_MUTUAL ? "MUTUAL" : "SIMPLE";
}

/* Istio's analysis warns, from a time when nothing was verified then. Now it is good to know. */
static void check_verification(struct check *check, const struct destination_rule *rule)
{
	const struct traffic_policy *policy = rule->traffic_policy;
	const struct port_traffic_policy *ports = policy ? policy->port_level_settings.items : NULL;

	if (policy && relies_on_system(policy->tls))
		say(check, SEVERITY_INFO, "IST0128", &policy->tls->where,
		    "DestinationRule %s has TLS mode set to %s but no caCertificates are set to "
		    "validate server identity for host: %s (the system's CA store is used)",
		    check->name, mode_name(policy->tls), rule->host.s);
	for (size_t i = 0; policy && i < policy->port_level_settings.n; i++)
		if (relies_on_system(ports[i].tls) && ports[i].port)
			say(check, SEVERITY_INFO, "IST0129", &ports[i].tls->where,
			    "DestinationRule %s has TLS mode set to %s but no caCertificates are "
			    "set to validate server identity for host: %s at port %lld (the "
			    "system's CA store is used)",
			    check->name, mode_name(ports[i].tls), rule->host.s,
			    ports[i].port->number.value);
}

static int check_rules(struct check *check)
{
	const struct pointers *list = &check->rules->destination_rules;
	struct hostmap used;
	int status;

	hostmap_init(&used);
	status = mark_used(check->rules, &used);
	for (size_t i = 0; i < list->n && status == 0; i++) {
		const struct destination_rule *rule = list->items[i];
		const struct merged_rule *merged;
		char key[256];

		if (!rule->host.s)
			continue;
		set_resource(check, "DestinationRule", &rule->name);
		merged = hostmap_get(&check->rules->policies,
				     rules_host_key(check->rules, rule->host.s, key));
		check_merged(check, merged, rule);
		check_subsets(check, rule);
		check_verification(check, rule);
		if (!hostmap_get(&used, merged->first->host.s))
			say(check, SEVERITY_WARNING, "IST0174", &rule->host.where,
			    "The host %s defined in the DestinationRule does not match any "
			    "services in the mesh",
			    rule->host.s);
	}
	hostmap_release(&used);
	return status;
}

int rules_check(struct rules *rules, struct diags *diags)
{
	struct check check = {.rules = rules, .diags = diags};

	if (check_names(&check, &rules->service_entries, "ServiceEntry") < 0 ||
	    check_names(&check, &rules->virtual_services, "VirtualService") < 0 ||
	    check_names(&check, &rules->destination_rules, "DestinationRule") < 0)
		return -1;
	for (size_t i = 0; i < rules->virtual_services.n; i++)
		check_routes(&check, rules->virtual_services.items[i]);
	return check_rules(&check);
}
