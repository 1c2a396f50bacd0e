/* SPDX-License-Identifier: Apache-2.0 */
/* Files, sessions, the system's store: what connections with the same settings share. */
#include "shim/bridge/tls_context.h"

#include <check.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/bridge/tls_store.h"
#include "tests/unit/memory_io.h"
#include "tests/unit/tls_link.h"

#define HOST "raw.githubusercontent.com"

static struct tls *tls;
static struct cert *ca, *leaf;
static struct client_tls simple;
static struct server server;

static void set_up(void)
{
	tls = tls_new(NULL);
	ca = ca_new("Test CA");
	leaf = leaf_new(ca, "DNS:" HOST ",DNS:other.example");
	simple = (struct client_tls){
	    .mode = TLS_MODE_SIMPLE,
	    .ca_certificates = write_certificate("ca.pem", ca, false),
	};
	server = (struct server){.cert = leaf};
}

static void tear_down(void)
{
	server_release(&server);
	cert_free(leaf);
	cert_free(ca);
	tls_free(tls);
	scratch_remove();
}

/* ---- files ------------------------------------------------------------------------------ */

static void ck_refused(const struct client_tls *settings, const char *format, const char *path)
{
	struct io *end[2];
	struct err err = {0};
	char expected[256];

	memory_io_pair(end, 16);
	ck_assert_ptr_null(tls_connect(tls, settings, HOST, true, end[0], &err));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(expected, sizeof(expected), format, path);
#pragma GCC diagnostic pop
	ck_assert_str_eq(err.text, expected);
	/* the lower stream is still the caller's */
	ck_assert(!memory_io_is_closed(end[0]));
	io_close(end[0], false);
	io_close(end[1], false);
}

START_TEST(files_that_are_no_good_are_named)
{
	struct client_tls settings = {.mode = TLS_MODE_SIMPLE};

	settings.ca_certificates = scratch("none.pem");
	ck_refused(&settings, "CA certificates %s: No such file or directory",
		   settings.ca_certificates);
	settings.ca_certificates = write_text("empty.pem", "");
	ck_refused(&settings, "CA certificates %s: no certificate or crl found",
		   settings.ca_certificates);
	settings.ca_certificates = scratch(NULL);
	ck_refused(&settings, "%s: not a regular file", settings.ca_certificates);
	settings.ca_certificates = simple.ca_certificates;
	settings.ca_crl = simple.ca_certificates;
	ck_refused(&settings, "certificate revocation list %s: no start line (is it PEM?)",
		   settings.ca_crl);
	settings.ca_crl = scratch("none.crl");
	ck_refused(&settings, "certificate revocation list %s: No such file or directory",
		   settings.ca_crl);
}
END_TEST

START_TEST(keys_that_are_no_good_are_named)
{
	struct client_tls settings = simple;
	char expected[256];

	settings.mode = TLS_MODE_MUTUAL;
	ck_refused(&settings, "mutual TLS needs a client certificate and a private key%s", "");
	settings.client_certificate = scratch("none.pem");
	settings.private_key = write_key("leaf.key", leaf, NULL);
	ck_refused(&settings, "client certificate %s: No such file or directory",
		   settings.client_certificate);
	settings.client_certificate = write_text("text.pem", "no certificate\n");
	ck_refused(&settings, "client certificate %s: no start line (is it PEM?)",
		   settings.client_certificate);
	settings.client_certificate = write_certificate("leaf.pem", leaf, true);
	settings.private_key = write_key("ca.key", ca, NULL);
	snprintf(expected, sizeof(expected), "private key %s does not fit client certificate %%s",
		 settings.private_key);
	ck_refused(&settings, expected, settings.client_certificate);
	settings.private_key = scratch("none.key");
	ck_refused(&settings, "private key %s: No such file or directory", settings.private_key);
	/* nobody is asked for a passphrase: the terminal is the program's */
	settings.private_key = write_key("secret.key", leaf, "secret");
	ck_refused(&settings, "private key %s is encrypted: only keys without a passphrase work",
		   settings.private_key);
}
END_TEST

START_TEST(a_server_name_that_cannot_be_sent_is_refused)
{
	struct io *end[2];
	struct err err = {0};
	char name[300];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memory_io_pair(end, 16);
	ck_assert_ptr_null(tls_connect(tls, &simple, name, true, end[0], &err));
	ck_assert_mem_eq(err.text, "server name aaa", 15);
	io_close(end[0], false);
	io_close(end[1], false);
	tls_free(NULL);
}
END_TEST

