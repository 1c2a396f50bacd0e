/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster's policy as part of its id: connections that were made, counted and balanced under one
 * policy are not those of another, so that a changed policy makes another cluster, as in Envoy.
 * Where nothing was written, nothing is said.
 */
#include <stdio.h>

#include "rules/model.h"
#include "rules/sink.h"

static void put(struct sink *sink, char key, long long value)
{
	char text[32];

	snprintf(text, sizeof(text), " %c%lld", key, value);
	sink_text(sink, text);
}

static void put_number(struct sink *sink, char key, const struct number *number)
{
	if (number->set)
		put(sink, key, number->value);
}

static void put_duration(struct sink *sink, char key, const struct duration *duration)
{
	if (duration->set)
		put(sink, key, (long long)duration->ns);
}

/* What a request is hashed by is the request's affair; how, the cluster's. */
static void put_balancer(struct sink *sink, const struct load_balancer *balancer)
{
	const struct consistent_hash *hash = balancer->consistent_hash;

	sink_text(sink, " lb");
	put(sink, 's', balancer->simple.value);
	if (!hash)
		return;
	sink_text(sink, " hash");
	put_number(sink, 'm', &hash->minimum_ring_size);
	if (hash->ring_hash)
		put_number(sink, 'r', &hash->ring_hash->minimum_ring_size);
	if (hash->maglev) {
		sink_text(sink, " maglev");
		put_number(sink, 't', &hash->maglev->table_size);
	}
}

static void put_tcp(struct sink *sink, const struct tcp_settings *tcp)
{
	sink_text(sink, " tcp");
	put_number(sink, 'c', &tcp->max_connections);
	put_duration(sink, 'd', &tcp->max_connection_duration);
	put_duration(sink, 'i', &tcp->idle_timeout);
	if (!tcp->tcp_keepalive)
		return;
	sink_text(sink, " keepalive");
	put_number(sink, 'p', &tcp->tcp_keepalive->probes);
	put_duration(sink, 't', &tcp->tcp_keepalive->time);
	put_duration(sink, 'i', &tcp->tcp_keepalive->interval);
}

static void put_http(struct sink *sink, const struct http_settings *http)
{
	sink_text(sink, " http");
	put_number(sink, 'p', &http->http1_max_pending_requests);
	put_number(sink, 'q', &http->http2_max_requests);
	put_number(sink, 'n', &http->max_requests_per_connection);
	put_number(sink, 'r', &http->max_retries);
	put_duration(sink, 'i', &http->idle_timeout);
}

static void put_outlier(struct sink *sink, const struct outlier_detection *outlier)
{
	sink_text(sink, " outlier");
	put_number(sink, 'o', &outlier->consecutive_errors);
	put(sink, 's', outlier->split_external_local_origin_errors.value);
	put_number(sink, 'l', &outlier->consecutive_local_origin_failures);
	put_number(sink, 'g', &outlier->consecutive_gateway_errors);
	put_number(sink, '5', &outlier->consecutive_5xx_errors);
	put_duration(sink, 'i', &outlier->interval);
	put_duration(sink, 'b', &outlier->base_ejection_time);
	put_number(sink, 'm', &outlier->max_ejection_percent);
	put_number(sink, 'h', &outlier->min_health_percent);
}

static void put_text(struct sink *sink, const char *text)
{
	char len[32];

	snprintf(len, sizeof(len), " %zu:", text ? strlen(text) : 0);
	sink_text(sink, len);
	sink_text(sink, text ? text : "");
}

static void put_tunnel(struct sink *sink, const struct tunnel_settings *tunnel)
{
	sink_text(sink, " tunnel");
	put_text(sink, tunnel->protocol.s);
	put_text(sink, tunnel->target_host.s);
	put_number(sink, 'p', &tunnel->target_port);
}

void cluster_policy_id(struct sink *sink, const struct cluster *cluster)
{
	const struct connection_pool *pool = cluster->connection_pool;

	put(sink, 'c', (long long)cluster->connect_timeout);
	if (cluster->load_balancer)
		put_balancer(sink, cluster->load_balancer);
	if (pool && pool->tcp)
		put_tcp(sink, pool->tcp);
	if (pool && pool->http)
		put_http(sink, pool->http);
	if (cluster->outlier_detection)
		put_outlier(sink, cluster->outlier_detection);
	if (cluster->tunnel)
		put_tunnel(sink, cluster->tunnel);
	if (cluster->proxy_protocol) {
		sink_text(sink, " proxy");
		put(sink, 'v', cluster->proxy_protocol->version.value);
	}
}
