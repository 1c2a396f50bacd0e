/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule set: Istio's ServiceEntry, VirtualService, DestinationRule and MeshConfig
 * (networking.istio.io/v1, mesh.istio.io/v1alpha1) read from libconfig files into one immutable
 * snapshot, and the questions that the shim and the tools ask of it.
 *
 * Pure library: it reads files while loading and does nothing else to the outside. No sockets, TLS,
 * threads, globals, printing or exit; everything that is wrong with the files goes into a list of
 * diagnostics (diag.h).
 *
 * Threads: loading is for one thread; a loaded snapshot is immutable and may be used by any number
 * of threads, each holding a reference. The count of references is atomic.
 *
 * Ownership: every pointer reached from a `struct rules` belongs to it and lives as long as any
 * reference. Strings are NUL-terminated UTF-8 unless a length stands beside them.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diags;
struct rules;

/* Where something was written. `line` counts from 1; 0 when it came from no file. */
struct where {
	const char *file;
	int line;
};

/* ---- the model that the bridge acts on -------------------------------------------------- */

/* ServiceEntry.ports[].protocol, as far as it decides how a connection is treated. */
enum protocol {
	PROTOCOL_HTTP, /* HTTP: requests are read, matched and rewritten */
	PROTOCOL_TLS,  /* HTTPS, TLS: the program encrypts by itself; opaque bytes */
	PROTOCOL_TCP,  /* TCP, MONGO, REDIS, MYSQL: opaque bytes */
	PROTOCOL_HTTP2, /* HTTP2, GRPC, GRPC-WEB: as HTTP, but HTTP/2 towards the destination */
	PROTOCOL_AUTO, /* none given: found out from the first bytes */
};

/* ServiceEntry.resolution */
enum resolution {
	RESOLUTION_STATIC,
	RESOLUTION_DNS,
	RESOLUTION_DNS_ROUND_ROBIN,
	RESOLUTION_NONE,	/* the address that the program dialled; no endpoints */
	RESOLUTION_DYNAMIC_DNS, /* the name that the program asked for; no endpoints */
};

/* DestinationRule ClientTLSSettings.mode */
enum tls_mode {
	TLS_MODE_DISABLE,
	TLS_MODE_SIMPLE,
	TLS_MODE_MUTUAL,
};

/* ClientTLSSettings, merged for one cluster: portLevelSettings replace the destination-level
 * settings, subject_alt_names fall back to ServiceEntry.subjectAltNames. */
struct client_tls {
	enum tls_mode mode;
	const char *ca_certificates;    /* PEM file; NULL or "system": the system's CA store */
	const char *client_certificate; /* PEM file; MUTUAL only, else NULL */
	const char *private_key;        /* PEM file; MUTUAL only, else NULL */
	const char *ca_crl;             /* PEM file or NULL */
	const char *sni;                /* NULL: from the rewritten authority */
	const char *const *subject_alt_names;
	size_t n_subject_alt_names;
	bool insecure_skip_verify;
};

/* One place where a cluster can be reached. */
struct endpoint {
	const char *address; /* IPv4 or IPv6 literal, a DNS name (DNS resolutions only), or
				the absolute path of a unix socket after "unix://" (port 0) */
	uint16_t port;       /* endpoint.ports[name], else targetPort, else the service port */
	uint32_t weight;     /* 1 where none is written */
};

struct virtual_service; /* virtual_service.h, for the tools */
struct load_balancer; /* destination_rule.h, for the tools and the bridge */
struct connection_pool;
struct outlier_detection;
struct tunnel_settings;
struct proxy_protocol;

/* One (service host, subset, service port): Envoy's cluster. */
struct cluster {
	const char *host; /* service host in lower case, the wildcard itself for wildcard hosts */
	const char *subset; /* NULL: the service as a whole */
	uint16_t port;    /* service port (ServiceEntry.ports[].number) */
	uint16_t target_port; /* where there are no endpoints: targetPort, else the service port */
	enum protocol protocol;
	enum resolution resolution;
	const struct endpoint *endpoints; /* the host itself when none was listed; may be none in
					     a subset and with RESOLUTION_NONE, DYNAMIC_DNS */
	size_t n_endpoints;
	struct client_tls tls;
	/* trafficPolicy, merged; NULL: nothing was written, Istio's defaults */
	const struct load_balancer *load_balancer;
	const struct connection_pool *connection_pool;
	uint64_t connect_timeout; /* ms: connectionPool.tcp.connectTimeout, else
				     meshConfig.connectTimeout, else 10 s; never 0 */
	const struct outlier_detection *outlier_detection;
	const struct tunnel_settings *tunnel;
	const struct proxy_protocol *proxy_protocol;
	const char *id; /* equal text: the same in all that follows, its connections and its
			   policy are interchangeable, SNI apart. Made of
			   every value above, never of an address in memory, so that it keeps its
			   meaning over reloads */
	struct where where;
};

