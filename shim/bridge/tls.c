/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS streams. OpenSSL sits between two faces of struct io: above, the one that is offered; below,
 * a BIO that reads and writes the lower stream.
 *
 * OpenSSL writes each record by itself. While the owner gathers (io.h), the BIO holds them, and the
 * lower stream gets several in one piece.
 *
 * The name is verified inside the handshake, as part of the chain's verification: a server that
 * fails it gets an alert, and neither the client certificate nor a byte of the program's.
 */
#include "shim/bridge/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/bridge/outbox.h"
#include "shim/bridge/tls_context.h"
#include "shim/bridge/tls_error.h"
#include "shim/bridge/tls_memory.h"
#include "shim/bridge/tls_names.h"
#include "shim/libc.h"

struct tls {
	BIO_METHOD *method;
	struct tls_context *contexts;
	struct outbox_store store;
};

struct tls_stream {
	struct io io; /* first: a struct io * of this kind is a struct tls_stream * */
	struct io *lower;
	struct tls_context *context; /* a reference */
	SSL *ssl;
	SSL_SESSION *early; /* came before the handshake was judged */
	struct outbox out;  /* records, while the owner gathers */
	int want;	    /* what the lower stream last waited for */
	bool lower_ended;   /* it gave IO_EOF */
	bool lower_failed;  /* it gave IO_ERR */
	bool read_failed_below;
	bool verified;	    /* chain and name, in this very handshake */
	bool ready;	    /* the handshake is done and judged good */
	bool failed;	    /* for good */
	bool write_failed;  /* nothing can be sent any more; an answer may still be read */
	int last_read;	    /* what the last read came to: 1 for bytes, IO_*; 0: none or the end */
	bool drained;	    /* the last read wanted more from below */
	bool notified;	    /* close_notify is out */
	char server_name[];
};

/* ---- the lower stream as a BIO ---------------------------------------------------------- */

static int bio_result(struct tls_stream *stream, ssize_t n, BIO *bio, int retry)
{
	if (n > 0)
		return (int)n;
	if (n == IO_ERR) {
		stream->lower_failed = true;
	} else {
		stream->want = (int)n;
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	}
	return -1;
}

static int bio_read(BIO *bio, char *data, int size)
{
	struct tls_stream *stream = BIO_get_data(bio);
	ssize_t n = io_read(stream->lower, data, (size_t)size);

	BIO_clear_retry_flags(bio);
	if (n == IO_EOF) {
		stream->lower_ended = true;
		return 0;
	}
	stream->read_failed_below |= n == IO_ERR;
	return bio_result(stream, n, bio, BIO_FLAGS_READ);
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct tls_stream *stream = BIO_get_data(bio);
	ssize_t n = outbox_write(&stream->out, stream->lower, data, (size_t)size);

	BIO_clear_retry_flags(bio);
	return bio_result(stream, n, bio, BIO_FLAGS_WRITE);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_stream *stream = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return stream->lower_ended;
	return command == BIO_CTRL_FLUSH;
}

static BIO *bio_new(const struct tls *tls, struct tls_stream *stream)
{
	BIO *bio = BIO_new(tls->method);

	if (bio) {
		BIO_set_data(bio, stream);
		BIO_set_init(bio, 1);
	}
	return bio;
}

/* ---- verification ----------------------------------------------------------------------- */

/* The names that are good: any of subject_alt_names, else the server name. */
static const char *good_name(const struct tls_stream *stream, size_t i)
{
	const struct client_tls *settings = &stream->context->settings;

	if (i < settings->n_subject_alt_names)
		return settings->subject_alt_names[i];
	return i == 0 ? stream->server_name : NULL;
}

/* Takes the place of OpenSSL's verification of the peer's chain, and calls it. */
static int verify(X509_STORE_CTX *store_ctx, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_stream *stream = SSL_get_app_data(ssl);
	X509 *certificate = X509_STORE_CTX_get0_cert(store_ctx);
	const char *name;

	(void)unused;
	if (stream->context->settings.insecure_skip_verify) {
		X509_STORE_CTX_set_error(store_ctx, X509_V_OK);
		return 1;
	}
	if (X509_verify_cert(store_ctx) != 1)
		return 0;
	for (size_t i = 0; (name = good_name(stream, i)); i++) {
		if (tls_certificate_is_for(certificate, name)) {
			stream->verified = true;
			return 1;
		}
	}
	X509_STORE_CTX_set_error(store_ctx, tls_is_address(good_name(stream, 0))
						? X509_V_ERR_IP_ADDRESS_MISMATCH
						: X509_V_ERR_HOSTNAME_MISMATCH);
	return 0;
}

