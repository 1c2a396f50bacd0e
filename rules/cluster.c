/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a ServiceEntry port and the DestinationRule's settings for it to a cluster.
 */
#include <stdio.h>
#include <string.h>

#include "rules/model.h"
#include "rules/sink.h"

#define MILLISECOND		INT64_C(1000000) /* in ns */
#define DEFAULT_CONNECT_TIMEOUT 10000		 /* ms */

/* ---- endpoints ---------------------------------------------------------------------------- */

static uint16_t endpoint_port(const struct workload_entry *entry, const struct service_port *port)
{
	const struct endpoint_port *ports = entry ? entry->ports.items : NULL;

	if (entry && entry->address.s && !strncmp(entry->address.s, "unix://", 7))
		return 0;
	for (size_t i = 0; entry && i < entry->ports.n; i++)
		if (ports[i].name.s && port->name.s && !strcmp(ports[i].name.s, port->name.s))
			return (uint16_t)ports[i].value.value;
	return (uint16_t)(port->target_port.set ? port->target_port.value : port->number.value);
}

static bool has_label(const struct workload_entry *entry, const struct pair *label)
{
	const struct pair *labels = entry->labels.items;

	for (size_t i = 0; i < entry->labels.n; i++)
		if (labels[i].name.s && label->name.s && !strcmp(labels[i].name.s, label->name.s))
			return labels[i].value.s && label->value.s &&
			       !strcmp(labels[i].value.s, label->value.s);
	return false;
}

static bool selects(const struct subset *subset, const struct workload_entry *entry)
{
	const struct pair *labels = subset ? subset->labels.items : NULL;

	for (size_t i = 0; subset && i < subset->labels.n; i++)
		if (!has_label(entry, &labels[i]))
			return false;
	return true;
}

static struct endpoints *new_endpoints(struct region *region, const struct list *list,
				       const struct service_port *port,
				       const struct subset *subset)
{
	const struct workload_entry *entries = list->items;
	struct endpoints *endpoints = region_alloc(region, sizeof(*endpoints));
	struct endpoint *items = region_array(region, list->n, sizeof(*items));

	if (!endpoints || !items)
		return NULL;
	for (size_t i = 0; i < list->n; i++) {
		if (!entries[i].address.s || !selects(subset, &entries[i]))
			continue;
		items[endpoints->n++] = (struct endpoint){
		    .address = entries[i].address.s,
		    .port = endpoint_port(&entries[i], port),
		    .weight = entries[i].weight.set ? (uint32_t)entries[i].weight.value : 1,
		};
	}
	endpoints->items = items;
	endpoints->subset = subset;
	return endpoints;
}

/* All hosts of an entry have the same endpoints. Each asks for its subsets in the same order, so that
 * the next one is where the last one was found. */
static const struct endpoints *shared_endpoints(struct region *region, const struct list *list,
						struct service_port *port,
						const struct subset *subset)
{
	struct endpoints *last = port->endpoints, *at = last ? last->next : NULL;

	while (at && at->subset != subset && at != last)
		at = at->next;
	if (!at || at->subset != subset) {
		at = new_endpoints(region, list, port, subset);
		if (!at)
			return NULL;
		at->next = last ? last->next : at;
		if (last)
			last->next = at;
	}
	port->endpoints = at;
	return at;
}

static int build_endpoints(struct region *region, const struct service *service,
			   struct service_port *port, const struct subset *subset,
			   struct cluster *cluster)
{
	const struct list *list = &service->entry->endpoints;
	const struct endpoints *shared;
	struct endpoint *own;

	if (list->n) {
		shared = shared_endpoints(region, list, port, subset);
		cluster->endpoints = shared ? shared->items : NULL;
		cluster->n_endpoints = shared ? shared->n : 0;
		return shared ? 0 : -1;
	}
	/* The host itself, which has no labels that a subset could ask for. */
	if ((subset && subset->labels.n) || (cluster->resolution != RESOLUTION_DNS &&
					     cluster->resolution != RESOLUTION_DNS_ROUND_ROBIN))
		return 0;
	own = region_alloc(region, sizeof(*own));
	if (!own)
		return -1;
	*own = (struct endpoint){service->host, endpoint_port(NULL, port), 1};
	cluster->endpoints = own;
	cluster->n_endpoints = 1;
	return 0;
}

/* ---- policy ------------------------------------------------------------------------------- */

