/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/outbox.h"

void outbox_release(struct outbox *outbox)
{
	struct buf *held = &outbox->held, *spare = &outbox->store->spare;

	outbox->blocked = false;
	buf_take(held, buf_len(held));
	if (spare->block) {
		buf_release(held);
		return;
	}
	*spare = *held;
	*held = (struct buf){0};
}

void outbox_store_release(struct outbox_store *store)
{
	buf_release(&store->spare);
}

int outbox_flush(struct outbox *outbox, struct io *lower)
{
	while (outbox_holds(outbox)) {
		ssize_t n = buf_write_to(&outbox->held, lower);

		outbox->blocked = n <= 0;
		if (n == IO_ERR)
			outbox_release(outbox);
		if (n <= 0)
			return (int)n;
	}
	outbox_release(outbox);
	return 0;
}

int outbox_reserve(struct outbox *outbox, struct io *lower, size_t n, bool *no_memory)
{
	struct buf *held = &outbox->held, *spare = &outbox->store->spare;

	if (outbox->blocked || (held->block && buf_room(held) < n)) {
		int result = outbox_flush(outbox, lower);

		if (result != 0)
			return result;
	}
	if (held->block)
		return 0;
	*held = *spare;
	*spare = (struct buf){0};
	*no_memory = !held->block && buf_init(held, OUTBOX_SIZE) < 0;
	return *no_memory ? IO_ERR : 0;
}

ssize_t outbox_write(struct outbox *outbox, struct io *lower, const void *data, size_t n)
{
	struct buf *held = &outbox->held;

	if (held->block && buf_room(held) < n) {
		int result = outbox_flush(outbox, lower);

		if (result != 0)
			return result;
	}
	if (held->block && buf_put(held, data, n) == 0)
		return (ssize_t)n;
	return io_write(lower, data, n);
}
