/* SPDX-License-Identifier: Apache-2.0 */
/* TLSRoute and TCPRoute (networking.istio.io/v1), with the conditions of Istio's validation. */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

static void check_sni_hosts(struct reader *reader, void *value)
{
	struct list *hosts = value;
	const struct text *items = hosts->items;

	for (size_t i = 0; i < hosts->n; i++)
		if (hostname_is_address(items[i].s, NULL))
			reader_warning(reader, &items[i].where,
				       "using an IP address (\"%s\") goes against SNI spec and most "
				       "clients do not support this",
				       items[i].s);
	check_host_list(reader, hosts, true);
}

static void check_l4_match(struct reader *reader, void *group)
{
	struct l4_match *match = group;
	const struct text *items = match->destination_subnets.items;
	bool cidr;

	match->subnets = region_array(&reader->rules->region, match->destination_subnets.n,
				      sizeof(*match->subnets));
	for (size_t i = 0; match->subnets && i < match->destination_subnets.n; i++) {
		if (hostname_parse_cidr(items[i].s, &match->subnets[match->n_subnets], &cidr))
			match->n_subnets++;
		else
			reader_error(reader, &items[i].where, "%s is not a valid %s", items[i].s,
				     cidr ? "CIDR block" : "IP");
	}
}

static void check_tls_match(struct reader *reader, void *group)
{
	struct l4_match *match = group;

	if (!match->sni_hosts.where.file)
		reader_error(reader, &match->where, "TLS match must have at least one SNI host");
	check_l4_match(reader, group);
}

static void check_sni_list(struct reader *reader, void *value)
{
	const struct list *hosts = value;

	if (!hosts->n)
		reader_error(reader, &hosts->where, "TLS match must have at least one SNI host");
	check_sni_hosts(reader, value);
}

#define L4_KEYS                                                                                    \
	KEY_TEXTS(struct l4_match, destination_subnets, "destinationSubnets"),                     \
	    KEY_NUMBER(struct l4_match, port, "port", .check = check_port_number),                 \
	    KEY_MAP(struct l4_match, source_labels, "sourceLabels", label_schema),                 \
	    KEY_TEXT(struct l4_match, source_namespace, "sourceNamespace",                         \
		     .check = check_namespace),                                                    \
	    KEY_TEXTS(struct l4_match, gateways, "gateways", .check = check_gateways)

static const struct key tls_match_keys[] = {
    KEY_TEXTS(struct l4_match, sni_hosts, "sniHosts", .check = check_sni_list),
    L4_KEYS,
};
static const struct schema tls_match_schema =
    SCHEMA("TLSMatchAttributes", struct l4_match, tls_match_keys, .check = check_tls_match);

static const struct key tcp_match_keys[] = {
    L4_KEYS,
    KEY_IGNORED("sourceSubnet", "the program is the only source"),
};
static const struct schema tcp_match_schema =
    SCHEMA("L4MatchAttributes", struct l4_match, tcp_match_keys, .check = check_l4_match);

static void check_tls_route(struct reader *reader, void *group)
{
	struct l4_route *route = group;

	if (!route->match.n)
		reader_error(reader, &route->where,
			     "TLS route must have at least one match condition");
	if (!route->route.n)
		reader_error(reader, &route->where, "TLS route is required");
	route->total_weight = check_weights(reader, &route->route);
}

static void check_tcp_route(struct reader *reader, void *group)
{
	struct l4_route *route = group;

	if (!route->route.n)
		reader_error(reader, &route->where, "TCP route is required");
	route->total_weight = check_weights(reader, &route->route);
}

static const struct key tls_route_keys[] = {
    KEY_GROUPS(struct l4_route, match, "match", tls_match_schema),
    KEY_GROUPS(struct l4_route, route, "route", l4_destination_schema),
};
const struct schema tls_route_schema =
    SCHEMA("TLSRoute", struct l4_route, tls_route_keys, .check = check_tls_route);

static const struct key tcp_route_keys[] = {
    KEY_GROUPS(struct l4_route, match, "match", tcp_match_schema),
    KEY_GROUPS(struct l4_route, route, "route", l4_destination_schema),
};
const struct schema tcp_route_schema =
    SCHEMA("TCPRoute", struct l4_route, tcp_route_keys, .check = check_tcp_route);
