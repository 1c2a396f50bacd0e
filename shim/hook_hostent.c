/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gethostby* family. The functions ending in _r fill the caller's buffer; the others fill one
 * static buffer each kind of question shares, which is all that they promise in libc too.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <string.h>

#include "shim/hook.h"
#include "shim/names.h"

/* What a struct hostent points to, at the start of the caller's buffer; the name follows. */
struct content {
	char *aliases[1];
	char *addresses[2];
	unsigned char address[16];
};

/* Room for any answer of ours, however it is aligned. */
#define STATIC_SIZE (sizeof(struct content) + sizeof(void *) + REGISTRY_NAME_MAX + 1)

static struct hostent static_host;
static char static_buf[STATIC_SIZE];

/* Returns 0, or ERANGE if the buffer is too small. */
static int fill(struct hostent *host, char *buf, size_t size, const char *name, int family,
		const void *address)
{
	size_t pad = -(uintptr_t)buf % __alignof__(struct content);
	size_t name_size = strlen(name) + 1;
	int length = family == AF_INET ? 4 : 16;

	if (size < pad + sizeof(struct content) + name_size)
		return ERANGE;
	struct content *content = (struct content *)(void *)(buf + pad);
	char *copy = (char *)(content + 1);

	memcpy(copy, name, name_size);
	memcpy(content->address, address, (size_t)length);
	content->aliases[0] = NULL;
	content->addresses[0] = (char *)content->address;
	content->addresses[1] = NULL;
	*host = (struct hostent){
	    .h_name = copy,
	    .h_aliases = content->aliases,
	    .h_addrtype = family,
	    .h_length = length,
	    .h_addr_list = content->addresses,
	};
	return 0;
}

/* A failure in the way of the _r functions: *result NULL, *h_err says why. */
static int fail(struct hostent **result, int *h_err, int why, int error)
{
	*result = NULL;
	*h_err = why;
	if (error)
		errno = error;
	return error;
}

/* The _r functions return ERANGE for a short buffer and 0 for a name that has no such address. */
static int answer_r(const struct name_answer *answer, int family, struct hostent *ret, char *buf,
		    size_t size, struct hostent **result, int *h_err)
{
	const void *address = NULL;

	if (family == AF_INET && answer->has4)
		address = &answer->v4;
	if (family == AF_INET6 && answer->has6)
		address = &answer->v6;
	if (!address)
		return fail(result, h_err, NO_DATA, 0);
	if (fill(ret, buf, size, answer->canonical, family, address) != 0)
		return fail(result, h_err, NETDB_INTERNAL, ERANGE);
	*result = ret;
	*h_err = NETDB_SUCCESS;
	return 0;
}

static enum name_status find(const char *name, int family, struct name_answer *answer)
{
	if (!hook_awake() || (family != AF_INET && family != AF_INET6))
		return NAME_OTHER;
	struct guard guard = guard_enter();
	enum name_status status = names_search(name, answer);

	guard_leave(&guard, 0);
	return status;
}

/* An address without a port. Returns its length, 0: none of that family. */
static socklen_t address_of(const void *addr, socklen_t len, int family,
			    struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	*out = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
	if (family == AF_INET && len == sizeof(in->sin_addr)) {
		memcpy(&in->sin_addr, addr, len);
		return sizeof(*in);
	}
	if (family == AF_INET6 && len == sizeof(in6->sin6_addr)) {
		memcpy(&in6->sin6_addr, addr, len);
		return sizeof(*in6);
	}
	return 0;
}

/* The same question for an address. */
static enum name_status find_reverse(const void *addr, socklen_t len, int family,
				     char name[REGISTRY_NAME_MAX + 1])
{
	struct sockaddr_storage whole;
	enum name_status status = NAME_OTHER;

	if (!hook_awake() || !addr)
		return NAME_OTHER;
	struct guard guard = guard_enter();
	socklen_t size = address_of(addr, len, family, &whole);

	if (size)
		status = names_reverse((struct sockaddr *)&whole, size, name);
	guard_leave(&guard, 0);
	return status;
}

/* NAME_REAL: note what libc says. */
static bool learn(const struct name_answer *answer, const struct hostent *host)
{
	for (char **address = host->h_addr_list; *address; address++) {
		struct sockaddr_storage whole;
		socklen_t size = address_of(*address, (socklen_t)host->h_length,
					    host->h_addrtype, &whole);

		if (size && !names_learn(answer, (struct sockaddr *)&whole, size))
			return false;
	}
	return true;
}

/* The same for the _r functions and for the others, of which libc has made `rc` and `result`. */
static int learn_r(const struct name_answer *answer, int rc, struct hostent **result, int *h_err)
{
	if (rc != 0 || !*result || learn(answer, *result))
		return rc;
	return fail(result, h_err, NETDB_INTERNAL, ENOMEM);
}

