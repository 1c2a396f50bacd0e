/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2): the calls that have hooks go to them, everything else to the kernel. Some programs
 * make thousands of these a second (Java), and allocators make them before anything is set up, so
 * nothing else happens here.
 *
 * How many arguments a call has is not known: six are read, as libc's own version does. Those that
 * were not passed are whatever lies in their place, and the kernel does not look at them.
 */
#include <stdarg.h>
#include <sys/syscall.h>

#include "shim/hook.h"
#include "shim/signals.h"

__attribute__((no_sanitize("address", "undefined", "thread"))) long hook_syscall(long number, ...)
{
	va_list list;

	va_start(list, number);
	long a = va_arg(list, long);
	long b = va_arg(list, long);
	long c = va_arg(list, long);
	long d = va_arg(list, long);
	long e = va_arg(list, long);
	long f = va_arg(list, long);
	va_end(list);

	switch (number) {
	case SYS_connect:
		return hook_connect((int)a, (const struct sockaddr *)b, (socklen_t)c);
	case SYS_getpeername:
		return hook_getpeername((int)a, (struct sockaddr *)b, (socklen_t *)c);
	case SYS_close:
		return hook_close((int)a);
#ifdef SYS_close_range
	case SYS_close_range:
		return hook_close_range((unsigned)a, (unsigned)b, (int)c);
#endif
#ifdef SYS_dup2
	case SYS_dup2:
		return hook_dup2((int)a, (int)b);
#endif
	case SYS_dup:
		return hook_dup((int)a);
	case SYS_fcntl:
		return hook_fcntl((int)a, (int)b, c);
	case SYS_ioctl:
		return hook_ioctl((int)a, (unsigned long)b, c);
	case SYS_dup3:
		return hook_dup3((int)a, (int)b, (int)c);
	case SYS_sendto:
		return hook_sendto((int)a, (const void *)b, (size_t)c, (int)d,
				   (const struct sockaddr *)e, (socklen_t)f);
	case SYS_sendmsg:
		return hook_sendmsg((int)a, (const struct msghdr *)b, (int)c);
	case SYS_sendmmsg:
		return hook_sendmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d);
	case SYS_recvfrom:
		return hook_recvfrom((int)a, (void *)b, (size_t)c, (int)d, (struct sockaddr *)e,
				     (socklen_t *)f);
	case SYS_recvmsg:
		return hook_recvmsg((int)a, (struct msghdr *)b, (int)c);
	case SYS_recvmmsg:
		return hook_recvmmsg((int)a, (struct mmsghdr *)b, (unsigned)c, (int)d,
				     (struct timespec *)e);
	case SYS_rt_sigaction: /* of whatever is there, the kernel is the judge */
		if (b)
			signals_expect_handler((int)a);
		return real.syscall(number, a, b, c, d, e, f);
	case SYS_execve:
		return hook_execve((const char *)a, (char *const *)b, (char *const *)c);
	case SYS_execveat:
		return hook_execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d,
				     (int)e);
	default:
		return real.syscall(number, a, b, c, d, e, f);
	}
}
EXPORT(syscall)
