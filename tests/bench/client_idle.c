/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What idle connections hold of memory: after one of them and after all the process is looked at,
 * the difference is what the others cost. Each has had a request: one after the other, or all at
 * once, so that as many exchanges are under way, the most that a program can do. It is the heap in
 * use (all of it, whoever took it), and the memory that is this process's own.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/client.h"

struct memory {
	size_t heap, pss; /* bytes */
};

static void look(struct memory *memory)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	struct mallinfo2 info = mallinfo2();
	char line[256];

	memory->heap = info.uordblks + info.hblkhd;
	memory->pss = 0;
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Pss: %zu", &memory->pss) == 1)
			break;
	memory->pss *= 1024;
	if (file)
		fclose(file);
}

/* Connect, ask and be answered, one after the other. 0 or -1. */
static int ask_in_turn(struct talk *talks, int n, const struct settings *settings, char *buffer)
{
	for (int i = 0; i < n; i++) {
		if (stream_open(&talks[i].stream, settings, true) < 0)
			return -1;
		talk_begin(&talks[i]);
		if (talk_step(&talks[i], settings, buffer) != TALK_DONE)
			return -1;
	}
	return 0;
}

/* Connect all, send all requests, then read all answers. 0 or -1. */
static int ask_at_once(struct talk *talks, int n, const struct settings *settings, char *buffer)
{
	for (int i = 0; i < n; i++)
		if (stream_open(&talks[i].stream, settings, true) < 0)
			return -1;
	for (int i = 0; i < n; i++) {
		talk_begin(&talks[i]);
		talks[i].sent = settings->request_len;
		if (stream_send(&talks[i].stream, settings->request, settings->request_len) !=
		    (ssize_t)settings->request_len)
			return -1;
	}
	for (int i = 0; i < n; i++)
		if (talk_step(&talks[i], settings, buffer) != TALK_DONE)
			return -1;
	return 0;
}

int idle_run(const struct settings *settings)
{
	int n = settings->connections, status = 1;
	struct talk *talks = calloc((size_t)n + 1, sizeof(*talks));
	char *buffer = malloc(BUFFER);
	struct memory one, all;

	/* Our own pages are there from the start. */
	for (int i = 0; talks && i <= n; i++)
		talks[i].head[0] = talks[i].head[HEAD_MAX - 1] = 1;
	if (talks && buffer && ask_in_turn(talks, 1, settings, buffer) == 0) {
		look(&one);
		if ((settings->in_turn ? ask_in_turn : ask_at_once)(talks + 1, n, settings,
								    buffer) == 0) {
			look(&all);
			printf("connections=%d heap=%.0f pss=%.0f\n", n,
			       ((double)all.heap - (double)one.heap) / n,
			       ((double)all.pss - (double)one.pss) / n);
			status = 0;
		}
	}
	free(buffer);
	free(talks);
	return status;
}