static void verification_error(struct tls_stream *stream, long result)
{
	const char *text = X509_verify_cert_error_string(result);
	char names[160] = "";
	const char *name;

	if (result != X509_V_ERR_HOSTNAME_MISMATCH && result != X509_V_ERR_IP_ADDRESS_MISMATCH) {
		err_set(&stream->io.err, 0, "certificate verify failed: %s", text);
		return;
	}
	for (size_t i = 0; (name = good_name(stream, i)); i++) {
		size_t len = strlen(names);
		snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", name);
	}
	err_set(&stream->io.err, 0, "certificate verify failed: %s (%s)", text, names);
}

/* ---- results ---------------------------------------------------------------------------- */

/* The stream is broken; say why. */
static int fail(struct tls_stream *stream, const char *doing)
{
	struct io *lower = stream->lower;
	long verdict = SSL_get_verify_result(stream->ssl);

	stream->failed = true;
	if (!stream->ready && verdict != X509_V_OK)
		verification_error(stream, verdict);
	else if (stream->lower_failed)
		err_set(&stream->io.err, lower->err.code, "%s", io_error(lower));
	else if (stream->lower_ended)
		err_set(&stream->io.err, 0, "%s: connection closed", doing);
	else
		tls_error(&stream->io.err, "%s", doing);
	ERR_clear_error();
	return IO_ERR;
}

