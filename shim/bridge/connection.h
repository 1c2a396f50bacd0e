/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upstream connection inside the bridge: the stream that exchanges see, the socket below it and
 * its watch. Owned in turn by the dialing that makes it, an exchange, and the pool.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_CONNECTION_H
#define SHIM_BRIDGE_CONNECTION_H

#include "shim/bridge/exchange.h"
#include "shim/bridge/loop.h"

struct connection {
	struct upstream upstream; /* .io: the top of the stack; the socket itself without TLS */
	struct loop *loop;
	struct io *sock; /* the bottom */
	struct watch watch;
	char *key; /* the pool's; NULL: not to be pooled */
	/* Called after every event, the socket having been told. Set by the present owner. */
	void (*ready)(struct connection *connection, uint32_t events);
	void *owner;
	struct timer idle;
	struct connection *next, *prev; /* the pool's */
};

/* Over a socket that is connecting. `fd` is taken over, on failure too. NULL with errno. */
struct connection *connection_new(struct loop *loop, int fd);

/* Close (see io_close()) and free. Not while it is in the pool. NULL is allowed. */
void connection_free(struct connection *connection, bool reset);

#endif
