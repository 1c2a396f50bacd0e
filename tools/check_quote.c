/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/check_quote.h"

#include <stdlib.h>
#include <string.h>

#include "rules/slurp.h"
#include "rules/utf8.h"

#define COLUMNS 160 /* characters of a line that are shown */

/* Read a file unless it is the present one. Returns whether there is a text. */
static int open_file(struct quote *quote, const char *file)
{
	struct slurp slurp = {0};

	if (quote->file && !strcmp(quote->file, file))
		return quote->text != NULL;
	quote_release(quote);
	quote->file = strdup(file);
	if (quote->file && !slurp_file(file, &slurp)) {
		quote->text = slurp.text;
		quote->len = slurp.len;
	}
	quote->line = 1;
	return quote->text != NULL;
}

/* Diagnostics come in the order of lines, or nearly so: the way to the next is short, forwards or
 * backwards. */
static const char *find_line(struct quote *quote, int line)
{
	if (line < quote->line / 2) {
		quote->line = 1;
		quote->at = 0;
	}
	for (; quote->line > line; quote->line--) {
		const char *end = memrchr(quote->text, '\n', quote->at - 1);

		quote->at = end ? (size_t)(end + 1 - quote->text) : 0;
	}
	for (; quote->line < line; quote->line++) {
		const char *end = memchr(quote->text + quote->at, '\n', quote->len - quote->at);

		if (!end) { /* fewer lines than were counted, as where CR alone ends them */
			quote->at = quote->len;
			return NULL;
		}
		quote->at = (size_t)(end + 1 - quote->text);
	}
	return quote->at < quote->len ? quote->text + quote->at : NULL;
}

/* Without trailing blanks. A line of megabytes with as many errors is looked at no further than it
 * is shown. */
static size_t line_length(const char *text)
{
	size_t len = 0;

	while (len <= COLUMNS * 4 && text[len] && text[len] != '\r' && text[len] != '\n')
		len++;
	while (len && strchr(" \t", text[len - 1]))
		len--;
	return len;
}

void quote_print(struct quote *quote, const char *file, int line, FILE *out)
{
	char shown[COLUMNS * 4 + sizeof("...")], *at = shown;
	const char *text;
	size_t len, columns = 0, n;

	if (!file || line < 1 || !open_file(quote, file))
		return;
	text = find_line(quote, line);
	if (!text)
		return;
	len = line_length(text);
	if (!len)
		return;
	for (size_t i = 0; i < len; i += n) {
		n = utf8_char_len(text + i, len - i);
		if (!n || columns++ == COLUMNS) { /* none: cut amid a character */
			at = stpcpy(at, "...");
			break;
		}
		if (text[i] != '\t' && utf8_is_control(utf8_decode(text + i, n)))
			*at++ = '?';
		else
			at = mempcpy(at, text + i, n);
	}
	/* In one piece: standard error has no buffer. */
	fprintf(out, "%6d | %.*s\n", line, (int)(at - shown), shown);
}

void quote_release(struct quote *quote)
{
	free(quote->file);
	free(quote->text);
	memset(quote, 0, sizeof(*quote));
}
