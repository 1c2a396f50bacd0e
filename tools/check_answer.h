/* SPDX-License-Identifier: Apache-2.0 */
/* What --explain knows before it prints: both its forms are written from this, so that they cannot
 * disagree. */
#ifndef TOOLS_CHECK_ANSWER_H
#define TOOLS_CHECK_ANSWER_H

#include "rules/explain.h"
#include "rules/resilience.h"
#include "rules/header_edit.h"
#include "tools/check_explain.h"

struct answer {
	enum rules_connection connection;
	const char *action; /* DESIGN section 7 */
	struct verdict verdict;
	bool http;	       /* a request was matched, not a connection */
	const char *authority; /* after all edits */
	char *target;	       /* after the rewrite; malloc'd; NULL: it cannot be made */
	char *location;	       /* what the response's field points to; malloc'd, or NULL */
	int status;	       /* of an answer without destination; 0: none */
	struct edited_fields fields;   /* of the request */
	struct edited_fields response; /* of an answer without destination */
	struct resilience resilience;
	size_t n_destinations;
	bool encrypted; /* by the program itself: no TLS of the bridge's own on top */
};

/* Ask. `note` may be NULL. */
void answer_init(struct answer *answer, const struct rules *rules,
		 const struct explain_request *request, explain_note_fn *note);
void answer_release(struct answer *answer);

extern const char *const protocol_names[], *const resolution_names[], *const tls_mode_names[];

/* Whether the bridge encrypts what goes to a cluster. */
bool answer_originates_tls(const struct answer *answer, const struct cluster *cluster);

/* The names that the server's certificate is checked for; `own` holds the server name. */
size_t answer_verified_names(const struct cluster *cluster, const char *own,
			     const char *const **names, const char **one);

#endif
