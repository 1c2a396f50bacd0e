/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule set in memory, private to rules/ and the tools: what was written (service_entry.h,
 * virtual_service.h, destination_rule.h, mesh_config.h: the fields of Istio's messages under
 * Istio's names, filled by the tables in spec_*.c), and here what follows from it, made by build.c.
 */
#ifndef RULES_MODEL_H
#define RULES_MODEL_H

#include <stdatomic.h>

#include "rules/destination_rule.h"
#include "rules/hostmap.h"
#include "rules/mesh_config.h"
#include "rules/pattern.h"
#include "rules/region.h"
#include "rules/service_entry.h"
#include "rules/virtual_service.h"

/* ---- what follows ------------------------------------------------------------------------- */

/* Growing arrays of pointers. */
struct pointers {
	void **items;
	size_t n, size;
};

int pointers_add(struct pointers *pointers, void *item) __attribute__((warn_unused_result));
void pointers_release(struct pointers *pointers);

/* One ServiceEntry host with its clusters, one for each port. */
struct service {
	const char *host; /* as written, in lower case */
	bool wildcard;
	const struct service_entry *entry;
	const struct merged_rule *rule; /* DestinationRules that apply; NULL: none */
	struct cluster *clusters;	/* one for each port, then one for each subset and port */
	size_t n_clusters;		/* those of ports */
	size_t n_all;			/* subsets included */
	struct where where;
};

/* All DestinationRules for one host, merged: the first trafficPolicy, all subsets of which the first
 * of a name counts (istio-semantics 1.3). */
struct merged_rule {
	const struct destination_rule *first;
	const struct traffic_policy *policy; /* NULL: none has one */
	struct merged_subset *subsets, *last;
	size_t n_subsets;
	struct table names; /* the same by name */
};

struct merged_subset {
	const struct subset *subset;
	const struct destination_rule *rule; /* where it stands */
	size_t index;
	struct merged_subset *next;
};

/* A host of a VirtualService. */
struct route_host {
	struct virtual_service *service;
	const struct text *host;
	struct route_host *next; /* another VirtualService that names the same host */
};

/* All VirtualServices that name one host, in file order, and the ports of the registered hosts that
 * fall under the name: all of them, and those that speak HTTP. */
struct route_hosts {
	struct route_host *first, *last;
	struct port_set covered, http;
};

/* A name that the mesh knows, and what serves it. */
struct host {
	struct rules_host registry;	/* first, so that the public pointer is this one */
	const struct service *service;	/* NULL: named by VirtualServices only */
	const struct virtual_service *routes; /* the first that applies to the service; NULL: none */
	const struct route_hosts *named; /* what opens ports that the service lacks; NULL: nothing */
};

/* Something that the bridge does not carry out. */
struct gap {
	struct where where;
	const char *what;     /* "HTTPRoute.fault" */
	const char *resource; /* as in struct topic */
};

struct rules {
	atomic_uint refs;
	struct region region;
	enum outbound_policy policy;
	struct pointers service_entries, virtual_services, destination_rules;
	const struct mesh_config *mesh_config; /* NULL: none */
	struct pointers merged;	   /* struct merged_rule, whose tables are to be freed */
	struct pointers gaps;	   /* struct gap */
	struct pointers patterns;  /* struct pattern, to be freed */
	struct hostmap services;   /* struct service */
	struct hostmap hosts;	   /* struct host */
	struct hostmap routes;	   /* struct route_hosts */
	struct table addresses;	   /* struct in6_addr -> struct host */
	struct hostmap policies;   /* struct merged_rule */
	const char *namespace, *domain; /* meshConfig.workload; NULL: none was given */
	struct pointers host_list; /* struct host, in strcmp order */
};

/* An empty rule set with one reference, NULL: out of memory; and its end, whatever the count. */
struct rules *rules_new(void) __attribute__((warn_unused_result));
void rules_free(struct rules *rules);

/* Whether requests are read on ports of a protocol. */
static inline bool protocol_is_http(enum protocol protocol)
{
	return protocol == PROTOCOL_HTTP || protocol == PROTOCOL_HTTP2 || protocol == PROTOCOL_AUTO;
}

/* The cluster of a service for a port, and of one of its subsets; NULL: no such port or subset. */
const struct cluster *service_cluster(const struct service *service, unsigned port);
const struct cluster *service_subset(const struct service *service, const char *subset,
				     unsigned port);

/*
 * lookup.c: the form of a host name that tables are keyed by. With a namespace in meshConfig.workload
 * "web.default.svc.cluster.local" and "web.default.svc" are one name, in that namespace "web"
 * (istio-semantics 2.1). Who asks for "web.default" means it too, unless there is a host of that very
 * name. `name` is normalized and may be `out`. Returns `out`.
 */
const char *rules_host_key(const struct rules *rules, const char *name, char out[256]);

/* The same, kept in the region. NULL: out of memory. build.c */
const char *rules_key_of(struct rules *rules, const char *name);

/* lookup.c: whether there is an http route for a port, and for this process. */
bool routes_have_http(const struct virtual_service *service, uint16_t port);

/* lookup.c: whether a VirtualService makes a host of this name on a port that no service has. */
bool route_host_opens(const struct route_hosts *hosts, const struct route_host *host,
		      uint16_t port);

struct diags;

/*
 * build.c: make services, clusters and hosts out of what was read. Warns of what the first
 * definition hides. Returns 0, or -1: out of memory.
 */
int rules_build(struct rules *rules, struct diags *diags) __attribute__((warn_unused_result));

/* hosts.c: its second half, which joins hosts and VirtualServices. Returns as above. */
int rules_build_hosts(struct rules *rules, struct diags *diags) __attribute__((warn_unused_result));

/*
 * delegate.c: replace routes that name a delegate by the delegate's own, and mark the blocks that
 * are not for this process. Before rules_build(). Returns as above.
 */
int rules_inline_delegates(struct rules *rules, struct diags *diags)
    __attribute__((warn_unused_result));

/*
 * Fill in a cluster: endpoints, policy, id. `subset` may be NULL. Returns 0, or -1: out of memory.
 */
int rules_build_cluster(struct rules *rules, const struct service *service,
			struct service_port *port, const struct subset *subset,
			struct cluster *cluster) __attribute__((warn_unused_result));

struct sink;

/* cluster_policy.c: what of a cluster's policy is part of its id. */
void cluster_policy_id(struct sink *sink, const struct cluster *cluster);

/*
 * check.c: find the clusters that destinations mean, and say what is wrong across resources.
 * Returns 0, or -1: out of memory.
 */
int rules_check(struct rules *rules, struct diags *diags) __attribute__((warn_unused_result));

#endif
