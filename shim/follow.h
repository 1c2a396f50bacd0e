/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MESHSHIM_FOLLOW=1: a program that is executed with an environment of its parent's making (env -i,
 * build tools, servers that clear what they do not know) is followed all the same. Where LD_PRELOAD
 * has no entry for this library, or MESHSHIM_RULES is missing, both are put back, along with every
 * other MESHSHIM_ variable that this process was started with. What the program sets stays: an
 * LD_PRELOAD of its own gets our entry at its end, MESHSHIM_RULES of its own are its rules, and
 * MESHSHIM_DISABLE=1 means what it says.
 *
 * Threads: follow_init() belongs to the constructor. The rest runs in vfork children and signal
 * handlers: no lock, no allocation, nothing is changed. The new environment lies on the stack of
 * the hook that passes it on:
 *
 *     size_t size = follow_size(env);
 *
 *     if (size)
 *             env = follow_fill(env, alloca(size), size);
 */
#ifndef SHIM_FOLLOW_H
#define SHIM_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>

/* The most that follow_size() asks for: nearly two thousand variables. A larger environment is left
 * as it is, with a warning; exec(2) never fails because of us. */
#define FOLLOW_STACK_MAX 16384

/* Note what to put back. Called once, by the constructor, after mesh_init(). */
void follow_init(void);

/* False unless MESHSHIM_FOLLOW=1 and there are rules. Constant. */
bool follow_wanted(void);

/* The bytes that the completed environment takes; 0: it stays as it is. NULL is an empty one. */
size_t follow_size(char *const env[]);

/* Make the completed environment in `memory` of `size` bytes; its strings are the old ones, our own
 * and, behind the list, the new LD_PRELOAD. Returns `memory`, or `env` if that has grown since. */
char *const *follow_fill(char *const env[], void *memory, size_t size);

#endif
