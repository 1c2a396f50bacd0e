/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the candidate that a misspelt word is nearest to. */
#ifndef RULES_SUGGEST_H
#define RULES_SUGGEST_H

#include <stddef.h>

struct suggestion {
	const char *word;
	size_t len;
	const char *best; /* NULL: nothing is near enough */
	size_t distance;  /* of the best, or the first that is too far */
};

void suggestion_init(struct suggestion *suggestion, const char *word);

/* Consider a candidate. It is not copied. The first of equals stays. */
void suggestion_offer(struct suggestion *suggestion, const char *candidate);

#endif
