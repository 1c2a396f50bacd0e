/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is in a cluster. Endpoints that are addresses make one host each, for good; names make one for
 * each of their addresses (DNS), or one whatever they resolve to (DNS_ROUND_ROBIN, DYNAMIC_DNS:
 * Envoy's logical hosts). Names are resolved when a connection is wanted and the last answer is old;
 * until there is a new one, which then counts at once, the hosts that are known stay.
 *
 * `members` and the balancer see hosts only after hosts_settle(). Each member counts as a user of
 * its host, so that nothing they see has been freed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <utlist.h>

#include "shim/bridge/cluster_state.h"
#include "shim/bridge/outlier.h"
#include "shim/container_of.h"

#define UNIX_PREFIX "unix://"

static const struct endpoint *endpoint_at(const struct live_cluster *cluster, size_t i)
{
	return cluster->dynamic.address ? &cluster->dynamic : &cluster->cluster.endpoints[i];
}

static const struct endpoint *rule_of(const struct live_endpoint *e)
{
	return endpoint_at(e->cluster, (size_t)(e - e->cluster->endpoints));
}

/* One host, whatever its name resolves to. */
static bool is_logical(const struct live_cluster *cluster)
{
	return cluster->dynamic.address || cluster->cluster.resolution == RESOLUTION_DNS_ROUND_ROBIN;
}

/* ---- hosts ------------------------------------------------------------------------------- */

void host_hold(struct live_host *host)
{
	host->users++;
}

void host_drop(struct live_host *host)
{
	if (--host->users == 0)
		free(host);
}

static struct live_host *host_new(struct live_endpoint *e, const char *name,
				  const struct sockaddr_storage *address)
{
	struct live_host *host = calloc(1, sizeof(*host) + strlen(name) + 1);

	if (!host)
		return NULL;
	strcpy(host->name, name);
	host->host.name = host->name;
	host->host.weight = rule_of(e)->weight ?: 1;
	host->cluster = e->cluster;
	host->endpoint = e;
	host->serial = ++e->cluster->all->serials;
	host->address = *address;
	host->users = 1;
	return host;
}

static void host_leave(struct live_host *host)
{
	host->gone = true;
	host->cluster->stale = true;
	lanes_close_idle(host);
	host_drop(host);
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *)address)->sin_port = htons(port);
	else if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)b;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr) &&
	       a6->sin6_scope_id == b6->sin6_scope_id;
}

/* "192.0.2.1:443", "[2001:db8::1]:443" */
static const char *address_name(const struct sockaddr_storage *address, uint16_t port,
				char out[INET6_ADDRSTRLEN + 16])
{
	char text[INET6_ADDRSTRLEN] = "";
	bool v6 = address->ss_family == AF_INET6;
	const void *bytes = v6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
			       : (const void *)&((const struct sockaddr_in *)address)->sin_addr;

	inet_ntop(address->ss_family, bytes, text, sizeof(text));
	snprintf(out, INET6_ADDRSTRLEN + 16, v6 ? "[%s]:%u" : "%s:%u", text, (unsigned)port);
	return out;
}

/* ---- endpoints that are addresses -------------------------------------------------------- */

/* Returns false if the path has no room in an address. */
static bool unix_address(const char *path, struct sockaddr_storage *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;
	size_t len = strlen(path);

	memset(out, 0, sizeof(*out));
	if (len > sizeof(un->sun_path))
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len);
	if (*path == '@') /* an abstract name */
		un->sun_path[0] = '\0';
	return true;
}

static bool literal_address(const char *text, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	out->ss_family = AF_INET;
	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)out)->sin_addr) == 1)
		return true;
	out->ss_family = AF_INET6;
	return inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)out)->sin6_addr) == 1;
}