/* What one trafficPolicy says goes over what was said before, field by field; then
 * portLevelSettings replace their four and inherit nothing, tunnel and proxyProtocol, which they do
 * not have, included (istio-semantics 1.3). */
static void apply_policy(struct cluster *cluster, const struct tls_settings **tls,
			 const struct traffic_policy *policy)
{
	const struct port_traffic_policy *ports;

	if (!policy)
		return;
	cluster->load_balancer = policy->load_balancer ?: cluster->load_balancer;
	cluster->connection_pool = policy->connection_pool ?: cluster->connection_pool;
	cluster->outlier_detection = policy->outlier_detection ?: cluster->outlier_detection;
	cluster->tunnel = policy->tunnel ?: cluster->tunnel;
	cluster->proxy_protocol = policy->proxy_protocol ?: cluster->proxy_protocol;
	*tls = policy->tls ?: *tls;
	ports = policy->port_level_settings.items;
	for (size_t i = 0; i < policy->port_level_settings.n; i++) {
		if (!ports[i].port || ports[i].port->number.value != cluster->port)
			continue;
		cluster->load_balancer = ports[i].load_balancer;
		cluster->connection_pool = ports[i].connection_pool;
		cluster->outlier_detection = ports[i].outlier_detection;
		cluster->tunnel = NULL;
		cluster->proxy_protocol = NULL;
		*tls = ports[i].tls;
		break;
	}
}

static uint64_t connect_timeout(const struct connection_pool *pool, const struct mesh_config *mesh)
{
	const struct duration *timeout = NULL;

	if (mesh && mesh->connect_timeout.set)
		timeout = &mesh->connect_timeout;
	if (pool && pool->tcp && pool->tcp->connect_timeout.set)
		timeout = &pool->tcp->connect_timeout;
	return timeout && timeout->ns >= MILLISECOND ? (uint64_t)timeout->ns / MILLISECOND
						     : DEFAULT_CONNECT_TIMEOUT;
}

static int build_names(struct region *region, const struct list *names, struct client_tls *tls)
{
	const struct text *items = names->items;
	const char **copy = region_array(region, names->n, sizeof(*copy));

	if (!copy)
		return -1;
	for (size_t i = 0; i < names->n; i++)
		copy[i] = items[i].s;
	tls->subject_alt_names = copy;
	tls->n_subject_alt_names = names->n;
	return 0;
}

/* A relative file is looked for beside the rule file that names it. */
static int build_file(struct region *region, const struct text *text, const char **path)
{
	const char *slash = text->where.file ? strrchr(text->where.file, '/') : NULL;

	*path = text->s && *text->s ? text->s : NULL;
	if (*path && slash && text->s[0] != '/')
		*path = region_printf(region, "%.*s%s", (int)(slash + 1 - text->where.file),
				      text->where.file, text->s);
	return text->s && *text->s && !*path ? -1 : 0;
}

static int build_files(struct region *region, const struct tls_settings *settings,
		       struct client_tls *tls)
{
	const char *ca = settings->ca_certificates.s;

	tls->ca_certificates = ca;
	if (ca && strcmp(ca, "system") != 0 &&
	    build_file(region, &settings->ca_certificates, &tls->ca_certificates) < 0)
		return -1;
	if (build_file(region, &settings->ca_crl, &tls->ca_crl) < 0)
		return -1;
	if (tls->mode != TLS_MODE_MUTUAL)
		return 0;
	if (build_file(region, &settings->client_certificate, &tls->client_certificate) < 0)
		return -1;
	return build_file(region, &settings->private_key, &tls->private_key);
}

static int build_tls(struct region *region, const struct service *service,
		     const struct tls_settings *settings, struct cluster *cluster)
{
	struct client_tls *tls = &cluster->tls;
	const struct list *names;

	if (!settings || settings->mode.value == TLS_MODE_DISABLE)
		return 0;
	tls->mode = (enum tls_mode)settings->mode.value;
	tls->sni = settings->sni.s && *settings->sni.s ? settings->sni.s : NULL;
	tls->insecure_skip_verify = settings->insecure_skip_verify.value;
	if (build_files(region, settings, tls) < 0)
		return -1;
	if (tls->insecure_skip_verify)
		return 0;
	names = settings->subject_alt_names.n ? &settings->subject_alt_names
					      : &service->entry->subject_alt_names;
	return build_names(region, names, tls);
}

/* ---- the id ------------------------------------------------------------------------------- */

