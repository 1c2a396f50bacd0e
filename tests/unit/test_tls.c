/* SPDX-License-Identifier: Apache-2.0 */
/* Who is talked to: verification, names, client certificates, versions, ALPN, SNI. */
#include "shim/bridge/tls.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/memory_io.h"
#include "tests/unit/tls_link.h"

#define HOST "raw.githubusercontent.com"

static struct tls *tls;
static struct cert *ca;
static struct client_tls simple; /* trusts `ca` */

static void set_up(void)
{
	tls = tls_new(NULL);
	ck_assert_ptr_nonnull(tls);
	ca = ca_new("Test CA");
	simple = (struct client_tls){
	    .mode = TLS_MODE_SIMPLE,
	    .ca_certificates = write_certificate("ca.pem", ca, false),
	};
}

static void tear_down(void)
{
	cert_free(ca);
	tls_free(tls);
	scratch_remove();
}

/* Connect, send a byte, and hand back the link for a closer look. */
static struct link *connect_to(const struct client_tls *settings, const char *name,
			       struct server *server)
{
	struct link *link = link_new(tls, settings, name, server, 0);

	if (link->outcome == 0)
		ck_assert_int_eq(io_write(link->client, "x", 1), 1);
	else
		ck_assert_int_eq(io_write(link->client, "x", 1), IO_ERR);
	link_drive(link);
	return link;
}

static void ck_good(const struct client_tls *settings, const char *name, struct server *server)
{
	struct link *link = connect_to(settings, name, server);

	ck_assert_msg(link->outcome == 0, "%s", io_error(link->client));
	ck_assert_uint_eq(link->received_len, 1);
	link_free(link);
	server_release(server);
}

static void ck_bad(const struct client_tls *settings, const char *name, struct server *server,
		   const char *why)
{
	struct link *link = connect_to(settings, name, server);

	ck_assert_int_eq(link->outcome, IO_ERR);
	ck_assert_str_eq(io_error(link->client), why);
	ck_assert_int_eq(io_handshake(link->client), IO_ERR);
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_ERR);
	ck_assert_int_eq(io_shutdown(link->client), IO_ERR);
	ck_assert_uint_eq(link->received_len, 0);
	ck_assert_ptr_null(tls_version(link->client));
	link_free(link);
	server_release(server);
}

static void ck_names(const char *certificate, const char *name, const char *why)
{
	struct cert *leaf = leaf_new(ca, certificate);
	struct server server = {.cert = leaf};

	if (why)
		ck_bad(&simple, name, &server, why);
	else
		ck_good(&simple, name, &server);
	cert_free(leaf);
}

#define MISMATCH "certificate verify failed: hostname mismatch (" HOST ")"

START_TEST(the_name_is_verified)
{
	ck_names("DNS:" HOST, HOST, NULL);
	ck_names("DNS:other.example,DNS:" HOST, HOST, NULL);
	ck_names("DNS:RAW.GitHubUserContent.com", HOST, NULL);
	ck_names("DNS:" HOST, HOST ".", NULL);
	ck_names("DNS:webserver", HOST, MISMATCH);
	ck_names("DNS:githubusercontent.com", HOST, MISMATCH);
	ck_names("DNS:a." HOST, HOST, MISMATCH);
	ck_names("URI:https://" HOST, HOST, MISMATCH);
	ck_names("email:root@" HOST, HOST, MISMATCH);
	ck_names(NULL, HOST, MISMATCH);
	ck_names("DNS:" HOST, "", "certificate verify failed: hostname mismatch ()");
	ck_names("DNS:" HOST, ".githubusercontent.com",
		 "certificate verify failed: hostname mismatch (.githubusercontent.com)");
}
END_TEST

START_TEST(wildcards_stand_for_one_label)
{
	ck_names("DNS:*.githubusercontent.com", HOST, NULL);
	ck_names("DNS:*.com", HOST, MISMATCH);
	ck_names("DNS:*.githubusercontent.com", "a." HOST,
		 "certificate verify failed: hostname mismatch (a." HOST ")");
	ck_names("DNS:*.githubusercontent.com", "githubusercontent.com",
		 "certificate verify failed: hostname mismatch (githubusercontent.com)");
	ck_names("DNS:r*.githubusercontent.com", HOST, MISMATCH);
	ck_names("DNS:raw.*.com", HOST, MISMATCH);
	ck_names("DNS:*", "localhost", "certificate verify failed: hostname mismatch (localhost)");
}
END_TEST

START_TEST(the_common_name_does_not_count)
{
	struct cert *leaf = cert_new(ca, &(struct cert_spec){.common_name = HOST});
	struct server server = {.cert = leaf};

	ck_bad(&simple, HOST, &server, MISMATCH);
	cert_free(leaf);
}
END_TEST

