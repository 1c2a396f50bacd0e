/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What door.c and door_early.c share: the table of claims and parked connections. With the door's lock held.
 */
#ifndef SHIM_BRIDGE_DOOR_STATE_H
#define SHIM_BRIDGE_DOOR_STATE_H

#include "shim/bridge/door.h"

/* The program's end of a connection. IPv4 as v4-mapped IPv6. */
struct door_key {
	struct in6_addr address;
	uint16_t port;
	uint16_t index; /* of the door */
};

struct door_entry {
	struct door_key key;
	struct door *door;
	bool claimed;
	bool counted; /* in n_late */
	bool ended; /* its program has closed it; nothing is to come, unless there is a copy of its socket */
	struct claim claim;  /* if claimed */
	uint64_t claimed_at; /* ms */
	struct watch watch;  /* the parked connection; -1: only a claim, it has not come yet */
	struct timer expiry;
	struct door_entry *next_in_bucket;
	struct door_entry *next, *prev; /* parked, or ended */
};

uint64_t door_coarse_ms(void);

size_t door_index(int family, bool late);
struct door_key door_key_of(size_t index, const struct sockaddr *local);

/* NULL: there is none. */
struct door_entry *door_find(struct door *door, const struct door_key *key);

/* Out of the table; a parked descriptor is the caller's then, and so is what the claim holds, if `claim` is not
 * NULL. Returns that descriptor, or -1. */
int door_remove(struct door_entry *entry, struct claim *claim);

#endif
