/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRoute.mirror and mirrors: copies of a request, once per request however often that is sent. A
 * copy has the head as it goes upstream and the body as it is sent for the first time. It is never
 * waited for: one that cannot keep up is broken off.
 *
 * A request for an upgrade has no end, and is not copied.
 */
#include "shim/bridge/exchange_state.h"

#include "shim/log.h"

static void end(struct exchange *x, size_t i, bool reset)
{
	io_close(x->mirrors[i], reset);
	x->mirrors[i] = NULL;
}

static void feed(struct exchange *x, size_t i, const char *data, size_t n)
{
	while (n) {
		ssize_t written = io_write(x->mirrors[i], data, n);

		if (written <= 0) {
			log_debug("%s %s: a mirror cannot keep up, its copy is broken off",
				  x->method, x->path);
			end(x, i, true);
			return;
		}
		data += written;
		n -= (size_t)written;
	}
}

static void feed_all(struct exchange *x, const char *data, size_t n)
{
	bool last = exchange_request_done(x);

	for (size_t i = 0; i < x->n_mirrors; i++) {
		if (x->mirrors[i])
			feed(x, i, data, n);
		if (x->mirrors[i] && last)
			end(x, i, false);
	}
}

static struct io *ask(struct exchange *x, const struct mirror *mirror)
{
	char server_name[256];
	struct io *io;

	if (!fault_strikes(x, mirror->percentage))
		return NULL;
	if (!mirror->cluster) {
		log_debug("%s: no such mirror", mirror->host);
		return NULL;
	}
	if (rules_server_name(mirror->cluster,
			      x->verdict.authority ? x->verdict.authority : x->authority, server_name,
			      sizeof(server_name)) < 0)
		return NULL;
	io = x->ops->mirror(x, mirror->cluster, server_name);
	if (!io)
		log_debug("%s: there is no mirror to be had", mirror->host);
	return io;
}

void mirror_start(struct exchange *x)
{
	struct mirror mirror;
	size_t n = 0;

	if (x->target.cluster || (x->request.upgrade && x->request.minor >= 1))
		return;
	for (size_t at = 0; rules_next_mirror(&x->verdict, x->target.port, &at, &mirror);)
		n++;
	if (!n)
		return;
	x->mirrors = arena_alloc(&x->arena, n * sizeof(*x->mirrors));
	if (!x->mirrors)
		return;
	for (size_t at = 0; rules_next_mirror(&x->verdict, x->target.port, &at, &mirror);) {
		struct io *io = ask(x, &mirror);

		if (io)
			x->mirrors[x->n_mirrors++] = io;
	}
	feed_all(x, buf_data(&x->up_out), buf_len(&x->up_out));
}

void mirror_body(struct exchange *x, const char *data, size_t n)
{
	if (x->n_mirrors)
		feed_all(x, data, n);
}

void mirror_drop(struct exchange *x)
{
	for (size_t i = 0; i < x->n_mirrors; i++)
		if (x->mirrors[i])
			end(x, i, true);
	x->mirrors = NULL;
	x->n_mirrors = 0;
}
