/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every question that netdb.h lets a program ask about some names, as a table of one line for each:
 * what was asked, " => ", what came of it. Two runs are the same where their tables are.
 *
 *     guest_names_table forward NAME...     getaddrinfo(3); NULL means no name at all
 *     guest_names_table flags NAME...       the same, with every flag there is
 *     guest_names_table hostent NAME...     the gethostby*(3) family
 *     guest_names_table reverse ADDRESS...  getnameinfo(3) and gethostbyaddr(3)
 *
 * errno is 0 before each question. A success that changes it is in the table.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "tests/preload/guest.h"

/* Buffers for a struct hostent. */
#define LARGEST	 2400
#define ALL_BELOW 160 /* all sizes up to here */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of the standard, of glibc, and some that nobody has. */
static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX, 77};
static const int socktypes[] = {0, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, 77};
static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 255};
static const char *const services[] = {NULL,	  "",	   "80", "http", "domain",
				       "no-such", "99999", "-1", "http/"};
static const int flags_alone[] = {0,
				  AI_PASSIVE,
				  AI_CANONNAME,
				  AI_NUMERICHOST,
				  AI_V4MAPPED,
				  AI_ALL,
				  AI_ADDRCONFIG,
				  AI_NUMERICSERV,
				  AI_IDN,
				  AI_CANONIDN,
				  AI_CANONNAME | AI_CANONIDN,
				  AI_V4MAPPED | AI_ALL,
				  AI_V4MAPPED | AI_ADDRCONFIG,
				  AI_V4MAPPED | AI_ALL | AI_ADDRCONFIG | AI_CANONNAME,
				  0x40000000};
static const int flags_all[] = {AI_PASSIVE,    AI_CANONNAME,  AI_NUMERICHOST, AI_V4MAPPED, AI_ALL,
				AI_ADDRCONFIG, AI_NUMERICSERV, AI_IDN,	      AI_CANONIDN};

static void put_text(const char *text)
{
	printf(text ? "\"%s\"" : "NULL", text);
}

