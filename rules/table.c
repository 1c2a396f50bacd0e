/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that includes uthash. Its default on exhausted memory is to end the process; here
 * it leaves the element out and says so through hh.tbl.
 */
#include "rules/table.h"

#include <stdlib.h>
#include <string.h>

#define uthash_nonfatal_oom(element) ((element)->lost = 1)
#include <uthash.h>

struct table_entry {
	const char *key;
	void *value;
	int lost;
	UT_hash_handle hh;
};

void table_init(struct table *table)
{
	table->head = NULL;
	table->n = 0;
}

void table_release(struct table *table)
{
	struct table_entry *entry = table->head;

	/* The table first: uthash keeps it in the entries that are freed below. */
	while (entry) {
		struct table_entry *next = entry->hh.next;

		if (!next) {
			free(entry->hh.tbl->buckets);
			free(entry->hh.tbl);
		}
		free(entry);
		entry = next;
	}
	table_init(table);
}

int table_put(struct table *table, const char *key, size_t len, void *value)
{
	struct table_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return -1;
	entry->key = key;
	entry->value = value;
	HASH_ADD_KEYPTR(hh, table->head, entry->key, len, entry);
	if (entry->lost) {
		free(entry);
		return -1;
	}
	table->n++;
	return 0;
}

void *table_get(const struct table *table, const char *key, size_t len)
{
	struct table_entry *entry = NULL;

	HASH_FIND(hh, table->head, key, len, entry);
	return entry ? entry->value : NULL;
}
