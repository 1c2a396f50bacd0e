/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors from the bridge's table to the program's and back: messages (SCM_RIGHTS) over a pair of
 * sockets of which each side has one end. A message is one number, for its receiver to know it by,
 * and one descriptor.
 *
 * Threads: those that have the end in their table. Nothing blocks.
 */
#ifndef SHIM_BRIDGE_CHANNEL_H
#define SHIM_BRIDGE_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Make both ends. Returns 0 or -1 with errno. */
int channel_open(int ends[2]);

/* Returns 0, or -1 with errno: it was not sent. `fd` stays the caller's. */
int channel_send(int end, uint64_t serial, int fd) __attribute__((warn_unused_result));

/* False: there is none. `*fd` is the receiver's, close-on-exec; -1: it had no number left for it. */
bool channel_receive(int end, uint64_t *serial, int *fd);

#endif
