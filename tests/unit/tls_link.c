/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tls_link.h"

#include <check.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/memory_io.h"

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *offered, unsigned offered_len, void *arg)
{
	struct server *server = arg;
	struct link *link = SSL_get_app_data(ssl);

	link->offered_http1 = offered_len == 9 && memcmp(offered, "\x08http/1.1", 9) == 0;
	if (!server->alpn)
		return SSL_TLSEXT_ERR_NOACK;
	*out = (const unsigned char *)server->alpn;
	*out_len = (unsigned char)strlen(server->alpn);
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_ctx(struct server *server)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ck_assert_ptr_nonnull(ctx);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, server->min_version);
	SSL_CTX_set_max_proto_version(ctx, server->max_version);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, server);
	ck_assert_int_eq(SSL_CTX_use_certificate(ctx, server->cert->x509), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, server->cert->key), 1);
	for (const struct cert *ca = server->cert->issuer; ca && ca->issuer; ca = ca->issuer)
		ck_assert_int_eq(SSL_CTX_add1_chain_cert(ctx, ca->x509), 1);
	if (server->client_ca) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), server->client_ca->x509);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return ctx;
}

void server_release(struct server *server)
{
	SSL_CTX_free(server->ctx);
	server->ctx = NULL;
}

struct link *link_prepare(struct tls *tls, const struct client_tls *settings,
			  const char *server_name, struct server *server)
{
	struct link *link = calloc(1, sizeof(*link));
	struct err err = {0};
	struct io *end[2];

	ck_assert_ptr_nonnull(link);
	if (!server->ctx)
		server->ctx = server_ctx(server);
	memory_io_pair(end, 16384);
	link->lower = end[0];
	link->far = end[1];
	link->client = tls_connect(tls, settings, server_name, true, end[0], &err);
	ck_assert_msg(link->client != NULL, "%s", err.text);
	link->ssl = SSL_new(server->ctx);
	link->in = BIO_new(BIO_s_mem());
	link->out = BIO_new(BIO_s_mem());
	SSL_set_bio(link->ssl, link->in, link->out);
	SSL_set_app_data(link->ssl, link);
	SSL_set_accept_state(link->ssl);
	link->outcome = IO_WANT_WRITE;
	return link;
}

/* From the memory to the server. */
static bool pull(struct link *link)
{
	char data[4096];
	bool moved = false;
	ssize_t n;

	while ((n = io_read(link->far, data, sizeof(data))) > 0) {
		BIO_write(link->in, data, (int)n);
		moved = true;
	}
	return moved;
}

/* From the server to the memory. */
static bool push(struct link *link)
{
	bool moved = false;
	int got;

	if (memory_io_is_shut(link->far))
		return false;
	for (;;) {
		size_t room = sizeof(link->unsent) - link->unsent_len;
		if ((got = BIO_read(link->out, link->unsent + link->unsent_len, (int)room)) > 0)
			link->unsent_len += (size_t)got;
		ssize_t n =
		    link->unsent_len ? io_write(link->far, link->unsent, link->unsent_len) : 0;
		if (n <= 0)
			return moved;
		moved = true;
		link->unsent_len -= (size_t)n;
		memmove(link->unsent, link->unsent + n, link->unsent_len);
	}
}

static void serve(struct link *link)
{
	size_t n;

	if (!SSL_is_init_finished(link->ssl) && SSL_do_handshake(link->ssl) == 1) {
		X509 *peer = SSL_get0_peer_certificate(link->ssl);
		const char *sni = SSL_get_servername(link->ssl, TLSEXT_NAMETYPE_host_name);
		snprintf(link->sni, sizeof(link->sni), "%s", sni ? sni : "");
		if (peer)
			X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName,
						  link->client_name, sizeof(link->client_name));
	}
	while (SSL_is_init_finished(link->ssl) && link->received_len < sizeof(link->received) &&
	       SSL_read_ex(link->ssl, link->received + link->received_len,
			   sizeof(link->received) - link->received_len, &n) == 1)
		link->received_len += n;
	ERR_clear_error();
}

void link_drive(struct link *link)
{
	bool moved;

	do {
		size_t before = memory_io_written(link->lower);
		if (link->client && link->outcome != 0 && link->outcome != IO_ERR)
			link->outcome = io_handshake(link->client);
		moved = memory_io_written(link->lower) != before;
		moved |= pull(link);
		serve(link);
		moved |= push(link);
	} while (moved);
}

struct link *link_new(struct tls *tls, const struct client_tls *settings, const char *server_name,
		      struct server *server, size_t per_call)
{
	struct link *link = link_prepare(tls, settings, server_name, server);

	memory_io_limit(link->lower, per_call);
	memory_io_limit(link->far, per_call);
	link_drive(link);
	return link;
}

void link_server_write(struct link *link, const void *data, size_t n)
{
	ck_assert_int_eq(SSL_write(link->ssl, data, (int)n), n);
	link_drive(link);
}

void link_server_close(struct link *link, bool notify)
{
	if (notify)
		SSL_shutdown(link->ssl);
	link_drive(link);
	ck_assert_int_eq(io_shutdown(link->far), 0);
}

void link_close_client(struct link *link, bool reset)
{
	io_close(link->client, reset);
	link->client = NULL;
}

void link_free(struct link *link)
{
	link_close_client(link, false);
	SSL_free(link->ssl);
	io_close(link->far, false);
	free(link);
}
