/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a store of trusted certificates. Private to tls*.c. Each returns 0, or -1 with err set.
 */
#ifndef SHIM_BRIDGE_TLS_STORE_H
#define SHIM_BRIDGE_TLS_STORE_H

#include <openssl/types.h>

#include "shim/err.h"

/* The certificates of a PEM file. */
int tls_store_add_file(X509_STORE *store, const char *path, struct err *err);

/* The revocation lists of a PEM file; every certificate of a chain is checked from now on, and
 * must be covered by a list (as Envoy does it). */
int tls_store_add_crl(X509_STORE *store, const char *path, struct err *err);

/* Where a system keeps its CA certificates; each list ends with NULL. */
struct tls_system {
	const char *dirs[4];	/* hashed directories, looked into when a certificate is needed */
	const char *bundles[4]; /* PEM files, for systems without a hashed directory */
};

/* Where this system keeps them. */
struct tls_system tls_store_system(void);

/*
 * All directories that have hashed entries; if there is none, the first bundle that exists. The
 * environment (SSL_CERT_FILE, SSL_CERT_DIR) has no say.
 */
int tls_store_add_system(X509_STORE *store, const struct tls_system *system, struct err *err);

#endif
