/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.2 and 1.3 as a client (RFC 8446, RFC 5246), over any lower stream. Only tls*.c and their
 * private headers include <openssl/...>.
 *
 * Verification (promise 6): the chain against `ca_certificates` or the system's CA store, with
 * `ca_crl` where given; the name against `subject_alt_names` (exact host names, one must match;
 * wildcard names in the certificate count per RFC 6125, "spiffe://" and other URIs are compared
 * with URI names, IP literals with IP names), else against the server name. The common name is
 * never used. insecure_skip_verify turns all of it off.
 * SNI (RFC 6066) is the server name unless that is an IP literal. ALPN (RFC 7301): "http/1.1" when
 * asked for. Sessions are resumed per (settings, server name); resumption never outlives a change
 * of the settings.
 *
 * The end of the stream is IO_EOF, with close_notify or without; io->truncated tells which, since
 * only the protocol above knows whether it matters: without, somebody on the way may have cut the
 * stream short, so a body that lasts until the connection ends (HTTP1_UNTIL_CLOSE) is complete only
 * if this is false. The end of the lower stream during the handshake is IO_ERR.
 * After io_write() gave IO_WANT_* the next call must begin with the same bytes, and have at least
 * as many: some may be encrypted already.
 *
 * OpenSSL is initialised by the first tls_new(), without its atexit handlers and configuration
 * file, and reaches the network only through the lower stream.
 *
 * Threads: a struct tls and the streams made of it are used under one lock (the bridge's).
 */
#ifndef SHIM_BRIDGE_TLS_H
#define SHIM_BRIDGE_TLS_H

#include <stdbool.h>

#include "rules/rules.h"
#include "shim/bridge/io.h"
#include "shim/err.h"

struct tls; /* contexts by settings, session cache */

/* Returns NULL with `err` set. */
struct tls *tls_new(struct err *err);

/* Free contexts and sessions. Streams must be closed before. NULL is allowed. */
void tls_free(struct tls *tls);

/*
 * A TLS stream over `lower`, for settings with a mode other than DISABLE; io_handshake() then
 * brings up `lower` and does the handshake. `settings` need not outlive the call. On success
 * `lower` belongs to the new stream. On failure (file unreadable, key and certificate do not fit,
 * no memory): NULL with `err` set, `lower` is left to the caller.
 * Certificate files are read again when their time of change (ctime), size or inode changed. Nothing of
 * a private key is left in memory once its context is free.
 */
struct io *tls_connect(struct tls *tls, const struct client_tls *settings, const char *server_name,
		       bool alpn_http1, struct io *lower, struct err *err);

/* Facts for logs and tests. After a handshake: "TLSv1.3", and whether a session was resumed.
 * NULL and false before it, and for other streams. */
const char *tls_version(const struct io *io);
bool tls_resumed(const struct io *io);

#endif
