/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was sent of a request's body is kept as long as the request may have to be sent again. The
 * memory is taken as the body comes; a body beyond the limit (Envoy's, of a connection's buffer) is
 * passed on and not kept, and the request is then sent once only. The head is kept in up_out.
 */
#include "shim/bridge/resilience.h"

#define KEPT_MAX   1048576
#define KEPT_FIRST 4096

bool resend_possible(const struct exchange *x)
{
	/* As in Envoy, an interim response ends it: the program has seen that this attempt was on
	 * its way. */
	return !x->sent_lost && !x->interim && !x->have_response;
}

void resend_rewind(struct exchange *x)
{
	x->resent = 0;
}

ssize_t resend_write(struct exchange *x)
{
	ssize_t n = io_write(x->up->io, buf_data(&x->sent) + x->resent, resend_left(x));

	if (n > 0)
		x->resent += (size_t)n;
	return n;
}

static int make_room(struct buf *buf, size_t n)
{
	size_t size = buf->capacity ? buf->capacity : KEPT_FIRST;

	if (buf_len(buf) + n > KEPT_MAX)
		return -1;
	while (size < buf_len(buf) + n)
		size *= 2;
	return size > buf->capacity ? buf_grow(buf, size) : 0;
}

/* It will not be sent again. */
static void give_up(struct exchange *x)
{
	x->sent_lost = true;
	if (!resend_left(x))
		resend_release(x);
}

void resend_keep(struct exchange *x, const char *data, size_t n)
{
	bool wanted = resend_possible(x) && (x->up->reused || retry_needs_body(x));

	if (!wanted || make_room(&x->sent, n) < 0 || buf_put(&x->sent, data, n) < 0)
		give_up(x);
	else
		x->resent += n;
}

void resend_release(struct exchange *x)
{
	buf_release(&x->sent);
	x->resent = 0;
}
