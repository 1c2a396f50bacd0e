/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VirtualService (networking.istio.io/v1): its table, and the conditions of Istio's
 * ValidateVirtualService that concern the resource as a whole. Its routes are in spec_route.c and
 * spec_l4.c; what concerns their order is in reach.c.
 */
#include <stdio.h>
#include <string.h>

#include "rules/hostname.h"
#include "rules/reach.h"
#include "rules/schema.h"

#define NO_ROUTES "http, tcp or tls must be provided in virtual service"

/* Each host against what the others cover, wildcards included. */
static void check_overlap(struct reader *reader, const struct list *hosts)
{
	struct text *items = hosts->items;
	struct hostmap map;

	hostmap_init(&map);
	for (size_t i = 0; i < hosts->n; i++) {
		const struct text *twin = hostmap_get(&map, items[i].s);

		if (twin)
			reader_error(reader, &items[i].where,
				     "duplicate hosts in virtual service: %s & %s", twin->s,
				     items[i].s);
		else if (hostmap_put(&map, items[i].s, &items[i]) < 0)
			reader_oom(reader);
	}
	for (size_t i = 0; i < hosts->n; i++) {
		struct hostmap_walk walk;
		const struct text *cover;

		hostmap_walk_init(&walk, &map, items[i].s);
		while ((cover = hostmap_walk_next(&walk)))
			if (strcmp(cover->s, items[i].s) != 0)
				reader_error(reader, &items[i].where,
					     "duplicate hosts in virtual service: %s & %s",
					     cover->s, items[i].s);
	}
	hostmap_release(&map);
}

static void check_virtual_hosts(struct reader *reader, void *value)
{
	check_host_list(reader, value, true);
	check_overlap(reader, value);
}

/* What leaves a sidecar has a destination; only a gateway can take all that comes. */
static void check_stars(struct reader *reader, const struct virtual_service *service)
{
	const struct text *hosts = service->hosts.items;

	for (size_t i = 0; !service->inert && i < service->hosts.n; i++)
		if (!strcmp(hosts[i].s, "*"))
			reader_error(reader, &hosts[i].where,
				     "wildcard host * is not allowed for virtual services bound to "
				     "the mesh gateway");
}

/* A VirtualService without hosts is a delegate: others include its http routes. */
static void check_delegate(struct reader *reader, const struct virtual_service *service)
{
	const struct http_route *routes = service->http.items;

	if (service->gateways.n)
		reader_error(reader, &service->gateways.where,
			     "delegate virtual service must have no gateways specified");
	if (service->tls.n)
		reader_error(reader, &service->tls.where,
			     "delegate virtual service must have no tls route specified");
	if (service->tcp.n)
		reader_error(reader, &service->tcp.where,
			     "delegate virtual service must have no tcp route specified");
	for (size_t i = 0; i < service->http.n; i++)
		if (routes[i].delegate)
			reader_error(reader, &routes[i].delegate->where,
				     "delegate HTTP route cannot contain delegate");
}

/* "a.example.com" is one of "*.example.com"'s. */
static bool covers(const char *host, const char *sni)
{
	size_t len = strlen(host + 1), size = strlen(sni);

	if (host[0] != '*')
		return !strcmp(host, sni);
	if (sni[0] == '*')
		return size - 1 >= len && !strcmp(sni + size - len, host + 1);
	return size > len && !strcmp(sni + size - len, host + 1);
}

static void check_sni(struct reader *reader, const struct list *hosts, const struct text *sni)
{
	const struct text *items = hosts->items;
	char list[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < hosts->n; i++) {
		if (covers(items[i].s, sni->s))
			return;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						i ? ", " : "", items[i].s);
	}
	reader_error(reader, &sni->where,
		     "SNI host \"%s\" is not a compatible subset of any of the virtual service "
		     "hosts: [%s]",
		     sni->s, list);
}

static void check_snis(struct reader *reader, const struct virtual_service *service)
{
	const struct l4_route *routes = service->tls.items;

	for (size_t i = 0; i < service->tls.n; i++) {
		const struct l4_match *blocks = routes[i].match.items;

		for (size_t j = 0; j < routes[i].match.n; j++) {
			const struct text *snis = blocks[j].sni_hosts.items;

			for (size_t k = 0; k < blocks[j].sni_hosts.n; k++)
				if (!hostname_is_address(snis[k].s, NULL))
					check_sni(reader, &service->hosts, &snis[k]);
		}
	}
}

static void check_virtual_service(struct reader *reader, void *group)
{
	struct virtual_service *service = group;

	service->inert = reader->only_gateways;
	reader->for_gateway = reader->only_gateways = false;
	if (service->inert)
		reader_say(reader, SEVERITY_WARNING, NULL, &service->gateways.where,
			   "virtual service has no effect here: its gateways do not include "
			   "\"mesh\"");
	if (!service->http.n && !service->tls.n && !service->tcp.n)
		reader_error(reader, &service->where, NO_ROUTES);
	check_stars(reader, service);
	if (service->hosts.n)
		check_snis(reader, service);
	else if (!service->hosts.partial)
		check_delegate(reader, service);
	reach_check(reader, service);
}

/* One for gateways may have what means something to gateways alone, wherever in the file it says so. */
static void see_gateways(struct reader *reader, const void *node)
{
	const void *gateways = reader_member(reader, node, "gateways");
	bool mesh = false;
	size_t n = 0;

	if (gateways && reader->ops->kind(reader->tree, gateways) == TREE_LIST)
		n = reader->ops->length(reader->tree, gateways);
	reader->for_gateway = false;
	for (size_t i = 0; i < n; i++) {
		const void *item = reader->ops->child(reader->tree, gateways, i);

		if (reader->ops->kind(reader->tree, item) == TREE_TEXT &&
		    !strcmp(reader->ops->text(reader->tree, item), "mesh"))
			mesh = true;
		else
			reader->for_gateway = true;
	}
	reader->only_gateways = reader->for_gateway && !mesh;
}

static const struct key virtual_service_keys[] = {
    KEY_TEXT(struct virtual_service, name, "name", .required = "virtual service must have a name"),
    KEY_TEXTS(struct virtual_service, hosts, "hosts", .check = check_virtual_hosts),
    KEY_TEXTS(struct virtual_service, gateways, "gateways", .check = check_gateways),
    KEY_GROUPS(struct virtual_service, http, "http", http_route_schema),
    KEY_GROUPS(struct virtual_service, tls, "tls", tls_route_schema),
    KEY_GROUPS(struct virtual_service, tcp, "tcp", tcp_route_schema),
    KEY_TEXTS(struct virtual_service, export_to, "exportTo", .check = check_export_to),
};
const struct schema virtual_service_schema =
    SCHEMA("VirtualService", struct virtual_service, virtual_service_keys,
	   .prepare = see_gateways, .check = check_virtual_service, .resource = true);
