/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ServiceEntry (networking.istio.io/v1): its tables, and the conditions of Istio's
 * ValidateServiceEntry that one entry can be checked for by itself.
 */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

#define NO_HOST "service entry must have at least one host"

/* ---- values ------------------------------------------------------------------------------- */

void check_port_number(struct reader *reader, void *value)
{
	struct number *number = value;

	if (number->value >= 1 && number->value <= 65535)
		return;
	reader_error(reader, &number->where, "port number %lld must be in the range 1..65535",
		     number->value);
	number->set = false;
}

static void check_port_name(struct reader *reader, void *value)
{
	const struct text *name = value;

	if (!hostname_is_port_name(name->s))
		reader_error(reader, &name->where, "invalid port name: %s", name->s);
}

/* Drop what is no host, and bring the others into the form that look-ups use. */
void check_host_list(struct reader *reader, struct list *hosts)
{
	struct text *items = hosts->items;
	struct hostname_error error;
	size_t kept = 0;
	char name[256];

	for (size_t i = 0; i < hosts->n; i++) {
		if (!hostname_is_address(items[i].s, NULL) &&
		    !hostname_is_wildcard_domain(items[i].s, &error)) {
			reader_error(reader, &items[i].where, "%s", error.text);
			continue;
		}
		hostname_normalize(items[i].s, strlen(items[i].s), name);
		items[kept].where = items[i].where;
		items[kept].s = region_strdup(&reader->rules->region, name);
		kept += items[kept].s != NULL;
	}
	hosts->n = kept;
}

static void check_service_hosts(struct reader *reader, void *value)
{
	struct list *hosts = value;
	struct text *items = hosts->items;
	size_t kept = 0;

	if (!hosts->n)
		reader_error(reader, &hosts->where, NO_HOST);
	for (size_t i = 0; i < hosts->n; i++) {
		if (!strcmp(items[i].s, "*")) {
			reader_error(reader, &items[i].where, "invalid host *");
			continue;
		}
		if (items[i].s[0] == '*' && items[i].s[1] != '.')
			reader_warning(reader, &items[i].where,
				       "partial wildcard \"%s\" not allowed", items[i].s);
		items[kept++] = items[i];
	}
	hosts->n = kept;
	check_host_list(reader, hosts);
}

/* ---- tables ------------------------------------------------------------------------------- */

#define NONE_REFUSED                                                                               \
	"NONE (connect to the address that the program dialled) is not supported by this "         \
	"version: write resolution = \"DNS\", or \"STATIC\" with endpoints"

static const struct choice_name resolutions[] = {
    {.name = "STATIC", .value = RESOLUTION_STATIC + 1},
    {.name = "DNS", .value = RESOLUTION_DNS + 1},
    {.name = "DNS_ROUND_ROBIN", .value = RESOLUTION_DNS_ROUND_ROBIN + 1},
    {.name = "NONE", .refusal = NONE_REFUSED},
    {.name = "DYNAMIC_DNS", .refusal = "DYNAMIC_DNS is not supported by this version"},
    {.name = NULL},
};

static const struct choice_name locations[] = {
    {.name = "MESH_EXTERNAL", .value = 0},
    {.name = "MESH_INTERNAL", .value = 1},
    {.name = NULL},
};

static const struct choice_name protocols[] = {
    {.name = "HTTP", .value = PROTOCOL_HTTP + 1},
    {.name = "HTTPS", .value = PROTOCOL_TLS + 1},
    {.name = "TLS", .value = PROTOCOL_TLS + 1},
    {.name = "TCP", .value = PROTOCOL_TCP + 1},
    {.name = "MONGO", .value = PROTOCOL_TCP + 1},
    {.name = "REDIS", .value = PROTOCOL_TCP + 1},
    {.name = "MYSQL", .value = PROTOCOL_TCP + 1},
    {.name = "HTTP2", .refusal = "HTTP2 is not supported by this version"},
    {.name = "GRPC", .refusal = "GRPC is not supported by this version"},
    {.name = "GRPC-WEB", .refusal = "GRPC-WEB is not supported by this version"},
    {.name = "HTTP_PROXY", .refusal = "HTTP_PROXY is not supported by this version"},
    {.name = "UDP", .refusal = "UDP is not supported by this version"},
    {.name = NULL},
};

