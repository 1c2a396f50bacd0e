/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers with a point in text. strtod(3) and printf(3) take the decimal sign from the program's
 * locale, where it may be a comma.
 */
#ifndef RULES_DECIMAL_H
#define RULES_DECIMAL_H

/* As strtod(3) in the "C" locale. */
double decimal_parse(const char *text, char **end);

/* The shortest decimal form that reads back to the same number. Returns `out`. */
#define DECIMAL_MAX 40
const char *decimal_format(double value, char out[DECIMAL_MAX]);

#endif
