/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broken shim, for the judge to find: it reports a refused connection as EPERM, and it crashes in
 * shutdown(). It is preloaded before the library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
	int result = next(fd, to, len);

	if (result == -1 && errno == ECONNREFUSED)
		errno = EPERM;
	return result;
}

int shutdown(int fd, int how)
{
	(void)fd;
	(void)how;
	return raise(SIGSEGV);
}
