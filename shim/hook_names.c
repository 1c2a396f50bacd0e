/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getaddrinfo(3), getaddrinfo_a(3) and getnameinfo(3).
 *
 * The answer for a registry host is built by libc itself: it is asked for the synthetic address in
 * numeric form, with the program's own service and hints. So services, socket types, families,
 * flags and their errors are libc's, and freeaddrinfo(3) needs no hook.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/hook.h"
#include "shim/names.h"

/* What getaddrinfo(3) does when `hints` is NULL. */
static const struct addrinfo default_hints = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};

/*
 * The addresses to ask libc for, the first of them first. IPv4 unless the program wants IPv6 or
 * there is none: no program gets to race two families that end in the same place. Only who asks for
 * all of them in IPv6's clothes (AI_ALL) gets both. Returns how many; 0: none fits the family.
 */
static int choose(const struct name_answer *answer, const struct addrinfo *hints,
		  char texts[2][INET6_ADDRSTRLEN])
{
	bool want6 = hints->ai_family == AF_INET6;
	bool mapped = want6 && (hints->ai_flags & AI_V4MAPPED);
	int n = 0;

	if (answer->has6 && hints->ai_family != AF_INET && (want6 || !answer->has4))
		inet_ntop(AF_INET6, &answer->v6, texts[n++], INET6_ADDRSTRLEN);
	if (answer->has4 && (!want6 || (mapped && (n == 0 || (hints->ai_flags & AI_ALL)))))
		inet_ntop(AF_INET, &answer->v4, texts[n++], INET6_ADDRSTRLEN);
	if (n > 0)
		return n;
	/* The other family's address: libc then has the hints checked and refuses. */
	if (answer->has6)
		inet_ntop(AF_INET6, &answer->v6, texts[0], INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET, &answer->v4, texts[0], INET6_ADDRSTRLEN);
	return 0;
}

/* Make a list for the numeric form look like one for the name. Returns 0 or an EAI_* value. */
static int dress(struct addrinfo *list, const struct addrinfo *hints, const char *canonical)
{
	for (struct addrinfo *entry = list; entry; entry = entry->ai_next)
		entry->ai_flags = hints->ai_flags;
	if (!(hints->ai_flags & AI_CANONNAME))
		return 0;
	char *name;

	/* Inside of libc, which is to free it: not from our own memory (memory_wrap.c). */
	if (asprintf(&name, "%s", canonical) < 0)
		return EAI_MEMORY;
	free(list->ai_canonname);
	list->ai_canonname = name;
	return 0;
}

/* The entries of a list are blocks of their own in glibc, so that lists can be joined. */
static void append(struct addrinfo **list, struct addrinfo *more)
{
	while (*list)
		list = &(*list)->ai_next;
	*list = more;
}

/* `result` is set on success only, as libc does. */
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
	char texts[2][INET6_ADDRSTRLEN];
	struct addrinfo *list = NULL, *more;
	int n = choose(answer, hints, texts);
	int rc = real.getaddrinfo(texts[0], service, &numeric, &list);

	if (n == 0 && rc == EAI_ADDRFAMILY)
		return EAI_NODATA;
	if (rc != 0)
		return rc;
	if (n > 1) {
		numeric.ai_flags &= ~AI_CANONNAME; /* one entry has it */
		rc = real.getaddrinfo(texts[1], service, &numeric, &more);
		if (rc == 0)
			append(&list, more);
	}
	if (rc == 0)
		rc = dress(list, hints, answer->canonical);
	if (rc == 0)
		*result = list;
	else
		freeaddrinfo(list);
	return rc;
}

/*
 * AI_IDN: the name as libc is about to convert it, by the same library and function. NULL: there is
 * nothing to convert, or no way to; libc will say so. To be freed.
 */
static char *to_ascii(const char *node)
{
	int (*convert)(const char *from, char **to, int flags);
	const char *letter = node;
	char *ascii = NULL;

	while (*letter && !((unsigned char)*letter & 0x80))
		letter++;
	if (!*letter)
		return NULL;
	void *library = real.dlopen("libidn2.so.0", RTLD_LAZY | RTLD_LOCAL);

	if (!library)
		return NULL;
	convert = (__typeof__(convert))dlsym(library, "idn2_lookup_ul");
	if (!convert || convert(node, &ascii, 0) != 0)
		ascii = NULL;
	dlclose(library);
	return ascii;
}

static enum name_status find(const char *node, const struct addrinfo *hints,
			     struct name_answer *answer)
{
	char *ascii = node && hints && (hints->ai_flags & AI_IDN) ? to_ascii(node) : NULL;
	enum name_status status = names_search(ascii ? ascii : node, answer);

	free(ascii);
	return status;
}

