/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way to a lower stream that gets them in large pieces: they are held in a block
 * until it is full, or outbox_flush() is called. What the lower stream does not take stays, and is
 * the only thing that does: until it is gone there is no room for more. An outbox has a block only
 * while it holds something; one that is free is kept in the store, for the next of all that share
 * it.
 *
 * Results are those of io.h. After IO_ERR, of the lower stream, nothing is held.
 *
 * Threads: the owner's; of all that share a store, under one lock.
 */
#ifndef SHIM_BRIDGE_OUTBOX_H
#define SHIM_BRIDGE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/bridge/buf.h"
#include "shim/bridge/io.h"

/* Bytes that one holds: eight full TLS records. With twice as many nothing was gained. */
#define OUTBOX_SIZE 147456

struct outbox_store {
	struct buf spare;
};

/* Zero but for the store. */
struct outbox {
	struct outbox_store *store;
	struct buf held;
	bool blocked; /* the lower stream would not take more */
};

/* Have room for n bytes, passing on what is held if that is the way. 0: the next outbox_write()
 * holds as many; IO_WANT_*: later. *no_memory is set, and the result IO_ERR, where there is no
 * block to be had. */
int outbox_reserve(struct outbox *outbox, struct io *lower, size_t n, bool *no_memory)
    __attribute__((warn_unused_result));

/* All of it behind what is held, if there is room or room can be made, else as io_write(). What was
 * not reserved is not held where nothing is. */
ssize_t outbox_write(struct outbox *outbox, struct io *lower, const void *data, size_t n);

/* Pass on what is held. 0: all of it. */
int outbox_flush(struct outbox *outbox, struct io *lower) __attribute__((warn_unused_result));

static inline bool outbox_holds(const struct outbox *outbox)
{
	return buf_len(&outbox->held) > 0;
}

/* Forget what is held. Idempotent. */
void outbox_release(struct outbox *outbox);

void outbox_store_release(struct outbox_store *store);

#endif
