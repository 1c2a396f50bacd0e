/* SPDX-License-Identifier: Apache-2.0 */
/* The request that --explain is asked about, out of a URL and -H options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/hostname.h"
#include "tools/check_explain.h"

/* The text behind the host: "", or ":8080". An IPv6 literal has its colons in brackets. */
static const char *port_text(const char *authority)
{
	const char *bracket = strrchr(authority, ']');
	const char *colon = strchr(bracket ? bracket : authority, ':');

	return colon ? colon + 1 : "";
}

static int parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!ascii_is_digit(*text) || *end || !value || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

static const char *take_scheme(struct explain_request *request, const char *url)
{
	static const struct scheme {
		const char *text;
		enum explain_scheme scheme;
		uint16_t port;
	} schemes[] = {
	    {"http://", EXPLAIN_HTTP, 80},
	    {"https://", EXPLAIN_HTTPS, 443},
	    {"tcp://", EXPLAIN_TCP, 0},
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (ascii_equal_nocase_n(url, schemes[i].text, strlen(schemes[i].text))) {
			request->scheme = schemes[i].scheme;
			request->port = schemes[i].port;
			return url + strlen(schemes[i].text);
		}
	return NULL;
}

const char *explain_set_url(struct explain_request *request, const char *url)
{
	const char *authority = take_scheme(request, url), *user, *port, *rest;
	size_t len;

	if (!authority)
		return "only http://, https:// and tcp:// URLs can be explained";
	len = strcspn(authority, "/?#");
	rest = authority + len;
	/* "http://host?query" asks for "/?query". */
	free(request->target);
	if (asprintf(&request->target, "%s%s", *rest == '/' ? "" : "/", *rest != '#' ? rest : "") <
	    0) {
		request->target = NULL;
		return "out of memory";
	}
	user = memchr(authority, '@', len);
	if (user) {
		len -= (size_t)(user + 1 - authority);
		authority = user + 1;
	}
	if (!len || len >= sizeof(request->authority))
		return "no host in the URL";
	snprintf(request->authority, sizeof(request->authority), "%.*s", (int)len, authority);
	if (!hostname_of_authority(request->authority, request->name))
		return "no host in the URL";
	port = port_text(request->authority);
	if (*port && parse_port(port, &request->port) < 0)
		return "bad port in the URL";
	return request->port ? NULL : "a tcp:// URL needs a port";
}

void explain_find_address(const struct rules *rules, struct explain_request *request)
{
	const struct rules_host *best = NULL;
	unsigned longest = 0;

	request->has_address = hostname_is_address(request->name, &request->address);
	if (!request->has_address || rules_find_host(rules, request->name))
		return;
	for (size_t i = 0; i < rules_n_hosts(rules); i++) {
		const struct rules_host *host = rules_host_at(rules, i);

		for (size_t j = 0; j < host->n_addresses; j++) {
			const struct rules_address *block = &host->addresses[j];

			if (!hostname_in_block(block, &request->address) || (best && block->prefix <= longest))
				continue;
			best = host;
			longest = block->prefix;
		}
	}
	if (best)
		snprintf(request->name, sizeof(request->name), "%s", best->name);
}

const char *explain_add_header(struct explain_request *request, const char *text)
{
	size_t name_len = strcspn(text, ":");
	const char *value = text + name_len + 1;
	struct field *field;
	size_t len;

	if (!name_len || text[name_len] != ':' || strpbrk(text, "\r\n"))
		return "a header must look like 'Name: value'";
	value += strspn(value, " \t");
	for (len = strlen(value); len && strchr(" \t", value[len - 1]);)
		len--;
	if (name_len == 4 && ascii_equal_nocase_n(text, "Host", 4)) {
		if (len >= sizeof(request->authority))
			return "Host is too long";
		snprintf(request->authority, sizeof(request->authority), "%.*s", (int)len, value);
		return NULL;
	}
	if (request->n_fields == EXPLAIN_MAX_HEADERS)
		return "too many headers";
	field = &request->fields[request->n_fields++];
	*field = (struct field){text, value, (uint32_t)name_len, (uint32_t)len};
	return NULL;
}
