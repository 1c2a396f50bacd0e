/* SPDX-License-Identifier: Apache-2.0 */
/* The request that --explain is asked about, out of a URL and -H options. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

	if (!isdigit((unsigned char)*text) || *end || !value || value > 65535)
		return -1;
	*port = (uint16_t)value;
	return 0;
}

const char *explain_set_url(struct explain_request *request, const char *url)
{
	size_t scheme = strcspn(url, ":");
	const char *authority, *user, *port;
	size_t len;

	request->https = scheme == 5 && !strncasecmp(url, "https", 5);
	if (!request->https && (scheme != 4 || strncasecmp(url, "http", 4) != 0))
		return "only http:// and https:// URLs can be explained";
	if (strncmp(url + scheme, "://", 3) != 0)
		return "not an absolute URL";
	authority = url + scheme + 3;
	len = strcspn(authority, "/?#");
	request->target = authority[len] == '/' ? authority + len : "/";
	if (authority[len] == '?')
		return "a URL with a query needs a path: write http://host/?query";
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
	request->port = request->https ? 443 : 80;
	if (*port && parse_port(port, &request->port) < 0)
		return "bad port in the URL";
	return NULL;
}

static bool contains(const struct rules_address *block, const struct in6_addr *address)
{
	for (unsigned bit = 0; bit < block->prefix; bit++) {
		unsigned mask = 0x80U >> bit % 8;

		if ((block->address.s6_addr[bit / 8] ^ address->s6_addr[bit / 8]) & mask)
			return false;
	}
	return true;
}

void explain_find_address(const struct rules *rules, struct explain_request *request)
{
	const struct rules_host *best = NULL;
	struct in6_addr address;
	unsigned longest = 0;

	if (!hostname_is_address(request->name, &address) || rules_find_host(rules, request->name))
		return;
	for (size_t i = 0; i < rules_n_hosts(rules); i++) {
		const struct rules_host *host = rules_host_at(rules, i);

		for (size_t j = 0; j < host->n_addresses; j++) {
			const struct rules_address *block = &host->addresses[j];

			if (!contains(block, &address) || (best && block->prefix <= longest))
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
	if (name_len == 4 && !strncasecmp(text, "Host", 4)) {
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
