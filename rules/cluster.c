/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a ServiceEntry port and the DestinationRule's settings for it to a cluster.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/model.h"

static uint16_t endpoint_port(const struct workload_entry *entry, const struct service_port *port)
{
	const struct endpoint_port *ports = entry ? entry->ports.items : NULL;

	for (size_t i = 0; entry && i < entry->ports.n; i++)
		if (ports[i].name.s && port->name.s && !strcmp(ports[i].name.s, port->name.s))
			return (uint16_t)ports[i].value.value;
	return (uint16_t)(port->target_port.set ? port->target_port.value : port->number.value);
}

static int build_endpoints(struct region *region, const struct service *service,
			   const struct service_port *port, struct cluster *cluster)
{
	const struct list *list = &service->entry->endpoints;
	const struct workload_entry *entries = list->items;
	size_t n = list->n ? list->n : 1;
	struct endpoint *endpoints = region_array(region, n, sizeof(*endpoints));

	if (!endpoints)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct workload_entry *entry = list->n ? &entries[i] : NULL;

		endpoints[i].address = entry ? entry->address.s : service->host;
		endpoints[i].port = endpoint_port(entry, port);
	}
	cluster->endpoints = endpoints;
	cluster->n_endpoints = n;
	return 0;
}

/* portLevelSettings replace the settings of the destination, they inherit nothing. */
static const struct tls_settings *settings_for(const struct traffic_policy *policy, uint16_t port)
{
	const struct port_traffic_policy *ports;

	if (!policy)
		return NULL;
	ports = policy->port_level_settings.items;
	for (size_t i = 0; i < policy->port_level_settings.n; i++)
		if (ports[i].port && ports[i].port->number.value == port)
			return ports[i].tls;
	return policy->tls;
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

static int build_tls(struct region *region, const struct service *service, struct cluster *cluster)
{
	const struct tls_settings *settings = settings_for(service->policy, cluster->port);
	struct client_tls *tls = &cluster->tls;
	const struct list *names;

	if (!settings || settings->mode.value == TLS_MODE_DISABLE)
		return 0;
	tls->mode = (enum tls_mode)settings->mode.value;
	tls->ca_certificates = settings->ca_certificates.s;
	tls->ca_crl = settings->ca_crl.s;
	tls->sni = settings->sni.s;
	tls->insecure_skip_verify = settings->insecure_skip_verify.value;
	if (tls->mode == TLS_MODE_MUTUAL) {
		tls->client_certificate = settings->client_certificate.s;
		tls->private_key = settings->private_key.s;
	}
	if (tls->insecure_skip_verify)
		return 0;
	names = settings->subject_alt_names.n ? &settings->subject_alt_names
					      : &service->entry->subject_alt_names;
	return build_names(region, names, tls);
}

/* Lengths stand before texts, so that no text can imitate another field. */
static void write_text(FILE *out, const char *text)
{
	if (text)
		fprintf(out, " %zu:%s", strlen(text), text);
	else
		fputs(" -", out);
}

static void write_id(FILE *out, const struct cluster *cluster)
{
	const struct client_tls *tls = &cluster->tls;

	fprintf(out, "%s:%u p%d r%d", cluster->host, cluster->port, cluster->protocol,
		cluster->resolution);
	for (size_t i = 0; i < cluster->n_endpoints; i++) {
		write_text(out, cluster->endpoints[i].address);
		fprintf(out, ":%u", cluster->endpoints[i].port);
	}
	fprintf(out, " tls%d%s", tls->mode, tls->insecure_skip_verify ? "!" : "");
	if (tls->mode == TLS_MODE_DISABLE)
		return;
	write_text(out, tls->ca_certificates);
	write_text(out, tls->client_certificate);
	write_text(out, tls->private_key);
	write_text(out, tls->ca_crl);
	write_text(out, tls->sni);
	for (size_t i = 0; i < tls->n_subject_alt_names; i++)
		write_text(out, tls->subject_alt_names[i]);
}

static int build_id(struct region *region, struct cluster *cluster)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -1;
	write_id(out, cluster);
	if (fclose(out) == 0)
		cluster->id = region_strndup(region, text, len);
	free(text);
	return cluster->id ? 0 : -1;
}

int rules_build_cluster(struct region *region, const struct service *service,
			const struct service_port *port, struct cluster *cluster)
{
	cluster->host = service->host;
	cluster->port = (uint16_t)port->number.value;
	cluster->protocol =
	    port->protocol.set ? (enum protocol)(port->protocol.value - 1) : PROTOCOL_TCP;
	cluster->resolution = service->entry->resolution.set
				  ? (enum resolution)(service->entry->resolution.value - 1)
				  : RESOLUTION_DNS;
	cluster->where = port->where;
	if (build_endpoints(region, service, port, cluster) < 0 ||
	    build_tls(region, service, cluster) < 0)
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
