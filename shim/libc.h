/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real functions behind the hooks: the only way in which the shim calls what it hooks.
 *
 * Threads: any. The table starts with raw system calls (a preloaded allocator may close a file
 * before our constructor ran, and dlsym(3) may allocate), and is filled once by libc_bind().
 * Those that have no system call (the resolver's, most of exec(3), dlopen) are NULL until then: their
 * hooks call libc_bind() first.
 */
#ifndef SHIM_LIBC_H
#define SHIM_LIBC_H

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What recvfrom(3) is compiled to with _FORTIFY_SOURCE; no header declares it without. */
ssize_t __recvfrom_chk(int fd, void *data, size_t len, size_t size, int flags,
		       struct sockaddr *from, socklen_t *fromlen);

/* Likewise of read(2) and recv(2). */
ssize_t __read_chk(int fd, void *data, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags);

/* Of fcntl(2) with large files, which are all files here; declared for those that are made for them. */
int fcntl64(int fd, int command, ...);

/* Other names of sigaction(2) and signal(3), not all of which every standard has. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
__sighandler_t bsd_signal(int number, __sighandler_t handler);
__sighandler_t sigset(int number, __sighandler_t handler);

/* And of poll(2) and ppoll(2). */
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size);

struct libc {
#define HOOK(type, name, parameters, arguments) type(*name) parameters;
#include "shim/hooks.def"
#undef HOOK
};

extern struct libc real;

/*
 * Find the next definition of every hooked function after this library (dlsym(3) with RTLD_NEXT,
 * so that further preloaded libraries stay in the chain). Idempotent; called by the constructor and
 * by the hooks that need it earlier. errno is preserved.
 */
void libc_bind(void);

#endif
