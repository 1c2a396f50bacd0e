/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the translation share: pattern_syntax.c reads the whole, pattern_class.c
 * classes of characters. Private to them.
 */
#ifndef RULES_PATTERN_TRANSLATION_H
#define RULES_PATTERN_TRANSLATION_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/pattern.h"

#define MAX_DEPTH 512 /* of groups */

struct pattern_flags {
	bool fold, multi; /* "i": case does not matter, "m": ^ and $ are of lines */
};

struct translation {
	const char *at, *end;
	char *out;
	size_t len;
	enum pattern_form form;
	unsigned depth;	 /* of open groups */
	bool can_repeat; /* something stands here that a quantifier may follow */
	size_t atom;	 /* where in `out` the last atom begins */
	struct pattern_flags flags, saved[MAX_DEPTH + 1]; /* here, and where the open groups began */
	/* Flags as "(?i)", which a quantifier for what stands before them may follow. */
	char pending[64];
	bool quantified; /* the last atom has a quantifier */
	/* Products of the counted repetitions: in the open groups, and of the last atom. */
	unsigned repeats[MAX_DEPTH + 1], repeat;
	struct pattern_error *error;
};

/* Returns -1 with the text in the translation's error. */
int translation_fail(struct translation *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `out` has room for the longest translation of every input byte: see PATTERN_OUT_MAX. */
void translation_put(struct translation *t, const char *text);

/* A literal character. Returns 0, or -1: PCRE2 has no words for it. */
int translation_put_char(struct translation *t, unsigned long code);

bool translation_next_is(const struct translation *t, const char *text);
unsigned long translation_take_char(struct translation *t);

/* A backslash and the character `c` have been read: the character that it stands for. 0 or -1. */
int translation_char_escape(struct translation *t, unsigned long c, unsigned long *code);

/* pattern_class.c: \d \D \s \S \w \W; false: none of them. */
bool translation_perl_class(struct translation *t, unsigned long c, bool in_class);

/* \pN, \p{Name}, \p{^Name}, of which \p has been read. 0 or -1. */
int translation_property(struct translation *t, bool negated, bool in_class);

/* "[...]". 0 or -1. */
int translation_class(struct translation *t);

#endif
