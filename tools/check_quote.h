/* SPDX-License-Identifier: Apache-2.0 */
/* The line of a file that a diagnostic is about. */
#ifndef TOOLS_CHECK_QUOTE_H
#define TOOLS_CHECK_QUOTE_H

#include <stddef.h>
#include <stdio.h>

/* The file that was asked for last, to be zeroed at first. */
struct quote {
	char *file, *text;
	size_t len, at; /* `at`: where `line` begins */
	int line;
};

/*
 * Print "    31 | text" for a line of a file. Prints nothing when the file cannot be read (any
 * more), has no such line, or the line is not UTF-8; control characters become "?", what is very
 * long is cut.
 */
void quote_print(struct quote *quote, const char *file, int line, FILE *out);

void quote_release(struct quote *quote);

#endif
