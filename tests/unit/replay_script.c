/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_script.h"

#include <check.h>
#include <dirent.h>
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

static void put(struct part *part, const void *bytes, size_t n)
{
	part->text = realloc(part->text, part->len + n);
	memcpy(part->text + part->len, bytes, n);
	part->len += n;
}

/* A ClientHello for a name ("-": without one) in records of at most `size` bytes. */
static void add_hello(struct part *part, const char *name, size_t size)
{
	unsigned char hello[512] = {1, 0, 0, 0, 3, 3};
	size_t len = strlen(name), n = 4 + 2 + 32;

	memset(hello + 6, 'r', 32);
	memcpy(hello + n, "\0\0\4\x13\1\xc0\x2f\1\0\0\0", 11); /* two cipher suites */
	n += 9;
	size_t extensions = n;
	n += 2;
	memcpy(hello + n, "\0\x2b\0\3\2\3\4", 7); /* supported_versions */
	n += 7;
	if (strcmp(name, "-")) {
		const unsigned char head[] = {0, 0, 0, (unsigned char)(len + 5),
					      0, (unsigned char)(len + 3), 0, 0,
					      (unsigned char)len};

		memcpy(hello + n, head, sizeof(head));
		memcpy(hello + n + sizeof(head), name, len);
		n += sizeof(head) + len;
	}
	hello[extensions] = (unsigned char)((n - extensions - 2) >> 8);
	hello[extensions + 1] = (unsigned char)(n - extensions - 2);
	hello[2] = (unsigned char)((n - 4) >> 8);
	hello[3] = (unsigned char)(n - 4);
	for (size_t done = 0; done < n; done += size) {
		size_t piece = n - done < size ? n - done : size;
		const unsigned char head[] = {22, 3, 1, (unsigned char)(piece >> 8),
					      (unsigned char)piece};

		put(part, head, sizeof(head));
		put(part, hello + done, piece);
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
			if (part->n_words > 2 && !strcmp(part->words[1], "hello")) {
				add_hello(part, part->words[2], part->n_words > 3 ?
					  strtoul(part->words[3], NULL, 10) : 512);
				if (part->len > script->longest)
					script->longest = part->len;
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

static int is_replay(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".replay");
}

int script_files(const char *directory, char **files, int max)
{
	struct dirent **list = NULL;
	int n = scandir(directory, &list, is_replay, alphasort), found = 0;

	for (int i = 0; i < n; i++) {
		if (found < max && asprintf(&files[found], "%s/%s", directory, list[i]->d_name) > 0)
			found++;
		free(list[i]);
	}
	free(list);
	return found;
}