START_TEST(a_changed_file_is_read_again)
{
	struct cert *other_ca = ca_new("Other CA");
	struct link *link = link_new(tls, &simple, HOST, &server, 0);

	ck_assert_int_eq(link->outcome, 0);
	link_free(link);
	ck_assert_int_eq(unlink(simple.ca_certificates), 0);
	write_certificate("ca.pem", other_ca, false);
	link = link_new(tls, &simple, HOST, &server, 0);
	ck_assert_int_eq(link->outcome, IO_ERR);
	link_free(link);
	ck_assert_int_eq(unlink(simple.ca_certificates), 0);
	ck_refused(&simple, "CA certificates %s: No such file or directory",
		   simple.ca_certificates);
	write_certificate("ca.pem", ca, false);
	link = link_new(tls, &simple, HOST, &server, 0);
	ck_assert_int_eq(link->outcome, 0);
	link_free(link);
	cert_free(other_ca);
}
END_TEST

/* cp -p puts another file of the same size and time in its place. */
START_TEST(a_file_with_its_old_time_is_read_again)
{
	const char *path = simple.ca_certificates;
	struct tls_context *list = NULL;
	struct stat before, after;

	struct tls_context *first = tls_context_get(&list, &simple, true, NULL);
	ck_assert_ptr_nonnull(first);
	ck_assert_int_eq(stat(path, &before), 0);
	do { /* until the clock of files has moved on */
		int fd = open(path, O_RDWR);
		char byte;

		ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
		ck_assert_int_eq(pwrite(fd, &byte, 1, 0), 1);
		ck_assert_int_eq(futimens(fd, (struct timespec[]){before.st_atim, before.st_mtim}), 0);
		ck_assert_int_eq(fstat(fd, &after), 0);
		close(fd);
	} while (before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
		 before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	struct tls_context *second = tls_context_get(&list, &simple, true, NULL);
	ck_assert_ptr_ne(second, first);
	tls_context_unref(first);
	tls_context_unref(second);
	tls_context_drop_all(&list);
}
END_TEST

START_TEST(contexts_are_shared_by_value)
{
	static const char *const names[] = {"a", "b"};
	struct tls_context *list = NULL;
	struct client_tls copy = simple;
	char path[128];

	struct tls_context *first = tls_context_get(&list, &simple, true, NULL);
	ck_assert_ptr_nonnull(first);
	copy.ca_certificates = strcpy(path, simple.ca_certificates);
	copy.sni = "the server name is none of it";
	struct tls_context *again = tls_context_get(&list, &copy, true, NULL);
	ck_assert_ptr_eq(again, first);
	tls_context_unref(again);

	struct client_tls different[4] = {simple, simple, simple, simple};
	different[0].insecure_skip_verify = true;
	different[1].subject_alt_names = names;
	different[1].n_subject_alt_names = 1;
	different[2].subject_alt_names = names;
	different[2].n_subject_alt_names = 2;
	different[3].ca_crl = write_crl("crl.pem", ca, NULL);
	struct tls_context *seen[5] = {first};
	for (size_t i = 0; i < 4; i++) {
		seen[i + 1] = tls_context_get(&list, &different[i], true, NULL);
		ck_assert_ptr_nonnull(seen[i + 1]);
		for (size_t j = 0; j <= i; j++)
			ck_assert_ptr_ne(seen[i + 1], seen[j]);
	}
	struct tls_context *no_alpn = tls_context_get(&list, &simple, false, NULL);
	ck_assert_ptr_ne(no_alpn, first);
	tls_context_unref(no_alpn);
	/* still there after the list has forgotten them */
	tls_context_drop_all(&list);
	ck_assert_ptr_null(list);
	for (size_t i = 0; i < 5; i++) {
		ck_assert(seen[i]->retired);
		tls_context_unref(seen[i]);
	}
}
END_TEST

START_TEST(the_list_of_contexts_is_bounded)
{
	struct tls_context *list = NULL;
	size_t n = 0;

	for (int i = 0; i < 100; i++) {
		char name[16];
		const char *names[] = {name};
		struct client_tls settings = simple;
		snprintf(name, sizeof(name), "host%d", i);
		settings.subject_alt_names = names;
		settings.n_subject_alt_names = 1;
		struct tls_context *context = tls_context_get(&list, &settings, true, NULL);
		ck_assert_ptr_nonnull(context);
		tls_context_unref(context);
	}
	for (struct tls_context *context = list; context; context = context->next)
		n++;
	ck_assert_uint_le(n, 32);
	tls_context_drop_all(&list);
}
END_TEST

/* ---- sessions --------------------------------------------------------------------------- */

/* Connect and read once, so that tickets arrive; tell whether a session was resumed. */
static bool resumes(const struct client_tls *settings, const char *name)
{
	struct link *link = link_new(tls, settings, name, &server, 0);

	ck_assert_msg(link->outcome == 0, "%s", io_error(link->client));
	bool resumed = tls_resumed(link->client);
	ck_assert(resumed == SSL_session_reused(link->ssl));
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_WANT_READ);
	ck_assert_int_eq(io_write(link->client, "x", 1), 1);
	link_free(link);
	return resumed;
}