/* A name that the mesh knows: a ServiceEntry host or a VirtualService host. */
struct rules_host {
	const char *name; /* lower case, no trailing dot; "*.example.com" for a wildcard */
	bool wildcard;
	const struct rules_address *addresses; /* ServiceEntry.addresses */
	size_t n_addresses;
	bool original; /* RESOLUTION_NONE: its addresses are what the resolver says, and what is
			  dialled is where to go */
	struct where where;
};

/* ServiceEntry.addresses[]: an address or a CIDR block. IPv4 as v4-mapped IPv6, `prefix` 0..128. */
struct rules_address {
	struct in6_addr address;
	unsigned prefix;
};

enum outbound_policy {
	OUTBOUND_ALLOW_ANY, /* the default */
	OUTBOUND_REGISTRY_ONLY,
	OUTBOUND_ALLOW_ANY_DYNAMIC_DNS, /* as ALLOW_ANY, and the name is resolved anew */
};

/* ---- loading ---------------------------------------------------------------------------- */

/*
 * Load a colon-separated list of files and directories (a directory stands for its *.cfg in
 * strcmp order) as one rule set. Order stands in for Istio's creationTimestamp.
 *
 * Every problem of every file goes into `diags`, in file order. Returns a snapshot with one
 * reference, or NULL if something rejects it (diag.h; memory running out does too). Errors of
 * Istio's analysis do not: such rules can be used, as in a cluster.
 */
struct rules *rules_load(const char *paths, struct diags *diags)
    __attribute__((nonnull, warn_unused_result));

/* Take another reference. Returns its argument. */
struct rules *rules_ref(struct rules *rules);

/* Give a reference back; the last one frees. NULL is allowed. */
void rules_unref(struct rules *rules);

/* ---- the registry ----------------------------------------------------------------------- */

/* MeshConfig.outboundTrafficPolicy.mode */
enum outbound_policy rules_outbound_policy(const struct rules *rules);

/* MeshConfig.protocolDetectionTimeout in ms: how long the first bytes of a RULES_SNIFF connection are
 * waited for. 0: as long as it takes. */
uint64_t rules_detection_timeout(const struct rules *rules);

/* How many registry hosts there are, wildcards included, and the i-th in strcmp order. */
size_t rules_n_hosts(const struct rules *rules);
const struct rules_host *rules_host_at(const struct rules *rules, size_t i);

/*
 * The registry host that `name` belongs to: the exact one, else the longest wildcard that covers
 * it (at least one character in the wildcard's place). Case-insensitive, one trailing dot is
 * ignored, IPv6 literals have no brackets. NULL: the mesh does not know the name.
 */
const struct rules_host *rules_find_host(const struct rules *rules, const char *name);

/* What becomes of a TCP connection to a registry host (DESIGN section 4). */
enum rules_connection {
	RULES_HTTP,        /* the bridge reads requests; each is routed by rules_match() */
	RULES_OPAQUE,      /* bytes, routed by rules_match_stream(); `cluster` is the host's own */
	RULES_SNIFF,	   /* one or the other, as its first bytes say: no protocol was given */
	RULES_PASSTHROUGH, /* no such port in the registry, ALLOW_ANY: to the host's own address */
	RULES_BLOCKED,     /* no such port in the registry, REGISTRY_ONLY */
};

/*
 * Decide for host:port. `name` is what the program resolved (under a wildcard host: the full
 * name). HTTP: a ServiceEntry port with protocol HTTP, or port 80 of a host that a VirtualService
 * with http routes names. `*cluster` is set for RULES_OPAQUE and RULES_SNIFF and is NULL otherwise.
 */
enum rules_connection rules_connect(const struct rules *rules, const char *name, uint16_t port,
				    const struct cluster **cluster);

/* ---- requests --------------------------------------------------------------------------- */

/* One header field; not NUL-terminated. Names keep the case in which they came. */
struct field {
	const char *name;
	const char *value;
	uint32_t name_len;
	uint32_t value_len;
};

/* A request as the program sent it. */
struct rules_request {
	const char *method;    /* case-sensitive */
	const char *authority; /* Host, or the authority of an absolute-form target; may have a port */
	const char *path;      /* origin-form target: path with optional ?query. "*" for OPTIONS * */
	const char *dialled;   /* registry name that the program connected to; NULL in the tools */
	uint16_t port;         /* port that the program connected to */
	const struct field *fields;
	size_t n_fields;
	uint32_t random; /* uniform; picks one of several weighted destinations */
};

enum rules_action {
	RULES_ROUTE,           /* send to `cluster` */
	RULES_REDIRECT,        /* answer with rules_location() */
	RULES_DIRECT_RESPONSE, /* answer with route's directResponse and rules_location() */
	RULES_NO_ROUTE,        /* 404, empty body (NR) */
	RULES_NO_CLUSTER,      /* 503, empty body (NC): the destination is not in the registry */
	RULES_REQUEST_BLOCKED, /* 502, empty body: unknown host under REGISTRY_ONLY; tools only */
	RULES_REQUEST_DIRECT,  /* unknown host under ALLOW_ANY, left alone; tools only */
};

