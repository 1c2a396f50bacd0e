/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hashed directory costs nothing until a certificate's issuer is looked up in it, and then one
 * small file; a bundle of all CAs takes some 15 ms to read. So bundles come last.
 */
#include "shim/bridge/tls_store.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/bridge/tls_error.h"

int tls_store_add_file(X509_STORE *store, const char *path, struct err *err)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!lookup || X509_LOOKUP_load_file(lookup, path, X509_FILETYPE_PEM) != 1) {
		tls_error(err, "CA certificates %s", path);
		return -1;
	}
	return 0;
}

int tls_store_add_crl(X509_STORE *store, const char *path, struct err *err)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0) {
		tls_error(err, "certificate revocation list %s", path);
		return -1;
	}
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

struct tls_system tls_store_system(void)
{
	return (struct tls_system){
	    .dirs = {X509_get_default_cert_dir(), "/etc/ssl/certs", "/etc/pki/tls/certs"},
	    .bundles = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
			"/etc/ssl/cert.pem"},
	};
}

/* "5ad8a5d6.0": the hash of a subject, in hexadecimal, and a number. */
static bool is_hashed_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] >= '0' &&
	       name[9] <= '9';
}

static bool has_hashed_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir)))
		found = is_hashed_name(entry->d_name);
	closedir(dir);
	return found;
}

static int add_dir(X509_STORE *store, const char *path, struct err *err)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

	if (!lookup || X509_LOOKUP_add_dir(lookup, path, X509_FILETYPE_PEM) != 1) {
		tls_error(err, "CA certificates %s", path);
		return -1;
	}
	return 0;
}

int tls_store_add_system(X509_STORE *store, const struct tls_system *system, struct err *err)
{
	bool found = false;

	for (const char *const *dir = system->dirs; *dir; dir++) {
		if (!has_hashed_entries(*dir))
			continue;
		if (add_dir(store, *dir, err) < 0)
			return -1;
		found = true;
	}
	if (found)
		return 0;
	for (const char *const *bundle = system->bundles; *bundle; bundle++)
		if (access(*bundle, R_OK) == 0)
			return tls_store_add_file(store, *bundle, err);
	err_set(err, 0, "no system CA certificates found (is ca-certificates installed?)");
	return -1;
}
