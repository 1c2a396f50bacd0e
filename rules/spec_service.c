/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ServiceEntry (networking.istio.io/v1): its tables, and the conditions of Istio's
 * ValidateServiceEntry that one entry can be checked for by itself.
 */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

#define NO_HOST    "service entry must have at least one host"
#define NO_ADDRESS "address is required"

/* ---- values ------------------------------------------------------------------------------- */

static void check_port_name(struct reader *reader, void *value)
{
	const struct text *name = value;

	if (!hostname_is_label(name->s))
		reader_error(reader, &name->where, "invalid port name: %s", name->s);
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
		items[kept++] = items[i];
	}
	hosts->partial = kept < hosts->n;
	hosts->n = kept;
	check_host_list(reader, hosts, false);
}

/* ---- tables ------------------------------------------------------------------------------- */

static const struct choice_name resolutions[] = {
    {.name = "NONE", .value = RESOLUTION_NONE + 1},
    {.name = "STATIC", .value = RESOLUTION_STATIC + 1},
    {.name = "DNS", .value = RESOLUTION_DNS + 1},
    {.name = "DNS_ROUND_ROBIN", .value = RESOLUTION_DNS_ROUND_ROBIN + 1},
    {.name = "DYNAMIC_DNS", .value = RESOLUTION_DYNAMIC_DNS + 1},
    {.name = NULL},
};

static const struct choice_name locations[] = {
    {.name = "MESH_EXTERNAL", .value = 0},
    {.name = "MESH_INTERNAL", .value = 1},
    {.name = NULL},
};

/* protocol.Parse of Istio; the canonical name of a protocol of ours is the first with its value. */
static const struct choice_name protocols[] = {
    {.name = "HTTP", .value = SERVICE_HTTP},
    {.name = "HTTPS", .value = SERVICE_HTTPS},
    {.name = "TLS", .value = SERVICE_TLS},
    {.name = "TCP", .value = SERVICE_TCP},
    {.name = "MONGO", .value = SERVICE_MONGO},
    {.name = "REDIS", .value = SERVICE_REDIS},
    {.name = "MYSQL", .value = SERVICE_MYSQL},
    {.name = "HTTP2", .value = SERVICE_HTTP2, .gap = true},
    {.name = "GRPC", .value = SERVICE_GRPC, .gap = true},
    {.name = "GRPC-WEB", .value = SERVICE_GRPC_WEB, .gap = true},
    {.name = "HTTP_PROXY", .value = SERVICE_HTTP_PROXY, .gap = true},
    {.name = "UDP",
     .refusal = "UDP is not supported: sidecars leave it alone, and so does meshshim (leave the "
		"port out)"},
    {.name = "", .value = SERVICE_AUTO},
    {.name = NULL},
};

enum protocol service_protocol(const struct service_port *port)
{
	switch ((enum service_protocol)port->protocol.value) {
	case SERVICE_HTTP:
	case SERVICE_HTTP_PROXY:
		return PROTOCOL_HTTP;
	case SERVICE_HTTPS:
	case SERVICE_TLS:
		return PROTOCOL_TLS;
	case SERVICE_TCP:
	case SERVICE_MONGO:
	case SERVICE_REDIS:
	case SERVICE_MYSQL:
		return PROTOCOL_TCP;
	case SERVICE_HTTP2:
	case SERVICE_GRPC:
	case SERVICE_GRPC_WEB:
		return PROTOCOL_HTTP2;
	case SERVICE_AUTO:
		break;
	}
	return PROTOCOL_AUTO;
}

const char *service_protocol_name(const struct service_port *port)
{
	for (const struct choice_name *choice = protocols; choice->name; choice++)
		if (!choice->refusal && choice->value == port->protocol.value)
			return choice->name;
	return "";
}

