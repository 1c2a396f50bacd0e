/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step before the first byte of a connection of which no request is read, or not known to be
 * (istio-semantics 1.2, 5): who gets it.
 *
 * A port that says TLS or HTTPS: where tls routes may apply, the ClientHello is looked at for its
 * server name, and stays where it is, to be passed on with the rest. What is no ClientHello is closed
 * there: Envoy finds no filter chain for it. All other ports that say what they carry wait for
 * nothing, so that a server may speak first. A port without protocol carries HTTP, TLS or anything
 * else, as its first bytes say; like Envoy we wait for them as long as it takes, unless
 * meshConfig.protocolDetectionTimeout says how long.
 */
#include "shim/bridge/exchange_state.h"

#include <arpa/inet.h>
#include <string.h>

#include "rules/ascii.h"
#include "shim/bridge/client_hello.h"
#include "shim/log.h"

/* What a connection carries, as far as its first bytes tell. */
enum carried {
	CARRIES_MORE, /* more of them are needed */
	CARRIES_HTTP,
	CARRIES_TLS,
	CARRIES_BYTES,
};

/* ---- first bytes ------------------------------------------------------------------------- */

/* RFC 9110 5.6.2 */
static bool is_token(char c)
{
	return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* "GET /path HTTP/", as far as it is there. What follows decides whether it is HTTP of a kind that we
 * speak; that is for the answer to say. */
static enum carried request_line(const char *data, size_t n)
{
	static const char version[] = "HTTP/";
	size_t at = 0, start;

	while (at < n && is_token(data[at]))
		at++;
	if (at == n)
		return n < HTTP1_HEAD_MAX ? CARRIES_MORE : CARRIES_BYTES;
	if (at == 0 || data[at] != ' ')
		return CARRIES_BYTES;
	start = ++at;
	while (at < n && (unsigned char)data[at] > ' ' && data[at] != 0x7f)
		at++;
	if (at == n)
		return n < HTTP1_HEAD_MAX ? CARRIES_MORE : CARRIES_BYTES;
	if (at == start || data[at] != ' ')
		return CARRIES_BYTES;
	at++;
	for (size_t i = 0; version[i]; i++, at++) {
		if (at == n)
			return CARRIES_MORE;
		if (data[at] != version[i])
			return CARRIES_BYTES;
	}
	return CARRIES_HTTP;
}

static enum carried look(struct exchange *x, char sni[256])
{
	const char *data = buf_data(&x->down_in);
	size_t n = buf_len(&x->down_in);

	switch (client_hello_read(data, n, sni)) {
	case CLIENT_HELLO_TLS:
		return CARRIES_TLS;
	case CLIENT_HELLO_MORE:
		return CARRIES_MORE;
	case CLIENT_HELLO_NONE:
		break;
	}
	return x->target.kind == RULES_SNIFF ? request_line(data, n) : CARRIES_BYTES;
}

/* Read until they tell. STEP_MORE: *carried is known; otherwise the step's result. */
static enum step_result read_ahead(struct exchange *x, enum carried *carried, char sni[256])
{
	while ((*carried = look(x, sni)) == CARRIES_MORE) {
		if (!buf_room(&x->down_in) && buf_grow(&x->down_in, CLIENT_HELLO_MAX) < 0)
			return exchange_break(x);
		ssize_t n = buf_read_from(&x->down_in, x->down, SIZE_MAX);

		if (n == IO_WANT_READ || n == IO_WANT_WRITE) {
			if (!deadline_passed(x, DEADLINE_DETECTION))
				return STEP_WAIT;
			*carried = CARRIES_BYTES;
			break;
		}
		if (n < 0)
			return STEP_DONE;
		if (n == IO_EOF) { /* it will say no more */
			*carried = CARRIES_BYTES;
			break;
		}
	}
	return STEP_MORE;
}

/* ---- who gets it ------------------------------------------------------------------------- */

static enum step_result refuse(struct exchange *x, const char *flag, const char *why)
{
	log_info("%s:%u: closed: %s (%s)", x->target.name, (unsigned)x->target.port, why, flag);
	return exchange_break(x);
}

static void match(struct exchange *x, const char *sni, uint32_t random)
{
	const struct rules_stream stream = {
	    .name = x->target.name,
	    .address = x->target.address,
	    .port = x->target.port,
	    .sni = sni && *sni ? sni : NULL,
	    .random = random,
	};

	rules_match_stream(x->target.rules, &stream, &x->verdict);
}

/* Whom TLS of ours is for: the host that the program dialled, or the one that a route names instead. */
static const char *peer_name(const struct exchange *x, const struct cluster *cluster)
{
	bool elsewhere = x->target.cluster && strcmp(cluster->host, x->target.cluster->host);

	return elsewhere && cluster->host[0] != '*' ? cluster->host : x->target.name;
}

/* What ServiceEntry.resolution leaves to the program. */
static int name_dynamic(struct exchange *x, const struct cluster *cluster)
{
	const struct in6_addr *address = x->target.address;
	char text[INET6_ADDRSTRLEN] = "";

	x->dynamic = NULL;
	if (cluster->resolution == RESOLUTION_DYNAMIC_DNS)
		x->dynamic = x->target.name;
	if (cluster->resolution != RESOLUTION_NONE)
		return 0;
	if (address && IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof(text));
	else if (address)
		inet_ntop(AF_INET6, address, text, sizeof(text));
	x->dynamic = arena_strndup(&x->arena, text, strlen(text));
	return x->dynamic ? 0 : -1;
}

static enum step_result send_to(struct exchange *x, const struct cluster *cluster)
{
	x->target.kind = RULES_OPAQUE;
	x->want_fresh = true;
	x->verdict.cluster = cluster;
	if (!x->verdict.destination)
		x->verdict.destination = cluster->host;
	if (name_dynamic(x, cluster) < 0)
		return exchange_break(x);
	if (rules_server_name(cluster, peer_name(x, cluster), x->server_name,
			      sizeof(x->server_name)) < 0)
		x->server_name[0] = '\0';
	log_debug("%s:%u -> %s:%u%s%s", x->target.name, (unsigned)x->target.port, cluster->host,
		  (unsigned)cluster->port, x->encrypted ? "" : " as ",
		  x->encrypted ? "" : x->server_name);
	x->step = &step_acquire;
	return STEP_MORE;
}

static enum step_result follow_verdict(struct exchange *x)
{
	switch (x->verdict.action) {
	case RULES_ROUTE:
		return send_to(x, x->verdict.cluster);
	case RULES_NO_CLUSTER:
		return refuse(x, "NC", "the destination of its route is not in the registry");
	case RULES_REQUEST_DIRECT:
		return send_to(x, x->target.direct);
	case RULES_REQUEST_BLOCKED:
		return refuse(x, "UH", "no tls route has this server name, and outboundTrafficPolicy "
				       "is REGISTRY_ONLY");
	default:
		return refuse(x, "NR", "no route");
	}
}

static enum step_result run_tls(struct exchange *x)
{
	char sni[256] = "";
	enum carried carried = CARRIES_TLS;

	x->encrypted = true;
	/* Without a name: does any tls route ask for one? */
	match(x, NULL, 0);
	if (x->verdict.action == RULES_REQUEST_BLOCKED ||
	    x->verdict.action == RULES_REQUEST_DIRECT) {
		enum step_result result = read_ahead(x, &carried, sni);

		if (result != STEP_MORE)
			return result;
		if (carried != CARRIES_TLS)
			return refuse(x, "NR", "what the program says is no TLS, and tls routes "
					       "choose by the name in its ClientHello");
		match(x, sni, x->ops->random(x));
	}
	return follow_verdict(x);
}

static enum step_result run_sniff(struct exchange *x)
{
	char sni[256] = "";
	enum carried carried;
	uint64_t timeout = rules_detection_timeout(x->target.rules);

	if (timeout && !x->deadlines[DEADLINE_DETECTION])
		deadline_set(x, DEADLINE_DETECTION, timeout);
	enum step_result result = read_ahead(x, &carried, sni);

	if (result != STEP_MORE)
		return result;
	deadline_clear(x, DEADLINE_DETECTION);
	if (carried == CARRIES_HTTP) {
		x->target.kind = RULES_HTTP;
		x->target.cluster = NULL;
		x->step = &step_head;
		return STEP_MORE;
	}
	x->encrypted = carried == CARRIES_TLS;
	match(x, sni, x->ops->random(x));
	return follow_verdict(x);
}

static enum step_result run_peek(struct exchange *x)
{
	const struct cluster *cluster = x->target.cluster;

	if (x->target.kind == RULES_SNIFF)
		return run_sniff(x);
	if (x->target.kind == RULES_PASSTHROUGH)
		return send_to(x, cluster);
	if (cluster->protocol == PROTOCOL_TLS)
		return run_tls(x);
	match(x, NULL, x->ops->random(x));
	return follow_verdict(x);
}

const struct step step_peek = {"peek", run_peek};

enum step_result peek_refuse_hello(struct exchange *x)
{
	log_warn("%s:%u: closed: the program speaks TLS on a port for HTTP: let it use http://, or "
		 "give the port the protocol TLS",
		 x->target.name, (unsigned)x->target.port);
	return exchange_break(x);
}
