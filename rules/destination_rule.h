/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DestinationRule (networking.istio.io/v1) as it was written; see value.h. Filled by spec_rule.c
 * (the resource, TLS) and spec_policy.c (load balancing, pools, outliers, tunnels).
 */
#ifndef RULES_DESTINATION_RULE_H
#define RULES_DESTINATION_RULE_H

#include "rules/value.h"
#include "rules/virtual_service.h" /* struct port_selector */

/* ClientTLSSettings. Files are as written: relative to the rule file that names them. */
struct tls_settings {
	struct where where;
	struct choice mode; /* enum tls_mode */
	struct text client_certificate, private_key, ca_certificates, ca_crl, sni;
	struct list subject_alt_names;
	struct flag insecure_skip_verify;
	struct where credential; /* of a credentialName (an error); file NULL: none */
};

/* LoadBalancerSettings.SimpleLB */
enum simple_lb {
	LB_UNSPECIFIED, /* LEAST_REQUEST */
	LB_LEAST_CONN,	/* deprecated: LEAST_REQUEST */
	LB_RANDOM,
	LB_PASSTHROUGH,
	LB_ROUND_ROBIN,
	LB_LEAST_REQUEST,
};

/* ConsistentHashLB.HTTPCookie; `attributes` are struct pair with an optional value. */
struct http_cookie {
	struct where where;
	struct text name, path;
	struct duration ttl; /* 0: a session cookie */
	struct list attributes;
};

struct ring_hash {
	struct where where;
	struct number minimum_ring_size; /* 1024 */
};

struct maglev {
	struct where where;
	struct number table_size; /* 65537 */
};

struct consistent_hash {
	struct where where;
	struct text http_header_name, http_query_parameter_name;
	struct http_cookie *http_cookie;
	struct flag use_source_ip;
	struct number minimum_ring_size; /* deprecated */
	struct ring_hash *ring_hash;
	struct maglev *maglev;
};

struct load_balancer {
	struct where where;
	struct choice simple; /* enum simple_lb */
	struct consistent_hash *consistent_hash;
};

struct tcp_keepalive {
	struct where where;
	struct number probes;
	struct duration time, interval;
};

struct tcp_settings {
	struct where where;
	struct number max_connections;
	struct duration connect_timeout, max_connection_duration, idle_timeout;
	struct tcp_keepalive *tcp_keepalive;
};

/* HTTPSettings.H2UpgradePolicy */
enum h2_upgrade_policy {
	H2_DEFAULT,
	H2_DO_NOT_UPGRADE,
	H2_UPGRADE,
};

struct http2_keepalive {
	struct where where;
	struct duration interval, timeout;
};

struct http_settings {
	struct where where;
	struct number http1_max_pending_requests, http2_max_requests;
	struct number max_requests_per_connection; /* 0: no limit */
	struct number max_retries, max_concurrent_streams;
	struct duration idle_timeout;
	struct choice h2_upgrade_policy; /* enum h2_upgrade_policy */
	struct flag use_client_protocol;
	struct http2_keepalive *http2_keepalive;
};

struct connection_pool {
	struct where where;
	struct tcp_settings *tcp;
	struct http_settings *http;
};

struct outlier_detection {
	struct where where;
	struct number consecutive_errors; /* deprecated */
	struct flag split_external_local_origin_errors;
	struct number consecutive_local_origin_failures;
	struct number consecutive_gateway_errors, consecutive_5xx_errors;
	struct duration interval, base_ejection_time;
	struct number max_ejection_percent, min_health_percent;
};

struct tunnel_settings {
	struct where where;
	struct text protocol; /* CONNECT, POST; absent: CONNECT */
	struct text target_host;
	struct number target_port;
};

/* ProxyProtocol.VERSION */
enum proxy_protocol_version {
	PROXY_PROTOCOL_V1,
	PROXY_PROTOCOL_V2,
};

struct proxy_protocol {
	struct where where;
	struct choice version; /* enum proxy_protocol_version */
};

struct retry_budget {
	struct where where;
	struct decimal percent;
	struct number min_retry_concurrency;
	struct duration budget_interval;
};

struct port_traffic_policy {
	struct where where;
	struct port_selector *port;
	struct load_balancer *load_balancer;
	struct connection_pool *connection_pool;
	struct outlier_detection *outlier_detection;
	struct tls_settings *tls;
};

struct traffic_policy {
	struct where where;
	struct load_balancer *load_balancer;
	struct connection_pool *connection_pool;
	struct outlier_detection *outlier_detection;
	struct tls_settings *tls;
	struct list port_level_settings; /* struct port_traffic_policy */
	struct tunnel_settings *tunnel;
	struct proxy_protocol *proxy_protocol;
	struct retry_budget *retry_budget; /* without effect */
};

struct subset {
	struct where where;
	struct text name;
	struct list labels; /* struct pair; none: every endpoint */
	struct traffic_policy *traffic_policy;
};

struct destination_rule {
	struct where where;
	struct text name, host;
	struct traffic_policy *traffic_policy;
	struct list subsets; /* struct subset */
	struct list export_to; /* struct text; checked, without effect */
};

#endif
