/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: which host a name belongs to, and what becomes of a connection to it.
 */
#include <stdio.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/lookup.h"

enum outbound_policy rules_outbound_policy(const struct rules *rules)
{
	return rules->policy;
}

uint64_t rules_detection_timeout(const struct rules *rules)
{
	const struct mesh_config *config = rules->mesh_config;

	return config ? (uint64_t)config->protocol_detection_timeout.ns / 1000000 : 0;
}

size_t rules_n_hosts(const struct rules *rules)
{
	return rules->host_list.n;
}

const struct rules_host *rules_host_at(const struct rules *rules, size_t i)
{
	const struct host *host = rules->host_list.items[i];

	return &host->registry;
}

/* ---- names of Kubernetes services --------------------------------------------------------- */

/* Cut `suffix` off the end of a name that has at least one character more. */
static bool cut(char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	if (len <= tail || strcmp(name + len - tail, suffix) != 0)
		return false;
	name[len - tail] = '\0';
	return true;
}

/* "web.default": name and namespace, no more labels. Returns the dot, or NULL. */
static char *namespace_dot(char *name)
{
	char *dot = strchr(name, '.');

	return dot && dot != name && dot[1] && !strchr(dot + 1, '.') ? dot : NULL;
}

const char *rules_host_key(const struct rules *rules, const char *name, char out[256])
{
	char service[256], suffix[256];
	char *dot;

	memmove(out, name, strlen(name) + 1);
	if (!rules->namespace)
		return out;
	strcpy(service, out);
	snprintf(suffix, sizeof(suffix), ".svc.%s", rules->domain);
	if (!cut(service, suffix) && !cut(service, ".svc"))
		return out;
	dot = namespace_dot(service);
	if (!dot)
		return out;
	if (!strcmp(dot + 1, rules->namespace))
		*dot = '\0';
	else
		strcat(service, ".svc"); /* which was cut off */
	return strcpy(out, service);
}

/* The key of a name that somebody asks for. "web.default" may be a host of the outside as well, and
 * then is that. */
static const char *asked_key(const struct rules *rules, const char *name, char out[256])
{
	char service[256];
	char *dot;

	rules_host_key(rules, name, out);
	if (!rules->namespace || strlen(out) > 255 - strlen(".svc"))
		return out;
	strcpy(service, out);
	dot = namespace_dot(service);
	if (!dot || hostmap_get(&rules->hosts, out))
		return out;
	if (!strcmp(dot + 1, rules->namespace))
		*dot = '\0';
	else
		strcat(service, ".svc");
	return hostmap_get(&rules->hosts, service) ? strcpy(out, service) : out;
}

const struct rules_host *rules_find_host(const struct rules *rules, const char *name)
{
	const struct host *host;
	char key[256];

	if (!hostname_normalize(name, strlen(name), key))
		return NULL;
	host = hostmap_find(&rules->hosts, asked_key(rules, key, key));
	return host ? &host->registry : NULL;
}

/* ---- hosts and ports ---------------------------------------------------------------------- */

static bool has_block_for(const struct http_route *route, uint16_t port)
{
	const struct http_match *blocks = route->match.items;

	for (size_t i = 0; i < route->match.n; i++)
		if (!blocks[i].excluded && (!blocks[i].port.set || blocks[i].port.value == port))
			return true;
	return !route->match.n;
}

bool routes_have_http(const struct virtual_service *service, uint16_t port)
{
	const struct http_route *routes = service->merged.items;

	for (size_t i = 0; i < service->merged.n; i++)
		if (has_block_for(&routes[i], port))
			return true;
	return false;
}

bool route_host_opens(const struct route_hosts *hosts, const struct route_host *host,
		      uint16_t port)
{
	return (port == 80 || port_set_has(&host->service->http_ports, port)) &&
	       !port_set_has(&hosts->covered, port) && routes_have_http(host->service, port);
}

