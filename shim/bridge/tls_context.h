/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: everything that connections with the same settings share, kept by the values of the
 * settings and the identity of the files that they name. Private to tls*.c.
 */
#ifndef SHIM_BRIDGE_TLS_CONTEXT_H
#define SHIM_BRIDGE_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdbool.h>

#include "rules/rules.h"
#include "shim/bridge/tls_session.h"
#include "shim/err.h"

struct tls_file;

struct tls_context {
	SSL_CTX *ctx;
	struct client_tls settings; /* a copy; sni is not part of it */
	bool alpn_http1;
	bool retired; /* its files have changed: sessions are not kept any more */
	struct tls_sessions sessions;
	/* private */
	struct tls_context *next;
	unsigned refs;
	struct tls_file *files;
	struct arena *arena; /* holds this struct and all of its texts */
};

/*
 * The context for these settings, with a reference for the caller: the one in `*list` if its files
 * are what they were, else a new one that takes its place. NULL with `err` set.
 */
struct tls_context *tls_context_get(struct tls_context **list, const struct client_tls *settings,
				    bool alpn_http1, struct err *err);

/* Give a reference back; the last one frees. */
void tls_context_unref(struct tls_context *context);

/* Empty the list. Contexts that are in use live on until they are given back. */
void tls_context_drop_all(struct tls_context **list);

#endif