START_TEST(sessions_are_resumed)
{
	static const char *const names[] = {HOST};
	struct client_tls other = simple;

	other.subject_alt_names = names;
	other.n_subject_alt_names = 1;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		server.min_version = server.max_version = version;
		ck_assert(!resumes(&simple, HOST));
		ck_assert(resumes(&simple, HOST));
		ck_assert(resumes(&simple, HOST));
		ck_assert(!resumes(&simple, "other.example"));
		ck_assert(!resumes(&other, HOST));
		ck_assert(resumes(&other, HOST));
		server_release(&server);
		tls_free(tls);
		tls = tls_new(NULL);
	}
}
END_TEST

START_TEST(a_session_outlives_a_reset_connection)
{
	struct link *link = link_new(tls, &simple, HOST, &server, 0);

	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_WANT_READ);
	link_close_client(link, true);
	link_free(link);
	ck_assert(resumes(&simple, HOST));
}
END_TEST

START_TEST(a_changed_file_ends_resumption)
{
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct link *link = link_new(tls, &simple, HOST, &server, 0);

	ck_assert(!resumes(&simple, HOST));
	ck_assert_int_eq(utimensat(AT_FDCWD, simple.ca_certificates, times, 0), 0);
	ck_assert(!resumes(&simple, HOST));
	/* tickets that come over an old connection are for nobody */
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_WANT_READ);
	link_free(link);
	ck_assert(resumes(&simple, HOST));
}
END_TEST

START_TEST(a_server_that_failed_verification_leaves_no_session)
{
	struct cert *wrong = leaf_new(ca, "DNS:elsewhere.example");
	struct server bad = {.cert = wrong};

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		bad.min_version = bad.max_version = version;
		for (int i = 0; i < 2; i++) {
			struct link *link = link_new(tls, &simple, HOST, &bad, 0);
			ck_assert_int_eq(link->outcome, IO_ERR);
			link_free(link);
		}
		server_release(&bad);
	}
	/* what was not verified is not resumed where verification is asked for */
	struct client_tls skips = simple;
	skips.insecure_skip_verify = true;
	struct link *link = link_new(tls, &skips, HOST, &bad, 0);
	ck_assert_int_eq(link->outcome, 0);
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_WANT_READ);
	link_free(link);
	link = link_new(tls, &simple, HOST, &bad, 0);
	ck_assert_int_eq(link->outcome, IO_ERR);
	link_free(link);
	server_release(&bad);
	cert_free(wrong);
}
END_TEST

static SSL_SESSION *session_of(int version)
{
	SSL_SESSION *session = SSL_SESSION_new();

	SSL_SESSION_set_protocol_version(session, version);
	SSL_SESSION_set1_id(session, (const unsigned char *)"id", 2);
	SSL_SESSION_set_time(session, time(NULL));
	SSL_SESSION_set_timeout(session, 60);
	return session;
}

START_TEST(sessions_are_few_and_of_tls_1_3_used_once)
{
	struct tls_sessions sessions = {0};
	char name[16];
	int n = 0;

	ck_assert_ptr_null(tls_sessions_take(&sessions, "a"));
	for (int i = 0; i < 10; i++)
		tls_sessions_add(&sessions, "a", session_of(TLS1_3_VERSION));
	SSL_SESSION *newest = session_of(TLS1_3_VERSION);
	tls_sessions_add(&sessions, "a", newest);
	SSL_SESSION *taken = tls_sessions_take(&sessions, "a");
	ck_assert_ptr_eq(taken, newest);
	for (; taken; n++) {
		SSL_SESSION_free(taken);
		taken = tls_sessions_take(&sessions, "a");
	}
	ck_assert_int_eq(n, 4);

	SSL_SESSION *old = session_of(TLS1_2_VERSION);
	tls_sessions_add(&sessions, "a", old);
	for (int i = 0; i < 3; i++) {
		taken = tls_sessions_take(&sessions, "a");
		ck_assert_ptr_eq(taken, old);
		SSL_SESSION_free(taken);
	}
	SSL_SESSION_set_time(old, time(NULL) - 61);
	ck_assert_ptr_null(tls_sessions_take(&sessions, "a"));

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "host%d", i);
		tls_sessions_add(&sessions, name, session_of(TLS1_2_VERSION));
	}
	for (n = 0; n < 1000; n++) {
		snprintf(name, sizeof(name), "host%d", 999 - n);
		if (!(taken = tls_sessions_take(&sessions, name)))
			break;
		SSL_SESSION_free(taken);
	}
	ck_assert_int_eq(n, 64);
	tls_sessions_clear(&sessions);
	ck_assert_ptr_null(sessions.list);
}
END_TEST

