/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ca.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY = 24 * 60 * 60, PATHS = 32 };

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ck_assert_msg(extension != NULL, "bad extension: %s", value);
	X509_add_ext(x509, extension, -1);
	X509_EXTENSION_free(extension);
}

struct cert *cert_new(const struct cert *issuer, const struct cert_spec *spec)
{
	static long serial = 1000;
	struct cert *cert = calloc(1, sizeof(*cert));
	const char *common_name = spec->common_name ? spec->common_name : "test";

	ck_assert_ptr_nonnull(cert);
	cert->issuer = issuer;
	cert->key = EVP_EC_gen("P-256");
	cert->x509 = X509_new();
	X509 *above = issuer ? issuer->x509 : cert->x509;
	X509_set_version(cert->x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert->x509), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert->x509),
			(spec->from_days ? spec->from_days : -1) * DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert->x509),
			(spec->until_days ? spec->until_days : 30) * DAY);
	X509_set_pubkey(cert->x509, cert->key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert->x509), "CN", MBSTRING_UTF8,
				   (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(cert->x509, X509_get_subject_name(above));
	if (spec->ca) {
		add_extension(cert->x509, above, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(cert->x509, above, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	add_extension(cert->x509, above, NID_subject_key_identifier, "hash");
	add_extension(cert->x509, above, NID_authority_key_identifier, "keyid:always");
	if (spec->names)
		add_extension(cert->x509, above, NID_subject_alt_name, spec->names);
	ck_assert_int_gt(X509_sign(cert->x509, issuer ? issuer->key : cert->key, EVP_sha256()), 0);
	return cert;
}

struct cert *ca_new(const char *common_name)
{
	return cert_new(NULL, &(struct cert_spec){.common_name = common_name, .ca = true});
}

struct cert *leaf_new(const struct cert *issuer, const char *names)
{
	return cert_new(issuer, &(struct cert_spec){.names = names});
}

void cert_free(struct cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->key);
	free(cert);
}

/* ---- files ------------------------------------------------------------------------------ */

static char directory[64];
static char *paths[PATHS];
static size_t n_paths;

const char *scratch(const char *name)
{
	if (!directory[0]) {
		strcpy(directory, "/tmp/meshshim-unit-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(directory));
	}
	if (!name)
		return directory;
	ck_assert_uint_lt(n_paths, PATHS);
	ck_assert_int_gt(asprintf(&paths[n_paths], "%s/%s", directory, name), 0);
	return paths[n_paths++];
}

void scratch_remove(void)
{
	DIR *dir = directory[0] ? opendir(directory) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir) {
		closedir(dir);
		rmdir(directory);
	}
	while (n_paths > 0)
		free(paths[--n_paths]);
	directory[0] = '\0';
}

static FILE *create(const char *path)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	return file;
}

const char *write_certificate(const char *name, const struct cert *cert, bool chain)
{
	const char *path = scratch(name);
	FILE *file = create(path);

	do {
		ck_assert_int_eq(PEM_write_X509(file, cert->x509), 1);
		cert = cert->issuer;
	} while (chain && cert && cert->issuer);
	fclose(file);
	return path;
}

const char *write_key(const char *name, const struct cert *cert, const char *passphrase)
{
	const char *path = scratch(name);
	FILE *file = create(path);

	ck_assert_int_eq(PEM_write_PrivateKey(file, cert->key,
					      passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
					      (void *)(uintptr_t)passphrase),
			 1);
	fclose(file);
	return path;
}

const char *write_crl(const char *name, const struct cert *ca, const struct cert *revoked)
{
	const char *path = scratch(name);
	FILE *file = create(path);
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, DAY);

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	if (revoked) {
		X509_REVOKED *entry = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->x509));
		X509_REVOKED_set_revocationDate(entry, now);
		X509_CRL_add0_revoked(crl, entry);
	}
	ck_assert_int_gt(X509_CRL_sign(crl, ca->key, EVP_sha256()), 0);
	ck_assert_int_eq(PEM_write_X509_CRL(file, crl), 1);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
	fclose(file);
	return path;
}

const char *write_text(const char *name, const char *text)
{
	const char *path = scratch(name);
	FILE *file = create(path);

	fputs(text, file);
	fclose(file);
	return path;
}
