/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constructor. It runs in every program that inherits LD_PRELOAD, so it does next to nothing
 * (promise 3): find the real functions, note the environment. Rules are read at the first name or
 * connection, the bridge starts at the first connection to a registry host, fork handlers are
 * registered with the first lock (mesh.c). There is no destructor: a thread may still be at work.
 */
#include "shim/libc.h"
#include "shim/mesh.h"

__attribute__((constructor)) static void start(void)
{
	libc_bind();
	mesh_init();
}