static const struct key service_port_keys[] = {
    KEY_NUMBER(struct service_port, number, "number", .check = check_port_number,
	       .required = "service entry port must have a number"),
    KEY_CHOICE(struct service_port, protocol, "protocol", protocols, .any_case = true,
	       .unknown = "unsupported protocol:",
	       .required =
		   "service entry port must have a protocol: finding it out by itself is not "
		   "supported by this version (write protocol = \"HTTP\", \"HTTPS\", \"TLS\" "
		   "or \"TCP\")"),
    KEY_TEXT(struct service_port, name, "name", .check = check_port_name,
	     .required = "service entry port must have a name"),
    KEY_NUMBER(struct service_port, target_port, "targetPort", .check = check_port_number),
};
static const struct schema service_port_schema =
    SCHEMA("ServicePort", struct service_port, service_port_keys);

static const struct key endpoint_port_keys[] = {
    KEY_TEXT(struct endpoint_port, name, "name", .required = "endpoint port must have a name"),
    KEY_NUMBER(struct endpoint_port, value, "value", .check = check_port_number,
	       .required = "endpoint port must have a value"),
};
static const struct schema endpoint_port_schema =
    SCHEMA("WorkloadEntry.ports", struct endpoint_port, endpoint_port_keys);

static const struct key workload_entry_keys[] = {
    KEY_TEXT(struct workload_entry, address, "address",
	     .required = "endpoint must have an address"),
    KEY_GROUPS(struct workload_entry, ports, "ports", endpoint_port_schema),
    KEY_REFUSED("labels", NULL),
    KEY_REFUSED("weight", NULL),
    KEY_IGNORED("network", NULL),
    KEY_IGNORED("locality", NULL),
    KEY_IGNORED("serviceAccount", NULL),
};
static const struct schema workload_entry_schema =
    SCHEMA("WorkloadEntry", struct workload_entry, workload_entry_keys);

static void check_service_entry(struct reader *reader, void *group);

static const struct key service_entry_keys[] = {
    KEY_TEXT(struct service_entry, name, "name", .required = "service entry must have a name"),
    KEY_TEXTS(struct service_entry, hosts, "hosts", .check = check_service_hosts,
	      .required = NO_HOST),
    KEY_TEXTS(struct service_entry, addresses, "addresses"),
    KEY_GROUPS(struct service_entry, ports, "ports", service_port_schema),
    KEY_CHOICE(struct service_entry, location, "location", locations),
    KEY_CHOICE(struct service_entry, resolution, "resolution", resolutions,
	       .required = "service entry must have a resolution: Istio's default " NONE_REFUSED),
    KEY_GROUPS(struct service_entry, endpoints, "endpoints", workload_entry_schema),
    KEY_TEXTS(struct service_entry, subject_alt_names, "subjectAltNames"),
    KEY_IGNORED("exportTo", "there are no namespaces"),
    KEY_REFUSED("workloadSelector", "there are no workloads to select, list the addresses as "
				    "endpoints instead"),
};
const struct schema service_entry_schema =
    SCHEMA("ServiceEntry", struct service_entry, service_entry_keys, .check = check_service_entry);

/* ---- one entry as a whole ----------------------------------------------------------------- */

static bool resolves_dns(const struct service_entry *entry)
{
	return entry->resolution.value == RESOLUTION_DNS + 1 ||
	       entry->resolution.value == RESOLUTION_DNS_ROUND_ROBIN + 1;
}

static const char *resolution_name(const struct service_entry *entry)
{
	for (const struct choice_name *choice = resolutions; choice->name; choice++)
		if (choice->value == entry->resolution.value)
			return choice->name;
	return "NONE";
}

static void check_addresses(struct reader *reader, struct service_entry *entry)
{
	const struct text *items = entry->addresses.items;
	bool cidr;

	entry->parsed_addresses = region_array(&reader->rules->region, entry->addresses.n,
					       sizeof(*entry->parsed_addresses));
	for (size_t i = 0; entry->parsed_addresses && i < entry->addresses.n; i++) {
		if (!hostname_parse_cidr(
			items[i].s, &entry->parsed_addresses[entry->n_parsed_addresses], &cidr)) {
			reader_error(reader, &items[i].where, "%s is not a valid %s", items[i].s,
				     cidr ? "CIDR block" : "IP");
			continue;
		}
		entry->n_parsed_addresses++;
		if (cidr && resolves_dns(entry))
			reader_error(reader, &items[i].where,
				     "CIDR addresses are allowed only for NONE/STATIC resolution "
				     "types");
	}
}

static const struct service_port *find_port(const struct service_entry *entry, const char *name)
{
	const struct service_port *ports = entry->ports.items;

	for (size_t i = 0; i < entry->ports.n; i++)
		if (ports[i].name.s && !strcmp(ports[i].name.s, name))
			return &ports[i];
	return NULL;
}

