/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a hook is written: a function hook_<name>() that the library knows, and <name> as its alias
 * that the program finds. Inside the library only hook_<name>() may be used (hook_syscall.c), for
 * a call by the libc name would go to whatever the program's linker finds first.
 *
 *     int hook_connect(int fd, const struct sockaddr *to, socklen_t len)
 *     {
 *             ...
 *     }
 *     EXPORT(connect)
 *
 * A hook decides whether the call is its business, acts, and otherwise hands the very same
 * arguments to `real`. errno is set on failure and preserved on success; struct guard does that
 * for the hooks that do more than pass on.
 */
#ifndef SHIM_HOOK_H
#define SHIM_HOOK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/libc.h"
#include "shim/mesh.h"
#include "shim/thread.h"

#define HOOK(type, name, parameters, arguments) type hook_##name parameters;
#include "shim/hooks.def"
#undef HOOK

#define EXPORT(name)                                                                               \
	extern __typeof__(name) name                                                               \
	    __attribute__((alias("hook_" #name), visibility("default")));

/* First in hooks whose calls have no system call of their own: a program may call them before our constructor ran. */
#define BOUND(name)                                                                                \
	do {                                                                                       \
		if (!real.name)                                                                    \
			libc_bind();                                                               \
	} while (0)

/* Whether there are rules to follow for this thread. On the shim's own threads there are none. */
static inline bool hook_awake(void)
{
	return mesh_active() && !thread_is_ours;
}

/*
 * Whether this may point into the program's memory. What certainly does not is left to the kernel,
 * whose answer to it is EFAULT; a hook that looked at it would crash the program.
 */
static inline bool hook_may_read(const void *pointer)
{
	return (intptr_t)pointer >= 4096;
}

/*
 * Around the part of a hook that takes locks or reads files: errno is kept, and pthread_cancel(3)
 * has to wait, since a thread that ended in there would leave a lock behind.
 */
struct guard {
	int errno_before;
	int cancel_state;
};

static inline struct guard guard_enter(void)
{
	struct guard guard = {.errno_before = errno};

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard.cancel_state);
	return guard;
}

/* Leave with errno as it was at the start, or with `error` if that is not 0. */
static inline void guard_leave(const struct guard *guard, int error)
{
	pthread_setcancelstate(guard->cancel_state, NULL);
	errno = error ? error : guard->errno_before;
}

#endif
