/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/dns_answer.h"

#include <string.h>

#include "shim/names.h"

/* The host that a question is about. */
static const char *host_of(const struct dns_question *question)
{
	const char *name = question->name;

	if (question->type == DNS_SVCB || question->type == DNS_HTTPS)
		while (*name == '_' && strchr(name, '.'))
			name = strchr(name, '.') + 1;
	return name;
}

/* `pointer` holds the name while `reply` is used. False: not ours. */
static bool find_pointer(const struct dns_question *question, struct dns_reply *reply,
			 char pointer[REGISTRY_NAME_MAX + 1])
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6};

	if (!dns_reverse_name(question->name, &addr.sin6_addr))
		return false;
	switch (names_reverse((struct sockaddr *)&addr, sizeof(addr), pointer)) {
	case NAME_MESH:
		reply->pointer = pointer;
		return true;
	case NAME_FAILED:
		reply->rcode = DNS_NXDOMAIN;
		return true;
	case NAME_REAL:
	case NAME_OTHER:
		break;
	}
	return false;
}

/*
 * A client appends search domains by itself, and what it asks for first may stand for a host of ours
 * (search.h). The final dot says that there is nothing left to append.
 */
static enum name_status look_up(const char *host, struct name_answer *found)
{
	char whole[REGISTRY_NAME_MAX + 2];
	size_t len = strlen(host);

	if (len > REGISTRY_NAME_MAX)
		return NAME_OTHER;
	memcpy(whole, host, len);
	memcpy(whole + len, ".", 2);
	return names_search(whole, found);
}

static bool find_addresses(const struct dns_question *question, struct dns_reply *reply)
{
	struct name_answer found;
	bool any = question->type == DNS_ANY;

	switch (look_up(host_of(question), &found)) {
	case NAME_MESH:
		reply->has4 = found.has4 && (any || question->type == DNS_A);
		reply->has6 = found.has6 && (any || question->type == DNS_AAAA);
		reply->v4 = found.v4;
		reply->v6 = found.v6;
		return true;
	case NAME_FAILED:
		reply->rcode = DNS_SERVFAIL;
		return true;
	case NAME_REAL:
	case NAME_OTHER:
		break;
	}
	return false;
}

static bool find(const struct dns_question *question, struct dns_reply *reply,
		 char pointer[REGISTRY_NAME_MAX + 1])
{
	memset(reply, 0, sizeof(*reply));
	switch (question->type) {
	case DNS_A:
	case DNS_AAAA:
	case DNS_ANY:
	case DNS_CNAME:
	case DNS_SVCB:
	case DNS_HTTPS:
		return find_addresses(question, reply);
	case DNS_PTR:
		return find_pointer(question, reply, pointer);
	default:
		return false;
	}
}

bool dns_is_ours(const struct dns_question *question)
{
	char pointer[REGISTRY_NAME_MAX + 1];
	struct dns_reply reply;

	return find(question, &reply, pointer);
}

size_t dns_answer(const void *message, size_t len, uint8_t out[DNS_REPLY_MAX])
{
	char pointer[REGISTRY_NAME_MAX + 1];
	struct dns_reply reply;
	struct dns_query query;
	bool well_formed = dns_read_query(message, len, &query);

	if (!well_formed) {
		query = (struct dns_query){0};
		if (dns_read_question(message, len, &query.question) != DNS_QUERY)
			return 0;
	}
	if (!find(&query.question, &reply, pointer))
		return 0;
	/* A server that is less strict would tell a real address. */
	if (!well_formed)
		reply = (struct dns_reply){.rcode = DNS_FORMERR};
	else if (query.edns && query.version > 0)
		reply = (struct dns_reply){.rcode = DNS_BADVERS};
	size_t written = dns_write_reply(message, &query, &reply, out);

	if (written)
		return written;
	/* A host whose name does not fit the DNS. */
	reply = (struct dns_reply){.rcode = DNS_SERVFAIL};
	return dns_write_reply(message, &query, &reply, out);
}
