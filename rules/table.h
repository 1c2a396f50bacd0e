/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables keyed by text.
 *
 * Threads: filled by one, then read by any number. Keys are not copied and must outlive the table;
 * values are never looked at.
 */
#ifndef RULES_TABLE_H
#define RULES_TABLE_H

#include <stddef.h>

struct table_entry;

struct table {
	struct table_entry *head;
	size_t n;
};

void table_init(struct table *table);
void table_release(struct table *table);

/* Add a key that is not there yet. Returns 0, or -1: out of memory. */
int table_put(struct table *table, const char *key, size_t len, void *value)
    __attribute__((warn_unused_result));

/* The value of a key; NULL: not there. */
void *table_get(const struct table *table, const char *key, size_t len);

#endif
