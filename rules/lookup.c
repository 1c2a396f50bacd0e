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

const char *rules_host_key(const struct rules *rules, const char *name, char out[256])
{
	char service[256], suffix[256];
	const char *dot;

	memmove(out, name, strlen(name) + 1);
	if (!rules->namespace)
		return out;
	strcpy(service, out);
	snprintf(suffix, sizeof(suffix), ".svc.%s", rules->domain);
	if (!cut(service, suffix))
		cut(service, ".svc");
	dot = strchr(service, '.');
	/* "name.namespace" and no more labels, or it was no such name. */
	if (!dot || dot == service || strchr(dot + 1, '.'))
		return out;
	if (!strcmp(dot + 1, rules->namespace))
		service[dot - service] = '\0';
	return strcpy(out, service);
}

const struct rules_host *rules_find_host(const struct rules *rules, const char *name)
{
	const struct host *host;
	char key[256];

	if (!hostname_normalize(name, strlen(name), key))
		return NULL;
	host = hostmap_find(&rules->hosts, rules_host_key(rules, key, key));
	return host ? &host->registry : NULL;
}

/* What a host does with a port. False: it does not know the port. */
static bool serves(const struct host *host, uint16_t port, const struct cluster **cluster,
		   bool *http)
{
	*cluster = host->service ? service_cluster(host->service, port) : NULL;
	*http = *cluster ? protocol_is_http((*cluster)->protocol) : port == 80 && host->named;
	return *cluster || *http;
}

/* A wildcard may have a port that a more specific host lacks. In Istio each port has a table of
 * hosts of its own, which comes to the same. */
const struct host *lookup_serving(const struct rules *rules, const char *name, uint16_t port,
				  const struct cluster **cluster, bool *http)
{
	struct hostmap_walk walk;
	const struct host *host;
	char key[256];

	hostmap_walk_init(&walk, &rules->hosts, rules_host_key(rules, name, key));
	while ((host = hostmap_walk_next(&walk)))
		if (serves(host, port, cluster, http))
			return host;
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
