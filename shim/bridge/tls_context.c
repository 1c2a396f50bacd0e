/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list is short (one context per distinct settings in the rules) and in order of use; what the
 * rules no longer name falls off its end.
 *
 * Files are looked at (stat) before they are read: one that changes in between is read again next
 * time. For the system's store the directories and bundles stand in for their contents.
 */
#include "shim/bridge/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shim/bridge/arena.h"
#include "shim/bridge/tls_error.h"
#include "shim/bridge/tls_memory.h"
#include "shim/bridge/tls_store.h"

enum {
	CONTEXTS_MAX = 32,
	READ_RECORDS = 3,
};

struct tls_file {
	const char *path;
	struct tls_file *next;
	/* identity; all zero: it is not there */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

/* ---- settings --------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_settings(const struct client_tls *a, const struct client_tls *b)
{
	if (a->mode != b->mode || a->insecure_skip_verify != b->insecure_skip_verify ||
	    a->n_subject_alt_names != b->n_subject_alt_names ||
	    !same_text(a->ca_certificates, b->ca_certificates) ||
	    !same_text(a->client_certificate, b->client_certificate) ||
	    !same_text(a->private_key, b->private_key) || !same_text(a->ca_crl, b->ca_crl))
		return false;
	for (size_t i = 0; i < a->n_subject_alt_names; i++)
		if (strcmp(a->subject_alt_names[i], b->subject_alt_names[i]) != 0)
			return false;
	return true;
}

/* False: no memory. NULL stays NULL. */
static bool copy_text(struct arena *arena, const char **text)
{
	if (*text)
		*text = arena_strndup(arena, *text, strlen(*text));
	return *text != NULL;
}

static bool copy_settings(struct arena *arena, const struct client_tls *from, struct client_tls *to)
{
	size_t n = from->n_subject_alt_names;
	const char **names = arena_alloc(arena, n * sizeof(*names));

	*to = *from;
	to->sni = NULL;
	to->subject_alt_names = names;
	if (!names || (to->ca_certificates && !copy_text(arena, &to->ca_certificates)) ||
	    (to->client_certificate && !copy_text(arena, &to->client_certificate)) ||
	    (to->private_key && !copy_text(arena, &to->private_key)) ||
	    (to->ca_crl && !copy_text(arena, &to->ca_crl)))
		return false;
	for (size_t i = 0; i < n; i++) {
		names[i] = from->subject_alt_names[i];
		if (!copy_text(arena, &names[i]))
			return false;
	}
	return true;
}

static bool uses_system_store(const struct client_tls *settings)
{
	return !settings->ca_certificates || strcmp(settings->ca_certificates, "system") == 0;
}

/* ---- files ------------------------------------------------------------------------------ */

static void identify(const char *path, struct tls_file *file, struct stat *status)
{
	*file = (struct tls_file){.path = path};
	if (stat(path, status) < 0) {
		memset(status, 0, sizeof(*status));
		return;
	}
	file->dev = status->st_dev;
	file->ino = status->st_ino;
	file->size = status->st_size;
	file->changed = status->st_ctim; /* whatever becomes of a file; its mtime can be set back */
}

static bool files_are_unchanged(const struct tls_context *context)
{
	struct tls_file now;
	struct stat status;

	for (const struct tls_file *file = context->files; file; file = file->next) {
		identify(file->path, &now, &status);
		if (now.dev != file->dev || now.ino != file->ino || now.size != file->size ||
		    now.changed.tv_sec != file->changed.tv_sec ||
		    now.changed.tv_nsec != file->changed.tv_nsec)
			return false;
	}
	return true;
}

/* Note what a file is. A named file must be a regular one: anything else could block the reader. */
static int note_file(struct tls_context *context, const char *path, bool named, struct err *err)
{
	struct tls_file *file = arena_alloc(context->arena, sizeof(*file));
	struct stat status;

	if (!file) {
		err_set_errno(err, ENOMEM, "TLS context");
		return -1;
	}
	identify(path, file, &status);
	file->next = context->files;
	context->files = file;
	if (named && status.st_mode != 0 && !S_ISREG(status.st_mode)) {
		err_set(err, 0, "%s: not a regular file", path);
		return -1;
	}
	return 0;
}

/* ---- making one ------------------------------------------------------------------------- */

static int load_trust(struct tls_context *context, struct err *err)
{
	const struct client_tls *settings = &context->settings;
	X509_STORE *store = SSL_CTX_get_cert_store(context->ctx);

	if (settings->insecure_skip_verify)
		return 0;
	if (uses_system_store(settings)) {
		struct tls_system system = tls_store_system();
		for (const char **dir = system.dirs; *dir; dir++)
			if (note_file(context, *dir, false, err) < 0)
				return -1;
		for (const char **bundle = system.bundles; *bundle; bundle++)
			if (note_file(context, *bundle, false, err) < 0)
				return -1;
		if (tls_store_add_system(store, &system, err) < 0)
			return -1;
	} else if (note_file(context, settings->ca_certificates, true, err) < 0 ||
		   tls_store_add_file(store, settings->ca_certificates, err) < 0) {
		return -1;
	}
	if (settings->ca_crl && (note_file(context, settings->ca_crl, true, err) < 0 ||
				 tls_store_add_crl(store, settings->ca_crl, err) < 0))
		return -1;
	return 0;
}

/* OpenSSL's own would ask on the program's terminal. */
static int no_passphrase(char *out, int size, int writing, void *asked)
{
	(void)out;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

/* SSL_CTX_use_PrivateKey_file(), leaving nothing of the key in memory but the key. */
static bool use_key(SSL_CTX *ctx, const char *path, bool *asked)
{
	BIO *bio = BIO_new_file(path, "r");
	EVP_PKEY *key = NULL;
	FILE *file = NULL;
	char buffer[4096]; /* in the place of one that stdio would free as it is */

	tls_memory_wipe(true);
	if (bio && BIO_get_fp(bio, &file) == 1 &&
	    setvbuf(file, buffer, _IOFBF, sizeof(buffer)) == 0)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, asked);
	BIO_free(bio);
	OPENSSL_cleanse(buffer, sizeof(buffer));
	bool used = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	tls_memory_wipe(false);
	return used;
}

static int load_identity(struct tls_context *context, struct err *err)
{
	const char *certificate = context->settings.client_certificate;
	const char *key = context->settings.private_key;
	SSL_CTX *ctx = context->ctx;
	bool asked = false;
	int result = -1;

	if (!certificate || !key) {
		err_set(err, 0, "mutual TLS needs a client certificate and a private key");
		return -1;
	}
	if (note_file(context, certificate, true, err) < 0 ||
	    note_file(context, key, true, err) < 0)
		return -1;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		tls_error(err, "client certificate %s", certificate);
	else if (use_key(ctx, key, &asked) && SSL_CTX_check_private_key(ctx) == 1)
		result = 0;
	else if (asked)
		err_set(err, 0, "private key %s is encrypted: only keys without a passphrase work",
			key);
	else if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509)
		err_set(err, 0, "private key %s does not fit client certificate %s", key,
			certificate);
	else
		tls_error(err, "private key %s", key);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	ERR_clear_error();
	return result;
}

