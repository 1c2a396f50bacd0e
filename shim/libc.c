/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Until libc_bind() ran, the table holds the functions below: the system call itself, by the
 * machine's own instruction. They are needed when an allocator that was preloaded along with us
 * opens and closes files before any constructor of ours, and when dlsym(3) itself allocates. They
 * are no cancellation points; nothing that runs so early is cancelled.
 */
#include "shim/libc.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sanitizers may not be ready this early either. */
#define EARLY __attribute__((no_sanitize("address", "undefined", "thread")))

EARLY static long raw(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long result __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(result)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
#else
#error "no system call instruction is known for this machine"
#endif
	if (result < 0 && result >= -4095) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

EARLY static int raw_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return (int)raw(SYS_connect, fd, (long)to, len, 0, 0, 0);
}

EARLY static int raw_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	return (int)raw(SYS_getpeername, fd, (long)addr, (long)len, 0, 0, 0);
}

EARLY static int raw_close(int fd)
{
	return (int)raw(SYS_close, fd, 0, 0, 0, 0, 0);
}

EARLY static int raw_close_range(unsigned first, unsigned last, int flags)
{
	return (int)raw(SYS_close_range, first, last, flags, 0, 0, 0);
}

EARLY static void raw_closefrom(int first)
{
	raw_close_range(first < 0 ? 0 : (unsigned)first, UINT_MAX, 0);
}

EARLY static int raw_dup3(int from, int to, int flags)
{
	return (int)raw(SYS_dup3, from, to, flags, 0, 0, 0);
}

EARLY static int raw_dup2(int from, int to)
{
#ifdef SYS_dup2
	return (int)raw(SYS_dup2, from, to, 0, 0, 0, 0);
#else
	if (from == to)
		return raw(SYS_fcntl, from, 1 /* F_GETFD */, 0, 0, 0, 0) < 0 ? -1 : to;
	return raw_dup3(from, to, 0);
#endif
}

EARLY static int raw_dup(int fd)
{
	return (int)raw(SYS_dup, fd, 0, 0, 0, 0, 0);
}

EARLY static int raw_fcntl(int fd, int command, ...)
{
	va_list list;

	va_start(list, command);
	long argument = va_arg(list, long);
	va_end(list);
	return (int)raw(SYS_fcntl, fd, command, argument, 0, 0, 0);
}

EARLY static int raw_ioctl(int fd, unsigned long request, ...)
{
	va_list list;

	va_start(list, request);
	long argument = va_arg(list, long);
	va_end(list);
	return (int)raw(SYS_ioctl, fd, (long)request, argument, 0, 0, 0);
}

EARLY static ssize_t raw_sendto(int fd, const void *data, size_t len, int flags,
				const struct sockaddr *to, socklen_t tolen)
{
	return raw(SYS_sendto, fd, (long)data, (long)len, flags, (long)to, tolen);
}

EARLY static ssize_t raw_send(int fd, const void *data, size_t len, int flags)
{
	return raw_sendto(fd, data, len, flags, NULL, 0);
}

EARLY static ssize_t raw_recv(int fd, void *data, size_t len, int flags)
{
	return raw(SYS_recvfrom, fd, (long)data, (long)len, flags, 0, 0);
}

EARLY static ssize_t raw_recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *from,
				  socklen_t *fromlen)
{
	return raw(SYS_recvfrom, fd, (long)data, (long)len, flags, (long)from, (long)fromlen);
}

/* What is larger than its buffer is for libc to judge, which is not bound yet. */
EARLY static ssize_t raw_recvfrom_chk(int fd, void *data, size_t len, size_t size, int flags,
				      struct sockaddr *from, socklen_t *fromlen)
{
	return raw_recvfrom(fd, data, len < size ? len : size, flags, from, fromlen);
}

EARLY static ssize_t raw_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return raw(SYS_recvmsg, fd, (long)msg, flags, 0, 0, 0);
}

EARLY static int raw_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
			      struct timespec *timeout)
{
	return (int)raw(SYS_recvmmsg, fd, (long)msgs, n, flags, (long)timeout, 0);
}

EARLY static ssize_t raw_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return raw(SYS_sendmsg, fd, (long)msg, flags, 0, 0, 0);
}

EARLY static int raw_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	return (int)raw(SYS_sendmmsg, fd, (long)msgs, n, flags, 0, 0);
}

EARLY static int raw_shutdown(int fd, int how)
{
	return (int)raw(SYS_shutdown, fd, how, 0, 0, 0, 0);
}

EARLY static ssize_t raw_read(int fd, void *data, size_t len)
{
	return raw(SYS_read, fd, (long)data, (long)len, 0, 0, 0);
}

EARLY static ssize_t raw_readv(int fd, const struct iovec *parts, int n)
{
	return raw(SYS_readv, fd, (long)parts, n, 0, 0, 0);
}

