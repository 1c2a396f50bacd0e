/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Add a line to a part's text: \xNN, \r, \n, \\ are what they are in C; a backslash at the end of
 * a line means that no CRLF follows; \*N at the end repeats the line's text N times. */
static void add_line(struct part *part, char *line)
{
	size_t start = part->len, n = strlen(line);
	unsigned long repeat = 1;
	int crlf = 1;
	char *star = strstr(line, "\\*");

	if (star) {
		repeat = strtoul(star + 2, NULL, 10);
		*star = '\0';
		crlf = 0;
	}
	part->text = realloc(part->text, part->len + n * repeat + 3);
	for (char *p = line; *p; p++) {
		char c = *p;

		if (c == '\\') {
			p++;
			if (!*p) {
				crlf = 0;
				break;
			}
			if (*p == 'x') {
				char hex[3] = {p[1], p[2], 0};

				c = (char)strtoul(hex, NULL, 16);
				p += 2;
			} else {
				c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p;
			}
		}
		part->text[part->len++] = c;
	}
	size_t once = part->len - start;
	for (unsigned long i = 1; i < repeat; i++, part->len += once)
		memcpy(part->text + part->len, part->text + start, once);
	if (crlf) {
		memcpy(part->text + part->len, "\r\n", 2);
		part->len += 2;
	}
}

/* Rules have escapes of their own. */
static void add_verbatim(struct part *part, const char *line)
{
	size_t n = strlen(line);

	part->text = realloc(part->text, part->len + n + 1);
	memcpy(part->text + part->len, line, n);
	part->text[part->len + n] = '\n';
	part->len += n + 1;
}

void script_load(struct script *script, const char *file)
{
	FILE *in = fopen(file, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	struct part *part = NULL;

	ck_assert_msg(in != NULL, "%s", file);
	memset(script, 0, sizeof(*script));
	script->file = file;
	for (int number = 1; (n = getline(&line, &size, in)) >= 0; number++) {
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (strncmp(line, "--- ", 4) == 0) {
			part = &script->parts[script->n++];
			ck_assert_int_lt(script->n, SCRIPT_PARTS);
			part->line = number;
			for (char *save, *w = strtok_r(line + 4, " ", &save); w;
			     w = strtok_r(NULL, " ", &save))
				{
				ck_assert_int_lt(part->n_words, 12);
				snprintf(part->words[part->n_words++], 128, "%s", w);
			}
		} else if (part && !strcmp(part->words[0], "rules")) {
			add_verbatim(part, line);
		} else if (part && line[0] != '#') {
			add_line(part, line);
			if (part->len > script->longest)
				script->longest = part->len;
		}
	}
	free(line);
	fclose(in);
}

void script_free(struct script *script)
{
	for (int i = 0; i < script->n; i++)
		free(script->parts[i].text);
}
