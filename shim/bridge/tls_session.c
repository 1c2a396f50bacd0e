/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/tls_session.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	PER_NAME = 4, /* several connections may be opened at once */
	IN_ALL = 64,
};

struct tls_session {
	struct tls_session *next;
	SSL_SESSION *session;
	char server_name[];
};

/* Unlink and free what `at` points to. */
static void drop(struct tls_session **at)
{
	struct tls_session *entry = *at;

	*at = entry->next;
	SSL_SESSION_free(entry->session);
	free(entry);
}

void tls_sessions_clear(struct tls_sessions *sessions)
{
	while (sessions->list)
		drop(&sessions->list);
}

/* Nothing that has run out, and nothing that outlives the certificate it was made with: that is
 * not looked at again when a session is resumed. */
static bool is_usable(SSL_SESSION *session)
{
	time_t now = time(NULL);
	const X509 *certificate = SSL_SESSION_get0_peer(session);

	return SSL_SESSION_is_resumable(session) &&
	       now - SSL_SESSION_get_time(session) < SSL_SESSION_get_timeout(session) &&
	       (!certificate || X509_cmp_time(X509_get0_notAfter(certificate), &now) > 0);
}

void tls_sessions_add(struct tls_sessions *sessions, const char *server_name, SSL_SESSION *session)
{
	size_t len = strlen(server_name) + 1;
	struct tls_session *entry = malloc(sizeof(*entry) + len);
	int of_name = 0, of_all = 0;

	if (!entry) {
		SSL_SESSION_free(session);
		return;
	}
	memcpy(entry->server_name, server_name, len);
	entry->session = session;
	entry->next = sessions->list;
	sessions->list = entry;

	struct tls_session **at = &sessions->list;
	while (*at) {
		bool same = strcmp((*at)->server_name, server_name) == 0;
		if (of_all == IN_ALL || (same && of_name == PER_NAME)) {
			drop(at);
			continue;
		}
		of_all++;
		of_name += same;
		at = &(*at)->next;
	}
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *sessions, const char *server_name)
{
	struct tls_session **at = &sessions->list;

	while (*at) {
		SSL_SESSION *session = (*at)->session;
		if (strcmp((*at)->server_name, server_name) != 0) {
			at = &(*at)->next;
			continue;
		}
		if (!is_usable(session)) {
			drop(at);
			continue;
		}
		SSL_SESSION_up_ref(session);
		if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
			drop(at);
		return session;
	}
	return NULL;
}
