/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: loopback listeners, and who may come in (promise 8).
 *
 * A hook connects the program's socket to the door and then claims the connection by its local port.
 * The kernel lets one socket only have the pair (that port, the door), so the port is proof. Accept
 * and claim may come in either order: what comes in unclaimed is parked, unread, for DOOR_PARK_MS.
 *
 * What the program dialled is remembered by local port as long as the process lives, in a table
 * that is read without a lock: entries are replaced when the port is used again, and only
 * connections whose peer is the door are ever looked up, so a stale entry cannot lie.
 *
 * Threads and locks: the owner lock of the loop, but for door_expect() and door_dialled(), which are
 * for any thread. `lock` is taken inside the owner lock, and loop_post() inside it.
 */
#ifndef SHIM_BRIDGE_DOOR_H
#define SHIM_BRIDGE_DOOR_H

#include <netinet/in.h>
#include <pthread.h>

#include "shim/bridge/bridge.h"
#include "shim/bridge/loop.h"

#define DOOR_PARK_MS  1000
#define DOOR_PARK_MAX 64

/* What bridge_expect() was told, on the heap. */
struct claim {
	struct rules *rules;
	enum rules_connection kind;
	const struct cluster *cluster;
	char name[REGISTRY_NAME_MAX + 1];
	uint16_t port;
	struct sockaddr_storage dialled;
};

/* NULL: no memory; dial->rules is given back then. */
struct claim *claim_new(const struct dial *dial);
void claim_free(struct claim *claim);

struct door_entry; /* a claim or a parked connection */

struct listener {
	struct watch watch;
	int fd;
	uint16_t port; /* 0: not open */
	struct timer retry;
	struct door *door;
};

struct door {
	struct loop *loop;
	/* A claimed connection: descriptor (one of ours) and claim belong to the callee. */
	void (*admit)(struct door *door, int fd, struct claim *claim);
	/* Descriptors ran out: true if one was freed. */
	bool (*free_descriptor)(struct door *door);
	struct listener listeners[2]; /* AF_INET, AF_INET6 */
	int reserve; /* kept to be able to accept and close when descriptors run out */
	pthread_mutex_t lock; /* for the rest */
	struct door_entry *entries; /* by family and local port */
	unsigned n_parked;
	struct task claimed; /* parked connections have been claimed */
	bool claimed_posted;
};

/* Returns 0 or -1 with `err`. admit and free_descriptor are set by the caller afterwards. */
int door_init(struct door *door, struct loop *loop, struct err *err);

/* Close everything. For tests, and for a start that failed. */
void door_release(struct door *door);

/* Listen for a family if that is not done yet. Returns the port, or 0 with `err`. */
uint16_t door_listen(struct door *door, int family, struct err *err);

/* See bridge_expect(). Takes the claim. Returns 0, or -1: no memory, the claim is freed. */
int door_expect(struct door *door, int family, uint16_t local_port, struct claim *claim);

/* See bridge_dialled(). Static: works for doors of processes that we were forked from too. */
bool door_dialled(const struct sockaddr *peer, uint16_t local_port,
		  struct sockaddr_storage *dialled, socklen_t *len);

/* With the loop paused: give up `fd` if it is the door's. As loop_relocate(). */
int door_relocate(struct door *door, int fd);

#endif