START_TEST(addresses_are_verified_as_such)
{
	ck_names("IP:127.0.0.1", "127.0.0.1", NULL);
	ck_names("IP:::1", "::1", NULL);
	ck_names("IP:127.0.0.2", "127.0.0.1",
		 "certificate verify failed: IP address mismatch (127.0.0.1)");
	ck_names("DNS:127.0.0.1", "127.0.0.1",
		 "certificate verify failed: IP address mismatch (127.0.0.1)");
	ck_names("DNS:::1", "::1", "certificate verify failed: IP address mismatch (::1)");
}
END_TEST

START_TEST(any_subject_alt_name_may_match)
{
	static const char *const names[] = {"spiffe://cluster.local/ns/a/sa/b", "10.0.0.1",
					    "backend.example"};
	struct client_tls settings = simple;
	struct {
		const char *certificate;
		bool good;
	} cases[] = {
	    {"URI:spiffe://cluster.local/ns/a/sa/b", true},
	    {"URI:spiffe://other,URI:spiffe://cluster.local/ns/a/sa/b", true},
	    {"URI:spiffe://cluster.local/ns/a/sa/bb", false},
	    {"URI:spiffe://cluster.local/ns/a/sa", false},
	    {"URI:SPIFFE://cluster.local/ns/a/sa/b", false},
	    {"IP:10.0.0.1", true},
	    {"DNS:10.0.0.1", false},
	    {"DNS:backend.example", true},
	    {"DNS:*.example", false}, /* OpenSSL wants two labels behind a wildcard */
	    {"URI:backend.example", false},
	    {"DNS:" HOST, false}, /* the server name is no longer asked for */
	};

	settings.subject_alt_names = names;
	settings.n_subject_alt_names = 3;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cert *leaf = leaf_new(ca, cases[i].certificate);
		struct server server = {.cert = leaf};
		if (cases[i].good)
			ck_good(&settings, HOST, &server);
		else
			ck_bad(&settings, HOST, &server,
			       "certificate verify failed: hostname mismatch "
			       "(spiffe://cluster.local/ns/a/sa/b, 10.0.0.1, backend.example)");
		cert_free(leaf);
	}
}
END_TEST

