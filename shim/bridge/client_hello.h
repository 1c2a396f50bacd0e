/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first message of a TLS connection, read without answering it: is it one, and whom does it ask
 * for? Pure: it looks at bytes and keeps nothing.
 *
 * RFC 8446 section 4.1.2 and 5.1 (which hold for the hellos of TLS 1.0 to 1.2 too), RFC 6066 section
 * 3 for the name. A hello may be spread over many records. With Encrypted Client Hello the name is the
 * outer one, which is the one that a sidecar would see.
 */
#ifndef SHIM_BRIDGE_CLIENT_HELLO_H
#define SHIM_BRIDGE_CLIENT_HELLO_H

#include <stddef.h>

#define CLIENT_HELLO_MAX 65536 /* bytes, with the records around it; longer ones count as not TLS */

enum client_hello {
	CLIENT_HELLO_MORE, /* it may become one: ask again with more bytes */
	CLIENT_HELLO_TLS,  /* it is one, and whole */
	CLIENT_HELLO_NONE, /* it is none: another protocol, or a hello that no server would take */
};

/*
 * Look at the first `n` bytes of a connection; never past them. CLIENT_HELLO_TLS: `name` has the server
 * name as it was sent, "" if there is none.
 */
enum client_hello client_hello_read(const char *data, size_t n, char name[256]);

#endif
