/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/hostname.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"

#define LABEL_MAX    63
#define NAME_MAX_LEN 255

static bool valid_label(const char *label, size_t len)
{
	if (!len || len > LABEL_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_alnum(label[i]) && (label[i] != '-' || !i || i == len - 1))
			return false;
	return true;
}

/* "*", "*-x" and "*x": what follows the star is any run of label characters. */
static bool valid_wildcard_label(const char *label, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (!ascii_is_alnum(label[i]) && (label[i] != '-' || i == len - 1))
			return false;
	return len >= 1 && len <= LABEL_MAX && label[0] == '*';
}

static bool all_digits(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_digit(text[i]))
			return false;
	return len > 0;
}

static bool check_labels(const char *name, bool wildcard, struct hostname_error *error)
{
	const char *label = name;
	size_t len;

	for (;; label += len + 1) {
		len = strcspn(label, ".");
		/* An empty last label makes an unambiguous name: "istio.io." */
		if (!len && !label[0] && label != name)
			return true;
		if (!(wildcard && label == name && label[0] == '*'
			  ? valid_wildcard_label(label, len)
			  : valid_label(label, len))) {
			snprintf(error->text, sizeof(error->text),
				 "domain name \"%.255s\" invalid (label \"%.*s\" invalid)", name,
				 (int)(len > 64 ? 64 : len), label);
			return false;
		}
		if (label[len])
			continue;
		if (!all_digits(label, len))
			return true;
		snprintf(error->text, sizeof(error->text),
			 "domain name \"%.255s\" invalid (top level domain \"%.*s\" cannot be "
			 "all-numeric)",
			 name, (int)len, label);
		return false;
	}
}

static bool check_domain(const char *name, bool wildcard, struct hostname_error *error)
{
	size_t len = strlen(name);

	if (!len) {
		snprintf(error->text, sizeof(error->text), "empty domain name not allowed");
		return false;
	}
	if (len > NAME_MAX_LEN) {
		snprintf(error->text, sizeof(error->text),
			 "domain name \"%.64s...\" too long (max 255)", name);
		return false;
	}
	return check_labels(name, wildcard, error);
}

bool hostname_is_fqdn(const char *name, struct hostname_error *error)
{
	return check_domain(name, false, error);
}

bool hostname_is_wildcard_domain(const char *name, struct hostname_error *error)
{
	return check_domain(name, true, error);
}

bool hostname_is_label(const char *name)
{
	return valid_label(name, strlen(name));
}

bool hostname_is_address(const char *text, struct in6_addr *address)
{
	struct in6_addr v6 = {0};
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		v6.s6_addr[10] = v6.s6_addr[11] = 0xff;
		memcpy(v6.s6_addr + 12, &v4, 4);
	} else if (inet_pton(AF_INET6, text, &v6) != 1) {
		return false;
	}
	if (address)
		*address = v6;
	return true;
}

static void clear_host_bits(struct in6_addr *address, unsigned prefix)
{
	for (unsigned bit = prefix; bit < 128; bit++)
		address->s6_addr[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
}

bool hostname_parse_cidr(const char *text, struct rules_address *address, bool *cidr)
{
	const char *slash = strchr(text, '/');
	char literal[64];
	unsigned prefix = 0, bits;

	*cidr = slash != NULL;
	if (!slash) {
		address->prefix = 128;
		return hostname_is_address(text, &address->address);
	}
	if ((size_t)(slash - text) >= sizeof(literal) || !all_digits(slash + 1, strlen(slash + 1)))
		return false;
	snprintf(literal, sizeof(literal), "%.*s", (int)(slash - text), text);
	if (!hostname_is_address(literal, &address->address))
		return false;
	bits = strchr(literal, ':') ? 128 : 32;
	for (const char *digit = slash + 1; *digit && prefix <= bits; digit++)
		prefix = prefix * 10 + (unsigned)(*digit - '0');
	if (prefix > bits)
		return false;
	address->prefix = prefix + 128 - bits;
	clear_host_bits(&address->address, address->prefix);
	return true;
}

bool hostname_in_block(const struct rules_address *block, const struct in6_addr *address)
{
	for (unsigned bit = 0; bit < block->prefix; bit++) {
		unsigned mask = 0x80U >> bit % 8;

		if ((block->address.s6_addr[bit / 8] ^ address->s6_addr[bit / 8]) & mask)
			return false;
	}
	return true;
}

size_t hostname_normalize(const char *name, size_t len, char out[256])
{
	if (len && name[len - 1] == '.')
		len--;
	if (len > NAME_MAX_LEN)
		len = 0;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)ascii_lower(name[i]);
	out[len] = '\0';
	return len;
}

size_t hostname_of_authority(const char *authority, char out[256])
{
	const char *host = authority, *end;

	/* HTTP has no user information in an authority (RFC 9110 4.2.4), and Envoy does not look
	 * behind it: such a name is nobody's. */
	if (strchr(authority, '@'))
		return hostname_normalize("", 0, out);
	if (host[0] == '[') {
		end = strchr(++host, ']');
		return hostname_normalize(host, end ? (size_t)(end - host) : strlen(host), out);
	}
	end = strrchr(host, ':');
	/* More than one colon is an IPv6 literal without brackets, not a port. */
	if (!end || memchr(host, ':', (size_t)(end - host)))
		end = host + strlen(host);
	return hostname_normalize(host, (size_t)(end - host), out);
}