/* Make the host of an endpoint that is an address. Returns 1, 0: it is none, or -1: no memory. */
static int endpoint_fixed(struct live_endpoint *e)
{
	const struct endpoint *rule = rule_of(e);
	struct sockaddr_storage address;
	char name[INET6_ADDRSTRLEN + 16];

	/* A path is for the rules to give, not for a request. */
	if (rule != &e->cluster->dynamic &&
	    !strncmp(rule->address, UNIX_PREFIX, strlen(UNIX_PREFIX))) {
		if (!unix_address(rule->address + strlen(UNIX_PREFIX), &address)) {
			err_set(&e->cluster->err, ENAMETOOLONG, "%s: the path is too long",
				rule->address);
			return 1;
		}
		e->hosts = host_new(e, rule->address, &address);
		return e->hosts ? 1 : -1;
	}
	if (!literal_address(rule->address, &address))
		return 0;
	set_port(&address, rule->port);
	e->hosts = host_new(e, address_name(&address, rule->port, name), &address);
	return e->hosts ? 1 : -1;
}

/* ---- endpoints that are names ------------------------------------------------------------ */

static struct live_host *take_known(struct live_host **list, const struct sockaddr_storage *address)
{
	struct live_host *host;

	LL_FOREACH(*list, host) {
		if (same_address(&host->address, address)) {
			LL_DELETE(*list, host);
			return host;
		}
	}
	return NULL;
}

static void update_hosts(struct live_endpoint *e, const struct addresses *found)
{
	struct live_host *known = e->hosts, **tail = &e->hosts, *host;
	uint16_t port = rule_of(e)->port;

	e->hosts = NULL;
	for (size_t i = 0; i < found->n; i++) {
		struct sockaddr_storage address = found->list[i];
		char name[INET6_ADDRSTRLEN + 16];
		struct live_host *again;

		LL_FOREACH(e->hosts, again)
			if (same_address(&again->address, &address))
				break;
		if (again)
			continue;
		host = take_known(&known, &address);
		if (!host) {
			set_port(&address, port);
			host = host_new(e, address_name(&address, port, name), &address);
			e->cluster->stale = true;
		}
		if (!host)
			continue;
		host->next = NULL;
		*tail = host;
		tail = &host->next;
	}
	while (known) {
		host = known;
		known = known->next;
		host_leave(host);
	}
}

static void update_logical(struct live_endpoint *e, const struct addresses *found)
{
	const struct endpoint *rule = rule_of(e);
	struct sockaddr_storage *list = calloc(found->n, sizeof(*list));
	char name[300];

	if (!list)
		return;
	memcpy(list, found->list, found->n * sizeof(*list));
	for (size_t i = 0; i < found->n; i++)
		set_port(&list[i], rule->port);
	free(e->addresses);
	e->addresses = list;
	e->n_addresses = found->n;
	if (e->hosts)
		return;
	snprintf(name, sizeof(name), "%s:%u", rule->address, (unsigned)rule->port);
	e->hosts = host_new(e, name, &list[0]);
	e->cluster->stale = true;
}

static void answered(struct query *query, const struct addresses *found, const struct err *err)
{
	struct live_endpoint *e = container_of(query, struct live_endpoint, query);
	struct live_cluster *cluster = e->cluster;
	uint64_t next = loop_now(cluster->all->env->loop) + (found ? REFRESH_MS : REFRESH_SOON_MS);

	e->asking = query->more;
	if (!query->more) {
		cluster->asking--;
		if (cluster->refresh_at > next)
			cluster->refresh_at = next;
	}
	if (!found)
		cluster->err = *err;
	else if (is_logical(cluster))
		update_logical(e, found);
	else
		update_hosts(e, found);
	if (!cluster->refreshing)
		cluster_resolved(cluster);
}

bool hosts_are_old(const struct live_cluster *cluster)
{
	return !cluster->n_members || loop_now(cluster->all->env->loop) >= cluster->refresh_at;
}

void hosts_refresh(struct live_cluster *cluster)
{
	struct cluster_env *env = cluster->all->env;

	if (!hosts_are_old(cluster))
		return;
	cluster->refresh_at = UINT64_MAX; /* until the answers are here, and then counted from them */
	cluster->refreshing = true;
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		struct live_endpoint *e = &cluster->endpoints[i];

		if (e->asking || !e->query.answer)
			continue;
		e->asking = true;
		cluster->asking++;
		env->ask(env, rule_of(e)->address, &e->query);
	}
	cluster->refreshing = false;
}

