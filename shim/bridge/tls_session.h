/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions to resume (RFC 8446 2.2, RFC 5246 7.3), by server name. One cache belongs to one set of
 * settings, so that nothing is resumed that was verified by other rules. Private to tls*.c.
 */
#ifndef SHIM_BRIDGE_TLS_SESSION_H
#define SHIM_BRIDGE_TLS_SESSION_H

#include <openssl/ssl.h>

struct tls_session;

struct tls_sessions {
	struct tls_session *list; /* the newest first */
};

/* Keep a session; takes over the reference in any case. The oldest ones make room. */
void tls_sessions_add(struct tls_sessions *sessions, const char *server_name, SSL_SESSION *session);

/*
 * The newest session that can be resumed, with a reference for the caller, or NULL. One of TLS 1.3
 * is handed out once (RFC 8446 C.4), one of TLS 1.2 again and again.
 */
SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, const char *server_name);

void tls_sessions_clear(struct tls_sessions *sessions);

#endif
