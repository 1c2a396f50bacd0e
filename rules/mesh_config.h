/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MeshConfig (mesh.istio.io/v1alpha1) and the top level of a rule file as they were written; see
 * value.h. Filled by spec_mesh.c.
 */
#ifndef RULES_MESH_CONFIG_H
#define RULES_MESH_CONFIG_H

#include "rules/value.h"

struct http_retry;

struct outbound_traffic_policy {
	struct where where;
	struct choice mode; /* enum outbound_policy */
};

/* ProxyPathNormalization.NormalizationType, in the order of what they do. */
enum normalization {
	NORMALIZATION_NONE,
	NORMALIZATION_BASE, /* the default: path.c says what it comes to */
	NORMALIZATION_MERGE_SLASHES,
	NORMALIZATION_DECODE_AND_MERGE_SLASHES,
};

struct path_normalization {
	struct where where;
	struct choice normalization; /* enum normalization + 1 */
};

/* Not Istio's: what this process would be in the mesh, for sourceLabels, sourceNamespace and the
 * short names of its services. */
struct workload {
	struct where where;
	struct text namespace, domain; /* domain: "cluster.local" when absent */
	struct list labels;	       /* struct pair */
};

struct mesh_config {
	struct where where;
	struct outbound_traffic_policy *outbound_traffic_policy;
	struct http_retry *default_http_retry_policy;
	struct path_normalization *path_normalization;
	struct duration connect_timeout; /* absent: 10 s */
	struct duration protocol_detection_timeout; /* absent, 0: none */
	struct workload *workload;
};

/* The top level of one file. */
struct rule_file {
	struct where where;
	struct list service_entries, virtual_services, destination_rules;
	struct mesh_config *mesh_config;
};

#endif
