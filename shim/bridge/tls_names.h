/* SPDX-License-Identifier: Apache-2.0 */
/* Whose certificate it is. Private to tls*.c. */
#ifndef SHIM_BRIDGE_TLS_NAMES_H
#define SHIM_BRIDGE_TLS_NAMES_H

#include <openssl/types.h>
#include <stdbool.h>

/* Whether it is an IPv4 or IPv6 literal (without brackets). */
bool tls_is_address(const char *name);

/*
 * Whether the certificate is for this name: a URI ("spiffe://...") by an equal URI name, an IP
 * literal by an IP name, anything else by a DNS name, whose first label may be a wildcard as a
 * whole (RFC 6125 6.4.3). The subject's common name does not count.
 */
bool tls_certificate_is_for(X509 *certificate, const char *name);

#endif
