/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialing: from a cluster to a connection that is ready for its first byte. Resolves the endpoints'
 * names, connects to one address after the other (beginning at a random endpoint, its addresses in
 * the resolver's order), originates TLS, and gives each address DIAL_TIMEOUT_MS (Istio's default
 * connectTimeout, which covers the handshake too).
 *
 * Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_DIAL_H
#define SHIM_BRIDGE_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/rules.h"
#include "shim/bridge/connection.h"
#include "shim/bridge/resolve.h"
#include "shim/bridge/tls.h"

#define DIAL_TIMEOUT_MS 10000

/* What dialing needs; outlives every dialing. */
struct dial_env {
	struct loop *loop;
	struct resolver *resolver;
	struct tls *tls; /* made at the first dialing that needs it: see dial.c */
	bool (*free_descriptor)(struct dial_env *env); /* descriptors ran out: true if one was freed */
};

struct dialing;

/*
 * Begin. The outcome is one call of `done`, from the loop, never from within dial_start():
 * a connection, which belongs to the callee, or NULL with `failure` and `err`. `cluster` must stay
 * until then; `server_name` is copied. `http`: offer "http/1.1" by ALPN. `encrypted`:
 * the bytes to come are TLS already, and get none from us.
 * NULL: no memory, `done` is not called.
 */
struct dialing *dial_start(struct dial_env *env, const struct cluster *cluster,
			   const char *server_name, bool http, bool encrypted,
			   uint32_t random,
			   void (*done)(void *arg, struct connection *connection,
					enum upstream_failure failure, const struct err *err),
			   void *arg);

/* Withdraw: `done` is not called. NULL is allowed. */
void dial_cancel(struct dialing *dialing);

#endif
