/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_rules: what a rule set costs, by its size. For 10, 1,000 and 10,000 hosts (a ServiceEntry,
 * a VirtualService and a DestinationRule each): the time to load, the memory held afterwards, and
 * the time of one rules_match() whose route is found by an exact path, under a wildcard host, and
 * by a regular expression; beside it the time of that expression alone.
 *
 * Times are the best of several runs: what is measured is the code, not the machine's other work.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/pattern.h"

#define REGEX	"/api/v[0-9]+/.*"
#define PATH	"/api/v1/items"
#define MATCHES 200000
#define RUNS	5

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The i-th host: every third one is a wildcard. */
static void host_name(char out[64], size_t i, int asked)
{
	if (i % 3 == 1)
		snprintf(out, 64, "%s.w%zu.example.com", asked ? "any" : "*", i);
	else
		snprintf(out, 64, "h%zu.example.com", i);
}

static void write_services(FILE *out, size_t n)
{
	char host[64];

	fputs("serviceEntries = (\n", out);
	for (size_t i = 0; i < n; i++) {
		host_name(host, i, 0);
		fprintf(out,
			"%s{ name = \"s%zu\"; hosts = [ \"%s\" ]; resolution = \"STATIC\";\n"
			"  endpoints = ( { address = \"192.0.2.1\"; } );\n"
			"  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); }\n",
			i ? "," : "", i, host);
	}
	fputs(");\n", out);
}

static void write_routes(FILE *out, size_t n)
{
	char host[64];

	fputs("virtualServices = (\n", out);
	for (size_t i = 0; i < n; i++) {
		host_name(host, i, 0);
		fprintf(out,
			"%s{ name = \"v%zu\"; hosts = [ \"%s\" ];\n"
			"  http = ( { match = ( { uri = { %s = \"%s\"; }; } );\n"
			"    route = ( { destination = { host = \"h0.example.com\"; }; } ); } ); }\n",
			i ? "," : "", i, host, i % 3 == 2 ? "regex" : "exact",
			i % 3 == 2 ? REGEX : PATH);
	}
	fputs(");\n", out);
}

static void write_rules(FILE *out, size_t n)
{
	char host[64];

	fputs("destinationRules = (\n", out);
	for (size_t i = 0; i < n; i++) {
		host_name(host, i, 0);
		fprintf(out,
			"%s{ name = \"d%zu\"; host = \"%s\";\n"
			"  trafficPolicy = { tls = { mode = \"SIMPLE\"; }; }; }\n",
			i ? "," : "", i, host);
	}
	fputs(");\n", out);
}

static struct rules *load(const char *path)
{
	struct diags diags;
	struct rules *rules;

	diags_init(&diags);
	rules = rules_load(path, &diags);
	if (!rules || diags.errors || diags.warnings) {
		fprintf(stderr, "bench_rules: %s\n", diags.first ? diags.first->text : "no rules");
		exit(1);
	}
	diags_release(&diags);
	return rules;
}

/* Nanoseconds of one match for hosts of the i-th kind (0 exact, 1 wildcard, 2 regex). */
static double match_time(const struct rules *rules, size_t n, size_t kind)
{
	size_t hosts = (n - kind + 2) / 3;
	char(*names)[64] = calloc(hosts, sizeof(*names));
	double best = 1e9;

	if (!names)
		exit(1);
	for (size_t i = 0; i < hosts; i++)
		host_name(names[i], i * 3 + kind, 1);
	for (int run = 0; run < RUNS; run++) {
		double start = now(), each;

		for (size_t i = 0; i < MATCHES; i++) {
			struct rules_request request = {
			    .method = "GET", .authority = names[i % hosts], .path = PATH, .port = 80};
			struct verdict verdict;

			rules_match(rules, &request, &verdict);
			if (verdict.action != RULES_ROUTE) {
				fprintf(stderr, "bench_rules: %s has no route\n", request.authority);
				exit(1);
			}
		}
		each = (now() - start) / MATCHES;
		best = each < best ? each : best;
	}
	free(names);
	return best * 1e9;
}

static double pattern_time(void)
{
	struct pattern_error error;
	struct pattern *pattern = pattern_new(REGEX, &error);
	double best = 1e9;

	for (int run = 0; pattern && run < RUNS; run++) {
		double start = now(), each;

		for (size_t i = 0; i < MATCHES; i++)
			if (pattern_match(pattern, PATH, strlen(PATH)) != PATTERN_MATCH)
				exit(1);
		each = (now() - start) / MATCHES;
		best = each < best ? each : best;
	}
	pattern_free(pattern);
	return best * 1e9;
}

static void measure(size_t n)
{
	char path[] = "/tmp/bench_rules.XXXXXX";
	int fd = mkstemp(path);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	double best = 1e9, start;
	size_t before, after;
	struct rules *rules;

	if (!out) {
		perror("bench_rules");
		exit(1);
	}
	write_services(out, n);
	write_routes(out, n);
	write_rules(out, n);
	fclose(out);
	for (int run = 0; run < RUNS; run++) {
		start = now();
		rules = load(path);
		best = now() - start < best ? now() - start : best;
		rules_unref(rules);
	}
	malloc_trim(0);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	rules = load(path);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	printf("%8zu %10.1f %12zu %10.0f %10.0f %10.0f\n", n, best * 1e3, (after - before) / n,
	       match_time(rules, n, 0), match_time(rules, n, 1), match_time(rules, n, 2));
	rules_unref(rules);
	unlink(path);
}

int main(void)
{
	static const size_t sizes[] = {10, 1000, 10000};

	printf("   hosts    load ms   bytes/host   ns/match: exact, wildcard, regex\n");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		measure(sizes[i]);
	printf("the regular expression alone: %.0f ns\n", pattern_time());
	return 0;
}
