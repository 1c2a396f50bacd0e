/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/check_json.h"

#include <stdio.h>
#include <string.h>

#include "rules/utf8.h"

static void json_escape(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t n = utf8_char_len(text + i, len - i);

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else if (!n)
			fputs("\\ufffd", stdout); /* not UTF-8, so JSON cannot hold it */
		else
			fwrite(text + i, 1, n, stdout);
		if (n > 1)
			i += n - 1;
	}
}

void json_bytes(const char *text, size_t len)
{
	putchar('"');
	json_escape(text, len);
	putchar('"');
}

void json_text(const char *text)
{
	if (text)
		json_bytes(text, strlen(text));
	else
		fputs("null", stdout);
}

void json_where(const struct where *where)
{
	if (!where->file) {
		fputs("null", stdout);
		return;
	}
	putchar('"');
	json_escape(where->file, strlen(where->file));
	printf(":%d\"", where->line);
}
