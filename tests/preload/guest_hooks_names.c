/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way of asking the resolver for a host, which all have to agree: guest_hooks_names HOST.
 * Without the preload any name that has one IPv4 address and a reverse entry will do (localhost).
 * Prints the address.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

#include "tests/preload/guest.h"

static const char *host;
static struct in_addr v4;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			die("line %d: %s", __LINE__, #condition);                                  \
	} while (0)

static struct addrinfo *ask(int flags, int family, int socktype, const char *service)
{
	struct addrinfo hints = {
	    .ai_flags = flags, .ai_family = family, .ai_socktype = socktype};
	struct addrinfo *list = NULL;
	int rc;

	errno = EDOM;
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		die("getaddrinfo(%d, %d): %s", flags, family, gai_strerror(rc));
	return list;
}

static void check_getaddrinfo(void)
{
	struct addrinfo *list = ask(0, AF_INET, SOCK_STREAM, "80");

	CHECK(list->ai_family == AF_INET && list->ai_addrlen == sizeof(struct sockaddr_in));
	CHECK(list->ai_socktype == SOCK_STREAM && list->ai_protocol == IPPROTO_TCP);
	CHECK(((struct sockaddr_in *)(void *)list->ai_addr)->sin_port == htons(80));
	CHECK(!list->ai_canonname && list->ai_flags == 0);
	v4 = ((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr;
	freeaddrinfo(list);

	list = ask(AI_CANONNAME | AI_ADDRCONFIG, AF_INET, SOCK_DGRAM, "https");
	CHECK(list->ai_socktype == SOCK_DGRAM);
	CHECK(((struct sockaddr_in *)(void *)list->ai_addr)->sin_port == htons(443));
	CHECK(strcasecmp(list->ai_canonname, host) == 0);
	CHECK(list->ai_flags == (AI_CANONNAME | AI_ADDRCONFIG));
	freeaddrinfo(list);

	/* No socket type asked for: one entry for each. */
	int types = 0;

	list = ask(0, AF_INET, 0, NULL);
	for (struct addrinfo *entry = list; entry; entry = entry->ai_next)
		types++;
	CHECK(types % 3 == 0);
	freeaddrinfo(list);
}

static void check_errors(void)
{
	struct addrinfo hints = {.ai_flags = 0x40000000};
	struct addrinfo *list;

	CHECK(getaddrinfo(host, "80", &hints, &list) == EAI_BADFLAGS);
	hints = (struct addrinfo){.ai_family = AF_UNIX};
	CHECK(getaddrinfo(host, "80", &hints, &list) == EAI_FAMILY);
	hints = (struct addrinfo){.ai_socktype = 77};
	CHECK(getaddrinfo(host, "80", &hints, &list) == EAI_SOCKTYPE);
	hints = (struct addrinfo){.ai_socktype = SOCK_STREAM};
	CHECK(getaddrinfo(host, "no-such-service", &hints, &list) == EAI_SERVICE);
	hints = (struct addrinfo){.ai_flags = AI_NUMERICHOST};
	CHECK(getaddrinfo(host, "80", &hints, &list) == EAI_NONAME);
}

static void check_hostent(const struct hostent *found)
{
	CHECK(found);
	CHECK(found->h_addrtype == AF_INET && found->h_length == 4);
	CHECK(memcmp(found->h_addr_list[0], &v4, 4) == 0 && !found->h_addr_list[1]);
	CHECK(strcasecmp(found->h_name, host) == 0);
	CHECK(found->h_aliases);
}

static void check_gethostbyname(void)
{
	static char buf[4096];
	struct hostent space, *found;
	int why;

	check_hostent(gethostbyname(host));
	check_hostent(gethostbyname2(host, AF_INET));
	for (size_t shift = 0; shift < sizeof(void *); shift++) {
		CHECK(gethostbyname_r(host, &space, buf + shift, 2048, &found, &why) == 0);
		check_hostent(found);
		CHECK((uintptr_t)found->h_addr_list % sizeof(void *) == 0);
		CHECK(gethostbyname2_r(host, AF_INET, &space, buf + shift, 2048, &found, &why) == 0);
		check_hostent(found);
	}
	/* Whoever grows the buffer until it is enough gets there. */
	for (size_t size = 0;; size++) {
		int rc = gethostbyname_r(host, &space, buf, size, &found, &why);

		if (rc == 0)
			break;
		CHECK(rc == ERANGE && !found && why == NETDB_INTERNAL && size < sizeof(buf));
	}
	check_hostent(found);
}

static void check_reverse(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = v4};
	const struct sockaddr *any = (const struct sockaddr *)&addr;
	char name[NI_MAXHOST], service[NI_MAXSERV], text[NI_MAXHOST], buf[4096];
	struct hostent space, *found;
	int why;

	CHECK(getnameinfo(any, sizeof(addr), name, sizeof(name), service, sizeof(service),
			  NI_NAMEREQD) == 0);
	CHECK(strcasecmp(name, host) == 0 && strcmp(service, "http") == 0);
	CHECK(getnameinfo(any, sizeof(addr), name, sizeof(name), service, sizeof(service),
			  NI_NUMERICHOST | NI_NUMERICSERV) == 0);
	CHECK(inet_ntop(AF_INET, &v4, text, sizeof(text)));
	CHECK(strcmp(name, text) == 0 && strcmp(service, "80") == 0);
	CHECK(getnameinfo(any, sizeof(addr), NULL, 0, service, sizeof(service), 0) == 0);
	CHECK(getnameinfo(any, sizeof(addr), name, 3, NULL, 0, 0) == EAI_OVERFLOW);
	CHECK(getnameinfo(any, 3, name, sizeof(name), NULL, 0, 0) == EAI_FAMILY);

	check_hostent(gethostbyaddr(&v4, sizeof(v4), AF_INET));
	CHECK(gethostbyaddr_r(&v4, sizeof(v4), AF_INET, &space, buf, sizeof(buf), &found, &why) ==
	      0);
	check_hostent(found);
	CHECK(gethostbyaddr_r(&v4, sizeof(v4), AF_INET, &space, buf, 8, &found, &why) == ERANGE);
	CHECK(!found && why == NETDB_INTERNAL);
}

int main(int argc, char **argv)
{
	char text[INET_ADDRSTRLEN];

	if (argc != 2)
		die("usage: guest_hooks_names HOST");
	host = argv[1];
	check_getaddrinfo();
	check_errors();
	check_gethostbyname();
	check_reverse();
	printf("%s\n", inet_ntop(AF_INET, &v4, text, sizeof(text)));
	return 0;
}
