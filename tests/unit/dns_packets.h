/* SPDX-License-Identifier: Apache-2.0 */
/* DNS queries and rules for tests of what answers them. */
#ifndef TESTS_UNIT_DNS_PACKETS_H
#define TESTS_UNIT_DNS_PACKETS_H

#include <stddef.h>
#include <stdint.h>

/* Write a query for a name. Returns its length. */
size_t dns_query(uint8_t *out, const char *name, unsigned type);

/* The rules in force from here on: the hosts alpha.test and *.wild.test. Undone by
 * dns_rules_end(). */
void dns_rules_begin(void);
void dns_rules_end(void);

#endif
