/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TrafficPolicy (networking.istio.io/v1) and what it holds, TLS apart: load balancing, connection
 * pools, outliers, tunnels; with the conditions of Istio's validateTrafficPolicy.
 */
#include <string.h>

#include "rules/decimal.h"
#include "rules/hostname.h"
#include "rules/schema.h"

/* ---- LoadBalancerSettings ----------------------------------------------------------------- */

static const struct choice_name simple_names[] = {
    {.name = "UNSPECIFIED", .value = LB_UNSPECIFIED},
    {.name = "LEAST_CONN", .value = LB_LEAST_CONN, .deprecated = true},
    {.name = "RANDOM", .value = LB_RANDOM},
    {.name = "PASSTHROUGH", .value = LB_PASSTHROUGH},
    {.name = "ROUND_ROBIN", .value = LB_ROUND_ROBIN},
    {.name = "LEAST_REQUEST", .value = LB_LEAST_REQUEST},
    {.name = NULL},
};

/* A life of 0 s is a cookie of the session. */
static void check_ttl(struct reader *reader, void *value)
{
	const struct duration *ttl = value;

	if (ttl->ns)
		check_duration(reader, value);
}

static const struct key attribute_keys[] = {
    KEY_TEXT(struct pair, name, "name", .required = "name required for a cookie's attribute"),
    KEY_TEXT(struct pair, value, "value"),
};
static const struct schema attribute_schema =
    SCHEMA("HTTPCookie.Attribute", struct pair, attribute_keys);

static void check_cookie_name(struct reader *reader, void *value)
{
	const struct text *name = value;

	if (!*name->s)
		reader_error(reader, &name->where, "name required for HttpCookie");
}

static const struct key cookie_keys[] = {
    KEY_TEXT(struct http_cookie, name, "name", .check = check_cookie_name,
	     .required = "name required for HttpCookie"),
    KEY_TEXT(struct http_cookie, path, "path"),
    KEY_DURATION(struct http_cookie, ttl, "ttl", .check = check_ttl),
    KEY_GROUPS(struct http_cookie, attributes, "attributes", attribute_schema),
};
static const struct schema cookie_schema = SCHEMA("HTTPCookie", struct http_cookie, cookie_keys);

static void check_ring_size(struct reader *reader, void *value)
{
	check_not_negative(reader, value, "minimumRingSize");
}

static const struct key ring_hash_keys[] = {
    KEY_NUMBER(struct ring_hash, minimum_ring_size, "minimumRingSize", .check = check_ring_size),
};
static const struct schema ring_hash_schema = SCHEMA("RingHash", struct ring_hash, ring_hash_keys);

#define TABLE_MAX   5000011 /* Envoy's */
#define MAGLEV_SIZE "tableSize must be set for maglev"

static bool is_prime(long long number)
{
	if (number < 2)
		return false;
	for (long long divisor = 2; divisor * divisor <= number; divisor++)
		if (number % divisor == 0)
			return false;
	return true;
}

static void check_table_size(struct reader *reader, void *value)
{
	const struct number *size = value;

	if (!size->value)
		reader_error(reader, &size->where, MAGLEV_SIZE);
	else if (size->value >= TABLE_MAX)
		reader_error(reader, &size->where, "tableSize must be less than %d for maglev",
			     TABLE_MAX);
	else if (!is_prime(size->value))
		reader_error(reader, &size->where, "tableSize must be a prime number for maglev");
}

static const struct key maglev_keys[] = {
    KEY_NUMBER(struct maglev, table_size, "tableSize", .check = check_table_size,
	       .required = MAGLEV_SIZE),
};
static const struct schema maglev_schema = SCHEMA("MagLev", struct maglev, maglev_keys);

static void check_consistent_hash(struct reader *reader, void *group)
{
	const struct consistent_hash *hash = group;
	int keys = (hash->http_header_name.s != NULL) + (hash->http_cookie != NULL) +
		   hash->use_source_ip.set + (hash->http_query_parameter_name.s != NULL);

	if (!keys)
		reader_say(reader, SEVERITY_WARNING, NULL, &hash->where,
			   "consistentHash has nothing to hash: it needs one of httpHeaderName, "
			   "httpCookie, useSourceIp and httpQueryParameterName");
	else if (keys > 1)
		reader_error(reader, &hash->where,
			     "only one of httpHeaderName, httpCookie, useSourceIp and "
			     "httpQueryParameterName can be set");
	if ((hash->minimum_ring_size.set && (hash->ring_hash || hash->maglev)) ||
	    (hash->ring_hash && hash->maglev))
		reader_error(reader, &hash->where,
			     "only one of MinimumRingSize or Maglev/Ringhash can be specified");
}