static const struct key service_port_keys[] = {
    KEY_NUMBER(struct service_port, number, "number", .check = check_port_number,
	       .required = "service entry port must have a number"),
    KEY_TEXT(struct service_port, name, "name", .check = check_port_name,
	     .required = "service entry port must have a name"),
    KEY_CHOICE(struct service_port, protocol, "protocol", protocols, .any_case = true,
	       .unknown = "unsupported protocol:"),
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

static void check_endpoint_weight(struct reader *reader, void *value)
{
	check_not_negative(reader, value, "endpoint weight");
}

static const struct key workload_entry_keys[] = {
    KEY_TEXT(struct workload_entry, address, "address",
	     .required = NO_ADDRESS),
    KEY_MAP(struct workload_entry, ports, "ports", endpoint_port_schema),
    KEY_MAP(struct workload_entry, labels, "labels", label_schema),
    KEY_NUMBER(struct workload_entry, weight, "weight", .check = check_endpoint_weight),
    KEY_IGNORED("network", "there is one network"),
    KEY_IGNORED("locality", "there are no localities"),
    KEY_IGNORED("serviceAccount", "there are no identities of a mesh"),
};
static const struct schema workload_entry_schema =
    SCHEMA("WorkloadEntry", struct workload_entry, workload_entry_keys);

static void check_service_entry(struct reader *reader, void *group);

static const struct key service_entry_keys[] = {
    KEY_TEXT(struct service_entry, name, "name", .required = "service entry must have a name"),
    KEY_TEXTS(struct service_entry, hosts, "hosts", .check = check_service_hosts,
	      .required = NO_HOST),
    KEY_TEXTS(struct service_entry, addresses, "addresses"),
    KEY_CHOICE(struct service_entry, location, "location", locations),
    KEY_GROUPS(struct service_entry, ports, "ports", service_port_schema),
    KEY_CHOICE(struct service_entry, resolution, "resolution", resolutions),
    KEY_GROUPS(struct service_entry, endpoints, "endpoints", workload_entry_schema),
    KEY_TEXTS(struct service_entry, subject_alt_names, "subjectAltNames"),
    KEY_TEXTS(struct service_entry, export_to, "exportTo", .check = check_service_export_to),
    KEY_REFUSED("workloadSelector", "there are no workloads to select, list the addresses as "
				    "endpoints instead",
		.offset = offsetof(struct service_entry, selector)),
};
const struct schema service_entry_schema =
    SCHEMA("ServiceEntry", struct service_entry, service_entry_keys, .check = check_service_entry,
	   .resource = true);

/* ---- one entry as a whole ----------------------------------------------------------------- */

static enum resolution resolution_of(const struct service_entry *entry)
{
	return entry->resolution.set ? (enum resolution)(entry->resolution.value - 1)
				     : RESOLUTION_NONE;
}

static bool resolves_dns(const struct service_entry *entry)
{
	return resolution_of(entry) == RESOLUTION_DNS ||
	       resolution_of(entry) == RESOLUTION_DNS_ROUND_ROBIN;
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
		if (cidr && (resolves_dns(entry) || resolution_of(entry) == RESOLUTION_DYNAMIC_DNS))
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

static void check_unix(struct reader *reader, const struct service_entry *entry,
		       const struct workload_entry *endpoint)
{
	const struct where *where = &endpoint->address.where;
	const char *path = endpoint->address.s + strlen("unix://");

	if (!*path)
		reader_error(reader, where, "unix address must not be empty");
	else if (path[0] != '@' && (path[0] != '/' || path[strlen(path) - 1] == '/'))
		reader_error(reader, where, "%s is not an absolute path to a file", path);
	if (endpoint->ports.n)
		reader_error(reader, &endpoint->ports.where,
			     "unix endpoint %s must not include ports", endpoint->address.s);
	if (entry->ports.n != 1)
		reader_error(reader, where, "exactly 1 service port required for unix endpoints");
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
	if (!strncmp(address, "unix://", 7) && resolution_of(entry) == RESOLUTION_STATIC)
		check_unix(reader, entry, endpoint);
	else if (resolution_of(entry) == RESOLUTION_STATIC && !*address)
		reader_error(reader, &endpoint->address.where, NO_ADDRESS);
	else if (resolution_of(entry) == RESOLUTION_STATIC)
		reader_error(reader, &endpoint->address.where,
			     "endpoint address \"%s\" is not a valid IP address", address);
	else if (resolves_dns(entry) && !hostname_is_fqdn(address, &error))
		reader_error(reader, &endpoint->address.where,
			     "endpoint address \"%s\" is not a valid FQDN or an IP address",
			     address);
}

/* Without endpoints a host has to be a name that resolves by itself. */
static void check_hosts_resolve(struct reader *reader, const struct service_entry *entry)
{
	const struct text *hosts = entry->hosts.items;
	struct hostname_error error;

	for (size_t i = 0; i < entry->hosts.n; i++)
		if (!hostname_is_fqdn(hosts[i].s, &error))
			reader_error(reader, &hosts[i].where,
				     "hosts must be FQDN or contain only prefix wildcards if no "
				     "endpoints are provided for resolution mode %s",
				     resolution_name(entry));
}

/* Rows 22 of the reference: DYNAMIC_DNS. */
static void check_dynamic(struct reader *reader, const struct service_entry *entry)
{
	const struct service_port *ports = entry->ports.items;
	const struct text *hosts = entry->hosts.items;

	if (!entry->hosts.n && !entry->hosts.partial)
		reader_error(reader, &entry->where,
			     "at least one wildcard host must be provided for resolution mode "
			     "DYNAMIC_DNS");
	for (size_t i = 0; i < entry->hosts.n; i++)
		if (hosts[i].s[0] != '*')
			reader_error(reader, &hosts[i].where,
				     "host must be wildcarded for resolution mode DYNAMIC_DNS: %s",
				     hosts[i].s);
	if (entry->addresses.n)
		reader_error(reader, &entry->addresses.where,
			     "addresses cannot be set for resolution mode DYNAMIC_DNS");
	if (entry->endpoints.n)
		reader_error(reader, &entry->endpoints.where,
			     "endpoints cannot be set for resolution mode DYNAMIC_DNS");
	for (size_t i = 0; i < entry->ports.n; i++) {
		enum protocol protocol = service_protocol(&ports[i]);

		if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_AUTO ||
		    ports[i].protocol.value == SERVICE_HTTP_PROXY)
			reader_error(reader, &ports[i].where,
				     "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for "
				     "resolution mode DYNAMIC_DNS");
	}
}

static void check_endpoints(struct reader *reader, const struct service_entry *entry)
{
	const struct workload_entry *endpoints = entry->endpoints.items;

	for (size_t i = 0; i < entry->endpoints.n; i++)
		check_endpoint(reader, entry, &endpoints[i]);
	switch (resolution_of(entry)) {
	case RESOLUTION_NONE:
		if (entry->endpoints.n)
			reader_error(reader, &entry->endpoints.where,
				     "no endpoints should be provided for resolution type none");
		if (entry->selector.file)
			reader_warning(reader, &entry->selector,
				       "workloadSelector should not be set when resolution mode "
				       "is NONE");
		break;
	case RESOLUTION_STATIC:
		if (!entry->endpoints.n && !entry->selector.file)
			reader_say(reader, SEVERITY_WARNING, NULL, &entry->where,
				   "no endpoints for resolution mode STATIC: every request is "
				   "answered 503");
		break;
	case RESOLUTION_DNS_ROUND_ROBIN:
		if (entry->endpoints.n > 1)
			reader_error(reader, &entry->endpoints.where,
				     "there must only be 0 or 1 endpoint for resolution mode %s",
				     resolution_name(entry));
		/* fall through */
	case RESOLUTION_DNS:
		if (!entry->endpoints.n)
			check_hosts_resolve(reader, entry);
		break;
	case RESOLUTION_DYNAMIC_DNS:
		check_dynamic(reader, entry);
		break;
	}
}

/* Names tell several hosts apart where the protocol carries one: with HTTP and TLS. The warning is
 * about addresses, and Istio counts TLS as TCP there. */
static void check_several_hosts(struct reader *reader, const struct service_entry *entry)
{
	const struct service_port *ports = entry->ports.items;
	const struct service_port *nameless = NULL;
	bool tcp = false;

	for (size_t i = 0; i < entry->ports.n; i++) {
		enum protocol protocol = service_protocol(&ports[i]);

		tcp |= protocol == PROTOCOL_TCP || protocol == PROTOCOL_TLS;
		if (!nameless && (protocol == PROTOCOL_TCP || protocol == PROTOCOL_AUTO))
			nameless = &ports[i];
	}
	if (entry->hosts.n < 2)
		return;
	if (tcp && resolves_dns(entry) && entry->addresses.n)
		reader_warning(reader, &entry->hosts.where,
			       "service entry can not have more than one host specified "
			       "simultaneously with address and tcp port");
	if (nameless && resolution_of(entry) != RESOLUTION_NONE)
		reader_error(reader, &nameless->where,
			     "multiple hosts provided with non-HTTP, non-TLS ports");
}

/* "*x.example.com" covers more than it looks like. */
static void check_partial_wildcards(struct reader *reader, const struct service_entry *entry)
{
	const struct text *hosts = entry->hosts.items;

	if (resolution_of(entry) == RESOLUTION_DYNAMIC_DNS)
		return;
	for (size_t i = 0; i < entry->hosts.n; i++)
		if (hosts[i].s[0] == '*' && hosts[i].s[1] != '.')
			reader_warning(reader, &hosts[i].where,
				       "partial wildcard \"%s\" not allowed", hosts[i].s);
}

/* Each exact host gets an address of its own (Istio's auto-allocation), except where Istio gives
 * none, either: then nothing tells one TCP service from another. */
static void check_tcp_address(struct reader *reader, const struct service_entry *entry)
{
	const struct service_port *ports = entry->ports.items;
	const struct text *hosts = entry->hosts.items;
	bool allocated = resolution_of(entry) != RESOLUTION_NONE;

	for (size_t i = 0; i < entry->hosts.n; i++)
		allocated &= hosts[i].s[0] != '*';
	if (allocated || entry->addresses.n)
		return;
	for (size_t i = 0; i < entry->ports.n; i++)
		if (ports[i].protocol.value == SERVICE_TCP ||
		    ports[i].protocol.value == SERVICE_AUTO)
			reader_say(reader, SEVERITY_WARNING, "IST0134", &ports[i].where,
				   "ServiceEntry addresses are required for this protocol");
}

/* What is too much is left out: hosts, ports and endpoints multiply (build.c). */
static void check_limits(struct reader *reader, struct service_entry *entry)
{
	const struct limit {
		struct list *list;
		const char *what;
		size_t most;
	} limits[] = {
	    {&entry->hosts, "hosts", 256},
	    {&entry->addresses, "addresses", 256},
	    {&entry->ports, "ports", 256},
	    {&entry->endpoints, "endpoints", 4096},
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].list->n <= limits[i].most)
			continue;
		reader_error(reader, &limits[i].list->where,
			     "too many %s: %zu, must have at most %zu items", limits[i].what,
			     limits[i].list->n, limits[i].most);
		limits[i].list->n = limits[i].most;
	}
}

static void check_service_entry(struct reader *reader, void *group)
{
	struct service_entry *entry = group;

	check_limits(reader, entry);
	if (entry->selector.file && entry->endpoints.n)
		reader_error(reader, &entry->selector,
			     "only one of WorkloadSelector or Endpoints is allowed in Service "
			     "Entry");
	if (entry->location.value)
		reader_say(reader, SEVERITY_WARNING, NULL, &entry->location.where,
			   "MESH_INTERNAL is treated as MESH_EXTERNAL: there is no mutual TLS of a "
			   "mesh here");
	check_partial_wildcards(reader, entry);
	check_addresses(reader, entry);
	check_duplicate_ports(reader, entry);
	check_endpoints(reader, entry);
	check_several_hosts(reader, entry);
	check_tcp_address(reader, entry);
}
