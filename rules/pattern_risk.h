/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RULES_PATTERN_RISK_H
#define RULES_PATTERN_RISK_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a pattern, as pattern_translate() wrote it, might hit every bound on a text of 8 KB. In a
 * `search` repetitions inside of repetitions are enough for that. */
bool pattern_text_risky(const char *text, size_t len, bool search);

#endif
