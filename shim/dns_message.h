/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, EDNS of RFC 6891) as far as a resolver's query and our answer to it go.
 *
 * What is not read for certain is DNS_OTHER, and then somebody else's business: any opcode but
 * QUERY, any number of questions but one, any class but IN, names that are no host names (a dot or
 * a NUL within a label), and every malformed packet. A compression pointer in a question is
 * malformed: there is no name before it to point to.
 *
 * Pure functions; async-signal-safe.
 */
#ifndef SHIM_DNS_MESSAGE_H
#define SHIM_DNS_MESSAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_PORT         53
#define DNS_HEADER       12
#define DNS_QUESTION_MAX (DNS_HEADER + 255 + 4) /* header and question fit into so many bytes */
#define DNS_REPLY_MAX    640                    /* no reply of ours is longer */
#define DNS_TTL_S        30                     /* as Istio's DNS proxy answers */

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_BADVERS = 16, /* needs EDNS */
};

enum dns_status {
	DNS_QUERY, /* a query with one question */
	DNS_SHORT, /* so far it is one, but the data ends within header or question */
	DNS_OTHER,
};

struct dns_question {
	char name[256]; /* as text in the case that was asked, without the dot at the end */
	uint16_t type;
	size_t end; /* offset behind it in the message */
};

/* Read header and question; what follows is not looked at. */
enum dns_status dns_read_question(const void *message, size_t len, struct dns_question *question);

struct dns_query {
	struct dns_question question;
	bool edns;
	bool dnssec_ok;
	uint8_t version;       /* of EDNS */
	const uint8_t *cookie; /* in the message; NULL: none with a server's part (RFC 7873) */
	size_t cookie_len;
};

/* Read the whole of a message. False: it is no query, or anything at all is wrong with it. */
bool dns_read_query(const void *message, size_t len, struct dns_query *query);

/* What a reply has to say. */
struct dns_reply {
	enum dns_rcode rcode;
	bool has4, has6;
	struct in_addr v4;
	struct in6_addr v6;
	const char *pointer; /* the name of a PTR record, NULL: none */
};

/*
 * Write the reply to a query that dns_read_query() has read: authoritative, records with DNS_TTL_S,
 * the question as it came, EDNS if the query has it. Returns its length; 0: `pointer` is no name.
 */
size_t dns_write_reply(const void *message, const struct dns_query *query,
		       const struct dns_reply *reply, uint8_t out[DNS_REPLY_MAX]);

/*
 * The address that a name under in-addr.arpa or ip6.arpa stands for, IPv4 as v4-mapped IPv6. False:
 * the name is none of a whole address.
 */
bool dns_reverse_name(const char *name, struct in6_addr *ip);

#endif