/* Have libc answer, and note what it says. errno is as libc leaves it. */
static int ask_and_learn(const struct name_answer *answer, const char *node, const char *service,
			 const struct addrinfo *hints, struct addrinfo **result)
{
	struct addrinfo *list = NULL;
	int rc = real.getaddrinfo(node, service, hints, &list);

	for (struct addrinfo *entry = list; rc == 0 && entry; entry = entry->ai_next)
		if (!names_learn(answer, entry->ai_addr, entry->ai_addrlen))
			rc = EAI_MEMORY;
	if (rc == 0)
		*result = list;
	else if (list)
		freeaddrinfo(list);
	return rc;
}

/* The answer for a registry host, for `*rc`. False: it is none. errno is untouched on success. */
static bool answer_mesh(const char *node, const char *service, const struct addrinfo *hints,
			struct addrinfo **result, int *rc)
{
	struct name_answer answer;
	enum name_status status;

	if (!hook_awake() || (hints && (hints->ai_flags & AI_NUMERICHOST)))
		return false;
	struct guard guard = guard_enter();

	status = find(node, hints, &answer);
	guard_leave(&guard, 0);
	if (status == NAME_OTHER)
		return false;
	*rc = EAI_MEMORY;
	if (status == NAME_REAL) {
		*rc = ask_and_learn(&answer, node, service, hints, result);
		return true;
	}
	if (status == NAME_MESH)
		*rc = answer_with(&answer, service, hints ? hints : &default_hints, result);
	if (*rc == 0)
		errno = guard.errno_before;
	return true;
}

int hook_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		     struct addrinfo **result)
{
	int rc;

	if (!real.getaddrinfo)
		libc_bind();
	if (answer_mesh(node, service, hints, result, &rc))
		return rc;
	return real.getaddrinfo(node, service, hints, result);
}
EXPORT(getaddrinfo)

/*
 * getaddrinfo_a(3) calls libc's own getaddrinfo on a thread of libc's own, where no hook sees it.
 * Requests for registry hosts are answered before it is called and not among those that it gets;
 * it may get none, and then does what it does when all is done: return, or notify at once. Those for
 * which the real resolver answers are waited for here, since nothing tells us when libc's thread is
 * done with one.
 *
 * An answered request is one like any other that has ended: gai_error(3) reads its __return,
 * gai_suspend(3) and gai_cancel(3) find it in no queue.
 */
static int submit(int mode, struct gaicb *list[], int n, struct gaicb *rest[],
		  struct sigevent *event)
{
	for (int i = 0; i < n; i++) {
		struct gaicb *request = list[i];
		int rc;

		rest[i] = request;
		if (!request || !answer_mesh(request->ar_name, request->ar_service,
					     request->ar_request, &request->ar_result, &rc))
			continue;
		request->__return = rc;
		rest[i] = NULL;
	}
	return real.getaddrinfo_a(mode, rest, n, event);
}

#define FEW_REQUESTS 32

int hook_getaddrinfo_a(int mode, struct gaicb *list[], int n, struct sigevent *event)
{
	struct gaicb *few[FEW_REQUESTS];
	struct gaicb **rest = few;
	int rc;

	if (!real.getaddrinfo_a)
		libc_bind();
	if (!real.getaddrinfo_a) { /* a libc before 2.34, which has it in a library of its own */
		errno = ENOSYS;
		return EAI_SYSTEM;
	}
	if (!hook_awake() || n <= 0 || (mode != GAI_WAIT && mode != GAI_NOWAIT))
		return real.getaddrinfo_a(mode, list, n, event);
	if (n > FEW_REQUESTS)
		rest = calloc((size_t)n, sizeof(struct gaicb *));
	if (!rest)
		return EAI_MEMORY;
	rc = submit(mode, list, n, rest, event);
	if (rest != few)
		free(rest);
	return rc;
}
EXPORT(getaddrinfo_a)

/* As libc does with its own answers: the service first, then the name. */
static int name_the_host(const struct sockaddr *addr, socklen_t len, const char *name, char *host,
			 socklen_t hostlen, char *serv, socklen_t servlen, int flags)
{
	char numeric[NI_MAXHOST];
	bool nameless = !name && (flags & NI_NAMEREQD);
	/* This also has libc check family, length and flags. */
	int rc = real.getnameinfo(addr, len, numeric, sizeof(numeric), nameless ? NULL : serv,
				  servlen, (flags & ~NI_NAMEREQD) | NI_NUMERICHOST);

	if (rc == 0 && nameless)
		return EAI_NONAME;
	if (rc != 0)
		return rc;
	if (!name)
		name = numeric;
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
	if (status != NAME_MESH && status != NAME_FAILED)
		return real.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
	int saved = errno;
	int rc = name_the_host(addr, len, status == NAME_MESH ? name : NULL, host, hostlen, serv,
			       servlen, flags);

	if (rc == 0)
		errno = saved;
	return rc;
}
EXPORT(getnameinfo)