/* ---- the system's store ----------------------------------------------------------------- */

static bool trusts(X509_STORE *store, const struct cert *cert)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();

	ck_assert_int_eq(X509_STORE_CTX_init(ctx, store, cert->x509, NULL), 1);
	bool good = X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	return good;
}

START_TEST(a_hashed_directory_is_preferred_to_a_bundle)
{
	struct cert *other_ca = ca_new("Other CA"), *other = leaf_new(other_ca, NULL);
	const char *bundle = write_certificate("bundle.crt", other_ca, false);
	struct tls_system system = {.dirs = {"/nonexistent", scratch(NULL)},
				    .bundles = {"/nonexistent", bundle}};
	struct err err = {0};
	X509_STORE *store = X509_STORE_new();
	char name[32];

	/* "ca.pem" is there, but not under its hash */
	ck_assert_int_eq(tls_store_add_system(store, &system, &err), 0);
	ck_assert(!trusts(store, leaf) && trusts(store, other));
	X509_STORE_free(store);

	snprintf(name, sizeof(name), "%08lx.0",
		 X509_NAME_hash_ex(X509_get_subject_name(ca->x509), NULL, NULL, NULL));
	write_certificate(name, ca, false);
	store = X509_STORE_new();
	ck_assert_int_eq(tls_store_add_system(store, &system, &err), 0);
	ck_assert(trusts(store, leaf) && !trusts(store, other));
	X509_STORE_free(store);
	cert_free(other);
	cert_free(other_ca);
}
END_TEST

START_TEST(a_system_without_certificates_is_an_error)
{
	struct tls_system system = {.dirs = {scratch(NULL)}, .bundles = {"/nonexistent"}};
	struct err err = {0};
	X509_STORE *store = X509_STORE_new();

	ck_assert_int_eq(tls_store_add_system(store, &system, &err), -1);
	ck_assert_str_eq(err.text,
			 "no system CA certificates found (is ca-certificates installed?)");
	X509_STORE_free(store);
}
END_TEST

START_TEST(the_environment_does_not_steer_the_store)
{
	struct client_tls settings = {.mode = TLS_MODE_SIMPLE};
	char name[32];

	if (access(tls_store_system().bundles[0], R_OK) < 0)
		return; /* a system without CAs has nothing to show */
	snprintf(name, sizeof(name), "%08lx.0",
		 X509_NAME_hash_ex(X509_get_subject_name(ca->x509), NULL, NULL, NULL));
	write_certificate(name, ca, false);
	setenv("SSL_CERT_FILE", simple.ca_certificates, 1);
	setenv("SSL_CERT_DIR", scratch(NULL), 1);
	for (int i = 0; i < 2; i++) {
		settings.ca_certificates = i ? "system" : NULL;
		struct link *link = link_new(tls, &settings, HOST, &server, 0);
		ck_assert_int_eq(link->outcome, IO_ERR);
		ck_assert_str_eq(io_error(link->client), "certificate verify failed: "
							 "unable to get local issuer certificate");
		link_free(link);
	}
}
END_TEST

Suite *tls_context_suite(void);
Suite *tls_context_suite(void)
{
	Suite *suite = suite_create("tls_context");
	TCase *files = tcase_create("files"), *sessions = tcase_create("sessions");
	TCase *store = tcase_create("store");

	tcase_add_checked_fixture(files, set_up, tear_down);
	tcase_add_test(files, files_that_are_no_good_are_named);
	tcase_add_test(files, keys_that_are_no_good_are_named);
	tcase_add_test(files, a_server_name_that_cannot_be_sent_is_refused);
	tcase_add_test(files, a_changed_file_is_read_again);
	tcase_add_test(files, a_file_with_its_old_time_is_read_again);
	tcase_add_test(files, contexts_are_shared_by_value);
	tcase_add_test(files, the_list_of_contexts_is_bounded);
	suite_add_tcase(suite, files);
	tcase_add_checked_fixture(sessions, set_up, tear_down);
	tcase_add_test(sessions, sessions_are_resumed);
	tcase_add_test(sessions, a_session_outlives_a_reset_connection);
	tcase_add_test(sessions, a_changed_file_ends_resumption);
	tcase_add_test(sessions, a_server_that_failed_verification_leaves_no_session);
	tcase_add_test(sessions, sessions_are_few_and_of_tls_1_3_used_once);
	suite_add_tcase(suite, sessions);
	tcase_add_checked_fixture(store, set_up, tear_down);
	tcase_add_test(store, a_hashed_directory_is_preferred_to_a_bundle);
	tcase_add_test(store, a_system_without_certificates_is_an_error);
	tcase_add_test(store, the_environment_does_not_steer_the_store);
	suite_add_tcase(suite, store);
	return suite;
}
