/* SPDX-License-Identifier: Apache-2.0 */
/* Replay files, read: tests/replay/README.md has the format. Whatever is wrong fails the test. */
#ifndef TESTS_UNIT_REPLAY_SCRIPT_H
#define TESTS_UNIT_REPLAY_SCRIPT_H

#include <stddef.h>

#define SCRIPT_PARTS 128

/* One step: its words, and the text below it. */
struct part {
	char words[12][128];
	int n_words;
	int line;
	char *text;
	size_t len;
};

struct script {
	const char *file;
	struct part parts[SCRIPT_PARTS];
	int n;
	size_t longest; /* message, in bytes */
};

/* `file` is to outlive the script. */
void script_load(struct script *script, const char *file);

void script_free(struct script *script);

/* The replays of a directory in order, at most `max`; the names are never freed. Returns how many. */
int script_files(const char *directory, char **files, int max);

#endif
