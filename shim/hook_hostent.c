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

/* The same question for an address. */
static enum name_status find_reverse(const void *addr, socklen_t len, int family,
				     char name[REGISTRY_NAME_MAX + 1])
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	enum name_status status = NAME_OTHER;

	if (!hook_awake() || !addr)
		return NAME_OTHER;
	struct guard guard = guard_enter();

	if (family == AF_INET && len == sizeof(in.sin_addr)) {
		memcpy(&in.sin_addr, addr, len);
		status = names_reverse((struct sockaddr *)&in, sizeof(in), name);
	} else if (family == AF_INET6 && len == sizeof(in6.sin6_addr)) {
		memcpy(&in6.sin6_addr, addr, len);
		status = names_reverse((struct sockaddr *)&in6, sizeof(in6), name);
	}
	guard_leave(&guard, 0);
	return status;
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
	case NAME_OTHER:
		break;
	}
	return real.gethostbyaddr(addr, len, family);
}
EXPORT(gethostbyaddr)