static void put_address(const struct sockaddr *addr, socklen_t len)
{
	char text[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

	if (addr->sa_family == AF_INET && len == sizeof(*in))
		printf("%s:%d", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
		       ntohs(in->sin_port));
	else if (addr->sa_family == AF_INET6 && len == sizeof(*in6))
		printf("[%s%%%u]:%d", inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
		       in6->sin6_scope_id, ntohs(in6->sin6_port));
	else
		printf("family %d, %u bytes", addr->sa_family, len);
}

static void put_entry(const struct addrinfo *entry)
{
	printf(" (%x %d %d %d ", (unsigned)entry->ai_flags, entry->ai_family, entry->ai_socktype,
	       entry->ai_protocol);
	put_address(entry->ai_addr, entry->ai_addrlen);
	if (entry->ai_canonname)
		printf(" \"%s\"", entry->ai_canonname);
	printf(")");
}

static void put_result(int rc, struct addrinfo *list)
{
	int error = errno;

	printf(" => %d", rc);
	if (rc != 0) {
		if (rc == EAI_SYSTEM)
			printf(" errno %d", error);
		printf(list ? " list touched\n" : "\n");
		return;
	}
	if (error)
		printf(" errno %d", error);
	/* Each entry by itself: programs take lists apart and free what they kept. */
	while (list) {
		struct addrinfo *next = list->ai_next;

		put_entry(list);
		list->ai_next = NULL;
		freeaddrinfo(list);
		list = next;
	}
	printf("\n");
}

static void ask(const char *node, const char *service, const struct addrinfo *hints)
{
	struct addrinfo *list = NULL;
	int rc;

	put_text(node);
	putchar(' ');
	put_text(service);
	if (hints)
		printf(" %x %d %d %d", (unsigned)hints->ai_flags, hints->ai_family,
		       hints->ai_socktype, hints->ai_protocol);
	errno = 0;
	rc = getaddrinfo(node, service, hints, &list);
	put_result(rc, list);
}

static void ask_flags(const char *node, int flags)
{
	struct addrinfo hints = {.ai_flags = flags};

	for (size_t f = 0; f < COUNT(families); f++)
		for (size_t s = 0; s < COUNT(socktypes); s++)
			for (size_t p = 0; p < COUNT(protocols); p++)
				for (size_t v = 0; v < COUNT(services); v++) {
					hints.ai_family = families[f];
					hints.ai_socktype = socktypes[s];
					hints.ai_protocol = protocols[p];
					ask(node, services[v], &hints);
				}
}

static void table_forward(const char *node)
{
	for (size_t v = 0; v < COUNT(services); v++)
		ask(node, services[v], NULL);
	for (size_t i = 0; i < COUNT(flags_alone); i++)
		ask_flags(node, flags_alone[i]);
}

static void table_flags(const char *node)
{
	for (unsigned set = 0; set < 1u << COUNT(flags_all); set++) {
		struct addrinfo hints = {0};

		for (size_t i = 0; i < COUNT(flags_all); i++)
			if (set >> i & 1)
				hints.ai_flags |= flags_all[i];
		for (size_t f = 0; f < 3; f++) {
			hints.ai_family = families[f];
			ask(node, "80", &hints);
		}
	}
}

/* ---- gethostby* --------------------------------------------------------------------------- */

/* glibc puts them where the buffer begins, aligned or not. */
static const char *pointer_at(char **pointers, int i)
{
	const char *pointer;

	memcpy(&pointer, (const char *)pointers + (size_t)i * sizeof(pointer), sizeof(pointer));
	return pointer;
}

static void put_hostent(const struct hostent *host)
{
	char text[INET6_ADDRSTRLEN];

	if (!host) {
		printf(" none h_errno %d errno %d", h_errno, errno);
		return;
	}
	if (errno)
		printf(" errno %d", errno);
	printf(" \"%s\" %d %d", host->h_name, host->h_addrtype, host->h_length);
	for (int i = 0; pointer_at(host->h_addr_list, i); i++)
		printf(" %s", inet_ntop(host->h_addrtype, pointer_at(host->h_addr_list, i), text,
					sizeof(text)));
	for (int i = 0; pointer_at(host->h_aliases, i); i++)
		printf(" also \"%s\"", pointer_at(host->h_aliases, i));
}

/* A function ending in _r with buffers that grow, as programs call them: at each size either
 * ERANGE or what the sizes above say too. Where enough begins is each implementation's business. */
typedef int (*reentrant)(const void *question, socklen_t len, int family, struct hostent *space,
			 char *buf, size_t size, struct hostent **found, int *why);

static int by_name_r(const void *question, socklen_t len, int family, struct hostent *space,
		     char *buf, size_t size, struct hostent **found, int *why)
{
	(void)len;
	return family ? gethostbyname2_r(question, family, space, buf, size, found, why)
		      : gethostbyname_r(question, space, buf, size, found, why);
}

/* One size of buffer. The answer is printed for the first one that is enough, and for the largest.
 * Returns whether it was enough. */
static bool put_size(reentrant call, const void *question, socklen_t len, int family, size_t shift,
		     size_t size, bool was_enough)
{
	static char buf[LARGEST + 2 * sizeof(void *) + 64];
	struct hostent space, *found = &space;
	int why = 77;

	memset(buf + shift + size, 0x5a, 64);
	errno = 0;
	int rc = call(question, len, family, &space, buf + shift, size, &found, &why);

	for (size_t i = 0; i < 64; i++)
		if (buf[shift + size + i] != 0x5a)
			die("size %zu: written beyond the buffer", size);
	if (rc == ERANGE) {
		if (was_enough || found || why != NETDB_INTERNAL || errno != ERANGE)
			die("size %zu: ERANGE with result %p, h_errno %d", size, (void *)found, why);
		return false;
	}
	if (was_enough && size != LARGEST)
		return true;
	printf(" %d", rc);
	h_errno = why; /* means nothing on success; and theirs is no promise of these functions */
	put_hostent(found);
	return true;
}

/* One line for each alignment of the buffer. */
static void put_growing(const char *title, reentrant call, const void *question, socklen_t len,
			int family)
{
	static const size_t shifts[] = {0, 1, sizeof(void *) - 1};

	for (size_t i = 0; i < COUNT(shifts); i++) {
		bool enough = false;

		printf("%s, aligned to %zu =>", title, shifts[i]);
		for (size_t size = 0; size <= LARGEST; size += size < ALL_BELOW ? 1 : 80)
			enough = put_size(call, question, len, family, shifts[i], size, enough);
		printf("\n");
	}
}

static void table_hostent(const char *name)
{
	static const int some[] = {AF_INET, AF_INET6, AF_UNIX, 77};
	char title[1000];

	printf("gethostbyname \"%s\" =>", name);
	errno = h_errno = 0;
	put_hostent(gethostbyname(name));
	printf("\n");
	snprintf(title, sizeof(title), "gethostbyname_r \"%s\"", name);
	put_growing(title, by_name_r, name, 0, 0);
	for (size_t f = 0; f < COUNT(some); f++) {
		printf("gethostbyname2 \"%s\" %d =>", name, some[f]);
		errno = h_errno = 0;
		put_hostent(gethostbyname2(name, some[f]));
		printf("\n");
		snprintf(title, sizeof(title), "gethostbyname2_r \"%s\" %d", name, some[f]);
		put_growing(title, by_name_r, name, 0, some[f]);
	}
}

/* ---- the way back ------------------------------------------------------------------------- */

static const int ni_flags[] = {NI_NUMERICHOST, NI_NUMERICSERV, NI_NOFQDN,	     NI_NAMEREQD,
			       NI_DGRAM,       NI_IDN,	       0x40000000 /* nobody's */};
static const socklen_t host_sizes[] = {0, 1, 9, 10, 11, 14, 15, 18, 40, NI_MAXHOST};
static const socklen_t service_sizes[] = {0, 1, 2, 3, 5, NI_MAXSERV};

static void name_it(const struct sockaddr *addr, socklen_t len, socklen_t hostlen,
		    socklen_t servlen, int flags)
{
	char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";

	put_address(addr, len);
	printf(" %u %u %x", hostlen, servlen, (unsigned)flags);
	errno = 0;
	int rc = getnameinfo(addr, len, hostlen ? host : NULL, hostlen, servlen ? service : NULL,
			     servlen, flags);

	printf(" => %d", rc);
	if (rc == 0)
		printf(" \"%s\" \"%s\"", host, service);
	if (rc == 0 && errno)
		printf(" errno %d", errno);
	if (rc == EAI_SYSTEM)
		printf(" errno %d", errno);
	printf("\n");
}

static void name_all_ways(const struct sockaddr *addr, socklen_t len)
{
	for (unsigned set = 0; set < 1u << COUNT(ni_flags); set++) {
		int flags = 0;

		for (size_t i = 0; i < COUNT(ni_flags); i++)
			if (set >> i & 1)
				flags |= ni_flags[i];
		for (size_t h = 0; h < COUNT(host_sizes); h++)
			for (size_t s = 0; s < COUNT(service_sizes); s++)
				name_it(addr, len, host_sizes[h], service_sizes[s], flags);
	}
}

static void by_address(const void *addr, socklen_t len, int family, const char *text)
{
	char title[200];

	printf("gethostbyaddr %s %u %d =>", text, len, family);
	errno = h_errno = 0;
	put_hostent(gethostbyaddr(addr, len, family));
	printf("\n");
	snprintf(title, sizeof(title), "gethostbyaddr_r %s %u %d", text, len, family);
	put_growing(title, gethostbyaddr_r, addr, len, family);
}

static void table_reverse(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(69)};
	bool is4 = inet_pton(AF_INET, text, &in.sin_addr) == 1;
	struct sockaddr *addr = is4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6;
	const void *bytes = is4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr;
	socklen_t len = is4 ? sizeof(in) : sizeof(in6);

	if (!is4 && inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
		die("%s is no address", text);
	name_all_ways(addr, len);
	name_it(addr, len - 1, 40, 40, 0); /* for IPv6 it is enough without the scope */
	name_it(addr, len + 1, 40, 40, 0);
	name_it(addr, 24, 40, 40, 0);
	name_it(addr, sizeof(sa_family_t), 40, 40, 0);
	name_it(addr, 1, 40, 40, 0);
	by_address(bytes, is4 ? 4 : 16, is4 ? AF_INET : AF_INET6, text);
	by_address(bytes, is4 ? 4 : 16, is4 ? AF_INET6 : AF_INET, text);
	by_address(bytes, 3, AF_INET, text);
	by_address(bytes, is4 ? 4 : 16, AF_UNIX, text);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*table)(const char *argument);
	} tables[] = {
	    {"forward", table_forward},
	    {"flags", table_flags},
	    {"hostent", table_hostent},
	    {"reverse", table_reverse},
	};

	for (size_t i = 0; argc > 2 && i < COUNT(tables); i++) {
		if (strcmp(argv[1], tables[i].name) != 0)
			continue;
		for (int j = 2; j < argc; j++)
			tables[i].table(strcmp(argv[j], "NULL") == 0 ? NULL : argv[j]);
		return 0;
	}
	die("usage: guest_names_table TABLE ARGUMENT...");
}