static struct hostent *learn_static(const struct name_answer *answer, struct hostent *result)
{
	if (!result || learn(answer, result))
		return result;
	h_errno = NETDB_INTERNAL;
	errno = ENOMEM;
	return NULL;
}

int hook_gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t size,
			  struct hostent **result, int *h_err)
{
	struct name_answer answer;

	if (!real.gethostbyname2_r)
		libc_bind();
	switch (find(name, family, &answer)) {
	case NAME_MESH:
		return answer_r(&answer, family, ret, buf, size, result, h_err);
	case NAME_FAILED:
		return fail(result, h_err, TRY_AGAIN, EAGAIN);
	case NAME_REAL:
		return learn_r(&answer,
			       real.gethostbyname2_r(name, family, ret, buf, size, result, h_err),
			       result, h_err);
	case NAME_OTHER:
		break;
	}
	return real.gethostbyname2_r(name, family, ret, buf, size, result, h_err);
}
EXPORT(gethostbyname2_r)

int hook_gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t size,
			 struct hostent **result, int *h_err)
{
	struct name_answer answer;

	if (!real.gethostbyname_r)
		libc_bind();
	switch (find(name, AF_INET, &answer)) {
	case NAME_MESH:
		return answer_r(&answer, AF_INET, ret, buf, size, result, h_err);
	case NAME_FAILED:
		return fail(result, h_err, TRY_AGAIN, EAGAIN);
	case NAME_REAL:
		return learn_r(&answer,
			       real.gethostbyname_r(name, ret, buf, size, result, h_err),
			       result, h_err);
	case NAME_OTHER:
		break;
	}
	return real.gethostbyname_r(name, ret, buf, size, result, h_err);
}
EXPORT(gethostbyname_r)

/* An answer out of the static buffer; NULL with h_errno set. */
static struct hostent *answer_static(enum name_status status, const struct name_answer *answer,
				     int family)
{
	struct hostent *result = NULL;
	int why = TRY_AGAIN;

	if (status == NAME_MESH)
		answer_r(answer, family, &static_host, static_buf, sizeof(static_buf), &result,
			 &why);
	if (!result)
		h_errno = why;
	return result;
}

struct hostent *hook_gethostbyname2(const char *name, int family)
{
	struct name_answer answer;

	if (!real.gethostbyname2)
		libc_bind();
	enum name_status status = find(name, family, &answer);

	if (status == NAME_REAL)
		return learn_static(&answer, real.gethostbyname2(name, family));
	return status == NAME_OTHER ? real.gethostbyname2(name, family)
				    : answer_static(status, &answer, family);
}
EXPORT(gethostbyname2)

struct hostent *hook_gethostbyname(const char *name)
{
	struct name_answer answer;

	if (!real.gethostbyname)
		libc_bind();
	enum name_status status = find(name, AF_INET, &answer);

	if (status == NAME_REAL)
		return learn_static(&answer, real.gethostbyname(name));
	return status == NAME_OTHER ? real.gethostbyname(name)
				    : answer_static(status, &answer, AF_INET);
}
EXPORT(gethostbyname)

int hook_gethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *ret,
			 char *buf, size_t size, struct hostent **result, int *h_err)
{
	char name[REGISTRY_NAME_MAX + 1];

	if (!real.gethostbyaddr_r)
		libc_bind();
	switch (find_reverse(addr, len, family, name)) {
	case NAME_MESH:
		break;
	case NAME_FAILED:
		return fail(result, h_err, HOST_NOT_FOUND, 0);
	case NAME_REAL:
	case NAME_OTHER:
		return real.gethostbyaddr_r(addr, len, family, ret, buf, size, result, h_err);
	}
	if (fill(ret, buf, size, name, family, addr) != 0)
		return fail(result, h_err, NETDB_INTERNAL, ERANGE);
	*result = ret;
	*h_err = NETDB_SUCCESS;
	return 0;
}
EXPORT(gethostbyaddr_r)

struct hostent *hook_gethostbyaddr(const void *addr, socklen_t len, int family)
{
	char name[REGISTRY_NAME_MAX + 1];

	if (!real.gethostbyaddr)
		libc_bind();
	switch (find_reverse(addr, len, family, name)) {
	case NAME_MESH:
		fill(&static_host, static_buf, sizeof(static_buf), name, family, addr);
		return &static_host;
	case NAME_FAILED:
		h_errno = HOST_NOT_FOUND;
		return NULL;
	case NAME_REAL:
	case NAME_OTHER:
		break;
	}
	return real.gethostbyaddr(addr, len, family);
}
EXPORT(gethostbyaddr)
