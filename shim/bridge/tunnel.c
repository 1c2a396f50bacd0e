/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes both ways: connections that are not HTTP, and those that a 101 has made of HTTP. An end that
 * one side comes to is passed on to the other, and the other way goes on. So it does when a side takes no
 * more: what that side said before it went is passed on as the kernel would have, and then its end.
 *
 * connectionPool.tcp ends it: maxConnectionDuration whatever it carries, idleTimeout (an hour, if
 * nothing is said; 0: never) when nothing moved in either direction, unless it was HTTP: what an
 * upgrade has made of a connection may be silent for as long as it likes, as behind a sidecar.
 */
#include "shim/bridge/exchange_state.h"

#include "rules/destination_rule.h"
#include "shim/log.h"

#define IDLE_MS 3600000

static bool wants(ssize_t n)
{
	return n == IO_WANT_READ || n == IO_WANT_WRITE;
}

static const struct tcp_settings *settings(const struct exchange *x)
{
	const struct connection_pool *pool =
	    x->verdict.cluster ? x->verdict.cluster->connection_pool : NULL;

	return pool ? pool->tcp : NULL;
}

static void set_limits(struct exchange *x, bool moved)
{
	const struct tcp_settings *tcp = settings(x);
	uint64_t idle = IDLE_MS;

	if (!x->tunnelling && tcp && tcp->max_connection_duration.set)
		deadline_set(x, DEADLINE_DURATION,
			     (uint64_t)tcp->max_connection_duration.ns / 1000000);
	if (tcp && tcp->idle_timeout.set)
		idle = (uint64_t)tcp->idle_timeout.ns / 1000000;
	if (x->target.kind != RULES_HTTP && idle && (moved || !x->tunnelling))
		deadline_set(x, DEADLINE_IDLE, idle);
	x->tunnelling = true;
}

static const char *limit_reached(const struct exchange *x)
{
	if (deadline_passed(x, DEADLINE_DURATION))
		return "maxConnectionDuration";
	return deadline_passed(x, DEADLINE_IDLE) ? "idleTimeout" : NULL;
}

/* `to` takes no more. Of what is for it, nothing is read any more. */
static int refused(struct exchange *x, struct buf *buf, bool *eof, bool *shut)
{
	buf_take(buf, buf_len(buf));
	*eof = *shut = true;
	x->send_broken = true;
	return 1;
}

/* One direction of opaque bytes. Returns 1: something moved, 0: nothing can, -1: broken. */
static int pump_bytes(struct exchange *x, struct io *from, struct buf *buf, struct io *to,
		      bool *eof, bool *shut)
{
	ssize_t n;

	if (buf_len(buf)) {
		n = buf_write_to(buf, to);
		if (n > 0)
			x->budget -= (size_t)n < x->budget ? (size_t)n : x->budget;
		return wants(n) ? 0 : n < 0 ? refused(x, buf, eof, shut) : 1;
	}
	if (*eof) {
		if (*shut)
			return 0;
		n = io_shutdown(to);
		if (wants(n))
			return 0;
		*shut = true;
		return n < 0 ? refused(x, buf, eof, shut) : 1;
	}
	n = buf_read_from(buf, from, SIZE_MAX);
	if (wants(n))
		return 0;
	*eof = n == IO_EOF;
	return n < 0 ? -1 : 1;
}

/* Gently: what the kernel still has to send is not to be thrown away. (If the program has said what
 * nobody has read, the kernel makes a reset of it.) */
static enum step_result finish(struct exchange *x)
{
	exchange_release(x, false, x->send_broken);
	return STEP_DONE;
}

/* Nothing can move now. What a program that has gone said last has been read, or is not waited for. */
static enum step_result wait_for_more(struct exchange *x, bool moved)
{
	if (x->leaving)
		return exchange_break(x);
	set_limits(x, moved);
	return STEP_WAIT;
}

static enum step_result run_tunnel(struct exchange *x)
{
	bool moved = false;

	while (x->budget) {
		const char *limit = limit_reached(x);

		if (limit) {
			log_info("%s:%u -> %s: closed by %s", x->target.name,
				 (unsigned)x->target.port, x->verdict.destination, limit);
			return finish(x);
		}
		if (buf_len(&x->down_out)) { /* the head of a 101 */
			ssize_t n = buf_write_to(&x->down_out, x->down);

			if (wants(n))
				return wait_for_more(x, moved);
			if (n < 0)
				return exchange_break(x);
			continue;
		}
		int up = pump_bytes(x, x->down, &x->down_in, x->up->io, &x->down_eof, &x->up_shut);
		int down = pump_bytes(x, x->up->io, &x->up_in, x->down, &x->up_eof, &x->down_shut);
		if (up < 0 || down < 0)
			return exchange_break(x);
		if (x->up_shut && x->down_shut)
			return finish(x);
		if (up <= 0 && down <= 0)
			return wait_for_more(x, moved);
		moved = true;
	}
	set_limits(x, moved);
	return STEP_MORE;
}

const struct step step_tunnel = {"tunnel", run_tunnel};