static const struct key consistent_hash_keys[] = {
    KEY_TEXT(struct consistent_hash, http_header_name, "httpHeaderName"),
    KEY_GROUP(struct consistent_hash, http_cookie, "httpCookie", cookie_schema),
    KEY_FLAG(struct consistent_hash, use_source_ip, "useSourceIp"),
    KEY_TEXT(struct consistent_hash, http_query_parameter_name, "httpQueryParameterName"),
    KEY_GROUP(struct consistent_hash, ring_hash, "ringHash", ring_hash_schema),
    KEY_GROUP(struct consistent_hash, maglev, "maglev", maglev_schema),
    KEY_NUMBER(struct consistent_hash, minimum_ring_size, "minimumRingSize",
	       .check = check_ring_size, .deprecated = "use ringHash.minimumRingSize"),
};
static const struct schema consistent_hash_schema =
    SCHEMA("ConsistentHashLB", struct consistent_hash, consistent_hash_keys,
	   .check = check_consistent_hash);

static void check_load_balancer(struct reader *reader, void *group)
{
	const struct load_balancer *balancer = group;

	if (balancer->simple.where.file && balancer->consistent_hash)
		reader_error(reader, &balancer->where,
			     "only one of simple and consistentHash can be set");
}

static const struct key load_balancer_keys[] = {
    KEY_CHOICE(struct load_balancer, simple, "simple", simple_names),
    KEY_GROUP(struct load_balancer, consistent_hash, "consistentHash", consistent_hash_schema),
    KEY_IGNORED("localityLbSetting", "there are no localities"),
    KEY_IGNORED("zoneAwareLbSetting", "there are no zones"),
    KEY_IGNORED("warmup", "endpoints are not warmed up"),
    KEY_IGNORED("warmupDurationSecs", "endpoints are not warmed up"),
};
static const struct schema load_balancer_schema =
    SCHEMA("LoadBalancerSettings", struct load_balancer, load_balancer_keys,
	   .check = check_load_balancer);

/* ---- ConnectionPoolSettings --------------------------------------------------------------- */

#define NOT_NEGATIVE(function, what)                                                               \
	static void function(struct reader *reader, void *value)                                   \
	{                                                                                          \
		check_not_negative(reader, value, what);                                           \
	}

NOT_NEGATIVE(check_max_connections, "max connections")
NOT_NEGATIVE(check_probes, "probes")
NOT_NEGATIVE(check_pending, "http1 max pending requests")
NOT_NEGATIVE(check_requests, "http2 max requests")
NOT_NEGATIVE(check_per_connection, "max requests per connection")
NOT_NEGATIVE(check_max_retries, "max retries")
NOT_NEGATIVE(check_streams, "max concurrent streams")

/* 0 s turns it off; that of http has no such value. */
static void check_idle_timeout(struct reader *reader, void *value)
{
	const struct duration *timeout = value;

	if (timeout->ns)
		check_duration(reader, value);
}

static const struct key keepalive_keys[] = {
    KEY_NUMBER(struct tcp_keepalive, probes, "probes", .check = check_probes),
    KEY_DURATION(struct tcp_keepalive, time, "time", .check = check_duration),
    KEY_DURATION(struct tcp_keepalive, interval, "interval", .check = check_duration),
};
static const struct schema keepalive_schema =
    SCHEMA("TcpKeepalive", struct tcp_keepalive, keepalive_keys);

