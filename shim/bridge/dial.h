/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialing: from the addresses of a host to a connection that is ready for its first byte. Addresses
 * are tried in their order, the next one beside those under way after DIAL_STAGGER_MS or at once when
 * one of them has failed (RFC 8305); the first that connects wins, and gets what the cluster asks
 * for: a PROXY header, TLS, a tunnel through an HTTP proxy (preface.h). The cluster's connect timeout
 * covers all of it.
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_DIAL_H
#define SHIM_BRIDGE_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "rules/rules.h"
#include "shim/bridge/connection.h"
#include "shim/bridge/tls.h"

#define DIAL_TIMEOUT_MS 10000 /* of clusters that name none */
#define DIAL_STAGGER_MS 250	      /* RFC 8305 section 5: Connection Attempt Delay */

/* What dialing needs; outlives every dialing. */
struct dial_env {
	struct loop *loop;
	struct tls *tls; /* made at the first dialing that needs it: see dial.c */
	bool (*free_descriptor)(struct dial_env *env); /* descriptors ran out: true if one was freed */
	/* Have this begin connections instead of a socket: for tests. Over a stream whose handshake
	 * tells the outcome; NULL with errno: failed on the spot. */
	struct connection *(*open)(struct dial_env *env, const struct sockaddr_storage *to);
};

struct dialing;

struct dial_wish {
	const struct cluster *cluster; /* to stay until the end of the dialing */
	const char *server_name;       /* of TLS */
	bool http;		       /* offer "http/1.1" by ALPN */
	bool encrypted;		       /* the bytes to come are TLS already, and get none from us */
	const struct sockaddr_storage *addresses; /* with ports; AF_UNIX: a path of `sun_path`'s
						     size, or one that ends with NUL */
	size_t n;				  /* at least 1 */
	/* One of the addresses could not be reached; the others are still tried. */
	void (*failed)(void *arg, size_t which, enum upstream_failure failure);
	/*
	 * The outcome: a connection to one of the addresses, which belongs to the callee, or NULL
	 * with `failure` and `err`. Like failed() called from the loop, never from within
	 * dial_start().
	 */
	void (*done)(void *arg, struct connection *connection, size_t which,
		     enum upstream_failure failure, const struct err *err);
	void *arg;
};

/* Begin. The wish need not outlive the call. NULL: no memory, nothing is called. */
struct dialing *dial_start(struct dial_env *env, const struct dial_wish *wish);

/* Withdraw: nothing is called any more. Not from within failed(). NULL is allowed. */
void dial_cancel(struct dialing *dialing);

#endif
