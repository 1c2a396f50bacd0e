/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names and addresses as Istio's validation defines them (pkg/config/validation/agent).
 * The texts of errors are Istio's.
 */
#ifndef RULES_HOSTNAME_H
#define RULES_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/rules.h"

struct hostname_error {
	char text[400]; /* one line, no full stop */
};

/* A name of DNS labels; a trailing dot is allowed. */
bool hostname_is_fqdn(const char *name, struct hostname_error *error);

/* The same, or one whose first label is a wildcard: "*", "*-x", "*x". */
bool hostname_is_wildcard_domain(const char *name, struct hostname_error *error);

/* An RFC 1123 label of at most 63 characters in lower case, as Kubernetes wants port names. */
bool hostname_is_label(const char *name);

/* An IPv4 or IPv6 literal, without brackets or zone. `address` may be NULL. */
bool hostname_is_address(const char *text, struct in6_addr *address);

/* An address or a CIDR block. `cidr` tells which it is. Host bits of a block are cleared. */
bool hostname_parse_cidr(const char *text, struct rules_address *address, bool *cidr);

/* Whether an address lies in a block. */
bool hostname_in_block(const struct rules_address *block, const struct in6_addr *address);

/*
 * Into `out`: lower case, without a trailing dot. Returns the length, or 0: empty or longer than a
 * name can be.
 */
size_t hostname_normalize(const char *name, size_t len, char out[256]);

/*
 * The host part of an authority: without port and brackets, normalized. Returns the length, 0 as
 * above, and where there is user information.
 */
size_t hostname_of_authority(const char *authority, char out[256]);

#endif