static const struct key tcp_settings_keys[] = {
    KEY_NUMBER(struct tcp_settings, max_connections, "maxConnections",
	       .check = check_max_connections),
    KEY_DURATION(struct tcp_settings, connect_timeout, "connectTimeout", .check = check_duration),
    KEY_GROUP(struct tcp_settings, tcp_keepalive, "tcpKeepalive", keepalive_schema),
    KEY_DURATION(struct tcp_settings, max_connection_duration, "maxConnectionDuration",
		 .check = check_duration),
    KEY_DURATION(struct tcp_settings, idle_timeout, "idleTimeout", .check = check_idle_timeout),
};
static const struct schema tcp_settings_schema =
    SCHEMA("TCPSettings", struct tcp_settings, tcp_settings_keys);

static void check_http2_keepalive(struct reader *reader, void *group)
{
	const struct http2_keepalive *keepalive = group;

	if (!keepalive->interval.where.file)
		reader_error(reader, &keepalive->where, "http2 keepalive interval is required");
	if (!keepalive->timeout.where.file)
		reader_error(reader, &keepalive->where, "http2 keepalive timeout is required");
}

static const struct key http2_keepalive_keys[] = {
    KEY_DURATION(struct http2_keepalive, interval, "interval", .check = check_duration),
    KEY_DURATION(struct http2_keepalive, timeout, "timeout", .check = check_duration),
};
static const struct schema http2_keepalive_schema =
    SCHEMA("Http2KeepAlive", struct http2_keepalive, http2_keepalive_keys,
	   .check = check_http2_keepalive);

static const struct choice_name upgrade_names[] = {
    {.name = "DEFAULT", .value = H2_DEFAULT},
    {.name = "DO_NOT_UPGRADE", .value = H2_DO_NOT_UPGRADE},
    {.name = "UPGRADE", .value = H2_UPGRADE},
    {.name = NULL},
};

static void check_http_settings(struct reader *reader, void *group)
{
	const struct http_settings *http = group;

	if (http->use_client_protocol.value && http->h2_upgrade_policy.set &&
	    http->h2_upgrade_policy.value == H2_UPGRADE)
		reader_error(reader, &http->use_client_protocol.where,
			     "use client protocol must not be true when H2UpgradePolicy is UPGRADE");
}

static const struct key http_settings_keys[] = {
    KEY_NUMBER(struct http_settings, http1_max_pending_requests, "http1MaxPendingRequests",
	       .check = check_pending),
    KEY_NUMBER(struct http_settings, http2_max_requests, "http2MaxRequests",
	       .check = check_requests),
    KEY_NUMBER(struct http_settings, max_requests_per_connection, "maxRequestsPerConnection",
	       .check = check_per_connection),
    KEY_NUMBER(struct http_settings, max_retries, "maxRetries", .check = check_max_retries),
    KEY_DURATION(struct http_settings, idle_timeout, "idleTimeout", .check = check_duration),
    KEY_CHOICE(struct http_settings, h2_upgrade_policy, "h2UpgradePolicy", upgrade_names),
    KEY_FLAG(struct http_settings, use_client_protocol, "useClientProtocol"),
    KEY_NUMBER(struct http_settings, max_concurrent_streams, "maxConcurrentStreams",
	       .check = check_streams),
    KEY_GROUP(struct http_settings, http2_keepalive, "http2KeepAlive", http2_keepalive_schema),
};
static const struct schema http_settings_schema =
    SCHEMA("HTTPSettings", struct http_settings, http_settings_keys, .check = check_http_settings);

static void check_pool(struct reader *reader, void *group)
{
	const struct connection_pool *pool = group;

	if (!pool->tcp && !pool->http)
		reader_error(reader, &pool->where, "connection pool must have at least one field");
}

static const struct key pool_keys[] = {
    KEY_GROUP(struct connection_pool, tcp, "tcp", tcp_settings_schema),
    KEY_GROUP(struct connection_pool, http, "http", http_settings_schema),
};
static const struct schema pool_schema =
    SCHEMA("ConnectionPoolSettings", struct connection_pool, pool_keys, .check = check_pool);

/* ---- OutlierDetection --------------------------------------------------------------------- */

NOT_NEGATIVE(check_errors, "outlier detection consecutive errors")
NOT_NEGATIVE(check_5xx_errors, "outlier detection consecutive 5xx errors")
NOT_NEGATIVE(check_gateway_errors, "outlier detection consecutive gateway errors")
NOT_NEGATIVE(check_local_failures, "outlier detection consecutive local origin failures")