/* What becomes of one request. Holds pointers into the snapshot only; nothing to release. */
struct verdict {
	enum rules_action action;
	const struct rules *rules;
	const char *host;            /* registry host whose routes apply; NULL if none */
	const struct http_route *route; /* NULL: the host's default route (no VirtualService) */
	const struct l4_route *l4_route; /* the same for opaque connections */
	const struct http_match *match; /* the block that matched; NULL: none, or no http route */
	const struct route_destination *chosen; /* RULES_ROUTE by a VirtualService; else NULL */
	const struct virtual_service *routes; /* whose routes were asked; NULL: none */
	const char *virtual_service; /* its name, or NULL */
	int route_index;             /* position in http[] (the routes of delegates in the places of
					these), tls[] or tcp[], -1: none */
	int match_index;             /* position in match[], -1: none */
	struct where where;          /* the match, else the route, else the service */
	const char *authority;       /* new Host value, verbatim (rewrite.authority, else what header
					operations set); NULL: leave as it is */
	const struct cluster *cluster;      /* RULES_ROUTE: where to; else NULL */
	const char *destination;     /* host of the chosen destination, also for RULES_NO_CLUSTER */
	const char *subset;          /* of it; NULL: none */
	bool regex_limit;            /* a pattern hit every bound on the way and did not match: to be
					logged */
};

/*
 * Route one request (istio-semantics 2.1-2.4). The virtual host is found by the authority
 * without its port; an authority that names no registry host is routed as `dialled` if that is not
 * NULL. The first matching route wins; a host without VirtualService goes to its own cluster.
 *
 * "Registry host" means one that speaks HTTP on request->port. With `dialled` the answer is never
 * RULES_REQUEST_BLOCKED or RULES_REQUEST_DIRECT: when even that name is none (any more, after a
 * reload), it is RULES_NO_ROUTE.
 */
void rules_match(const struct rules *rules, const struct rules_request *request,
		 struct verdict *verdict);

/*
 * The request target after path normalization and the verdict's rewrite (istio-semantics 2.4, 2.5);
 * the query is kept, a fragment is dropped, and of a path of which nothing is left stays a slash.
 * Writes at most `size` bytes including a NUL and returns the length that the whole text has, as
 * snprintf(3) does; SIZE_MAX: a uriRegexRewrite hit its bounds or memory ran out, the request is to be
 * answered 500.
 */
size_t rules_rewrite_target(const struct verdict *verdict, const char *path, char *out,
			    size_t size);

/*
 * RULES_REDIRECT and RULES_DIRECT_RESPONSE: the status of the answer, and the value that Location has
 * in it before the header operations (istio-semantics 1.2, HTTPRedirect). Writes and returns as
 * rules_rewrite_target() does; 0: there is no Location, as in most direct responses.
 */
size_t rules_location(const struct verdict *verdict, const struct rules_request *request,
		      int *status, char *out, size_t size);

/* What happens to a header field. */
enum header_edit {
	HEADER_REMOVE, /* all fields of that name; `value` is NULL */
	HEADER_SET,    /* overwrite all, or add */
	HEADER_ADD,    /* one more field */
};

/*
 * Call `each` for every header operation of the verdict, in Envoy's order (istio-semantics 1.2).
 * The authority is not among them. `response` tells which side.
 */
void rules_header_edits(const struct verdict *verdict, bool response,
			void (*each)(void *context, enum header_edit edit, const char *name,
				     const char *value),
			void *context);

/* ---- opaque connections ------------------------------------------------------------------ */

/* A connection of which no request is read: TLS of the program's own, or TCP. */
struct rules_stream {
	const char *name;		 /* what the program resolved, or NULL */
	const struct in6_addr *address; /* what it dialled (IPv4 as v4-mapped), or NULL */
	uint16_t port;
	const char *sni; /* from its ClientHello; NULL: it is not TLS or has none */
	uint32_t random; /* as in struct rules_request */
};

/*
 * Route a connection by tls[] routes (ports that say TLS or HTTPS) or tcp[] routes (all others), the
 * most specific match first (istio-semantics 1.2). Actions: RULES_ROUTE, RULES_NO_CLUSTER,
 * RULES_NO_ROUTE (no route and no cluster of its own: close), and where tls routes for the port know
 * no such SNI, RULES_REQUEST_BLOCKED or RULES_REQUEST_DIRECT.
 */
void rules_match_stream(const struct rules *rules, const struct rules_stream *stream,
			struct verdict *verdict);

/*
 * The server name for a TLS connection to `cluster` (the design's "SNI follows the rewritten
 * authority"): tls.sni, else `authority` without port and brackets, else the cluster's host.
 * `authority` may be NULL (opaque connections: the caller passes the dialled name instead).
 * Writes lower case, NUL-terminated. Returns 0, or -1 if `size` is too small.
 * An IP literal is written too; it is verified as an IP address and never sent as SNI (RFC 6066).
 */
int rules_server_name(const struct cluster *cluster, const char *authority, char *out, size_t size)
    __attribute__((warn_unused_result));

#endif
