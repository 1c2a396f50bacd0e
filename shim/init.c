/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constructor. It runs in every program that inherits LD_PRELOAD, so it does next to nothing
 * (promise 3): find the real functions, note the environment and, where there are rules to follow,
 * whose process this is and how it forks. Rules are read at the first name or connection, the bridge
 * starts at the first connection to a registry host. There is no destructor: a thread may still be
 * at work.
 */
#include "shim/follow.h"
#include "shim/fork.h"
#include "shim/libc.h"
#include "shim/mesh.h"
#include "shim/process.h"

__attribute__((constructor)) static void start(void)
{
	libc_bind();
	mesh_init();
	if (!mesh_active())
		return;
	process_own();
	fork_watch();
	follow_init();
}
