/* SPDX-License-Identifier: Apache-2.0 */
/* meshshim-check --explain: what would happen to one request, and why. Nothing is sent. */
#ifndef TOOLS_CHECK_EXPLAIN_H
#define TOOLS_CHECK_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/rules.h"

#define EXPLAIN_MAX_HEADERS 100

enum explain_scheme {
	EXPLAIN_HTTP,
	EXPLAIN_HTTPS, /* the program encrypts by itself, with the host as SNI */
	EXPLAIN_TCP,
};

/* A request as the command line gives it. The texts belong to the command line. */
struct explain_request {
	const char *method;
	char *target; /* from the URL: path and query, "/" if it had none; malloc'd */
	char authority[512]; /* Host header: from the URL, or -H Host */
	char name[256];	     /* host of the URL: what the program would resolve */
	uint16_t port;
	enum explain_scheme scheme;
	struct in6_addr address; /* of the URL, where it was one */
	bool has_address;
	struct field fields[EXPLAIN_MAX_HEADERS];
	size_t n_fields;
};

/* Take an absolute http, https or tcp URL apart. Returns NULL, or what is wrong with it. */
const char *explain_set_url(struct explain_request *request, const char *url);

/* Take a "Name: value"; one named Host becomes the authority. NULL, or what is wrong. */
const char *explain_add_header(struct explain_request *request, const char *text);

/* An address in the URL that a ServiceEntry lists stands for that entry's host, as it does when a
 * program dials it. */
void explain_find_address(const struct rules *rules, struct explain_request *request);

/* Print on standard output. */
void explain_text(const struct rules *rules, const struct explain_request *request);
void explain_json(const struct rules *rules, const struct explain_request *request);

#endif
