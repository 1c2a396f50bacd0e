/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigaction(2), signal(3) and its kin: only noted, that signals need not be blocked for a program that has no
 * handlers (signals.h). They run in vfork children, in signal handlers, and before any constructor.
 */
#include "shim/signals.h"
#include "shim/hook.h"

static bool is_handler(__sighandler_t handler)
{
	return handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR && handler != SIG_HOLD;
}

static void note_action(int number, const struct sigaction *action)
{
	if (hook_may_read(action) && is_handler(action->sa_handler))
		signals_expect_handler(number);
}

int hook_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	BOUND(sigaction);
	note_action(number, action);
	return real.sigaction(number, action, old);
}
EXPORT(sigaction)

int hook___sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	BOUND(__sigaction);
	note_action(number, action);
	return real.__sigaction(number, action, old);
}
EXPORT(__sigaction)

/* signal(3) under all its names: the old meanings, and the new. */
#define SIGNAL(name)                                                                               \
	__sighandler_t hook_##name(int number, __sighandler_t handler)                             \
	{                                                                                          \
		BOUND(name);                                                                       \
		if (is_handler(handler))                                                           \
			signals_expect_handler(number);                                            \
		return real.name(number, handler);                                                 \
	}                                                                                          \
	EXPORT(name)

SIGNAL(signal)
SIGNAL(bsd_signal)
SIGNAL(ssignal)
SIGNAL(sysv_signal)
SIGNAL(__sysv_signal)

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
SIGNAL(sigset)
