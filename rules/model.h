/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule set in memory, private to rules/. Two layers:
 *
 * - what was written: `struct service_entry`, `struct virtual_service` ... hold the fields of
 *   Istio's messages under Istio's names, filled by the tables in spec.c;
 * - what follows from it: `struct service`, `struct host` and the clusters, made by build.c.
 *
 * Everything lives in the snapshot's region. Absent text is NULL; absent numbers are not `set`.
 */
#ifndef RULES_MODEL_H
#define RULES_MODEL_H

#include <stdatomic.h>

#include "rules/hostmap.h"
#include "rules/pattern.h"
#include "rules/region.h"
#include "rules/rules.h"

/* ---- values with the place where they stand ----------------------------------------------- */

struct text {
	struct where where;
	const char *s;
};

struct number {
	struct where where;
	long long value;
	bool set;
};

struct flag {
	struct where where;
	bool value;
};

/* One of the names in a table; `value` is 0 when nothing was written. */
struct choice {
	struct where where;
	int value;
	bool set;
};

/* A list of structs (or of `struct text`). */
struct list {
	struct where where;
	void *items;
	size_t n;
};

/* ---- ServiceEntry ------------------------------------------------------------------------- */

struct service_port {
	struct where where;
	struct number number, target_port;
	struct text name;
	struct choice protocol; /* enum protocol + 1 */
};

struct endpoint_port {
	struct where where;
	struct text name;
	struct number value;
};

struct workload_entry {
	struct where where;
	struct text address;
	struct list ports; /* struct endpoint_port */
};

struct service_entry {
	struct where where;
	struct text name;
	struct list hosts;     /* struct text, lower case, no trailing dot */
	struct list addresses; /* struct text */
	struct list ports;     /* struct service_port */
	struct choice location;
	struct choice resolution; /* enum resolution + 1 */
	struct list endpoints;	  /* struct workload_entry */
	struct list subject_alt_names;
	struct rules_address *parsed_addresses; /* one for each of `addresses` that is valid */
	size_t n_parsed_addresses;
};

/* ---- VirtualService ----------------------------------------------------------------------- */

enum match_kind {
	MATCH_PRESENT, /* nothing was asked of the value */
	MATCH_EXACT,
	MATCH_PREFIX,
	MATCH_REGEX,
};

/* StringMatch */
struct string_match {
	struct where where;
	struct text exact, prefix, regex;
	enum match_kind kind;
	size_t len; /* of the exact text or prefix */
	const struct pattern *pattern;
};

struct header_match {
	struct where where;
	struct text name;
	struct string_match match;
};

/* HTTPMatchRequest; pointers are NULL when absent. */
struct http_match {
	struct where where;
	struct text name;
	struct string_match *uri, *method, *authority;
	struct list headers; /* struct header_match */
	struct number port;
	bool catch_all; /* matches every path: nothing after it is reached */
};

struct http_rewrite {
	struct where where;
	struct text uri, authority;
	bool refused; /* a field that this version does not have would make it complete */
};

struct service;

struct port_selector {
	struct where where;
	struct number number;
};

struct destination {
	struct where where;
	struct text host;
	struct port_selector *port;
	const struct service *service; /* NULL: not in the registry */
	const struct cluster *cluster; /* NULL: decided by the dialled port */
};

struct route_destination {
	struct where where;
	struct destination *destination;
	struct number weight;
};

struct http_route {
	struct where where;
	struct text name;
	struct list match; /* struct http_match */
	struct http_rewrite *rewrite;
	struct list route;     /* struct route_destination */
	uint64_t total_weight; /* 0 for a single destination */
	bool refused;	       /* as above */
};

struct virtual_service {
	struct where where;
	struct text name;
	struct list hosts;    /* struct text, lower case, no trailing dot */
	struct list gateways; /* struct text */
	struct list http;     /* struct http_route */
	bool inert;	      /* bound to gateways only */
	bool refused;	      /* as above */
};

