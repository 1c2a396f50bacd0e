/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names to addresses, off the loop: the libc's getaddrinfo(3) (the real one, so that
 * /etc/hosts, nsswitch.conf and the system's DNS settings mean what they mean for every program) on
 * short-lived threads, at most RESOLVE_THREADS at once.
 *
 * Answers are kept for RESOLVE_FRESH_MS; questions for a name under way share one look-up. Failures
 * are not kept.
 *
 * Threads and locks: everything here wants the loop's owner lock. The look-up threads share only the
 * job's own name and answer with it, and report through loop_post().
 */
#ifndef SHIM_BRIDGE_RESOLVE_H
#define SHIM_BRIDGE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/bridge/loop.h"
#include "shim/err.h"

#define RESOLVE_THREADS  4
#define RESOLVE_FRESH_MS 10000
#define RESOLVE_MAX      32 /* addresses kept of one answer */

struct resolver;

/* Addresses of a name, port 0, in the order of getaddrinfo(3) (RFC 6724). Immutable. */
struct addresses {
	size_t n; /* at least 1 */
	struct sockaddr_storage list[RESOLVE_MAX];
};

/* One question. Embedded in the asker. */
struct query {
	/* `found` is NULL on failure, `err` set then; it is valid during the call only. */
	void (*answer)(struct query *query, const struct addresses *found, const struct err *err);
	struct query *next, **link; /* the resolver's */
};

struct resolver *resolver_new(struct loop *loop, struct err *err);

/* No question may be open. Look-ups that still run are waited for: for tests. */
void resolver_free(struct resolver *resolver);

/*
 * Ask. An IP literal and a fresh answer are answered before this returns, everything else later,
 * from the loop. Returns true if the answer was given already.
 */
bool resolver_ask(struct resolver *resolver, const char *name, struct query *query);

/* Withdraw a question that was not answered yet. Idempotent. */
void query_cancel(struct query *query);

#endif
