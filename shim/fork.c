/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fork.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "shim/bridge/bridge.h"
#include "shim/log.h"
#include "shim/mesh.h"
#include "shim/process.h"
#include "shim/registry.h"
#include "shim/thread.h"

/* The forking thread's mask, from prepare to parent or child; guarded by the locks held then. */
static sigset_t mask;

static void prepare(void)
{
	sigset_t before;

	thread_block_signals(&before);
	mesh_fork_prepare();
	bridge_fork_prepare();
	registry_fork_prepare();
	mask = before;
}

static void parent(void)
{
	sigset_t before = mask;

	registry_fork_parent();
	bridge_fork_parent();
	mesh_fork_parent();
	thread_restore_signals(&before);
}

/* The child owns what is left, which is nothing: a vfork child of its own is then told from it. */
static void drop_state(void)
{
	registry_fork_child();
	bridge_fork_child();
	mesh_fork_child();
	process_own();
}

static void child(void)
{
	sigset_t before = mask;

	drop_state();
	thread_restore_signals(&before);
}

void fork_watch(void)
{
	static atomic_bool watched;

	if (atomic_load_explicit(&watched, memory_order_relaxed) || atomic_exchange(&watched, true))
		return;
	if (pthread_atfork(prepare, parent, child) != 0)
		log_warn("out of memory: a forked child may hang in connect(2)");
}

void fork_recover(void)
{
	static atomic_int recovering; /* process id of the child that is at it */
	sigset_t before;
	int saved = errno;

	if (process_check() != PROCESS_FORKED)
		return;
	thread_block_signals(&before);
	int me = getpid();

	if (atomic_exchange(&recovering, me) != me)
		drop_state();
	else
		while (process_check() == PROCESS_FORKED)
			sched_yield();
	thread_restore_signals(&before);
	errno = saved;
}