/* Lengths stand before texts, so that no text can imitate another field. */
static void put_id_text(struct sink *sink, const char *text)
{
	char len[32];

	if (!text) {
		sink_text(sink, " -");
		return;
	}
	snprintf(len, sizeof(len), " %zu:", strlen(text));
	sink_text(sink, len);
	sink_text(sink, text);
}

static void put_endpoint(struct sink *sink, const struct endpoint *endpoint)
{
	char numbers[32];

	put_id_text(sink, endpoint->address);
	snprintf(numbers, sizeof(numbers), ":%u*%u", endpoint->port, endpoint->weight);
	sink_text(sink, numbers);
}

static size_t write_id(const struct cluster *cluster, char *out, size_t size)
{
	const struct client_tls *tls = &cluster->tls;
	struct sink sink = {out, size, 0};
	char numbers[64];

	sink_text(&sink, cluster->host);
	snprintf(numbers, sizeof(numbers), ":%u>%u p%d r%d", cluster->port, cluster->target_port,
		 cluster->protocol, cluster->resolution);
	sink_text(&sink, numbers);
	put_id_text(&sink, cluster->subset);
	for (size_t i = 0; i < cluster->n_endpoints; i++)
		put_endpoint(&sink, &cluster->endpoints[i]);
	cluster_policy_id(&sink, cluster);
	snprintf(numbers, sizeof(numbers), " tls%d%s", tls->mode,
		 tls->insecure_skip_verify ? "!" : "");
	sink_text(&sink, numbers);
	if (tls->mode == TLS_MODE_DISABLE)
		return sink_end(&sink);
	put_id_text(&sink, tls->ca_certificates);
	put_id_text(&sink, tls->client_certificate);
	put_id_text(&sink, tls->private_key);
	put_id_text(&sink, tls->ca_crl);
	put_id_text(&sink, tls->sni);
	for (size_t i = 0; i < tls->n_subject_alt_names; i++)
		put_id_text(&sink, tls->subject_alt_names[i]);
	return sink_end(&sink);
}

/* Not through open_memstream(3): when memory runs out, that cuts the text and tells nobody. */
static int build_id(struct region *region, struct cluster *cluster)
{
	char small[1024], *id;
	size_t len = write_id(cluster, small, sizeof(small));

	if (len < sizeof(small)) {
		cluster->id = region_strndup(region, small, len);
		return cluster->id ? 0 : -1;
	}
	id = region_alloc(region, len + 1);
	if (!id)
		return -1;
	write_id(cluster, id, len + 1);
	cluster->id = id;
	return 0;
}

/* ---- all of it ---------------------------------------------------------------------------- */

int rules_build_cluster(struct rules *rules, const struct service *service,
			struct service_port *port, const struct subset *subset,
			struct cluster *cluster)
{
	const struct service_entry *entry = service->entry;
	const struct tls_settings *tls = NULL;
	struct region *region = &rules->region;

	cluster->host = service->host;
	cluster->subset = subset ? subset->name.s : NULL;
	cluster->port = (uint16_t)port->number.value;
	cluster->target_port = endpoint_port(NULL, port);
	cluster->protocol = service_protocol(port);
	cluster->resolution = entry->resolution.set
				  ? (enum resolution)(entry->resolution.value - 1)
				  : RESOLUTION_NONE;
	cluster->where = port->where;
	apply_policy(cluster, &tls, service->rule ? service->rule->policy : NULL);
	apply_policy(cluster, &tls, subset ? subset->traffic_policy : NULL);
	cluster->connect_timeout = connect_timeout(cluster->connection_pool, rules->mesh_config);
	if (build_endpoints(region, service, port, subset, cluster) < 0 ||
	    build_tls(region, service, tls, cluster) < 0)
		return -1;
	return build_id(region, cluster);
}

const struct cluster *service_cluster(const struct service *service, unsigned port)
{
	for (size_t i = 0; i < service->n_clusters; i++)
		if (service->clusters[i].port == port)
			return &service->clusters[i];
	return NULL;
}

/* The clusters of each subset stand in the order of its service's own. */
const struct cluster *service_subset(const struct service *service, const char *subset,
				     unsigned port)
{
	const struct cluster *own = service_cluster(service, port);
	const struct merged_subset *found =
	    service->rule ? table_get(&service->rule->names, subset, strlen(subset)) : NULL;

	return own && found ? own + (found->index + 1) * service->n_clusters : NULL;
}
