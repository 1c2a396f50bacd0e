/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DestinationRule (networking.istio.io/v1), MeshConfig (mesh.istio.io/v1alpha1) and the top level
 * of a rule file: their tables, and the conditions of Istio's ValidateDestinationRule.
 */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

/* ---- ClientTLSSettings -------------------------------------------------------------------- */

/* A relative file is looked for beside the rule file that names it. */
static void resolve_file(struct reader *reader, void *value)
{
	struct text *path = value;
	const char *slash = path->where.file ? strrchr(path->where.file, '/') : NULL;

	if (!*path->s)
		path->s = NULL;
	else if (slash && path->s[0] != '/')
		path->s =
		    region_printf(&reader->rules->region, "%.*s%s",
				  (int)(slash + 1 - path->where.file), path->where.file, path->s);
}

static void resolve_ca(struct reader *reader, void *value)
{
	const struct text *path = value;

	if (strcmp(path->s, "system") != 0)
		resolve_file(reader, value);
}

static void check_sni(struct reader *reader, void *value)
{
	struct text *sni = value;
	struct hostname_error error;
	char name[256];

	if (!*sni->s) {
		sni->s = NULL;
	} else if (!hostname_is_address(sni->s, NULL) && !hostname_is_fqdn(sni->s, &error)) {
		reader_error(reader, &sni->where, "sni: %s", error.text);
	} else {
		hostname_normalize(sni->s, strlen(sni->s), name);
		sni->s = region_strdup(&reader->rules->region, name);
	}
}

static void check_mutual(struct reader *reader, const struct tls_settings *tls)
{
	if (!tls->client_certificate.s)
		reader_error(reader, &tls->where, "client certificate required for mutual tls");
	if (!tls->private_key.s)
		reader_error(reader, &tls->where, "private key required for mutual tls");
}

static void check_tls(struct reader *reader, void *group)
{
	const struct tls_settings *tls = group;

	if (!tls->mode.where.file)
		reader_warning(reader, &tls->where,
			       "tls has no mode: Istio's default DISABLE leaves the other settings "
			       "without effect");
	if (tls->mode.set && tls->mode.value == TLS_MODE_MUTUAL)
		check_mutual(reader, tls);
	else if (tls->mode.set && tls->mode.value == TLS_MODE_SIMPLE &&
		 (tls->client_certificate.s || tls->private_key.s))
		reader_warning(reader, &tls->where,
			       "clientCertificate and privateKey have no effect in mode SIMPLE "
			       "(use MUTUAL)");
	if (!tls->insecure_skip_verify.value)
		return;
	if (tls->ca_certificates.s || tls->subject_alt_names.n)
		reader_error(reader, &tls->where,
			     "cannot specify CaCertificates or SubjectAltNames when "
			     "InsecureSkipVerify is set true");
	reader_warning(reader, &tls->insecure_skip_verify.where,
		       "insecureSkipVerify: the server's certificate is not verified, anybody can "
		       "answer in its place");
}

static const struct choice_name tls_modes[] = {
    {.name = "DISABLE", .value = TLS_MODE_DISABLE},
    {.name = "SIMPLE", .value = TLS_MODE_SIMPLE},
    {.name = "MUTUAL", .value = TLS_MODE_MUTUAL},
    {.name = "ISTIO_MUTUAL",
     .refusal = "ISTIO_MUTUAL is not supported, there are no mesh certificates: use SIMPLE, or "
		"MUTUAL with clientCertificate and privateKey"},
    {.name = NULL},
};

static const struct key tls_keys[] = {
    KEY_CHOICE(struct tls_settings, mode, "mode", tls_modes),
    KEY_TEXT(struct tls_settings, client_certificate, "clientCertificate", .check = resolve_file),
    KEY_TEXT(struct tls_settings, private_key, "privateKey", .check = resolve_file),
    KEY_TEXT(struct tls_settings, ca_certificates, "caCertificates", .check = resolve_ca),
    KEY_TEXTS(struct tls_settings, subject_alt_names, "subjectAltNames"),
    KEY_TEXT(struct tls_settings, sni, "sni", .check = check_sni),
    KEY_FLAG(struct tls_settings, insecure_skip_verify, "insecureSkipVerify"),
    KEY_TEXT(struct tls_settings, ca_crl, "caCrl", .check = resolve_file),
    KEY_REFUSED("credentialName", "there are no Kubernetes secrets, name files with "
				  "caCertificates, clientCertificate and privateKey instead"),
};
static const struct schema tls_schema =
    SCHEMA("ClientTLSSettings", struct tls_settings, tls_keys, .check = check_tls);

/* ---- TrafficPolicy ------------------------------------------------------------------------ */

static void check_port_policy(struct reader *reader, void *group)
{
	const struct port_traffic_policy *policy = group;

	if (!policy->tls && !policy->refused)
		reader_error(reader, &policy->where,
			     "port traffic policy must have at least one field");
}

#define REFUSED_FOR_PORT(key)                                                                      \
	KEY_REFUSED(key, NULL, .offset = offsetof(struct port_traffic_policy, refused))

