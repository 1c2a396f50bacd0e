/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names to addresses, off the loop: the libc's getaddrinfo(3) (the real one, so that
 * /etc/hosts, nsswitch.conf and the system's DNS settings mean what they mean for every program) on
 * short-lived threads, at most RESOLVE_THREADS at once.
 *
 * An answer is fresh for RESOLVE_FRESH_MS. An older one is given all the same, at once, while a look-up
 * in the background sees whether it is still true, which is a second answer to whoever was given the
 * old one; one of RESOLVE_KEEP_MS is given no more. A look-up in the background that fails changes
 * nothing and is tried again after a pause, each time a longer one. Questions without an answer to
 * give share one look-up; its failure is not kept.
 *
 * Nothing is done for a name that nobody asks for: no timer wakes an idle process.
 *
 * Threads and locks: everything here wants the loop's owner lock. The look-up threads share only the
 * job's own name and answer with it, and report through loop_post().
 */
#ifndef SHIM_BRIDGE_RESOLVE_H
#define SHIM_BRIDGE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/bridge/loop.h"
#include "shim/err.h"

#define RESOLVE_THREADS  4
#define RESOLVE_MAX	 32 /* addresses kept of one answer */
#define RESOLVE_FRESH_MS 10000
#define RESOLVE_KEEP_MS	 3600000

/* The pause after a failure in the background; doubled with each one that follows. */
#define RESOLVE_RETRY_MS     1000
#define RESOLVE_RETRY_MAX_MS 60000

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
	bool more; /* with an answer: it is an old one, and this question has another one to come */
	struct query *next, **link; /* the resolver's */
};

/* A look-up under way. */
struct resolving {
	const char *name;
	/* The outcome, written by the one that looks up: */
	struct addresses found; /* zeroed before; n of 0: it failed, for these reasons */
	int gai_error;
	int sys_error; /* errno's value, where gai_error is EAI_SYSTEM */
	struct task done; /* to be run by the loop afterwards: loop_post(), loop_defer() */
};

struct resolver *resolver_new(struct loop *loop, struct err *err);

/* No question may be open. Look-ups that still run are waited for: for tests. */
void resolver_free(struct resolver *resolver);

/*
 * Ask; not again as long as an answer is to come. An IP literal and a name whose addresses are known
 * are answered before this returns, everything else later, from the loop. Returns true if an answer
 * was given already.
 */
bool resolver_ask(struct resolver *resolver, const char *name, struct query *query);

/* No answer is wanted any more. Idempotent. */
void query_cancel(struct query *query);

/*
 * Have this begin look-ups from now on, instead of a thread that calls getaddrinfo(3): for tests. It
 * has the job fill `found` and run `done`, but not before it returns 0; else it returns an errno value.
 */
void resolver_replace(struct resolver *resolver,
		      int (*begin)(struct loop *loop, struct resolving *job));

#endif