EARLY static ssize_t raw_writev(int fd, const struct iovec *parts, int n)
{
	return raw(SYS_writev, fd, (long)parts, n, 0, 0, 0);
}

EARLY static ssize_t raw_write(int fd, const void *data, size_t len)
{
	return raw(SYS_write, fd, (long)data, (long)len, 0, 0, 0);
}

EARLY static ssize_t raw_read_chk(int fd, void *data, size_t len, size_t size)
{
	return raw_read(fd, data, len < size ? len : size);
}

EARLY static ssize_t raw_recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
	return raw_recv(fd, data, len < size ? len : size, flags);
}

EARLY static int raw_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			   const sigset_t *mask)
{
	struct timespec copy;

	/* The kernel writes what is left of it. */
	if (timeout)
		copy = *timeout;
	return (int)raw(SYS_ppoll, (long)fds, (long)n, (long)(timeout ? &copy : NULL), (long)mask,
			_NSIG / 8, 0);
}

EARLY static int raw_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000,
			      .tv_nsec = (long)(timeout % 1000) * 1000000};

	return raw_ppoll(fds, n, timeout < 0 ? NULL : &ts, NULL);
}

EARLY static int raw_poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	return raw_poll(fds, n <= size / sizeof(*fds) ? n : size / sizeof(*fds), timeout);
}

EARLY static int raw_ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
			       const sigset_t *mask, size_t size)
{
	return raw_ppoll(fds, n <= size / sizeof(*fds) ? n : size / sizeof(*fds), timeout, mask);
}

EARLY static int raw_pselect(int n, fd_set *in, fd_set *out, fd_set *except,
			     const struct timespec *timeout, const sigset_t *mask)
{
	const struct {
		const sigset_t *mask;
		size_t size;
	} masked = {mask, _NSIG / 8};
	struct timespec copy;

	if (timeout)
		copy = *timeout;
	return (int)raw(SYS_pselect6, n, (long)in, (long)out, (long)except,
			(long)(timeout ? &copy : NULL), (long)&masked);
}

EARLY static int raw_select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	struct timespec ts = {0};

	if (timeout)
		ts = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
	return raw_pselect(n, in, out, except, timeout ? &ts : NULL, NULL);
}

EARLY static int raw_epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
	return (int)raw(SYS_epoll_ctl, set, op, fd, (long)event, 0, 0);
}

EARLY static int raw_execve(const char *path, char *const argv[], char *const env[])
{
	return (int)raw(SYS_execve, (long)path, (long)argv, (long)env, 0, 0, 0);
}

EARLY static int raw_execveat(int dir, const char *path, char *const argv[], char *const env[],
			      int flags)
{
	return (int)raw(SYS_execveat, dir, (long)path, (long)argv, (long)env, flags, 0);
}

EARLY static long raw_syscall(long number, ...)
{
	long argument[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	return raw(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		   argument[5]);
}

struct libc real = {
    .connect = raw_connect,
    .getpeername = raw_getpeername,
    .close = raw_close,
    .close_range = raw_close_range,
    .closefrom = raw_closefrom,
    .dup2 = raw_dup2,
    .dup3 = raw_dup3,
    .dup = raw_dup,
    .fcntl = raw_fcntl,
    .fcntl64 = raw_fcntl,
    .ioctl = raw_ioctl,
    .send = raw_send,
    .recv = raw_recv,
    .sendto = raw_sendto,
    .sendmsg = raw_sendmsg,
    .sendmmsg = raw_sendmmsg,
    .recvfrom = raw_recvfrom,
    .__recvfrom_chk = raw_recvfrom_chk,
    .recvmsg = raw_recvmsg,
    .recvmmsg = raw_recvmmsg,
    .shutdown = raw_shutdown,
    .read = raw_read,
    .readv = raw_readv,
    .writev = raw_writev,
    .write = raw_write,
    .__read_chk = raw_read_chk,
    .__recv_chk = raw_recv_chk,
    .poll = raw_poll,
    .__poll_chk = raw_poll_chk,
    .ppoll = raw_ppoll,
    .__ppoll_chk = raw_ppoll_chk,
    .select = raw_select,
    .pselect = raw_pselect,
    .epoll_ctl = raw_epoll_ctl,
    .execve = raw_execve,
    .execveat = raw_execveat,
    .syscall = raw_syscall,
};

/* A function that this libc lacks (closefrom(3) and execveat(2) came with glibc 2.34) keeps the raw
 * version.
 * Threads that get here together store the same values. */
void libc_bind(void)
{
	int saved = errno;
	void *found;

#define HOOK(type, name, parameters, arguments)                                                    \
	found = dlsym(RTLD_NEXT, #name);                                                           \
	if (found)                                                                                 \
		__atomic_store_n(&real.name, (__typeof__(real.name))found, __ATOMIC_RELEASE);
#include "shim/hooks.def"
#undef HOOK
	errno = saved;
}