/* ---- DestinationRule ---------------------------------------------------------------------- */

struct tls_settings {
	struct where where;
	struct choice mode; /* enum tls_mode */
	struct text client_certificate, private_key, ca_certificates, ca_crl, sni;
	struct list subject_alt_names;
	struct flag insecure_skip_verify;
};

struct port_traffic_policy {
	struct where where;
	struct port_selector *port;
	struct tls_settings *tls;
	bool refused; /* as above */
};

struct traffic_policy {
	struct where where;
	struct tls_settings *tls;
	struct list port_level_settings; /* struct port_traffic_policy */
	bool refused;			 /* as above */
};

struct destination_rule {
	struct where where;
	struct text name, host;
	struct traffic_policy *traffic_policy;
};

/* ---- MeshConfig and a file ---------------------------------------------------------------- */

struct outbound_traffic_policy {
	struct where where;
	struct choice mode; /* enum outbound_policy */
};

struct mesh_config {
	struct where where;
	struct outbound_traffic_policy *outbound_traffic_policy;
};

/* The top level of one file. */
struct rule_file {
	struct where where;
	struct list service_entries, virtual_services, destination_rules;
	struct mesh_config *mesh_config;
};

/* ---- what follows ------------------------------------------------------------------------- */

/* One ServiceEntry host with its clusters, one for each port. */
struct service {
	const char *host;
	bool wildcard;
	const struct service_entry *entry;
	const struct traffic_policy *policy; /* of the DestinationRule that applies; NULL: none */
	struct cluster *clusters;
	size_t n_clusters;
	struct where where;
};

/* A host of a VirtualService. */
struct route_host {
	const struct virtual_service *service;
	const struct text *host;
	bool expanded; /* a wildcard that registry hosts with HTTP ports fall under: it applies to
			* these, and is no name of its own (istio-semantics 2.2) */
};

/* A name that the mesh knows, and what serves it. */
struct host {
	struct rules_host registry;	      /* first, so that the public pointer is this one */
	const struct service *service;	      /* NULL: named by a VirtualService only */
	const struct virtual_service *routes; /* NULL: none, the default route */
	bool named; /* a VirtualService names this very host, which opens port 80 for it */
};

/* Growing arrays of pointers. */
struct pointers {
	void **items;
	size_t n, size;
};

int pointers_add(struct pointers *pointers, void *item) __attribute__((warn_unused_result));
void pointers_release(struct pointers *pointers);

struct rules {
	atomic_uint refs;
	struct region region;
	enum outbound_policy policy;
	struct pointers service_entries, virtual_services, destination_rules;
	const struct mesh_config *mesh_config;
	struct pointers patterns;  /* struct pattern, to be freed */
	struct hostmap services;   /* struct service */
	struct hostmap hosts;	   /* struct host */
	struct hostmap routes;	   /* struct route_host */
	struct hostmap policies;   /* struct destination_rule: the first with a trafficPolicy */
	struct pointers host_list; /* struct host, in strcmp order */
};

/* The cluster of a service for a port; NULL: no such port. */
const struct cluster *service_cluster(const struct service *service, unsigned port);

/*
 * build.c: make services, clusters and hosts out of what was read. Warns of what the first
 * definition hides. Returns 0, or -1: out of memory.
 */
struct diags;
int rules_build(struct rules *rules, struct diags *diags) __attribute__((warn_unused_result));

/* Fill in a cluster: endpoints, TLS settings, id. Returns 0, or -1: out of memory. */
int rules_build_cluster(struct region *region, const struct service *service,
			const struct service_port *port, struct cluster *cluster)
    __attribute__((warn_unused_result));

/*
 * check.c: find the clusters that destinations mean, and say what is wrong across resources.
 * Returns 0, or -1: out of memory.
 */
int rules_check(struct rules *rules, struct diags *diags) __attribute__((warn_unused_result));

#endif
