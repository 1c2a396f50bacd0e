/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/tls_names.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <string.h>

bool tls_is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static bool has_uri(X509 *certificate, const char *uri)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t len = strlen(uri);
	bool found = false;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI)
			continue;
		/* by length: a NUL inside must not cut it short */
		const ASN1_IA5STRING *text = name->d.uniformResourceIdentifier;
		found = (size_t)ASN1_STRING_length(text) == len &&
			memcmp(ASN1_STRING_get0_data(text), uri, len) == 0;
	}
	GENERAL_NAMES_free(names);
	return found;
}

bool tls_certificate_is_for(X509 *certificate, const char *name)
{
	const unsigned flags =
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

	if (!certificate)
		return false;
	if (strstr(name, "://"))
		return has_uri(certificate, name);
	if (tls_is_address(name))
		return X509_check_ip_asc(certificate, name, 0) == 1;
	/* OpenSSL takes a leading dot for "any name below". */
	if (name[0] == '.' || name[0] == '\0')
		return false;
	return X509_check_host(certificate, name, 0, flags, NULL) == 1;
}