/* Tables, as a list of ports may be long. Keys and numbers both go into one, told apart by "#". */
static void check_duplicate_ports(struct reader *reader, const struct service_entry *entry)
{
	const struct service_port *ports = entry->ports.items;
	struct region *region = &reader->rules->region;
	struct table names;

	table_init(&names);
	for (size_t i = 0; i < entry->ports.n; i++) {
		const struct service_port *port = &ports[i];
		const char *number =
		    port->number.set ? region_printf(region, "#%lld", port->number.value) : NULL;

		if (port->name.s && table_get(&names, port->name.s, strlen(port->name.s)))
			reader_error(reader, &port->name.where,
				     "service entry port name \"%s\" already defined",
				     port->name.s);
		else if (port->name.s &&
			 table_put(&names, port->name.s, strlen(port->name.s), (void *)port) < 0)
			reader_oom(reader);
		if (number && table_get(&names, number, strlen(number)))
			reader_error(reader, &port->number.where,
				     "service entry port %s already defined", number + 1);
		else if (number && table_put(&names, number, strlen(number), (void *)port) < 0)
			reader_oom(reader);
	}
	table_release(&names);
}

static void check_endpoint(struct reader *reader, const struct service_entry *entry,
			   const struct workload_entry *endpoint)
{
	const struct endpoint_port *ports = endpoint->ports.items;
	const char *address = endpoint->address.s;
	struct hostname_error error;

	for (size_t i = 0; i < endpoint->ports.n; i++)
		if (ports[i].name.s && !find_port(entry, ports[i].name.s))
			reader_error(reader, &ports[i].where,
				     "endpoint port %s is not defined by the service entry",
				     ports[i].name.s);
	if (!address || hostname_is_address(address, NULL))
		return;
	if (!strncmp(address, "unix://", 7))
		reader_error(reader, &endpoint->address.where,
			     "unix endpoint %s is not supported by this version", address);
	else if (entry->resolution.value == RESOLUTION_STATIC + 1)
		reader_error(reader, &endpoint->address.where,
			     "endpoint address \"%s\" is not a valid IP address", address);
	else if (resolves_dns(entry) && !hostname_is_fqdn(address, &error))
		reader_error(reader, &endpoint->address.where,
			     "endpoint address \"%s\" is not a valid FQDN or an IP address",
			     address);
}

static void check_endpoints(struct reader *reader, const struct service_entry *entry)
{
	const struct workload_entry *endpoints = entry->endpoints.items;
	const struct text *hosts = entry->hosts.items;

	for (size_t i = 0; i < entry->endpoints.n; i++)
		check_endpoint(reader, entry, &endpoints[i]);
	if (entry->resolution.value == RESOLUTION_STATIC + 1 && !entry->endpoints.n)
		reader_error(reader, &entry->where,
			     "endpoints must be provided for resolution mode STATIC");
	if (!resolves_dns(entry))
		return;
	for (size_t i = 0; !entry->endpoints.n && i < entry->hosts.n; i++)
		if (hosts[i].s[0] == '*')
			reader_error(
			    reader, &hosts[i].where,
			    "hosts must be FQDN or contain only prefix wildcards if no "
			    "endpoints are provided for resolution mode %s: a wildcard has no "
			    "address of its own, list endpoints",
			    resolution_name(entry));
	if (entry->resolution.value == RESOLUTION_DNS_ROUND_ROBIN + 1 && entry->endpoints.n > 1)
		reader_error(reader, &entry->endpoints.where,
			     "there must only be 0 or 1 endpoint for resolution mode %s",
			     resolution_name(entry));
}

/* Istio's wording for several hosts: only HTTP and TLS carry a name that tells them apart. */
static void check_several_hosts(struct reader *reader, const struct service_entry *entry)
{
	const struct service_port *ports = entry->ports.items;
	size_t i;

	for (i = 0; i < entry->ports.n; i++)
		if (ports[i].protocol.value == PROTOCOL_TCP + 1)
			break;
	if (entry->hosts.n < 2 || i == entry->ports.n)
		return;
	if (resolves_dns(entry) && entry->addresses.n)
		reader_warning(reader, &entry->hosts.where,
			       "service entry can not have more than one host specified "
			       "simultaneously with address and tcp port");
	reader_error(reader, &ports[i].where,
		     "multiple hosts provided with non-HTTP, non-TLS ports");
}

static void check_service_entry(struct reader *reader, void *group)
{
	struct service_entry *entry = group;

	check_addresses(reader, entry);
	check_duplicate_ports(reader, entry);
	check_endpoints(reader, entry);
	check_several_hosts(reader, entry);
}
