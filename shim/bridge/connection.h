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
#include "shim/bridge/twin.h"

struct lane;
struct live_host;

struct connection {
	struct upstream upstream; /* .io: the top of the stack; the socket itself without TLS */
	struct loop *loop;
	struct io *sock; /* the bottom; NULL: the stream is no socket (tests) */
	struct watch watch;
	/* Called after every event, the socket having been told. Set by the present owner. */
	void (*ready)(struct connection *connection, uint32_t events);
	void *owner;
	struct twin twin; /* once program threads may use it */

	/* its cluster's */
	void (*closing)(struct connection *connection); /* about to be freed; NULL: nobody asks */
	struct lane *lane;
	struct live_host *host; /* that it goes to; held */
	uint64_t born;	 /* ms: when it was ready for its first byte */
	uint64_t served; /* requests that it was taken for */
	uint64_t before; /* sock_written() when it was taken last */

	/* the pool's */
	struct timer idle;
	struct connection **list;
	struct connection *next, *prev;	  /* in `list` */
	struct connection *newer, *older; /* of all */
};

/* Over a socket that is connecting. `fd` is taken over, on failure too. NULL with errno. */
struct connection *connection_new(struct loop *loop, int fd);

/* Over any stream that is ready, which nothing watches: for tests. Taken over, on failure too. */
struct connection *connection_over(struct loop *loop, struct io *io);

/* The calling thread, the bridge's, is going to use it, after one of the program's may have. Returns 0, or
 * -1: it is not watched, and of no use. Idempotent. */
int connection_come_home(struct connection *connection) __attribute__((warn_unused_result));

/* A thread of the program's is going to use it. Returns 0, or -1: it stays as it is. */
int connection_go_abroad(struct connection *connection) __attribute__((warn_unused_result));

/* Close (see io_close()) and free. Not while it is in the pool. NULL is allowed. */
void connection_free(struct connection *connection, bool reset);

/* Whether an idle one is good for another request: nothing to read, and not at its end. `ask`: ask
 * the kernel, whatever the last event said. */
bool connection_alive(struct connection *connection, bool ask);

#endif
