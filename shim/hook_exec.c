/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec(3) in all its forms, and posix_spawn(3): hooked for MESHSHIM_FOLLOW=1 (follow.h), and because the
 * descriptors that are not close-on-exec have copies from then on: this may be a vfork child.
 *
 * They run in vfork children, after fork(2) in programs with threads, and in signal handlers: what
 * they need is on the stack. execl(3) and its kin copy their arguments there, as libc's own do.
 * Inside of libc nobody comes by here: system(3), popen(3) and wordexp(3) start their shells with
 * the environment as it is.
 */
#include <alloca.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "shim/follow.h"
#include "shim/hook.h"
#include "shim/sockets.h"

/* The environment to pass on, in the frame of the function that uses this; descriptors are passed on with it. */
#define FOLLOWED(env)                                                                              \
	({                                                                                         \
		char *const *given = (env);                                                        \
		sockets_share_all();                                                               \
		size_t size = follow_wanted() ? follow_size(given) : 0;                            \
		(char *const *)(size ? follow_fill(given, alloca(size), size) : given);            \
	})

int hook_execve(const char *path, char *const argv[], char *const env[])
{
	return real.execve(path, argv, FOLLOWED(env));
}
EXPORT(execve)

int hook_execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	return real.execveat(dir, path, argv, FOLLOWED(env), flags);
}
EXPORT(execveat)

int hook_fexecve(int fd, char *const argv[], char *const env[])
{
	BOUND(fexecve);
	return real.fexecve(fd, argv, FOLLOWED(env));
}
EXPORT(fexecve)

int hook_execvpe(const char *file, char *const argv[], char *const env[])
{
	BOUND(execvpe);
	return real.execvpe(file, argv, FOLLOWED(env));
}
EXPORT(execvpe)

int hook_execv(const char *path, char *const argv[])
{
	if (follow_wanted())
		return hook_execve(path, argv, environ);
	BOUND(execv);
	sockets_share_all();
	return real.execv(path, argv);
}
EXPORT(execv)

int hook_execvp(const char *file, char *const argv[])
{
	if (follow_wanted())
		return hook_execvpe(file, argv, environ);
	BOUND(execvp);
	sockets_share_all();
	return real.execvp(file, argv);
}
EXPORT(execvp)

/* ---- arguments one by one ---------------------------------------------------------------- */

/* How many strings there are up to the NULL; -1 with errno: more than exec(2) takes. */
static int count_arguments(const char *first, va_list list)
{
	int count = 0;

	for (const char *arg = first; arg; arg = va_arg(list, const char *))
		if (++count == INT_MAX) {
			errno = E2BIG;
			return -1;
		}
	return count;
}

/* `argv` of count + 1. Leaves `list` behind the NULL. */
static void collect_arguments(char **argv, const char *first, va_list list)
{
	*argv = (char *)first;
	while (*argv)
		*++argv = va_arg(list, char *);
}

/* `argv` in the caller's frame out of the arguments behind `first`, `list` at its end; or return. */
#define COLLECT(argv, list, first)                                                                 \
	va_start(list, first);                                                                     \
	int count = count_arguments(first, list);                                                  \
	va_end(list);                                                                              \
	if (count < 0)                                                                             \
		return -1;                                                                         \
	char **argv = alloca(((size_t)count + 1) * sizeof(char *));                                \
	va_start(list, first);                                                                     \
	collect_arguments(argv, first, list)

int hook_execl(const char *path, const char *arg, ...)
{
	va_list list;

	COLLECT(argv, list, arg);
	va_end(list);
	return hook_execv(path, argv);
}
EXPORT(execl)

int hook_execlp(const char *file, const char *arg, ...)
{
	va_list list;

	COLLECT(argv, list, arg);
	va_end(list);
	return hook_execvp(file, argv);
}
EXPORT(execlp)

int hook_execle(const char *path, const char *arg, ...)
{
	va_list list;

	COLLECT(argv, list, arg);
	char *const *env = va_arg(list, char *const *);
	va_end(list);
	return hook_execve(path, argv, env);
}
EXPORT(execle)

/* ---- posix_spawn(3) ---------------------------------------------------------------------- */

/* glibc before 2.15 had another version, for programs linked then: it ran files without a #! line
 * through the shell. Under the library they get the one of today, which does not. */
int hook_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	BOUND(posix_spawn);
	return real.posix_spawn(pid, path, actions, attr, argv, FOLLOWED(env));
}
EXPORT(posix_spawn)

int hook_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	BOUND(posix_spawnp);
	return real.posix_spawnp(pid, file, actions, attr, argv, FOLLOWED(env));
}
EXPORT(posix_spawnp)

/* ---- shells ------------------------------------------------------------------------------ */

FILE *hook_popen(const char *command, const char *type)
{
	BOUND(popen);
	sockets_share_all();
	return real.popen(command, type);
}
EXPORT(popen)

int hook_system(const char *command)
{
	BOUND(system);
	sockets_share_all();
	return real.system(command);
}
EXPORT(system)
