/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers. CPU time of other processes is read from their clocks (clock_getcpuclockid(3)): in
 * nanoseconds and with threads that have ended, where /proc/PID/stat has hundredths of a second.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/bench/client.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time) < 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t stat_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Below 128 a bucket is one value; above, each power of two has 64: within 1.6 %. */
void histogram_add(struct histogram *histogram, uint64_t ns)
{
	unsigned shift = ns < 128 ? 0 : 57 - (unsigned)__builtin_clzll(ns);

	histogram->counts[shift * 64 + (ns >> shift)]++;
	histogram->total++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->counts[i] += from->counts[i];
	into->total += from->total;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->total * share), seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->counts[i];
		if (seen > wanted)
			return i < 128 ? i : (i % 64 + 64) << (i / 64 - 1);
	}
	return 0;
}

static uint64_t ns_of(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

void usage_take(struct usage *usage, const struct settings *settings)
{
	struct rusage own;

	getrusage(RUSAGE_SELF, &own);
	usage->user = ns_of(own.ru_utime);
	usage->system = ns_of(own.ru_stime);
	for (int i = 0; i < settings->n_watches; i++) {
		const struct watch *watch = &settings->watches[i];

		usage->watched[i] = 0;
		for (int n = 0; n < watch->n; n++)
			usage->watched[i] += clock_ns(watch->clocks[n]);
	}
	usage->now = stat_now();
}

int watch_parse(struct watch *watch, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;

	if (!len || len >= sizeof(watch->label))
		return -1;
	memcpy(watch->label, text, len);
	watch->label[len] = '\0';
	for (text = equals; *text && watch->n < PIDS_MAX; watch->n++) {
		char *end;
		pid_t pid = (pid_t)strtol(text + 1, &end, 10);

		if (end == text + 1 || (*end && *end != ',') ||
		    clock_getcpuclockid(pid, &watch->clocks[watch->n]) != 0)
			return -1;
		text = end;
	}
	return *text ? -1 : 0;
}
