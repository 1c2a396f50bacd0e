/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that decides: whom the request is for, what the rules say of it, and what it looks like on
 * its way up.
 */
#include "shim/bridge/exchange_state.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rules/ascii.h"
#include "rules/hostname.h"
#include "shim/log.h"

/* Split an absolute-form target (RFC 9112 3.2.2). Returns -1 if it is malformed. */
static int absolute_form(struct exchange *x, const char *target)
{
	const char *start = strstr(target, "://");

	if (!start)
		return -1;
	start += 3;
	size_t n = strcspn(start, "/?#");
	if (!n || memchr(start, '@', n))
		return -1;
	x->authority = arena_strndup(&x->arena, start, n);
	const char *rest = start + n;
	if (*rest == '/') {
		x->path = rest;
	} else if (!*rest && !strcmp(x->method, "OPTIONS")) {
		x->path = "*"; /* RFC 9112 3.2.4 */
	} else {
		char *path = arena_alloc(&x->arena, strlen(rest) + 2);

		if (path) {
			path[0] = '/';
			strcpy(path + 1, rest);
		}
		x->path = path;
	}
	return x->authority && x->path ? 0 : -1;
}

/* Find authority and path of the request. NULL: fine, else why it is a bad request. */
static const char *read_target(struct exchange *x)
{
	const struct field *host = head_find(&x->request, "host", 0);
	char *target = arena_strndup(&x->arena, x->request.target, x->request.target_len);

	if (head_count(&x->request, "host") > 1)
		return "more than one Host field";
	if (!host && x->request.minor >= 1)
		return "no Host field";
	if (host)
		x->authority = arena_strndup(&x->arena, host->value, host->value_len);
	else if (x->target.port == 80)
		x->authority = x->target.name;
	else {
		char *authority = arena_alloc(&x->arena, strlen(x->target.name) + 8);

		if (authority)
			sprintf(authority, "%s:%u", x->target.name, (unsigned)x->target.port);
		x->authority = authority;
	}
	x->path = target;
	if (!target || !x->authority)
		return "out of memory";
	target[strcspn(target, "#")] = '\0'; /* a fragment is none of a server's business */
	bool absolute = ascii_equal_nocase_n(target, "http://", 7) ||
			ascii_equal_nocase_n(target, "https://", 8);
	if (absolute ? absolute_form(x, target) < 0 :
		       *target != '/' && (strcmp(target, "*") || strcmp(x->method, "OPTIONS")))
		return "malformed request target";
	/* What cannot be a host could be one host to us and another to the destination. */
	return strpbrk(x->authority, " \t,@/\\?#\"<>^`{|}") ? "malformed Host" : NULL;
}

/* The target as the verdict leaves it. NULL: it cannot be made, out of bounds or out of memory. */
static const char *rewritten_target(struct exchange *x)
{
	size_t size = strlen(x->path) + 256, n;
	char *out = arena_alloc(&x->arena, size);

	if (!out)
		return NULL;
	n = rules_rewrite_target(&x->verdict, x->path, out, size);
	if (n < size)
		return out;
	/* One that has grown much is made again, in a place of its length. */
	out = n != SIZE_MAX ? arena_alloc(&x->arena, n + 1) : NULL;
	if (out)
		rules_rewrite_target(&x->verdict, x->path, out, n + 1);
	return out;
}

/* Apply the verdict: target, Host, and the fields that are between us and the program only. */
static int rewrite_request(struct exchange *x, const char *target)
{
	const struct verdict *v = &x->verdict;

	if (x->request.minor == 0)
		head_remove(&x->request, "expect"); /* RFC 9110 10.1.1 */
	head_strip_hop_by_hop(&x->request, x->request.upgrade && x->request.minor >= 1);
	if (exchange_edit_head(x, &x->request, &x->max_fields, false) < 0 ||
	    head_set(&x->request, x->max_fields, "Host",
		     v->authority ? v->authority : x->authority) < 0)
		return -1;
	x->request.target = target;
	x->request.target_len = (uint32_t)strlen(target);
	buf_take(&x->up_out, buf_len(&x->up_out));
	if (exchange_room(&x->up_out, head_length(&x->request)) < 0)
		return -1;
	return head_write(&x->request, &x->up_out) < 0 ? -1 : 0;
}

