/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host: one address that requests of a cluster can go to (Envoy's upstream host). Resolved names
 * give one for each of their addresses, STATIC endpoints one each, RESOLUTION_NONE and DYNAMIC_DNS
 * one for what the program dialled or named.
 *
 * Owned by its cluster (cluster.h). Threads: the loop's owner lock.
 */
#ifndef SHIM_BRIDGE_HOST_H
#define SHIM_BRIDGE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What outlierDetection knows of a host; outlier.c's own. All zero: nothing yet. */
struct outlier_record {
	unsigned consecutive_5xx, consecutive_gateway, consecutive_local;
	unsigned ejections;   /* that multiply baseEjectionTime; fewer again while all is well */
	uint64_t ejected_at;  /* ms; meaningful while the host is ejected */
	uint64_t returned_at; /* ms; meaningful when it is not, and `ejections` is not 0 */
};

struct host {
	const char *name;  /* "192.0.2.1:443", "[2001:db8::1]:443" or "unix:///path": what is hashed
			      and logged */
	uint32_t weight;   /* of its endpoint, at least 1 */
	unsigned active;   /* requests under way */
	bool ejected;	   /* by outlier detection: not picked */
	struct outlier_record outlier;
};

#endif