static void check_whole_percent(struct reader *reader, void *value)
{
	struct number *percent = value;

	if (percent->value >= 0 && percent->value <= 100)
		return;
	reader_error(reader, &percent->where, "percentage %lld is not in range 0..100",
		     percent->value);
	percent->set = false;
}

static void check_outliers(struct reader *reader, void *group)
{
	const struct outlier_detection *outliers = group;

	if (outliers->consecutive_local_origin_failures.set &&
	    outliers->consecutive_local_origin_failures.value > 0 &&
	    !outliers->split_external_local_origin_errors.value)
		reader_error(reader, &outliers->consecutive_local_origin_failures.where,
			     "outlier detection consecutive local origin failures is specified, but "
			     "split external local origin errors is set to false");
}

static const struct key outlier_keys[] = {
    KEY_FLAG(struct outlier_detection, split_external_local_origin_errors,
	     "splitExternalLocalOriginErrors"),
    KEY_NUMBER(struct outlier_detection, consecutive_local_origin_failures,
	       "consecutiveLocalOriginFailures", .check = check_local_failures),
    KEY_NUMBER(struct outlier_detection, consecutive_gateway_errors, "consecutiveGatewayErrors",
	       .check = check_gateway_errors),
    KEY_NUMBER(struct outlier_detection, consecutive_5xx_errors, "consecutive5xxErrors",
	       .check = check_5xx_errors),
    KEY_NUMBER(struct outlier_detection, consecutive_errors, "consecutiveErrors",
	       .check = check_errors, .deprecated = "use consecutive5xxErrors"),
    KEY_DURATION(struct outlier_detection, interval, "interval", .check = check_duration),
    KEY_DURATION(struct outlier_detection, base_ejection_time, "baseEjectionTime",
		 .check = check_duration),
    KEY_NUMBER(struct outlier_detection, max_ejection_percent, "maxEjectionPercent",
	       .check = check_whole_percent),
    KEY_NUMBER(struct outlier_detection, min_health_percent, "minHealthPercent",
	       .check = check_whole_percent),
};
static const struct schema outlier_schema =
    SCHEMA("OutlierDetection", struct outlier_detection, outlier_keys, .check = check_outliers);

/* ---- TunnelSettings, ProxyProtocol, RetryBudget ------------------------------------------- */

static void check_tunnel_protocol(struct reader *reader, void *value)
{
	const struct text *protocol = value;

	if (*protocol->s && strcmp(protocol->s, "CONNECT") != 0 &&
	    strcmp(protocol->s, "POST") != 0)
		reader_error(reader, &protocol->where,
			     "tunnel protocol must be \"CONNECT\" or \"POST\"");
	else if (!strcmp(protocol->s, "POST"))
		reader_gap(reader, &protocol->where, "TunnelSettings", "protocol", "POST");
}

static void check_target_host(struct reader *reader, void *value)
{
	const struct text *host = value;
	struct hostname_error error;

	if (!hostname_is_address(host->s, NULL) && !hostname_is_fqdn(host->s, &error))
		reader_error(reader, &host->where,
			     "tunnel target host must be valid FQDN or IP address: %s", host->s);
}

static void check_target_port(struct reader *reader, void *value)
{
	const struct number *port = value;

	if (port->value < 1 || port->value > 65535)
		reader_error(reader, &port->where,
			     "tunnel target port is invalid: port number %lld must be in the range "
			     "1..65535",
			     port->value);
}

static const struct key tunnel_keys[] = {
    KEY_TEXT(struct tunnel_settings, protocol, "protocol", .check = check_tunnel_protocol),
    KEY_TEXT(struct tunnel_settings, target_host, "targetHost", .check = check_target_host,
	     .required = "tunnel target host must be valid FQDN or IP address: it has none"),
    KEY_NUMBER(struct tunnel_settings, target_port, "targetPort", .check = check_target_port,
	       .required = "tunnel target port is invalid: it has none"),
};
static const struct schema tunnel_schema =
    SCHEMA("TunnelSettings", struct tunnel_settings, tunnel_keys);

static const struct choice_name version_names[] = {
    {.name = "V1", .value = PROXY_PROTOCOL_V1},
    {.name = "V2", .value = PROXY_PROTOCOL_V2},
    {.name = NULL},
};

