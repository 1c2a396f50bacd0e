/* SPDX-License-Identifier: Apache-2.0 */
/*
 * newlocale(3) for all categories of "C" hands out a constant of the C library's (glibc, musl):
 * nothing is allocated and nothing has to be freed. uselocale(3) concerns this thread alone.
 */
#include "rules/decimal.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

double decimal_parse(const char *text, char **end)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);

	if (!c) {
		*end = (char *)text;
		return 0;
	}
	return strtod_l(text, end, c);
}

const char *decimal_format(double value, char out[DECIMAL_MAX])
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t before = c ? uselocale(c) : (locale_t)0;
	char *end;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, DECIMAL_MAX, "%.*g", digits, value);
		if (decimal_parse(out, &end) == value)
			break;
	}
	if (before)
		uselocale(before);
	return out;
}
