/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/duration.h"

#include <stdio.h>
#include <string.h>

#include "rules/ascii.h"

/* Longer names first, so that "ms" is not taken for minutes. */
static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\302\265s", 1000}, /* micro sign */
    {"\316\274s", 1000}, /* Greek mu */
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", 60000000000},
    {"h", 3600000000000},
};

static const struct unit *find_unit(const char *text)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strncmp(text, units[i].name, strlen(units[i].name)))
			return &units[i];
	return NULL;
}

/* One "1.5s". Digits behind a nanosecond are dropped, as in Go. */
static bool take_part(const char **text, int64_t *ns)
{
	const char *at = *text;
	const struct unit *unit;
	int64_t whole = 0, scale = 1, fraction = 0, part;
	bool digits = false;

	for (; ascii_is_digit(*at); at++, digits = true)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, *at - '0', &whole))
			return false;
	if (*at == '.')
		for (at++; ascii_is_digit(*at); at++, digits = true)
			if (scale < 1000000000000) {
				fraction = fraction * 10 + (*at - '0');
				scale *= 10;
			}
	unit = digits ? find_unit(at) : NULL;
	if (!unit || __builtin_mul_overflow(whole, unit->ns, &part))
		return false;
	fraction = (int64_t)((__int128)fraction * unit->ns / scale);
	*text = at + strlen(unit->name);
	return !__builtin_add_overflow(part, fraction, &part) &&
	       !__builtin_add_overflow(*ns, part, ns);
}

bool duration_parse(const char *text, int64_t *ns)
{
	bool negative = *text == '-';

	*ns = 0;
	if (*text == '-' || *text == '+')
		text++;
	if (!strcmp(text, "0"))
		return true;
	if (!*text)
		return false;
	while (*text)
		if (!take_part(&text, ns))
			return false;
	if (negative)
		*ns = -*ns;
	return true;
}

const char *duration_format(int64_t ns, char out[DURATION_MAX])
{
	uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
	char fraction[16];
	size_t len;

	snprintf(fraction, sizeof(fraction), ".%09u", (unsigned)(size % 1000000000));
	for (len = strlen(fraction); fraction[len - 1] == '0'; len--)
		;
	fraction[len == 1 ? 0 : len] = '\0';
	snprintf(out, DURATION_MAX, "%s%llu%ss", ns < 0 ? "-" : "",
		 (unsigned long long)(size / 1000000000), fraction);
	return out;
}
