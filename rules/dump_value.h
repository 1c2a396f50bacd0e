/* SPDX-License-Identifier: Apache-2.0 */
/* What both forms of a dump ask of a value, private to rules/. */
#ifndef RULES_DUMP_VALUE_H
#define RULES_DUMP_VALUE_H

#include "rules/decimal.h"
#include "rules/duration.h"
#include "rules/schema.h"

/* Whether the key was there, with a value that could be read. */
bool dump_is_set(const struct key *key, const void *value);

/* The name of a choice, as Istio spells it. */
const char *dump_choice(const struct key *key, const struct choice *choice);

/* What a KIND_GROUP points to, and the i-th struct of a KIND_GROUPS. */
const void *dump_pointer(const void *value);
const void *dump_item(const struct key *key, const struct list *list, size_t i);

/* Whether a text is a file name that means something only beside its rule file. */
bool dump_is_relative(const struct key *key, const struct text *text);

/* That name made absolute, malloc'd; NULL: out of memory, or the rule file's directory is gone. */
char *dump_absolute(const struct text *text);

#endif
