/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests, made while the test runs: no key is ever in the tree. Everything here
 * fails the test when it cannot do its work.
 */
#ifndef TESTS_UNIT_CA_H
#define TESTS_UNIT_CA_H

#include <openssl/x509.h>
#include <stdbool.h>

/* A certificate with its key; a CA can issue others. */
struct cert {
	X509 *x509;
	EVP_PKEY *key;
	const struct cert *issuer; /* NULL: itself */
};

/* What a certificate shall say. */
struct cert_spec {
	const char *common_name; /* NULL: "test" */
	const char *names;	 /* subjectAltName as in openssl.cnf: "DNS:a,IP:::1,URI:x://y" */
	int from_days;		 /* valid from, relative to now; 0: since yesterday */
	int until_days;		 /* valid until; 0: for a month */
	bool ca;
};

/* Issue a certificate; without issuer it signs itself. */
struct cert *cert_new(const struct cert *issuer, const struct cert_spec *spec);

/* Shorthands: a root, a leaf with these names. */
struct cert *ca_new(const char *common_name);
struct cert *leaf_new(const struct cert *issuer, const char *names);

void cert_free(struct cert *cert);

/* A directory of this test's own, and a path in it (text that lives until scratch_remove()). */
const char *scratch(const char *name);
void scratch_remove(void);

/* Write PEM files and return their path: a certificate with the CAs above it but for the root
 * (`chain`), a key (encrypted, if there is a passphrase), a list that revokes `revoked` (may be
 * NULL), any text. */
const char *write_certificate(const char *name, const struct cert *cert, bool chain);
const char *write_key(const char *name, const struct cert *cert, const char *passphrase);
const char *write_crl(const char *name, const struct cert *ca, const struct cert *revoked);
const char *write_text(const char *name, const char *text);

#endif
