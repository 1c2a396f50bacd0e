/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, as a careful program makes it: the name by getaddrinfo(3), TCP_NODELAY, OpenSSL
 * on the descriptor, chain and name verified. Sessions are resumed only if that was asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/client.h"

/* The newest session. Connections stay with the thread that made them. */
static _Thread_local SSL_SESSION *session;

static int keep_session(SSL *ssl, SSL_SESSION *fresh)
{
	(void)ssl;
	SSL_SESSION_free(session);
	session = fresh;
	return 1;
}

static int prepare_tls(struct settings *settings)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || SSL_CTX_load_verify_locations(tls, settings->ca, NULL) != 1) {
		complain("%s cannot be read", settings->ca);
		return -1;
	}
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (settings->resume) {
		SSL_CTX_set_session_cache_mode(tls,
					       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(tls, keep_session);
	} else {
		SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	}
	settings->tls = tls;
	return 0;
}

int stream_prepare(struct settings *settings)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	int status = getaddrinfo(settings->host, settings->port, &hints, &found);

	if (status) {
		complain("%s:%s: %s", settings->host, settings->port, gai_strerror(status));
		return -1;
	}
	memcpy(&settings->address, found->ai_addr, found->ai_addrlen);
	settings->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	return settings->name ? prepare_tls(settings) : 0;
}

static int start_tls(struct stream *stream, const struct settings *settings, bool blocking)
{
	stream->ssl = SSL_new(settings->tls);
	if (!stream->ssl || SSL_set_fd(stream->ssl, stream->fd) != 1 ||
	    SSL_set1_host(stream->ssl, settings->name) != 1 ||
	    SSL_set_tlsext_host_name(stream->ssl, settings->name) != 1) {
		complain("out of memory");
		return -1;
	}
	if (session)
		SSL_set_session(stream->ssl, session);
	SSL_set_connect_state(stream->ssl);
	if (blocking && SSL_do_handshake(stream->ssl) != 1) {
		complain("the handshake failed: %s", ERR_reason_error_string(ERR_peek_error()));
		return -1;
	}
	return 0;
}

int stream_open(struct stream *stream, const struct settings *settings, bool blocking)
{
	int one = 1;

	stream->ssl = NULL;
	stream->fd = socket(settings->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (stream->fd < 0) {
		complain("socket: %s", strerror(errno));
		return -1;
	}
	setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!blocking)
		fcntl(stream->fd, F_SETFL, O_NONBLOCK);
	if (connect(stream->fd, (const struct sockaddr *)&settings->address,
		    settings->address_len) < 0 &&
	    (blocking || errno != EINPROGRESS)) {
		complain("connect: %s", strerror(errno));
		stream_close(stream);
		return -1;
	}
	if (settings->tls && start_tls(stream, settings, blocking) < 0) {
		stream_close(stream);
		return -1;
	}
	return 0;
}

static ssize_t tls_result(struct stream *stream, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(stream->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return STREAM_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return STREAM_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		complain("TLS ended");
		break;
	default:
		complain("TLS: %s", ERR_reason_error_string(ERR_peek_error()));
	}
	ERR_clear_error();
	return STREAM_FAILED;
}

static ssize_t plain_result(ssize_t n, int want)
{
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN)
		return want;
	complain("%s", n < 0 ? strerror(errno) : "the connection ended");
	return STREAM_FAILED;
}

ssize_t stream_send(struct stream *stream, const void *data, size_t size)
{
	if (stream->ssl)
		return tls_result(stream, SSL_write(stream->ssl, data, (int)size));
	return plain_result(send(stream->fd, data, size, MSG_NOSIGNAL), STREAM_WANT_WRITE);
}

ssize_t stream_receive(struct stream *stream, void *data, size_t size)
{
	if (stream->ssl)
		return tls_result(stream, SSL_read(stream->ssl, data, (int)size));
	return plain_result(recv(stream->fd, data, size, 0), STREAM_WANT_READ);
}

void stream_close(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	if (stream->ssl) {
		if (SSL_is_init_finished(stream->ssl))
			SSL_shutdown(stream->ssl);
		SSL_free(stream->ssl);
		ERR_clear_error();
	}
	close(stream->fd);
	stream->fd = -1;
	stream->ssl = NULL;
}
