/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edit distance with swaps of neighbours (optimal string alignment), without case, over three rows.
 */
#include "rules/suggest.h"

#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"

#define WORD_MAX 128

void suggestion_init(struct suggestion *suggestion, const char *word)
{
	suggestion->word = word;
	suggestion->len = strlen(word);
	suggestion->best = NULL;
	/* A third of the word may be wrong; beyond that a guess is noise. */
	suggestion->distance = suggestion->len / 3 + 1;
	if (suggestion->distance > 6)
		suggestion->distance = 6;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len, size_t limit)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *recycled = before, least = row[0] = i;

		for (size_t j = 1; j <= b_len; j++) {
			size_t cost = ascii_lower(a[i - 1]) != ascii_lower(b[j - 1]);

			row[j] = smaller(last[j - 1] + cost, smaller(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && ascii_lower(a[i - 1]) == ascii_lower(b[j - 2]) &&
			    ascii_lower(a[i - 2]) == ascii_lower(b[j - 1]))
				row[j] = smaller(row[j], before[j - 2] + 1);
			least = smaller(least, row[j]);
		}
		if (least > limit)
			return least;
		before = last;
		last = row;
		row = recycled;
	}
	return last[b_len];
}

void suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
	size_t len = strlen(candidate), distance;

	if (len > WORD_MAX || suggestion->len > WORD_MAX || !suggestion->len)
		return;
	if (len > suggestion->len + suggestion->distance ||
	    suggestion->len > len + suggestion->distance)
		return;
	distance =
	    edit_distance(suggestion->word, suggestion->len, candidate, len, suggestion->distance);
	if (distance < suggestion->distance) {
		suggestion->distance = distance;
		suggestion->best = candidate;
	}
}