START_TEST(the_chain_is_verified)
{
	struct cert *other = ca_new("Other CA");
	struct cert *unknown = leaf_new(other, "DNS:" HOST);
	struct cert *itself = leaf_new(NULL, "DNS:" HOST);
	struct cert *expired = cert_new(
	    ca, &(struct cert_spec){.names = "DNS:" HOST, .from_days = -9, .until_days = -2});
	struct cert *early = cert_new(
	    ca, &(struct cert_spec){.names = "DNS:" HOST, .from_days = 2, .until_days = 9});
	struct cert *no_ca = leaf_new(ca, "DNS:" HOST);
	struct cert *under_no_ca = leaf_new(no_ca, "DNS:" HOST);
	struct cert *bad[] = {unknown, itself, expired, early, under_no_ca};
	static const char *const why[] = {
	    "unable to get local issuer certificate",
	    "self-signed certificate",
	    "certificate has expired",
	    "certificate is not yet valid",
	    "invalid CA certificate",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct server server = {.cert = bad[i]};
		char text[128];
		snprintf(text, sizeof(text), "certificate verify failed: %s", why[i]);
		ck_bad(&simple, HOST, &server, text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cert_free(bad[i]);
	cert_free(no_ca);
	cert_free(other);
}
END_TEST

START_TEST(intermediate_cas_are_sent_or_trusted)
{
	struct cert *middle =
	    cert_new(ca, &(struct cert_spec){.common_name = "Middle CA", .ca = true});
	struct cert *leaf = leaf_new(middle, "DNS:" HOST);
	struct cert alone = {.x509 = leaf->x509, .key = leaf->key};
	struct server sends_all = {.cert = leaf}, sends_leaf = {.cert = &alone};
	struct client_tls trusts_middle = simple;

	trusts_middle.ca_certificates = write_certificate("middle.pem", middle, false);
	ck_good(&simple, HOST, &sends_all);
	ck_bad(&simple, HOST, &sends_leaf,
	       "certificate verify failed: unable to get local issuer certificate");
	ck_good(&trusts_middle, HOST, &sends_leaf);
	cert_free(leaf);
	cert_free(middle);
}
END_TEST

START_TEST(revoked_certificates_are_refused)
{
	struct cert *good = leaf_new(ca, "DNS:" HOST), *revoked = leaf_new(ca, "DNS:" HOST);
	struct cert *other = ca_new("Other CA");
	struct server good_server = {.cert = good}, revoked_server = {.cert = revoked};
	struct client_tls settings = simple;

	settings.ca_crl = write_crl("crl.pem", ca, revoked);
	ck_good(&settings, HOST, &good_server);
	ck_bad(&settings, HOST, &revoked_server, "certificate verify failed: certificate revoked");
	settings.ca_crl = write_crl("other.pem", other, NULL);
	ck_bad(&settings, HOST, &good_server,
	       "certificate verify failed: unable to get certificate CRL");
	cert_free(good);
	cert_free(revoked);
	cert_free(other);
}
END_TEST

START_TEST(insecure_skip_verify_turns_it_all_off)
{
	struct cert *leaf = cert_new(NULL, &(struct cert_spec){.from_days = -9, .until_days = -2});
	struct server server = {.cert = leaf};
	struct client_tls settings = {.mode = TLS_MODE_SIMPLE, .insecure_skip_verify = true};

	ck_good(&settings, HOST, &server);
	ck_good(&settings, "127.0.0.1", &server);
	cert_free(leaf);
}
END_TEST

START_TEST(mutual_tls_presents_its_certificate)
{
	struct cert *leaf = leaf_new(ca, "DNS:" HOST);
	struct cert *client = cert_new(ca, &(struct cert_spec){.common_name = "the client"});
	struct server server = {.cert = leaf, .client_ca = ca};
	struct client_tls settings = simple;

	settings.mode = TLS_MODE_MUTUAL;
	settings.client_certificate = write_certificate("client.pem", client, true);
	settings.private_key = write_key("client.key", client, NULL);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		server.min_version = server.max_version = version;
		struct link *link = connect_to(&settings, HOST, &server);
		ck_assert_int_eq(link->outcome, 0);
		ck_assert_str_eq(link->client_name, "the client");
		link_free(link);
		server_release(&server);
	}
	/* SIMPLE has none to show, even where files are named */
	settings.mode = TLS_MODE_SIMPLE;
	struct link *link = link_new(tls, &settings, HOST, &server, 0);
	ck_assert_int_eq(link->outcome, 0); /* TLS 1.3: the client learns of it when it reads */
	ck_assert_int_eq(io_read(link->client, &(char){0}, 1), IO_ERR);
	ck_assert_str_eq(io_error(link->client),
			 "TLS read: the server sent alert \"certificate required\"");
	ck_assert_str_eq(link->client_name, "");
	link_free(link);
	server_release(&server);
	server.min_version = server.max_version = TLS1_2_VERSION;
	ck_bad(&settings, HOST, &server,
	       "TLS handshake: the server sent alert \"handshake failure\"");
	cert_free(client);
	cert_free(leaf);
}
END_TEST

START_TEST(a_wrong_server_never_sees_the_client_certificate)
{
	struct cert *leaf = leaf_new(ca, "DNS:elsewhere.example");
	struct server server = {.cert = leaf, .client_ca = ca};
	struct client_tls settings = simple;

	settings.mode = TLS_MODE_MUTUAL;
	settings.client_certificate = write_certificate("client.pem", leaf, true);
	settings.private_key = write_key("client.key", leaf, NULL);
	struct link *link = connect_to(&settings, HOST, &server);
	ck_assert_int_eq(link->outcome, IO_ERR);
	ck_assert_str_eq(io_error(link->client), MISMATCH);
	ck_assert_str_eq(link->client_name, "");
	link_free(link);
	server_release(&server);
	cert_free(leaf);
}
END_TEST

START_TEST(versions_are_1_2_and_1_3)
{
	struct cert *leaf = leaf_new(ca, "DNS:" HOST);
	static const struct {
		int version;
		const char *name;
	} cases[] = {{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}};

	for (size_t i = 0; i < 2; i++) {
		struct server server = {
		    .cert = leaf, .min_version = cases[i].version, .max_version = cases[i].version};
		struct link *link = connect_to(&simple, HOST, &server);
		ck_assert_int_eq(link->outcome, 0);
		ck_assert_str_eq(tls_version(link->client), cases[i].name);
		ck_assert_ptr_null(tls_version(link->lower));
		ck_assert(!tls_resumed(link->lower) && !link->lower->truncated);
		link_free(link);
		server_release(&server);
	}
	struct server old = {
	    .cert = leaf, .min_version = TLS1_1_VERSION, .max_version = TLS1_1_VERSION};
	ck_bad(&simple, HOST, &old, "TLS handshake: the server sent alert \"protocol version\"");
	cert_free(leaf);
}
END_TEST

START_TEST(alpn_offers_http_1_1)
{
	struct cert *leaf = leaf_new(ca, "DNS:" HOST);
	struct server server = {.cert = leaf};
	static const char *const picks[] = {NULL, "http/1.1"};

	for (size_t i = 0; i < 2; i++) {
		server.alpn = picks[i];
		struct link *link = connect_to(&simple, HOST, &server);
		ck_assert_int_eq(link->outcome, 0);
		ck_assert(link->offered_http1);
		link_free(link);
		server_release(&server);
	}
	/* what was not offered must not be chosen */
	server.alpn = "h2";
	ck_bad(&simple, HOST, &server, "TLS handshake: bad extension");

	/* not asked for */
	struct io *end[2];
	memory_io_pair(end, 16384);
	struct io *io = tls_connect(tls, &simple, HOST, false, end[0], NULL);
	char hello[4096];
	ck_assert_int_eq(io_handshake(io), IO_WANT_READ);
	ssize_t n = io_read(end[1], hello, sizeof(hello));
	ck_assert_int_gt(n, 0);
	ck_assert_ptr_null(memmem(hello, (size_t)n, "http/1.1", 8));
	io_close(io, false);
	io_close(end[1], false);
	cert_free(leaf);
}
END_TEST

START_TEST(the_server_name_is_sent_unless_it_is_an_address)
{
	struct cert *leaf = leaf_new(ca, "DNS:" HOST ",IP:127.0.0.1,IP:::1");
	struct server server = {.cert = leaf};
	static const char *const names[][2] = {
	    {HOST, HOST}, {HOST ".", HOST}, {"127.0.0.1", ""}, {"::1", ""}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct link *link = connect_to(&simple, names[i][0], &server);
		ck_assert_int_eq(link->outcome, 0);
		ck_assert_str_eq(link->sni, names[i][1]);
		link_free(link);
	}
	server_release(&server);
	cert_free(leaf);
}
END_TEST

/* What is not TLS at all gets a hint, and not a byte of the request. */
START_TEST(a_plaintext_server_is_found_out)
{
	static const struct {
		const char *sends, *why;
	} cases[] = {
	    {"HTTP/1.1 400 Bad Request\r\n\r\n",
	     "TLS handshake: wrong version number (is the server speaking TLS on this port?)"},
	    {"220 mail.example ESMTP\r\n",
	     "TLS handshake: wrong version number (is the server speaking TLS on this port?)"},
	    {"", "TLS handshake: connection closed"},
	    {"\x16\x03\x03", "TLS handshake: connection closed"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io *end[2];
		char sent[4096];
		memory_io_pair(end, 16384);
		struct io *io = tls_connect(tls, &simple, HOST, true, end[0], NULL);
		ck_assert_int_eq(io_write(io, "secret", 6), IO_WANT_READ);
		ck_assert_int_eq(io_write(end[1], cases[i].sends, strlen(cases[i].sends)),
				 strlen(cases[i].sends));
		io_shutdown(end[1]);
		ck_assert_int_eq(io_handshake(io), IO_ERR);
		ck_assert_str_eq(io_error(io), cases[i].why);
		ck_assert_int_eq(io_write(io, "secret", 6), IO_ERR);
		ssize_t n = io_read(end[1], sent, sizeof(sent));
		ck_assert_int_gt(n, 0);
		ck_assert_ptr_null(memmem(sent, (size_t)n, "secret", 6));
		io_close(io, false);
		io_close(end[1], false);
	}
}
END_TEST

Suite *tls_suite(void);
Suite *tls_suite(void)
{
	Suite *suite = suite_create("tls");
	TCase *tcase = tcase_create("tls");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, the_name_is_verified);
	tcase_add_test(tcase, wildcards_stand_for_one_label);
	tcase_add_test(tcase, the_common_name_does_not_count);
	tcase_add_test(tcase, addresses_are_verified_as_such);
	tcase_add_test(tcase, any_subject_alt_name_may_match);
	tcase_add_test(tcase, the_chain_is_verified);
	tcase_add_test(tcase, intermediate_cas_are_sent_or_trusted);
	tcase_add_test(tcase, revoked_certificates_are_refused);
	tcase_add_test(tcase, insecure_skip_verify_turns_it_all_off);
	tcase_add_test(tcase, mutual_tls_presents_its_certificate);
	tcase_add_test(tcase, a_wrong_server_never_sees_the_client_certificate);
	tcase_add_test(tcase, versions_are_1_2_and_1_3);
	tcase_add_test(tcase, alpn_offers_http_1_1);
	tcase_add_test(tcase, the_server_name_is_sent_unless_it_is_an_address);
	tcase_add_test(tcase, a_plaintext_server_is_found_out);
	suite_add_tcase(suite, tcase);
	return suite;
}
