/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the registry says to the query of a program that has a resolver of its own: what the hook on
 * getaddrinfo(3) would say, as a DNS message.
 *
 *   A, AAAA, ANY   the addresses of names_search(), which knows the host with the first search
 *                  domain behind it too; none of that family: NOERROR without records
 *   CNAME          NOERROR without records
 *   SVCB, HTTPS    the same, since their hints would lead around the mesh; also for the names
 *                  _port._scheme.host that RFC 9460 makes
 *   PTR            the name behind a synthetic address; nobody has it: NXDOMAIN
 *
 * Anything else is the real server's business, other types for a registry name too (MX, TXT, SRV:
 * as Istio's DNS proxy does), and so is every message without one question that can be read. With a
 * question of ours, and something wrong behind it, it gets FORMERR: the server might answer it.
 *
 * So are the names of hosts whose resolution is NONE. What the server says of them is not noted
 * (learned.h): to a program that asks by itself it is an address like any other.
 *
 * Threads: any. Reads the rules if that is due. errno is preserved.
 */
#ifndef SHIM_DNS_ANSWER_H
#define SHIM_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/dns_message.h"

/* Whether a query with this question is answered here. */
bool dns_is_ours(const struct dns_question *question);

/* The answer to a message. Returns its length, or 0: it is to go to the real server. */
size_t dns_answer(const void *message, size_t len, uint8_t out[DNS_REPLY_MAX]);

#endif