static int configure(struct tls_context *context, struct err *err)
{
	static const unsigned char http1[] = "\x08http/1.1";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	context->ctx = ctx;
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    (context->alpn_http1 && SSL_CTX_set_alpn_protos(ctx, http1, sizeof(http1) - 1) != 0)) {
		tls_error(err, "TLS context");
		return -1;
	}
	/* An end without close_notify is told apart by the stream, see io.h. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	/* One read of the socket for several records instead of two for each. The block is there as
	 * long as it holds something; a larger one would be fresh memory each time. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, (size_t)READ_RECORDS * SSL3_RT_MAX_PACKET_SIZE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_set_verify(
	    ctx, context->settings.insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	/* An intermediate CA among the trusted ones is enough, as in Envoy. */
	X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (load_trust(context, err) < 0)
		return -1;
	return context->settings.mode == TLS_MODE_MUTUAL ? load_identity(context, err) : 0;
}

static void context_free(struct tls_context *context)
{
	struct arena *arena = context->arena;

	tls_sessions_clear(&context->sessions);
	SSL_CTX_free(context->ctx);
	arena_release(arena);
	free(arena);
}

static struct tls_context *context_new(const struct client_tls *settings, bool alpn_http1,
				       struct err *err)
{
	struct arena *arena = malloc(sizeof(*arena));

	if (!arena) {
		err_set_errno(err, ENOMEM, "TLS context");
		return NULL;
	}
	arena_init(arena);
	struct tls_context *context = arena_alloc(arena, sizeof(*context));
	if (!context)
		goto no_memory;
	*context = (struct tls_context){.arena = arena, .alpn_http1 = alpn_http1, .refs = 1};
	if (!copy_settings(arena, settings, &context->settings))
		goto no_memory;
	ERR_clear_error();
	if (configure(context, err) < 0) {
		context_free(context);
		return NULL;
	}
	return context;

no_memory:
	err_set_errno(err, ENOMEM, "TLS context");
	arena_release(arena);
	free(arena);
	return NULL;
}

/* ---- the list --------------------------------------------------------------------------- */

void tls_context_unref(struct tls_context *context)
{
	if (--context->refs == 0)
		context_free(context);
}

/* Unlink and give back what `at` points to. */
static void retire(struct tls_context **at)
{
	struct tls_context *context = *at;

	*at = context->next;
	context->retired = true;
	tls_sessions_clear(&context->sessions);
	tls_context_unref(context);
}

void tls_context_drop_all(struct tls_context **list)
{
	while (*list)
		retire(list);
}

struct tls_context *tls_context_get(struct tls_context **list, const struct client_tls *settings,
				    bool alpn_http1, struct err *err)
{
	struct tls_context **at = list;
	struct tls_context *context = NULL;

	while (*at &&
	       !((*at)->alpn_http1 == alpn_http1 && same_settings(&(*at)->settings, settings)))
		at = &(*at)->next;
	if (*at && files_are_unchanged(*at)) {
		context = *at;
		*at = context->next;
	} else {
		if (*at)
			retire(at);
		context = context_new(settings, alpn_http1, err);
		if (!context)
			return NULL;
	}
	context->next = *list;
	*list = context;
	size_t n = 0;
	for (at = list; *at; at = &(*at)->next) {
		if (++n > CONTEXTS_MAX) {
			retire(at);
			break;
		}
	}
	context->refs++;
	return context;
}
