/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names when there is not enough of something: guest_names_scarce memory|descriptors|codes HOST
 * WILDCARD. In "memory", each allocation in turn fails, and in another round all from there on; in
 * "descriptors", no further one can be opened. Memory ends after HOST was found; descriptors end
 * before that, too.
 *
 * What comes out has to be a code that programs know: these are the ones of libuv, which aborts on
 * any other. After HOST was found, no address but the one it has may come out; WILDCARD with a number
 * before it makes names that are new. guest-ldflags: -rdynamic
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static long left = -1;	   /* allocations until one fails; -1: none does */
static bool from_there_on; /* or this one only */
static bool failed;

__attribute__((unused)) static bool may_allocate(void)
{
	if (left < 0)
		return true;
	if (left > 0) {
		left--;
		return true;
	}
	failed = true;
	if (!from_there_on)
		left = -1;
	errno = ENOMEM;
	return false;
}

/* glibc's own, under the names that it keeps for this. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

#ifndef __SANITIZE_ADDRESS__ /* which has an allocator of its own; "memory" is not run then */
#pragma GCC visibility push(default)
void *malloc(size_t size)
{
	return may_allocate() ? __libc_malloc(size) : NULL;
}

void *calloc(size_t count, size_t size)
{
	return may_allocate() ? __libc_calloc(count, size) : NULL;
}

void *realloc(void *memory, size_t size)
{
	return may_allocate() ? __libc_realloc(memory, size) : NULL;
}
#pragma GCC visibility pop
#endif

/* ---- questions ---------------------------------------------------------------------------- */

static const char *host, *wildcard;
static struct in_addr known; /* the address of `host`, once it was found */

static void check_code(const char *what, int code)
{
	static const int codes[] = {0,		 EAI_AGAIN,    EAI_BADFLAGS, EAI_FAIL,
				    EAI_FAMILY,  EAI_MEMORY,   EAI_NONAME,   EAI_OVERFLOW,
				    EAI_SERVICE, EAI_SOCKTYPE, EAI_SYSTEM,   EAI_ADDRFAMILY,
				    EAI_NODATA};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i] == code)
			return;
	die("%s: %d is no code that a program knows", what, code);
}

static void check_address(const char *what, const void *address)
{
	if (known.s_addr && memcmp(address, &known, sizeof(known)) != 0)
		die("%s: another address", what);
}

static void check_list(const char *what, int rc, struct addrinfo *list)
{
	check_code(what, rc);
	if (rc != 0)
		return;
	check_address(what, &((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr);
	freeaddrinfo(list);
}

static void ask(const char *name, const char *service)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_family = AF_INET};
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(name, service, &hints, &list);

	check_list("getaddrinfo", rc, list);
}

static void ask_hostent(void)
{
	char buf[1024];
	struct hostent space, *found;
	int why = 0;

	found = gethostbyname(host);
	if (found)
		check_address("gethostbyname", found->h_addr_list[0]);
	else if (h_errno < NETDB_INTERNAL || h_errno > NO_DATA)
		die("gethostbyname: h_errno %d", h_errno);
	gethostbyname_r(host, &space, buf, sizeof(buf), &found, &why);
	if (found)
		check_address("gethostbyname_r", found->h_addr_list[0]);
	else if (why < NETDB_INTERNAL || why > NO_DATA)
		die("gethostbyname_r: h_errno %d", why);
}

static void ask_reverse(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = known};
	char name[NI_MAXHOST], service[NI_MAXSERV];

	if (!known.s_addr)
		inet_pton(AF_INET, "240.240.1.1", &addr.sin_addr);
	check_code("getnameinfo", getnameinfo((struct sockaddr *)&addr, sizeof(addr), name,
					      sizeof(name), service, sizeof(service), 0));
	gethostbyaddr(&addr.sin_addr, sizeof(addr.sin_addr), AF_INET);
}

/* A thread of libc's takes part: only what is for us to answer. */
static void ask_a(void)
{
	struct addrinfo hints = {.ai_family = AF_INET};
	struct gaicb request = {.ar_name = host, .ar_service = "80", .ar_request = &hints};
	struct gaicb *list[40] = {&request};
	int rc = getaddrinfo_a(GAI_WAIT, list, 40, NULL);

	check_code("getaddrinfo_a", rc);
	if (rc == 0)
		check_list("getaddrinfo_a's answer", gai_error(&request), request.ar_result);
}

static void ask_everything(int number)
{
	char name[300];
	struct addrinfo *list = NULL;
	int rc;

	snprintf(name, sizeof(name), "n%d.%s", number, wildcard);
	ask(host, "80");
	ask(host, "http");
	rc = getaddrinfo(name, "80", NULL, &list);
	check_code("a name under a wildcard", rc);
	if (rc == 0)
		freeaddrinfo(list);
	ask_hostent();
	ask_reverse();
	ask_a();
	rc = getaddrinfo("no-such-name", "80", NULL, &list);
	check_code("nobody", rc);
}

static void find_host(void)
{
	struct addrinfo *list = resolve(host, "80");

	known = ((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr;
	freeaddrinfo(list);
}

/* ---- scarcity ----------------------------------------------------------------------------- */

/* In a child: returns whether anything was missing. */
static bool with_memory_for(long n, bool all)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child == 0) {
		from_there_on = all;
		left = n;
		ask_everything(1 + (int)n);
		left = -1;
		_exit(failed ? 77 : 0);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 77))
		die("with memory for %ld, %s: status %#x", n, all ? "all fail" : "one fails",
		    (unsigned)status);
	return WEXITSTATUS(status) == 77;
}

static void without_memory(void)
{
	/* The rules are read, and nsswitch.conf: neither libconfig 1.5 nor that part of glibc looks
	 * at what malloc(3) returns. */
	find_host();
	ask_everything(0);
	for (int all = 0; all < 2; all++) {
		long n = 0;

		while (with_memory_for(n, all))
			n++;
		printf("%s: %s\n", all ? "all fail" : "one fails",
		       n > 5 ? "many allocations" : "hardly any allocation");
	}
}

static void without_descriptors(void)
{
	struct rlimit none = {0};

	/* Files that are open stay open. */
	if (getrlimit(RLIMIT_NOFILE, &none) < 0)
		die("getrlimit");
	none.rlim_cur = 0;
	if (setrlimit(RLIMIT_NOFILE, &none) < 0)
		die("setrlimit");
	ask_everything(1);
	none.rlim_cur = none.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &none) < 0)
		die("setrlimit");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: guest_names_scarce memory|descriptors|codes HOST WILDCARD");
	host = argv[2];
	wildcard = argv[3];
	if (strcmp(argv[1], "memory") == 0) {
		without_memory();
	} else if (strcmp(argv[1], "descriptors") == 0) {
		without_descriptors();
		find_host();
		without_descriptors();
		ask(host, "80");
	} else {
		ask_everything(1);
	}
	return 0;
}