static const struct key proxy_protocol_keys[] = {
    KEY_CHOICE(struct proxy_protocol, version, "version", version_names),
};
static const struct schema proxy_protocol_schema =
    SCHEMA("ProxyProtocol", struct proxy_protocol, proxy_protocol_keys);

static void check_budget_percent(struct reader *reader, void *value)
{
	const struct decimal *percent = value;
	char text[DECIMAL_MAX];

	if (!(percent->value >= 0 && percent->value <= 100))
		reader_error(reader, &percent->where, "percentage %s is not in range 0..100",
			     decimal_format(percent->value, text));
}

NOT_NEGATIVE(check_concurrency, "min retry concurrency")

static const struct key retry_budget_keys[] = {
    KEY_DECIMAL(struct retry_budget, percent, "percent", .check = check_budget_percent),
    KEY_NUMBER(struct retry_budget, min_retry_concurrency, "minRetryConcurrency",
	       .check = check_concurrency),
    KEY_DURATION(struct retry_budget, budget_interval, "budgetInterval", .check = check_duration),
};
static void check_retry_budget(struct reader *reader, void *group)
{
	const struct retry_budget *budget = group;

	reader_say(reader, SEVERITY_WARNING, NULL, &budget->where,
		   "TrafficPolicy.retryBudget has no effect here");
}
static const struct schema retry_budget_schema =
    SCHEMA("RetryBudget", struct retry_budget, retry_budget_keys, .check = check_retry_budget);

/* ---- TrafficPolicy ------------------------------------------------------------------------ */

static void check_port_policy(struct reader *reader, void *group)
{
	const struct port_traffic_policy *policy = group;

	if (!policy->load_balancer && !policy->connection_pool && !policy->outlier_detection &&
	    !policy->tls)
		reader_error(reader, &policy->where,
			     "port traffic policy must have at least one field");
}

static const struct key port_policy_keys[] = {
    KEY_GROUP(struct port_traffic_policy, port, "port", port_selector_schema,
	      .required = "portTrafficPolicy must have valid port"),
    KEY_GROUP(struct port_traffic_policy, load_balancer, "loadBalancer", load_balancer_schema),
    KEY_GROUP(struct port_traffic_policy, connection_pool, "connectionPool", pool_schema),
    KEY_GROUP(struct port_traffic_policy, outlier_detection, "outlierDetection", outlier_schema),
    KEY_GROUP(struct port_traffic_policy, tls, "tls", tls_settings_schema),
};
static const struct schema port_policy_schema = SCHEMA(
    "PortTrafficPolicy", struct port_traffic_policy, port_policy_keys, .check = check_port_policy);

static void check_policy(struct reader *reader, void *group)
{
	const struct traffic_policy *policy = group;

	if (!policy->load_balancer && !policy->connection_pool && !policy->outlier_detection &&
	    !policy->tls && !policy->port_level_settings.n && !policy->tunnel &&
	    !policy->proxy_protocol && !policy->retry_budget)
		reader_error(reader, &policy->where, "traffic policy must have at least one field");
	if (policy->tunnel && policy->proxy_protocol)
		reader_error(reader, &policy->where,
			     "tunnel and proxyProtocol must not be set together");
}

static const struct key policy_keys[] = {
    KEY_GROUP(struct traffic_policy, load_balancer, "loadBalancer", load_balancer_schema),
    KEY_GROUP(struct traffic_policy, connection_pool, "connectionPool", pool_schema),
    KEY_GROUP(struct traffic_policy, outlier_detection, "outlierDetection", outlier_schema),
    KEY_GROUP(struct traffic_policy, tls, "tls", tls_settings_schema),
    KEY_GROUPS(struct traffic_policy, port_level_settings, "portLevelSettings", port_policy_schema),
    KEY_GROUP(struct traffic_policy, tunnel, "tunnel", tunnel_schema),
    KEY_GROUP(struct traffic_policy, proxy_protocol, "proxyProtocol", proxy_protocol_schema),
    KEY_GROUP(struct traffic_policy, retry_budget, "retryBudget", retry_budget_schema),
};
const struct schema traffic_policy_schema =
    SCHEMA("TrafficPolicy", struct traffic_policy, policy_keys, .check = check_policy);