/* Where a cluster without endpoints is to be looked for. Returns 0, or -1: no memory. */
static int find_dynamic(struct exchange *x)
{
	const struct in6_addr *ip = x->target.address;
	const char *authority = x->verdict.authority ? x->verdict.authority : x->authority;
	char name[256] = "";

	switch (x->verdict.cluster->resolution) {
	case RESOLUTION_DYNAMIC_DNS:
		if (!hostname_of_authority(authority, name))
			return 0; /* nobody has such a name */
		break;
	case RESOLUTION_NONE:
		if (!ip)
			return 0;
		if (IN6_IS_ADDR_V4MAPPED(ip))
			inet_ntop(AF_INET, ip->s6_addr + 12, name, sizeof(name));
		else
			inet_ntop(AF_INET6, ip, name, sizeof(name));
		break;
	default:
		return 0;
	}
	x->dynamic = arena_strndup(&x->arena, name, strlen(name));
	return x->dynamic ? 0 : -1;
}

static uint32_t draw(void *arg)
{
	struct exchange *x = arg;

	return x->ops->random(x);
}

/* The wall clock, in ms. */
static uint64_t now_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void ask_rules(struct exchange *x, struct rules_request *request)
{
	if (x->target.cluster) { /* they were asked about the original of this copy */
		x->verdict.action = RULES_ROUTE;
		x->verdict.cluster = x->target.cluster;
		x->verdict.destination = x->target.cluster->host;
		return;
	}
	request->random = x->ops->random(x);
	rules_match(x->target.rules, request, &x->verdict);
	if (x->verdict.regex_limit)
		log_warn("%s: a regular expression takes too long on the path \"%.200s\" and counts "
			 "as no match", x->target.name, x->path);
}

/* The verdict is a cluster: make the request that it gets. */
static enum step_result prepare(struct exchange *x)
{
	const char *target;

	if (rules_server_name(x->verdict.cluster,
			      x->verdict.authority ? x->verdict.authority : x->authority,
			      x->server_name, sizeof(x->server_name)) < 0)
		return answer_bad_request(x, 400, "Host is too long");
	target = x->target.cluster ? x->path : rewritten_target(x);
	if (!target)
		return answer_local(x, 500, "-", "the request target cannot be rewritten");
	if (rewrite_request(x, target) < 0 || find_dynamic(x) < 0 ||
	    hash_policy_apply(&x->hash, &x->arena, x->verdict.cluster, &x->request, draw, x) < 0)
		return exchange_break(x);
	log_debug("%s:%u %s %s -> %s:%u as %s", x->target.name, (unsigned)x->target.port,
		  x->method, x->path, x->verdict.cluster->host,
		  (unsigned)x->verdict.cluster->port, x->server_name);
	x->step = &step_fault;
	return STEP_MORE;
}

static enum step_result run_route(struct exchange *x)
{
	const char *why;

	x->started = now_ms();

	x->method = arena_strndup(&x->arena, x->request.method, x->request.method_len);
	if (!x->method)
		return exchange_break(x);
	if (!strcmp(x->method, "CONNECT"))
		return answer_bad_request(x, 501, "meshshim does not tunnel CONNECT: let the program "
					   "connect to the host itself");
	why = read_target(x);
	if (why)
		return answer_bad_request(x, 400, why);

	struct rules_request request = {
	    .method = x->method,
	    .authority = x->authority,
	    .path = x->path,
	    .dialled = x->target.name,
	    .port = x->target.port,
	    .fields = x->request.fields,
	    .n_fields = x->request.n_fields,
	};
	ask_rules(x, &request);
	switch (x->verdict.action) {
	case RULES_ROUTE:
		break;
	case RULES_NO_ROUTE:
		return answer_local(x, 404, "NR", NULL);
	case RULES_NO_CLUSTER: /* which a fault comes before */
		x->step = &step_fault;
		return STEP_MORE;
	case RULES_REQUEST_BLOCKED:
	case RULES_REQUEST_DIRECT:
		return answer_local(x, 502, "NR", NULL);
	case RULES_REDIRECT:
	case RULES_DIRECT_RESPONSE:
		return answer_rules(x, &request);
	}
	return prepare(x);
}

const struct step step_route = {"route", run_route};