/* What an SSL_*() call that did not succeed comes to. */
static int result_of(struct tls_stream *stream, int result, const char *doing)
{
	switch (SSL_get_error(stream->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return stream->want;
	case SSL_ERROR_ZERO_RETURN:
		if (stream->ready)
			return IO_EOF;
		break;
	}
	return fail(stream, doing);
}

/* ---- sessions --------------------------------------------------------------------------- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_stream *stream = SSL_get_app_data(ssl);

	if (!stream->ready) {
		SSL_SESSION_free(stream->early);
		stream->early = session;
		return 1;
	}
	if (stream->context->retired)
		return 0;
	tls_sessions_add(&stream->context->sessions, stream->server_name, session);
	return 1;
}

static void resume_session(struct tls_stream *stream)
{
	SSL_SESSION *session = tls_sessions_take(&stream->context->sessions, stream->server_name);

	if (session)
		SSL_set_session(stream->ssl, session);
	SSL_SESSION_free(session);
}

/* ---- the stream ------------------------------------------------------------------------- */

/* OpenSSL is content. A resumed session was verified by the same settings when it was new. */
static int judge(struct tls_stream *stream)
{
	const struct client_tls *settings = &stream->context->settings;
	SSL_SESSION *early = stream->early;

	if (!settings->insecure_skip_verify && !stream->verified &&
	    !SSL_session_reused(stream->ssl)) {
		err_set(&stream->io.err, 0, "certificate verify failed: not verified");
		return fail(stream, "TLS handshake");
	}
	stream->ready = true;
	stream->early = NULL;
	if (early && !keep_session(stream->ssl, early))
		SSL_SESSION_free(early);
	return 0;
}

/* So that SSL_get_error() sees none of before. Clearing walks through all of the queue's places, filled
 * or not. */
static void clear_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

static int tls_handshake(struct io *io)
{
	struct tls_stream *stream = (struct tls_stream *)io;

	if (stream->failed)
		return IO_ERR;
	if (stream->ready)
		return 0;
	int result = io_handshake(stream->lower);
	if (result == IO_ERR)
		stream->lower_failed = true;
	if (result != 0)
		return result == IO_ERR ? fail(stream, "connect") : result;
	ERR_clear_error();
	result = SSL_do_handshake(stream->ssl);
	if (result == 1)
		return judge(stream);
	return result_of(stream, result, "TLS handshake");
}

/* Whether reading can only find that there is nothing: OpenSSL would take long to say so. */
static bool is_dry(const struct tls_stream *stream)
{
	return io_dry(stream->lower) &&
	       (stream->last_read == IO_WANT_READ ||
		(stream->last_read > 0 && !SSL_has_pending(stream->ssl)));
}

static ssize_t tls_read(struct io *io, void *data, size_t size)
{
	struct tls_stream *stream = (struct tls_stream *)io;
	int result = tls_handshake(io);
	size_t n;

	if (result != 0)
		return result;
	if (size == 0 || is_dry(stream))
		return IO_WANT_READ;
	clear_errors();
	result = SSL_read_ex(stream->ssl, data, size, &n);
	if (result == 1) {
		stream->drained = false;
		stream->last_read = 1;
		return (ssize_t)n;
	}
	stream->last_read = result = result_of(stream, result, "TLS read");
	stream->drained = true;
	/* What OpenSSL calls an end is one without close_notify if the lower stream had to end
	 * for it. */
	if (result == IO_EOF && stream->lower_ended)
		stream->io.truncated = true;
	return result;
}

/* What a failed write comes to, given the result of fail(). */
static int write_broke(struct tls_stream *stream, int result)
{
	if (result == IO_ERR && stream->lower_failed && !stream->read_failed_below) {
		/* The lower stream takes no more. What it received before can still be read. */
		stream->write_failed = true;
		stream->failed = stream->lower_failed = false;
	}
	return result;
}

/* What is held goes nowhere. */
static int no_more(struct tls_stream *stream)
{
	stream->lower_failed = true;
	return write_broke(stream, fail(stream, "TLS write"));
}

static int tls_flush(struct io *io)
{
	struct tls_stream *stream = (struct tls_stream *)io;

	if (stream->write_failed || stream->failed)
		return IO_ERR;
	int result = outbox_flush(&stream->out, stream->lower);
	return result == IO_ERR ? no_more(stream) : result;
}

/* Before something is encrypted that is to be held: where there is room for it, OpenSSL does not
 * come to wait with a part of a record, and want the same bytes again. */
static int reserve(struct tls_stream *stream)
{
	bool no_memory = false;
	int result =
	    outbox_reserve(&stream->out, stream->lower, SSL3_RT_MAX_PACKET_SIZE, &no_memory);

	if (no_memory)
		err_set_errno(&stream->io.err, ENOMEM, "TLS write");
	return result == IO_ERR ? no_more(stream) : result;
}

static bool tls_unsent(const struct io *io)
{
	return outbox_holds(&((const struct tls_stream *)io)->out);
}

static ssize_t tls_write(struct io *io, const void *data, size_t size)
{
	struct tls_stream *stream = (struct tls_stream *)io;
	int result = tls_handshake(io);
	size_t n;

	if (stream->write_failed)
		return IO_ERR;
	if (result == 0)
		result = io->gather ? reserve(stream) : tls_flush(io);
	if (result != 0 || size == 0)
		return result;
	clear_errors();
	result = SSL_write_ex(stream->ssl, data, size, &n);
	if (result == 1)
		return (ssize_t)n;
	result = result_of(stream, result, "TLS write");
	if (result == IO_EOF)
		result = fail(stream, "TLS write");
	return write_broke(stream, result);
}

static int tls_shutdown(struct io *io)
{
	struct tls_stream *stream = (struct tls_stream *)io;

	if (stream->failed)
		return IO_ERR;
	if (stream->ready && !stream->notified) {
		ERR_clear_error();
		int result = SSL_shutdown(stream->ssl);
		if (result < 0)
			return result_of(stream, result, "TLS shutdown");
		stream->notified = true;
	}
	int result = tls_flush(io);
	if (result != 0)
		return result;
	result = io_shutdown(stream->lower);
	if (result == IO_ERR) {
		stream->lower_failed = true;
		return fail(stream, "shutdown");
	}
	return result;
}

static bool tls_pending(const struct io *io)
{
	const struct tls_stream *stream = (const struct tls_stream *)io;

	return stream->ready && !stream->failed && !stream->drained && SSL_has_pending(stream->ssl);
}

static void stream_free(struct tls_stream *stream)
{
	SSL_free(stream->ssl);
	SSL_SESSION_free(stream->early);
	outbox_release(&stream->out);
	tls_context_unref(stream->context);
	free(stream);
}

static void tls_close(struct io *io, bool reset)
{
	struct tls_stream *stream = (struct tls_stream *)io;
	struct io *lower = stream->lower;

	ERR_clear_error();
	if (stream->ready && !stream->failed) {
		io->gather = false;
		/* One attempt: nobody waits for it. */
		if (!reset && outbox_flush(&stream->out, stream->lower) == 0 && !stream->notified)
			SSL_shutdown(stream->ssl);
		/* Else OpenSSL would spoil the session for later connections. */
		SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN);
	}
	stream_free(stream);
	ERR_clear_error();
	io_close(lower, reset);
}

