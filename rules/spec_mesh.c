/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MeshConfig (mesh.istio.io/v1alpha1), as far as it concerns outbound traffic, and the top level of
 * a rule file.
 */
#include "rules/hostname.h"
#include "rules/schema.h"

static const struct choice_name outbound_modes[] = {
    {.name = "ALLOW_ANY", .value = OUTBOUND_ALLOW_ANY},
    {.name = "REGISTRY_ONLY", .value = OUTBOUND_REGISTRY_ONLY},
    {.name = "ALLOW_ANY_DYNAMIC_DNS", .value = OUTBOUND_ALLOW_ANY_DYNAMIC_DNS, .gap = true},
    {.name = NULL},
};

static const struct key outbound_keys[] = {
    KEY_CHOICE(struct outbound_traffic_policy, mode, "mode", outbound_modes),
};
static const struct schema outbound_schema =
    SCHEMA("OutboundTrafficPolicy", struct outbound_traffic_policy, outbound_keys);

static const struct choice_name normalizations[] = {
    {.name = "BASE", .value = NORMALIZATION_BASE + 1},
    {.name = "DEFAULT", .value = NORMALIZATION_BASE + 1},
    {.name = "NONE", .value = NORMALIZATION_NONE + 1},
    {.name = "MERGE_SLASHES", .value = NORMALIZATION_MERGE_SLASHES + 1},
    {.name = "DECODE_AND_MERGE_SLASHES", .value = NORMALIZATION_DECODE_AND_MERGE_SLASHES + 1},
    {.name = NULL},
};

static const struct key normalization_keys[] = {
    KEY_CHOICE(struct path_normalization, normalization, "normalization", normalizations),
};
static const struct schema normalization_schema =
    SCHEMA("ProxyPathNormalization", struct path_normalization, normalization_keys);

static void check_workload_namespace(struct reader *reader, void *value)
{
	struct text *namespace = value;

	if (hostname_is_label(namespace->s))
		return;
	reader_error(reader, &namespace->where, "invalid namespace: \"%s\"", namespace->s);
	namespace->s = NULL;
}

static void check_domain(struct reader *reader, void *value)
{
	struct text *domain = value;
	struct hostname_error error;

	if (hostname_is_fqdn(domain->s, &error))
		return;
	reader_error(reader, &domain->where, "%s", error.text);
	domain->s = NULL;
}

static const struct key workload_keys[] = {
    KEY_TEXT(struct workload, namespace, "namespace", .check = check_workload_namespace),
    KEY_TEXT(struct workload, domain, "domain", .check = check_domain),
    KEY_MAP(struct workload, labels, "labels", label_schema),
};
static const struct schema workload_schema = SCHEMA("Workload", struct workload, workload_keys);

/* 0 s turns it off. */
static void check_detection_timeout(struct reader *reader, void *value)
{
	const struct duration *timeout = value;

	if (timeout->ns)
		check_duration(reader, value);
}

#define NO_PROXY   "there is no sidecar"
#define NO_CONTROL "there is no control plane"

static const struct key mesh_config_keys[] = {
    KEY_GROUP(struct mesh_config, outbound_traffic_policy, "outboundTrafficPolicy",
	      outbound_schema),
    KEY_GROUP(struct mesh_config, default_http_retry_policy, "defaultHttpRetryPolicy",
	      http_retry_schema),
    KEY_GROUP(struct mesh_config, path_normalization, "pathNormalization", normalization_schema),
    KEY_DURATION(struct mesh_config, connect_timeout, "connectTimeout", .check = check_duration),
    KEY_DURATION(struct mesh_config, protocol_detection_timeout, "protocolDetectionTimeout",
		 .check = check_detection_timeout),
    KEY_GROUP(struct mesh_config, workload, "workload", workload_schema),
    KEY_IGNORED("tcpKeepalive", "set it in a DestinationRule, connectionPool.tcp"),
    KEY_IGNORED("h2UpgradePolicy", "set it in a DestinationRule, connectionPool.http"),
    KEY_IGNORED("localityLbSetting", "there are no localities"),
    KEY_IGNORED("inboundTrafficPolicy", "inbound traffic is not touched"),
    KEY_IGNORED("inboundClusterStatName", NO_PROXY),
    KEY_IGNORED("outboundClusterStatName", NO_PROXY),
    KEY_IGNORED("tlsDefaults", "set tls in a DestinationRule"),
    KEY_IGNORED("meshMTLS", "there are no certificates of a mesh"),
    KEY_IGNORED("caCertificates", "set them in a DestinationRule, tls"),
    KEY_IGNORED("certificates", "there are no certificates of a mesh"),
    KEY_IGNORED("ca", "there are no certificates of a mesh"),
    KEY_IGNORED("serviceSettings", NO_CONTROL),
    KEY_IGNORED("serviceScopeConfigs", NO_CONTROL),
    KEY_IGNORED("configSources", NO_CONTROL),
    KEY_IGNORED("verifyCertificateAtClient", "certificates are verified"),
    KEY_IGNORED("enableEnvoyAccessLog", NO_PROXY),
    KEY_IGNORED("hboneIdleTimeout", NO_PROXY),
    KEY_IGNORED("accessLogFile", NO_PROXY),
    KEY_IGNORED("accessLogFormat", NO_PROXY),
    KEY_IGNORED("accessLogEncoding", NO_PROXY),
    KEY_IGNORED("defaultConfig", NO_PROXY),
    KEY_IGNORED("defaultProviders", NO_PROXY),
    KEY_IGNORED("defaultDestinationRuleExportTo", "there are no namespaces"),
    KEY_IGNORED("defaultServiceExportTo", "there are no namespaces"),
    KEY_IGNORED("defaultVirtualServiceExportTo", "there are no namespaces"),
    KEY_IGNORED("discoverySelectors", NO_CONTROL),
    KEY_IGNORED("dnsRefreshRate", "names are looked up again by themselves"),
    KEY_IGNORED("enableAutoMtls", "there are no certificates of a mesh"),
    KEY_IGNORED("enableEnvoyAccessLogService", NO_PROXY),
    KEY_IGNORED("enablePrometheusMerge", NO_PROXY),
    KEY_IGNORED("enableTracing", NO_PROXY),
    KEY_IGNORED("extensionProviders", NO_PROXY),
    KEY_IGNORED("ingressClass", NO_CONTROL),
    KEY_IGNORED("ingressControllerMode", NO_CONTROL),
    KEY_IGNORED("ingressSelector", NO_CONTROL),
    KEY_IGNORED("ingressService", NO_CONTROL),
    KEY_IGNORED("proxyHttpPort", NO_PROXY),
    KEY_IGNORED("proxyListenPort", NO_PROXY),
    KEY_IGNORED("rootNamespace", "there are no namespaces"),
    KEY_IGNORED("trustDomain", "there are no certificates of a mesh"),
    KEY_IGNORED("trustDomainAliases", "there are no certificates of a mesh"),
};
const struct schema mesh_config_schema =
    SCHEMA("MeshConfig", struct mesh_config, mesh_config_keys);

static const struct key rule_file_keys[] = {
    KEY_GROUPS(struct rule_file, service_entries, "serviceEntries", service_entry_schema),
    KEY_GROUPS(struct rule_file, virtual_services, "virtualServices", virtual_service_schema),
    KEY_GROUPS(struct rule_file, destination_rules, "destinationRules", destination_rule_schema),
    KEY_GROUP(struct rule_file, mesh_config, "meshConfig", mesh_config_schema),
};
const struct schema rule_file_schema = SCHEMA("a rule file", struct rule_file, rule_file_keys);
