/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every host has its own order of all entries: offset, offset + skip, offset + 2 * skip ..., modulo
 * the size, which is a prime. In turns the hosts take the first entry of their order that is free,
 * the heaviest in every round and a host of half its weight in every other, until none is left.
 */
#include "shim/bridge/maglev.h"

#include <stdlib.h>
#include <string.h>

#include "shim/bridge/hash.h"

#define FREE UINT32_MAX

struct maglev_table {
	uint64_t size;
	uint32_t hosts[];
};

/* A host while the table is filled. */
struct claimant {
	uint64_t next, skip; /* entry to try, and the way to the one after it */
	double weight, due;  /* it has a turn in rounds from due / weight on */
};

static void claim(struct maglev_table *table, struct claimant *claimant, uint32_t host)
{
	while (table->hosts[claimant->next] != FREE)
		claimant->next = (claimant->next + claimant->skip) % table->size;
	table->hosts[claimant->next] = host;
}

static void fill(struct maglev_table *table, struct claimant *claimants, size_t n, double heaviest)
{
	uint64_t filled = 0;

	for (uint64_t round = 1; filled < table->size; round++)
		for (size_t i = 0; i < n && filled < table->size; i++) {
			struct claimant *claimant = &claimants[i];

			if ((double)round * claimant->weight < claimant->due)
				continue;
			claimant->due += heaviest;
			claim(table, claimant, (uint32_t)i);
			filled++;
		}
}

struct maglev_table *maglev_new(struct host *const *hosts, size_t n, uint64_t size)
{
	struct maglev_table *table;
	struct claimant *claimants;
	double sum = 0, heaviest = 0;

	if (n == 0 || size < 2 || size > MAGLEV_SIZE_MAX)
		return NULL;
	table = malloc(sizeof(*table) + size * sizeof(table->hosts[0]));
	claimants = calloc(n, sizeof(*claimants));
	if (!table || !claimants) {
		free(table);
		free(claimants);
		return NULL;
	}
	table->size = size;
	memset(table->hosts, 0xff, size * sizeof(table->hosts[0]));
	for (size_t i = 0; i < n; i++)
		sum += hosts[i]->weight;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(hosts[i]->name);

		claimants[i].next = hash64(hosts[i]->name, len, 0) % size;
		claimants[i].skip = hash64(hosts[i]->name, len, 1) % (size - 1) + 1;
		claimants[i].weight = hosts[i]->weight / sum;
		if (claimants[i].weight > heaviest)
			heaviest = claimants[i].weight;
	}
	fill(table, claimants, n, heaviest);
	free(claimants);
	return table;
}

void maglev_free(struct maglev_table *table)
{
	free(table);
}

size_t maglev_find(const struct maglev_table *table, uint64_t hash, unsigned attempt)
{
	/* Envoy's: ~0 - attempt + 1, so that the bits at the top are others. */
	if (attempt)
		hash ^= 0 - (uint64_t)attempt;
	return table->hosts[hash % table->size];
}