void routes_walk_init(struct routes_walk *walk, const struct rules *rules, const struct host *host)
{
	hostmap_walk_init(&walk->hosts, &rules->routes, host->registry.name);
	walk->at = NULL;
}

const struct virtual_service *routes_walk_next(struct routes_walk *walk)
{
	const struct route_hosts *hosts;

	walk->at = walk->at ? walk->at->next : NULL;
	if (!walk->at) {
		hosts = hostmap_walk_next(&walk->hosts);
		walk->at = hosts ? hosts->first : NULL;
	}
	return walk->at ? walk->at->service : NULL;
}

/* The first with routes for the port, which mostly is the very first. */
static const struct virtual_service *service_routes(const struct rules *rules,
						    const struct host *host, uint16_t port)
{
	const struct virtual_service *service = host->routes;
	struct routes_walk walk;

	if (!service || routes_have_http(service, port))
		return service;
	routes_walk_init(&walk, rules, host);
	while ((service = routes_walk_next(&walk)))
		if (routes_have_http(service, port))
			break;
	return service;
}

const struct virtual_service *lookup_http_routes(const struct rules *rules, const struct host *host,
						 const struct cluster *own, uint16_t port)
{
	if (own)
		return service_routes(rules, host, port);
	for (const struct route_host *at = host->named ? host->named->first : NULL; at;
	     at = at->next)
		if (route_host_opens(host->named, at, port))
			return at->service;
	return NULL;
}

/* What a host does with a port. False: it does not know the port. */
static bool serves(const struct rules *rules, const struct host *host, uint16_t port,
		   const struct cluster **cluster, bool *http)
{
	*cluster = host->service ? service_cluster(host->service, port) : NULL;
	*http = *cluster ? protocol_is_http((*cluster)->protocol)
			 : lookup_http_routes(rules, host, NULL, port) != NULL;
	return *cluster || *http;
}

/* A wildcard may have a port that a more specific host lacks. In Istio each port has a table of
 * hosts of its own, which comes to the same. */
const struct host *lookup_serving(const struct rules *rules, const char *name, uint16_t port,
				  const struct cluster **cluster, bool *http)
{
	struct hostmap_walk walk;
	const struct host *host;
	struct in6_addr address;
	char key[256];

	hostmap_walk_init(&walk, &rules->hosts, asked_key(rules, name, key));
	while ((host = hostmap_walk_next(&walk)))
		if (serves(rules, host, port, cluster, http))
			return host;
	if (rules->addresses.n && hostname_is_address(name, &address)) {
		host = table_get(&rules->addresses, (const char *)&address, sizeof(address));
		if (host && serves(rules, host, port, cluster, http))
			return host;
	}
	return NULL;
}

enum rules_connection rules_connect(const struct rules *rules, const char *name, uint16_t port,
				    const struct cluster **cluster)
{
	const struct cluster *found;
	char key[256];
	bool http;

	*cluster = NULL;
	if (hostname_normalize(name, strlen(name), key) &&
	    lookup_serving(rules, key, port, &found, &http)) {
		if (found && found->protocol == PROTOCOL_AUTO) {
			*cluster = found;
			return RULES_SNIFF;
		}
		if (http)
			return RULES_HTTP;
		*cluster = found;
		return RULES_OPAQUE;
	}
	return rules->policy == OUTBOUND_REGISTRY_ONLY ? RULES_BLOCKED : RULES_PASSTHROUGH;
}

int rules_server_name(const struct cluster *cluster, const char *authority, char *out, size_t size)
{
	char name[256];
	size_t len = 0;

	if (cluster->tls.sni)
		len = hostname_normalize(cluster->tls.sni, strlen(cluster->tls.sni), name);
	else if (authority)
		len = hostname_of_authority(authority, name);
	if (!len)
		len = hostname_normalize(cluster->host, strlen(cluster->host), name);
	if (!len || len >= size)
		return -1;
	memcpy(out, name, len + 1);
	return 0;
}