/* ---- all of them ------------------------------------------------------------------------- */

static bool resolves(enum resolution resolution)
{
	return resolution == RESOLUTION_DNS || resolution == RESOLUTION_DNS_ROUND_ROBIN ||
	       resolution == RESOLUTION_DYNAMIC_DNS;
}

int hosts_init(struct live_cluster *cluster)
{
	size_t n = cluster->dynamic.address ? 1 : cluster->cluster.n_endpoints;

	cluster->endpoints = calloc(n ?: 1, sizeof(*cluster->endpoints));
	if (!cluster->endpoints)
		return -1;
	cluster->n_endpoints = n;
	for (size_t i = 0; i < n; i++) {
		struct live_endpoint *e = &cluster->endpoints[i];

		e->cluster = cluster;
		int fixed = endpoint_fixed(e);
		if (fixed < 0) /* nobody would look for it again */
			return -1;
		if (!fixed && *rule_of(e)->address && resolves(cluster->cluster.resolution))
			e->query.answer = answered;
	}
	cluster->stale = true;
	return 0;
}

static void drop_members(struct live_cluster *cluster)
{
	for (size_t i = 0; i < cluster->n_members; i++)
		host_drop(live_host(cluster->members[i]));
	free(cluster->members);
	cluster->members = NULL;
	cluster->n_members = 0;
}

void hosts_release(struct live_cluster *cluster)
{
	drop_members(cluster);
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		struct live_endpoint *e = &cluster->endpoints[i];

		query_cancel(&e->query);
		while (e->hosts) {
			struct live_host *host = e->hosts;

			e->hosts = host->next;
			host_leave(host);
		}
		free(e->addresses);
	}
	free(cluster->endpoints);
	cluster->endpoints = NULL;
	cluster->n_endpoints = 0;
}

static int tell_balancer(struct live_cluster *cluster, struct host *const *members, size_t n)
{
	const struct outlier_detection *settings = cluster->cluster.outlier_detection;
	bool panic = settings && outlier_panic(settings, members, n);

	cluster->unbalanced = balancer_set_hosts(cluster->balancer, members, n, panic) < 0;
	return cluster->unbalanced ? -1 : 0;
}

int hosts_settle(struct live_cluster *cluster)
{
	size_t n = 0;
	struct host **members;
	struct live_host *host;

	if (!cluster->stale)
		return cluster->unbalanced
			   ? tell_balancer(cluster, cluster->members, cluster->n_members)
			   : 0;
	for (size_t i = 0; i < cluster->n_endpoints; i++)
		LL_FOREACH(cluster->endpoints[i].hosts, host)
			n++;
	members = calloc(n ?: 1, sizeof(*members));
	if (!members)
		return -1;
	n = 0;
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		LL_FOREACH(cluster->endpoints[i].hosts, host) {
			host_hold(host);
			members[n++] = &host->host;
		}
	}
	int result = tell_balancer(cluster, members, n);

	drop_members(cluster);
	cluster->members = members;
	cluster->n_members = n;
	cluster->stale = false;
	return result;
}

/* Healthy hosts behind one address of a name, then those before it. */
size_t host_addresses(struct live_host *host, struct sockaddr_storage *addresses,
		      struct live_host **owners)
{
	const struct live_endpoint *e = host->gone ? NULL : host->endpoint;
	size_t n = 0;

	if (e && e->n_addresses) {
		for (; n < e->n_addresses; n++) {
			addresses[n] = e->addresses[n];
			owners[n] = host;
		}
		return n;
	}
	addresses[n] = host->address;
	owners[n++] = host;
	if (!e || !e->query.answer)
		return n;
	for (struct live_host *other = host->next ?: e->hosts; other != host && n < RESOLVE_MAX;
	     other = other->next ?: e->hosts) {
		if (other->host.ejected)
			continue;
		addresses[n] = other->address;
		owners[n++] = other;
	}
	return n;
}
