/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fork.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "shim/bridge/bridge.h"
#include "shim/learned.h"
#include "shim/log.h"
#include "shim/memory.h"
#include "shim/mesh.h"
#include "shim/process.h"
#include "shim/registry.h"
#include "shim/sockets.h"
#include "shim/signals.h"
#include "shim/thread.h"

static atomic_int holders;    /* threads inside fork_hold() */
static atomic_int forks;      /* forks under way */
static _Atomic int64_t until; /* ms: the last of them is waited for no longer */

static _Thread_local int depth;     /* of this thread's fork_hold() */
static _Thread_local bool forking;  /* from prepare to parent or child */
static _Thread_local sigset_t mask; /* of the forking thread meanwhile */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Both sides look again and again: there is rarely anything to wait for, and no lock to be left behind. */
void fork_hold(void)
{
	if (depth++)
		return;
	atomic_fetch_add(&holders, 1);
	/* A handler of the program's own, on the forking thread, waits for nobody. */
	while (!forking && atomic_load(&forks) && now_ms() < atomic_load(&until)) {
		/* Step back, and in again when the fork is done. */
		atomic_fetch_sub(&holders, 1);
		while (atomic_load(&forks) && now_ms() < atomic_load(&until))
			thread_pause();
		atomic_fetch_add(&holders, 1);
	}
}

void fork_release(void)
{
	if (--depth == 0)
		atomic_fetch_sub(&holders, 1);
}

static void prepare(void)
{
	int mine = depth ? 1 : 0; /* a signal handler that forks */
	int64_t end = now_ms() + FORK_PATIENCE_MS;
	int saved = errno;

	signals_keep_off(&mask);
	signals_block(); /* it may take long */
	forking = true;
	atomic_store(&until, end);
	atomic_fetch_add(&forks, 1);
	sockets_share_all();
	while (atomic_load(&holders) > mine && now_ms() < end)
		thread_pause();
	errno = saved;
}

static void parent(void)
{
	sockets_share_all(); /* those that other threads have made since, too */
	atomic_fetch_sub(&forks, 1);
	forking = false;
	signals_let_in(&mask);
}

/* The child owns what is left, which is nothing: a vfork child of its own is then told from it. */
static void drop_state(void)
{
	atomic_store(&forks, 0);
	atomic_store(&holders, depth ? 1 : 0);
	memory_fork_child();
	registry_fork_child();
	learned_fork_child();
	bridge_fork_child();
	mesh_fork_child();
	process_own();
}

static void child(void)
{
	signals_fork_child();
	/* Another handler may have needed us before this one ran. */
	if (process_check() != PROCESS_OWNER)
		drop_state();
	forking = false;
	signals_let_in(&mask);
}

void fork_watch(void)
{
	if (pthread_atfork(prepare, parent, child) != 0)
		log_warn("out of memory: a forked child may hang in connect(2)");
}

enum process fork_recover(void)
{
	static atomic_int recovering; /* process id of the child that is at it */
	enum process process = process_check();
	sigset_t before;
	int saved = errno;

	if (process != PROCESS_FORKED)
		return process;
	signals_keep_off(&before);
	int me = getpid();

	if (atomic_exchange(&recovering, me) != me)
		drop_state();
	else
		while (process_check() == PROCESS_FORKED)
			sched_yield();
	signals_let_in(&before);
	errno = saved;
	return process_check();
}
