/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getaddrinfo(3) and getnameinfo(3).
 *
 * The answer for a registry host is built by libc itself: it is asked for the synthetic address in
 * numeric form, with the program's own service and hints. So services, socket types, families,
 * flags and their errors are libc's, and freeaddrinfo(3) needs no hook.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "shim/hook.h"
#include "shim/names.h"

/* What getaddrinfo(3) does when `hints` is NULL. */
static const struct addrinfo default_hints = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};

/*
 * The address to ask libc for. IPv4 unless the program wants IPv6 or there is none: no program
 * gets to race two families that end in the same place. False: none fits the family.
 */
static bool choose(const struct name_answer *answer, const struct addrinfo *hints,
		   char text[INET6_ADDRSTRLEN])
{
	bool want6 = hints->ai_family == AF_INET6;

	if (answer->has4 && (!want6 || (!answer->has6 && (hints->ai_flags & AI_V4MAPPED))))
		return inet_ntop(AF_INET, &answer->v4, text, INET6_ADDRSTRLEN);
	if (answer->has6 && hints->ai_family != AF_INET)
		return inet_ntop(AF_INET6, &answer->v6, text, INET6_ADDRSTRLEN);
	/* The other family's address: libc then has the hints checked and refuses. */
	if (answer->has6)
		inet_ntop(AF_INET6, &answer->v6, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET, &answer->v4, text, INET6_ADDRSTRLEN);
	return false;
}

/* Make a list for the numeric form look like one for the name. Returns 0 or an EAI_* value. */
static int dress(struct addrinfo *list, const struct addrinfo *hints, const char *canonical)
{
	for (struct addrinfo *entry = list; entry; entry = entry->ai_next)
		entry->ai_flags = hints->ai_flags;
	if (!(hints->ai_flags & AI_CANONNAME))
		return 0;
	char *name = strdup(canonical);

	if (!name)
		return EAI_MEMORY;
	free(list->ai_canonname);
	list->ai_canonname = name;
	return 0;
}

static int answer_with(const struct name_answer *answer, const char *service,
		       const struct addrinfo *hints, struct addrinfo **result)
{
	struct addrinfo numeric = {
	    /* Whether this host has an IPv4 address does not matter to the bridge, and the
	     * name is not there to be converted. */
	    .ai_flags = (hints->ai_flags & ~(AI_ADDRCONFIG | AI_IDN | AI_CANONIDN)) | AI_NUMERICHOST,
	    .ai_family = hints->ai_family,
	    .ai_socktype = hints->ai_socktype,
	    .ai_protocol = hints->ai_protocol,
	};
	char text[INET6_ADDRSTRLEN];
	bool fits = choose(answer, hints, text);
	int rc = real.getaddrinfo(text, service, &numeric, result);

	if (rc == 0)
		rc = dress(*result, hints, answer->canonical);
	else if (!fits && (rc == EAI_ADDRFAMILY || rc == EAI_NONAME))
		return EAI_NODATA;
	else
		return rc;
	if (rc != 0)
		freeaddrinfo(*result);
	return rc;
}

int hook_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		     struct addrinfo **result)
{
	struct name_answer answer;
	enum name_status status = NAME_OTHER;

	if (!real.getaddrinfo)
		libc_bind();
	if (hook_awake() && !(hints && (hints->ai_flags & AI_NUMERICHOST))) {
		struct guard guard = guard_enter();

		status = names_find(node, &answer);
		guard_leave(&guard, 0);
	}
	if (status == NAME_OTHER)
		return real.getaddrinfo(node, service, hints, result);
	if (status == NAME_FAILED)
		return EAI_MEMORY;
	int saved = errno;
	int rc = answer_with(&answer, service, hints ? hints : &default_hints, result);

	if (rc == 0)
		errno = saved;
	return rc;
}
EXPORT(getaddrinfo)

/* As libc does with its own answers: the service first, then the name. */
static int name_the_host(const struct sockaddr *addr, socklen_t len, const char *name, char *host,
			 socklen_t hostlen, char *serv, socklen_t servlen, int flags)
{
	char numeric[NI_MAXHOST];
	/* This also has libc check family, length and flags. */
	int rc = real.getnameinfo(addr, len, numeric, sizeof(numeric), serv, servlen,
				  (flags & ~NI_NAMEREQD) | NI_NUMERICHOST);

	if (rc != 0)
		return rc;
	if (!name) {
		if (flags & NI_NAMEREQD)
			return EAI_NONAME;
		name = numeric;
	}
	if (strlen(name) >= hostlen)
		return EAI_OVERFLOW;
	memcpy(host, name, strlen(name) + 1);
	return 0;
}

int hook_getnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen,
		     char *serv, socklen_t servlen, int flags)
{
	char name[REGISTRY_NAME_MAX + 1];
	enum name_status status = NAME_OTHER;

	if (!real.getnameinfo)
		libc_bind();
	if (hook_awake() && host && hostlen > 0 && !(flags & NI_NUMERICHOST)) {
		struct guard guard = guard_enter();

		status = names_reverse(addr, len, name);
		guard_leave(&guard, 0);
	}
	if (status == NAME_OTHER)
		return real.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
	int saved = errno;
	int rc = name_the_host(addr, len, status == NAME_MESH ? name : NULL, host, hostlen, serv,
			       servlen, flags);

	if (rc == 0)
		errno = saved;
	return rc;
}
EXPORT(getnameinfo)
