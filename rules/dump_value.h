/* SPDX-License-Identifier: Apache-2.0 */
/* What both forms of a dump ask of a value, private to rules/. */
#ifndef RULES_DUMP_VALUE_H
#define RULES_DUMP_VALUE_H

#include "rules/duration.h"
#include "rules/schema.h"

/* Whether the key was there, with a value that could be read. */
bool dump_is_set(const struct key *key, const void *value);

/* The name of a choice, as Istio spells it. */
const char *dump_choice(const struct key *key, const struct choice *choice);

/* What a KIND_GROUP points to. */
const void *dump_pointer(const void *value);

/* A file name made absolute, malloc'd; NULL: it is to stay as it is. */
char *dump_absolute(const struct text *text);

#endif