static const struct key port_policy_keys[] = {
    KEY_GROUP(struct port_traffic_policy, port, "port", port_selector_schema,
	      .required = "portTrafficPolicy must have valid port"),
    KEY_GROUP(struct port_traffic_policy, tls, "tls", tls_schema),
    REFUSED_FOR_PORT("loadBalancer"),
    REFUSED_FOR_PORT("connectionPool"),
    REFUSED_FOR_PORT("outlierDetection"),
};
static const struct schema port_policy_schema = SCHEMA(
    "PortTrafficPolicy", struct port_traffic_policy, port_policy_keys, .check = check_port_policy);

static void check_policy(struct reader *reader, void *group)
{
	const struct traffic_policy *policy = group;

	if (!policy->tls && !policy->port_level_settings.n && !policy->refused)
		reader_error(reader, &policy->where, "traffic policy must have at least one field");
}

#define REFUSED_POLICY(key)                                                                        \
	KEY_REFUSED(key, NULL, .offset = offsetof(struct traffic_policy, refused))

static const struct key policy_keys[] = {
    KEY_GROUP(struct traffic_policy, tls, "tls", tls_schema),
    KEY_GROUPS(struct traffic_policy, port_level_settings, "portLevelSettings", port_policy_schema),
    REFUSED_POLICY("loadBalancer"),
    REFUSED_POLICY("connectionPool"),
    REFUSED_POLICY("outlierDetection"),
    REFUSED_POLICY("tunnel"),
    REFUSED_POLICY("proxyProtocol"),
    KEY_REFUSED("retryBudget", NULL, .offset = offsetof(struct traffic_policy, refused)),
};
static const struct schema policy_schema =
    SCHEMA("TrafficPolicy", struct traffic_policy, policy_keys, .check = check_policy);

/* ---- DestinationRule ---------------------------------------------------------------------- */

static void check_rule_host(struct reader *reader, void *value)
{
	struct text *host = value;
	struct hostname_error error;
	char name[256];

	if (!hostname_is_address(host->s, NULL) && !hostname_is_wildcard_domain(host->s, &error)) {
		reader_error(reader, &host->where, "%s", error.text);
		host->s = NULL;
		return;
	}
	hostname_normalize(host->s, strlen(host->s), name);
	host->s = region_strdup(&reader->rules->region, name);
}

static const struct key destination_rule_keys[] = {
    KEY_TEXT(struct destination_rule, name, "name",
	     .required = "destination rule must have a name"),
    KEY_TEXT(struct destination_rule, host, "host", .check = check_rule_host,
	     .required = "destination rule must have a host"),
    KEY_GROUP(struct destination_rule, traffic_policy, "trafficPolicy", policy_schema),
    KEY_REFUSED("subsets", NULL),
    KEY_REFUSED("workloadSelector", "there are no workloads to select, leave it out"),
    KEY_IGNORED("exportTo", "there are no namespaces"),
};
const struct schema destination_rule_schema =
    SCHEMA("DestinationRule", struct destination_rule, destination_rule_keys);

/* ---- MeshConfig --------------------------------------------------------------------------- */

static const struct choice_name outbound_modes[] = {
    {.name = "ALLOW_ANY", .value = OUTBOUND_ALLOW_ANY},
    {.name = "REGISTRY_ONLY", .value = OUTBOUND_REGISTRY_ONLY},
    {.name = "ALLOW_ANY_DYNAMIC_DNS",
     .refusal = "ALLOW_ANY_DYNAMIC_DNS is not supported by this version"},
    {.name = NULL},
};

static const struct key outbound_keys[] = {
    KEY_CHOICE(struct outbound_traffic_policy, mode, "mode", outbound_modes),
};
static const struct schema outbound_schema =
    SCHEMA("OutboundTrafficPolicy", struct outbound_traffic_policy, outbound_keys);

static const struct key mesh_config_keys[] = {
    KEY_GROUP(struct mesh_config, outbound_traffic_policy, "outboundTrafficPolicy",
	      outbound_schema),
    KEY_REFUSED("defaultHttpRetryPolicy", NULL),
    KEY_REFUSED("pathNormalization", NULL),
    KEY_REFUSED("connectTimeout", NULL),
};
static const struct schema mesh_config_schema =
    SCHEMA("MeshConfig", struct mesh_config, mesh_config_keys);

/* ---- a file ------------------------------------------------------------------------------- */

static const struct key rule_file_keys[] = {
    KEY_GROUPS(struct rule_file, service_entries, "serviceEntries", service_entry_schema),
    KEY_GROUPS(struct rule_file, virtual_services, "virtualServices", virtual_service_schema),
    KEY_GROUPS(struct rule_file, destination_rules, "destinationRules", destination_rule_schema),
    KEY_GROUP(struct rule_file, mesh_config, "meshConfig", mesh_config_schema),
};
const struct schema rule_file_schema = SCHEMA("a rule file", struct rule_file, rule_file_keys);
