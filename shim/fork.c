/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fork.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "shim/bridge/bridge.h"
#include "shim/log.h"
#include "shim/mesh.h"
#include "shim/process.h"
#include "shim/registry.h"
#include "shim/thread.h"

/* The forking thread's mask, from prepare to parent or child; guarded by the locks held then. */
static sigset_t mask;

/* Held for reading by those whom a fork is to wait for. Readers are never kept waiting by a writer
 * that waits, only by a fork under way. */
static pthread_rwlock_t quiet = PTHREAD_RWLOCK_INITIALIZER;
/* What the fork under way got. Guarded by the registry's lock, which every fork holds. */
static bool is_quiet, has_bridge;

static struct timespec deadline(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += FORK_PATIENCE_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	return until;
}

void fork_hold(void)
{
	pthread_rwlock_rdlock(&quiet);
}

void fork_release(void)
{
	pthread_rwlock_unlock(&quiet);
}

static void prepare(void)
{
	sigset_t before;

	thread_block_signals(&before);
	struct timespec until = deadline();
	bool got = pthread_rwlock_clockwrlock(&quiet, CLOCK_MONOTONIC, &until) == 0;

	bool got_bridge = bridge_fork_prepare(&until);

	registry_fork_prepare();
	is_quiet = got;
	has_bridge = got_bridge;
	mask = before;
}

static void parent(void)
{
	sigset_t before = mask;
	bool got = is_quiet;
	bool got_bridge = has_bridge;

	registry_fork_parent();
	if (got_bridge)
		bridge_fork_parent();
	if (got)
		pthread_rwlock_unlock(&quiet);
	thread_restore_signals(&before);
}

/* The child owns what is left, which is nothing: a vfork child of its own is then told from it. */
static void drop_state(void)
{
	static const pthread_rwlock_t fresh = PTHREAD_RWLOCK_INITIALIZER;

	quiet = fresh;
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
