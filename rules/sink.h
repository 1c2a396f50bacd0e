/* SPDX-License-Identifier: Apache-2.0 */
/* Text into a buffer as snprintf(3) does it: what fits is written, all of it is counted. */
#ifndef RULES_SINK_H
#define RULES_SINK_H

#include <string.h>

struct sink {
	char *out;
	size_t size, len;
};

static inline void sink_put(struct sink *sink, const char *text, size_t len)
{
	if (sink->len < sink->size) {
		size_t room = sink->size - sink->len;

		memcpy(sink->out + sink->len, text, len < room ? len : room);
	}
	sink->len += len;
}

static inline void sink_text(struct sink *sink, const char *text)
{
	sink_put(sink, text, strlen(text));
}

/* Write the NUL. Returns the length of the whole. */
static inline size_t sink_end(struct sink *sink)
{
	if (sink->size)
		sink->out[sink->len < sink->size ? sink->len : sink->size - 1] = '\0';
	return sink->len;
}

#endif
