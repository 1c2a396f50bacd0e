/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dup(2), fcntl(2), ioctl(2): who has another descriptor of a socket has an end that does not close with the
 * first; whether a socket blocks is known from here; and FIONREAD asks for what has come, of which the program may
 * have been told.
 *
 * They run in vfork children and in signal handlers, before any constructor, and pass on an argument that may not
 * be there, as libc does.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "shim/fast.h"
#include "shim/hook.h"

#define UNCHECKED __attribute__((no_sanitize("address", "undefined", "thread")))

int hook_dup(int fd)
{
	sockets_share(fd);
	return real.dup(fd);
}
EXPORT(dup)

static void before_fcntl(int fd, int command)
{
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		sockets_share(fd);
}

static void after_fcntl(int fd, int command)
{
	if (command == F_SETFL)
		sockets_flags_changed(fd);
}

UNCHECKED int hook_fcntl(int fd, int command, ...)
{
	va_list list;

	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	before_fcntl(fd, command);
	int result = real.fcntl(fd, command, argument);
	after_fcntl(fd, command);
	return result;
}
EXPORT(fcntl)

/* What programs call that are made for large files. */
UNCHECKED int hook_fcntl64(int fd, int command, ...)
{
	va_list list;

	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	before_fcntl(fd, command);
	int result = real.fcntl64(fd, command, argument);
	after_fcntl(fd, command);
	return result;
}
EXPORT(fcntl64)

UNCHECKED int hook_ioctl(int fd, unsigned long request, ...)
{
	va_list list;

	va_start(list, request);
	void *argument = va_arg(list, void *);
	va_end(list);
	if (request == FIONREAD)
		fast_give_up(fd);
	int result = real.ioctl(fd, request, argument);
	if (request == FIONBIO)
		sockets_flags_changed(fd);
	return result;
}
EXPORT(ioctl)
