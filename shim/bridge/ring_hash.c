/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic is Envoy's (ring_hash_lb.cc), in doubles and in the same order, so that the same
 * hosts have the same points: the number of points is scaled until the lightest host has whole
 * ones, and the others' fractions are carried over from host to host.
 */
#include "shim/bridge/ring_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/hash.h"

/* 12 bytes instead of 16. */
struct point {
	uint64_t hash;
	uint32_t host;
} __attribute__((packed, aligned(4)));

struct ring {
	size_t n;
	struct point points[];
};

/* ceil(3) would have to come from libm. `x` is positive and small. */
static double round_up(double x)
{
	double whole = (double)(uint64_t)x;

	return whole < x ? whole + 1 : whole;
}

/* How many points there are for a share of 1, given the lightest host's share. */
static double ring_scale(double lightest, uint64_t minimum)
{
	double scale;

	if (minimum > RING_SIZE_MAX)
		minimum = RING_SIZE_MAX;
	scale = round_up(lightest * (double)minimum) / lightest;
	return scale < RING_SIZE_MAX ? scale : RING_SIZE_MAX;
}

static int compare_points(const void *a, const void *b)
{
	const struct point *p = a, *q = b;

	if (p->hash != q->hash)
		return p->hash < q->hash ? -1 : 1;
	return p->host < q->host ? -1 : p->host > q->host;
}

/* Add points of a host until there are `target` of all hosts together. Returns -1: no memory. */
static int add_points(struct ring *ring, size_t capacity, const char *name, uint32_t host,
		      double target)
{
	size_t len = strlen(name);
	char *key = malloc(len + sizeof("_4294967295"));

	if (!key)
		return -1;
	memcpy(key, name, len);
	key[len++] = '_';
	for (uint32_t i = 0; (double)ring->n < target && ring->n < capacity; i++) {
		int digits = sprintf(key + len, "%u", i);

		ring->points[ring->n].hash = hash64(key, len + (size_t)digits, 0);
		ring->points[ring->n++].host = host;
	}
	free(key);
	return 0;
}

struct ring *ring_new(struct host *const *hosts, size_t n, uint64_t minimum)
{
	double sum = 0, target = 0;
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		sum += hosts[i]->weight;
		if (hosts[i]->weight < least)
			least = hosts[i]->weight;
	}
	if (n == 0)
		return NULL;

	double scale = ring_scale(least / sum, minimum);
	size_t capacity = (size_t)round_up(scale);
	struct ring *ring = malloc(sizeof(*ring) + capacity * sizeof(ring->points[0]));
	if (!ring)
		return NULL;
	ring->n = 0;
	for (size_t i = 0; i < n; i++) {
		target += scale * (hosts[i]->weight / sum);
		if (add_points(ring, capacity, hosts[i]->name, (uint32_t)i, target) < 0) {
			ring_free(ring);
			return NULL;
		}
	}
	qsort(ring->points, ring->n, sizeof(ring->points[0]), compare_points);
	return ring;
}

void ring_free(struct ring *ring)
{
	free(ring);
}

size_t ring_find(const struct ring *ring, uint64_t hash, unsigned attempt)
{
	size_t low = 0, high = ring->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring->points[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return ring->points[(low + attempt) % ring->n].host;
}
