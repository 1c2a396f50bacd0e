/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing end of a copy that goes to a mirror (HTTPRoute.mirror, mirrors; Envoy's shadow): a
 * stream over a pipe at whose other end an exchange of its own reads the request. What that answers
 * is read and dropped, also when the copy has been closed and nobody thinks of it any more.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_SHADOW_H
#define SHIM_BRIDGE_SHADOW_H

#include "shim/bridge/io.h"
#include "shim/bridge/loop.h"

#define SHADOW_MAX 1048576 /* bytes that were not sent yet; Envoy's per-connection buffer limit */

/*
 * Make both ends: `*down` is what the exchange is given. Closing the other end without a reset
 * ends the request; with one, the copy is broken off. Nothing is read from it. NULL: no memory.
 */
struct io *shadow_new(struct loop *loop, struct io **down);

#endif
