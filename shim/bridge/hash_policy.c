/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As Envoy's hash policies have it, but for the source address: all connections of a program come to
 * the bridge over loopback, so the machine's name is hashed in its place. Both keep one program with
 * one host and spread machines over all of them.
 */
#include "shim/bridge/hash_policy.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "rules/ascii.h"
#include "rules/destination_rule.h"
#include "shim/bridge/balance.h"
#include "shim/bridge/head.h"

static void hash_text(struct hash_policy *out, const char *text, size_t len)
{
	uint64_t hash = balance_hash(text, len);

	/* Several values are turned into one as Envoy does with several policies. */
	out->hash = out->hashed ? ((out->hash << 1) | (out->hash >> 63)) ^ hash : hash;
	out->hashed = true;
}

static void hash_header(struct hash_policy *out, const struct http1_head *request, const char *name)
{
	const struct field *field;

	for (size_t at = 0; (field = head_find(request, name, at));
	     at = (size_t)(field - request->fields) + 1)
		hash_text(out, field->value, field->value_len);
}

/* "a=1; name=value; b=2": the value, without quotes. */
static bool find_cookie(const struct field *field, const char *name, const char **value, size_t *len)
{
	const char *at = field->value, *end = at + field->value_len;
	size_t name_len = strlen(name);

	while (at < end) {
		const char *stop = memchr(at, ';', (size_t)(end - at));
		const char *next = stop ? stop + 1 : end;

		stop = stop ? stop : end;
		while (at < stop && (*at == ' ' || *at == '\t'))
			at++;
		while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if ((size_t)(stop - at) > name_len && !memcmp(at, name, name_len) &&
		    at[name_len] == '=') {
			at += name_len + 1;
			if (stop - at >= 2 && *at == '"' && stop[-1] == '"') {
				at++;
				stop--;
			}
			*value = at;
			*len = (size_t)(stop - at);
			return true;
		}
		at = next;
	}
	return false;
}

static size_t put_cookie(const struct http_cookie *cookie, const char *value, char *out, size_t size)
{
	const struct pair *attributes = cookie->attributes.items;
	size_t n;

#define LEFT (n < size ? size - n : 0)
#define TO   (n < size ? out + n : NULL)
	n = (size_t)snprintf(out, size, "%s=\"%s\"", cookie->name.s, value);
	if (cookie->ttl.ns >= 1000000000)
		n += (size_t)snprintf(TO, LEFT, "; Max-Age=%llu",
				      (unsigned long long)(cookie->ttl.ns / 1000000000));
	if (cookie->path.s && *cookie->path.s)
		n += (size_t)snprintf(TO, LEFT, "; Path=%s", cookie->path.s);
	for (size_t i = 0; i < cookie->attributes.n; i++) {
		bool valued = attributes[i].value.s && *attributes[i].value.s;

		n += (size_t)snprintf(TO, LEFT, "; %s%s%s", attributes[i].name.s,
				      valued ? "=" : "", valued ? attributes[i].value.s : "");
	}
	return n + (size_t)snprintf(TO, LEFT, "; HttpOnly");
#undef LEFT
#undef TO
}

static int make_cookie(struct hash_policy *out, struct arena *arena, const struct http_cookie *cookie,
		       uint32_t (*random)(void *arg), void *arg)
{
	char value[17], *text;
	uint32_t high = random(arg), low = random(arg);

	snprintf(value, sizeof(value), "%08x%08x", high, low);
	size_t n = put_cookie(cookie, value, NULL, 0);
	text = arena_alloc(arena, n + 1);
	if (!text)
		return -1;
	put_cookie(cookie, value, text, n + 1);
	out->cookie = text;
	hash_text(out, value, strlen(value));
	return 0;
}

static int hash_cookie(struct hash_policy *out, struct arena *arena, const struct http_cookie *cookie,
		       const struct http1_head *request, uint32_t (*random)(void *arg), void *arg)
{
	const struct field *field;
	const char *value;
	size_t len;

	if (!cookie->name.s)
		return 0;
	for (size_t at = 0; (field = head_find(request, "Cookie", at));
	     at = (size_t)(field - request->fields) + 1)
		if (find_cookie(field, cookie->name.s, &value, &len) && len) {
			hash_text(out, value, len);
			return 0;
		}
	return cookie->ttl.set ? make_cookie(out, arena, cookie, random, arg) : 0;
}

/* The first of that name; a value that is not there counts as an empty one. */
static void hash_query(struct hash_policy *out, const struct http1_head *request, const char *name)
{
	const char *end = request->target + request->target_len;
	const char *at = memchr(request->target, '?', request->target_len);
	size_t len = strlen(name);

	while (at && ++at <= end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		const char *last = stop ? stop : end;
		const char *equals = memchr(at, '=', (size_t)(last - at));
		const char *name_end = equals ? equals : last;

		if ((size_t)(name_end - at) == len && !memcmp(at, name, len)) {
			at = equals ? equals + 1 : last;
			hash_text(out, at, (size_t)(last - at));
			return;
		}
		at = stop;
	}
}

static void hash_source(struct hash_policy *out)
{
	struct utsname name;

	if (uname(&name) == 0)
		hash_text(out, name.nodename, strlen(name.nodename));
}

int hash_policy_apply(struct hash_policy *out, struct arena *arena, const struct cluster *cluster,
		      const struct http1_head *request, uint32_t (*random)(void *arg), void *arg)
{
	const struct consistent_hash *rule =
	    cluster->load_balancer ? cluster->load_balancer->consistent_hash : NULL;

	*out = (struct hash_policy){0};
	if (!rule)
		return 0;
	if (rule->http_header_name.s)
		hash_header(out, request, rule->http_header_name.s);
	else if (rule->http_cookie)
		return hash_cookie(out, arena, rule->http_cookie, request, random, arg);
	else if (rule->http_query_parameter_name.s)
		hash_query(out, request, rule->http_query_parameter_name.s);
	else if (rule->use_source_ip.value)
		hash_source(out);
	return 0;
}
