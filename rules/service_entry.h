/* SPDX-License-Identifier: Apache-2.0 */
/* ServiceEntry (networking.istio.io/v1) as it was written; see value.h. Filled by spec_service.c. */
#ifndef RULES_SERVICE_ENTRY_H
#define RULES_SERVICE_ENTRY_H

#include "rules/value.h"

/* ServicePort.protocol as Istio names it. */
enum service_protocol {
	SERVICE_AUTO, /* none was given */
	SERVICE_HTTP,
	SERVICE_HTTPS,
	SERVICE_TLS,
	SERVICE_TCP,
	SERVICE_MONGO,
	SERVICE_REDIS,
	SERVICE_MYSQL,
	SERVICE_HTTP2,
	SERVICE_GRPC,
	SERVICE_GRPC_WEB,
	SERVICE_HTTP_PROXY,
};

struct subset;

/* cluster.c: what a subset comes to on a port; a ring. */
struct endpoints {
	const struct subset *subset; /* NULL: all endpoints of the entry */
	const struct endpoint *items;
	size_t n;
	struct endpoints *next;
};

struct service_port {
	struct where where;
	struct number number, target_port;
	struct text name;
	struct choice protocol;	     /* enum service_protocol */
	struct endpoints *endpoints; /* the one that was asked for last */
};

struct endpoint_port {
	struct where where;
	struct text name;
	struct number value;
};

struct workload_entry {
	struct where where;
	struct text address;   /* IP, DNS name, or unix:///path */
	struct list ports;     /* struct endpoint_port */
	struct list labels;    /* struct pair */
	struct number weight;  /* absent: 1 */
};

struct service_entry {
	struct where where;
	struct text name;
	struct list hosts;     /* struct text, lower case, no trailing dot */
	struct list addresses; /* struct text */
	struct list ports;     /* struct service_port */
	struct choice location;
	struct choice resolution; /* enum resolution + 1; absent: NONE */
	struct list endpoints;	  /* struct workload_entry */
	struct list subject_alt_names;
	struct list export_to; /* struct text; checked, without effect */
	struct rules_address *parsed_addresses; /* one for each of `addresses` that is valid */
	size_t n_parsed_addresses;
	struct where selector; /* of a workloadSelector (an error); file NULL: none */
};

/* What a port's protocol comes to. */
enum protocol service_protocol(const struct service_port *port);

/* Its name, "" when none was given. */
const char *service_protocol_name(const struct service_port *port);

#endif
