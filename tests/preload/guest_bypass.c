/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes by a preloaded library: guest_bypass raw HOST PORT, or guest_bypass MODULE HOST PORT
 * with a module to be loaded with RTLD_DEEPBIND, that has `int dial(const char *, const char *)`.
 * Prints what came of it.
 */
#include <dlfcn.h>
#include <sys/syscall.h>

#include "tests/preload/guest.h"

/* connect(2) by the bare instruction, past libc. */
static long bare_connect(int fd, const void *to, unsigned long len)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_connect), "D"((long)fd), "S"(to), "d"(len)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long number __asm__("x8") = SYS_connect;
	register long a __asm__("x0") = fd;
	register const void *b __asm__("x1") = to;
	register unsigned long c __asm__("x2") = len;

	__asm__ volatile("svc 0" : "+r"(a) : "r"(number), "r"(b), "r"(c) : "memory");
	return a;
#else
	(void)fd, (void)to, (void)len;
	printf("skip: no bare system calls for this machine\n");
	exit(0);
#endif
}

static void raw(const char *host, const char *port)
{
	struct addrinfo *to = resolve(host, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long result = bare_connect(fd, to->ai_addr, to->ai_addrlen);

	printf("%s\n", result == 0 ? "connected" : strerrorname_np((int)-result));
}

static void deepbound(const char *path, const char *host, const char *port)
{
	void *module = dlopen(path, RTLD_LAZY | RTLD_DEEPBIND);
	int (*dial_there)(const char *, const char *) = NULL;

	if (module)
		*(void **)&dial_there = dlsym(module, "dial");
	if (!dial_there)
		die("%s", dlerror());
	printf("%d\n", dial_there(host, port));
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: guest_bypass raw|MODULE HOST PORT");
	if (strcmp(argv[1], "raw") == 0)
		raw(argv[2], argv[3]);
	else
		deepbound(argv[1], argv[2], argv[3]);
	return 0;
}
