/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was sent of a request's body is kept as long as the request may have to be sent again. The
 * memory is taken as the body comes; a body beyond the limit (Envoy's, of a connection's buffer) is
 * passed on and not kept, and the request is then sent once only. The head is kept in up_out.
 */
#include "shim/bridge/resilience.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX     1048576
#define KEPT_UNASKED 32768

/* Of sizes that the allocator has at hand: one block for all would be fresh memory each time. */
#define FIRST_PIECE 4096
#define PIECE	    16384

struct sent_piece {
	struct sent_piece *next;
	size_t used, room;
	char data[];
};

/* As in Envoy, an interim response ends it: the program has seen that this attempt was under way. */
static bool is_whole(const struct exchange *x)
{
	return !x->sent_lost && !x->interim && !x->have_response;
}

bool resend_possible(struct exchange *x)
{
	resend_settle(x);
	return is_whole(x);
}

void resend_rewind(struct exchange *x)
{
	x->sent.resent = x->sent.at_taken = 0;
	x->sent.at = x->sent.first;
}

ssize_t resend_write(struct exchange *x)
{
	struct sent *sent = &x->sent;
	const struct sent_piece *piece = sent->at;
	ssize_t n = io_write(x->up->io, piece->data + sent->at_taken, piece->used - sent->at_taken);

	if (n <= 0)
		return n;
	sent->resent += (size_t)n;
	sent->at_taken += (size_t)n;
	if (sent->at_taken == piece->used) {
		sent->at = piece->next;
		sent->at_taken = 0;
	}
	return n;
}

static struct sent_piece *add_piece(struct sent *sent)
{
	size_t room = (sent->last ? PIECE : FIRST_PIECE) - sizeof(struct sent_piece);
	struct sent_piece *piece = malloc(sizeof(*piece) + room);

	if (!piece)
		return NULL;
	*piece = (struct sent_piece){.room = room};
	*(sent->last ? &sent->last->next : &sent->first) = piece;
	sent->last = piece;
	return piece;
}

/* Behind what is there, all of which the present connection was given. Returns 0 or -1. */
static int add(struct sent *sent, const char *data, size_t n)
{
	if (sent->len + n > KEPT_MAX)
		return -1;
	while (n) {
		struct sent_piece *piece = sent->last;

		if ((!piece || piece->used == piece->room) && !(piece = add_piece(sent)))
			return -1;
		size_t some = piece->room - piece->used < n ? piece->room - piece->used : n;
		memcpy(piece->data + piece->used, data, some);
		piece->used += some;
		sent->len += some;
		sent->resent += some;
		data += some;
		n -= some;
	}
	return 0;
}

/* It will not be sent again. */
static void give_up(struct exchange *x)
{
	x->sent_lost = true;
	if (!resend_left(x))
		resend_release(x);
}

/* A connection out of the pool can turn out to have been dead, until something is acknowledged: to
 * ask is a system call, and worth it where it saves a large copy. */
static bool is_wanted(struct exchange *x, size_t n)
{
	if (!is_whole(x))
		return false;
	if (retry_needs_body(x))
		return true;
	return x->up->reused &&
	       (x->sent.len + n <= KEPT_UNASKED || retry_is_safe(x) || x->ops->unacked(x, x->up));
}

void resend_keep(struct exchange *x, const char *data, size_t n)
{
	if (!is_wanted(x, n) || add(&x->sent, data, n) < 0)
		give_up(x);
}

void resend_note(struct exchange *x, const char *data, size_t n)
{
	struct sent *sent = &x->sent;

	if (sent->noted && sent->noted + sent->noted_len != data)
		resend_settle(x);
	if (!sent->noted)
		sent->noted = data;
	sent->noted_len += n;
}

void resend_settle(struct exchange *x)
{
	const char *data = x->sent.noted;
	size_t n = x->sent.noted_len;

	if (!data)
		return;
	x->sent.noted = NULL;
	x->sent.noted_len = 0;
	if (x->up)
		resend_keep(x, data, n);
	else
		give_up(x); /* it was released without another attempt */
}

void resend_release(struct exchange *x)
{
	struct sent_piece *piece = x->sent.first;

	while (piece) {
		struct sent_piece *next = piece->next;

		free(piece);
		piece = next;
	}
	x->sent = (struct sent){0};
}
