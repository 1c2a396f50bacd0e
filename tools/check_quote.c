/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/check_quote.h"

#include <stdlib.h>
#include <string.h>

#include "rules/slurp.h"
#include "rules/utf8.h"

#define COLUMNS 160 /* bytes of a line that are shown */

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

/* Diagnostics come in the order of lines, so that a file is walked through once. */
static const char *find_line(struct quote *quote, int line)
{
	if (line < quote->line) {
		quote->line = 1;
		quote->at = 0;
	}
	for (; quote->line < line; quote->line++) {
		const char *end = memchr(quote->text + quote->at, '\n', quote->len - quote->at);

		if (!end)
			return NULL;
		quote->at = (size_t)(end + 1 - quote->text);
	}
	return quote->at < quote->len ? quote->text + quote->at : NULL;
}

void quote_print(struct quote *quote, const char *file, int line, FILE *out)
{
	const char *text, *cut = "";
	size_t len;

	if (!file || line < 1 || !open_file(quote, file))
		return;
	text = find_line(quote, line);
	if (!text)
		return;
	len = strcspn(text, "\r\n");
	while (len && strchr(" \t", text[len - 1]))
		len--;
	if (!len)
		return;
	if (len > COLUMNS) {
		len = utf8_valid_prefix(text, COLUMNS);
		cut = "...";
	}
	fprintf(out, "%6d | ", line);
	for (size_t i = 0; i < len; i++)
		putc(((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f ? '?'
											  : text[i],
		     out);
	fprintf(out, "%s\n", cut);
}

void quote_release(struct quote *quote)
{
	free(quote->file);
	free(quote->text);
	memset(quote, 0, sizeof(*quote));
}