static const struct io_ops tls_ops = {
    .name = "TLS",
    .handshake = tls_handshake,
    .read = tls_read,
    .write = tls_write,
    .shutdown = tls_shutdown,
    .flush = tls_flush,
    .unsent = tls_unsent,
    .close = tls_close,
};

static const struct tls_stream *stream_of(const struct io *io)
{
	return io->ops == &tls_ops ? (const struct tls_stream *)io : NULL;
}

const char *tls_version(const struct io *io)
{
	const struct tls_stream *stream = stream_of(io);

	return stream && stream->ready ? SSL_get_version(stream->ssl) : NULL;
}

bool tls_resumed(const struct io *io)
{
	const struct tls_stream *stream = stream_of(io);

	return stream && stream->ready && SSL_session_reused(stream->ssl);
}

/*
 * libcrypto looks for getentropy(3) as a weak symbol, and some programs (Node.js) export one of
 * their own. This one is hidden, so that the shim's keys are made of the kernel's randomness and of
 * nobody else's (promise 5).
 */
int getentropy(void *buffer, size_t length)
{
	for (size_t done = 0; done < length;) {
		long n = real.syscall(SYS_getrandom, (char *)buffer + done, length - done, 0);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return 0;
}

/* ---- making things ---------------------------------------------------------------------- */

/* The name without a trailing dot, which neither SNI nor certificates have (RFC 6066 3). */
static size_t name_length(const char *name)
{
	size_t len = strlen(name);

	return len > 1 && name[len - 1] == '.' ? len - 1 : len;
}

static int set_up(struct tls *tls, struct tls_stream *stream, struct err *err)
{
	SSL_CTX *ctx = stream->context->ctx;
	BIO *bio;

	ERR_clear_error();
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	stream->ssl = SSL_new(ctx);
	if (!stream->ssl || !(bio = bio_new(tls, stream))) {
		tls_error(err, "TLS stream");
		return -1;
	}
	SSL_set_bio(stream->ssl, bio, bio);
	SSL_set_app_data(stream->ssl, stream);
	SSL_set_connect_state(stream->ssl);
	if (stream->server_name[0] && !tls_is_address(stream->server_name) &&
	    SSL_set_tlsext_host_name(stream->ssl, stream->server_name) != 1) {
		tls_error(err, "server name %s", stream->server_name);
		return -1;
	}
	resume_session(stream);
	return 0;
}

struct io *tls_connect(struct tls *tls, const struct client_tls *settings, const char *server_name,
		       bool alpn_http1, struct io *lower, struct err *err)
{
	size_t len = name_length(server_name);
	struct tls_stream *stream = calloc(1, sizeof(*stream) + len + 1);

	if (!stream) {
		err_set_errno(err, ENOMEM, "TLS stream");
		return NULL;
	}
	memcpy(stream->server_name, server_name, len);
	stream->io.ops = &tls_ops;
	stream->io.pending = tls_pending;
	stream->lower = lower;
	stream->out.store = &tls->store;
	stream->context = tls_context_get(&tls->contexts, settings, alpn_http1, err);
	if (!stream->context) {
		free(stream);
		return NULL;
	}
	if (set_up(tls, stream, err) < 0) {
		stream_free(stream);
		return NULL;
	}
	return &stream->io;
}

struct tls *tls_new(struct err *err)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls) {
		err_set_errno(err, ENOMEM, "TLS");
		return NULL;
	}
	tls_memory_init();
	/* The program's openssl.cnf is not for us, and nothing of ours runs when it exits. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
	    !(tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream")) ||
	    BIO_meth_set_read(tls->method, bio_read) != 1 ||
	    BIO_meth_set_write(tls->method, bio_write) != 1 ||
	    BIO_meth_set_ctrl(tls->method, bio_ctrl) != 1) {
		tls_error(err, "TLS");
		tls_free(tls);
		return NULL;
	}
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	tls_context_drop_all(&tls->contexts);
	outbox_store_release(&tls->store);
	BIO_meth_free(tls->method);
	free(tls);
}
