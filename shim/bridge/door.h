/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: loopback listeners, and who may come in (promise 8).
 *
 * A hook connects the program's socket to the door and then claims the connection by its local
 * address and port. The kernel lets one socket only have the pair (that address and port, the door),
 * so they are proof as long as the socket lives. Accept and claim may come in either order: what
 * comes in unclaimed is parked, unread, for DOOR_PARK_MS; a claim that nothing comes in for is void
 * after DOOR_CLAIM_MS.
 *
 * A door of the second kind accepts late: the kernel keeps a connection from us until its program has sent
 * something (TCP_DEFER_ACCEPT) or about a second has passed. What the fast lane does in the meantime needs
 * no socket here, and nobody is woken for it.
 *
 * Claims are kept in a table of fixed size, so that connect(2) takes no memory: a program may call it
 * in a signal handler.
 *
 * Threads and locks: the owner lock of the loop, but for door_expect(), which is for any
 * thread. `lock` is taken inside the owner lock, and loop_post() inside it.
 */
#ifndef SHIM_BRIDGE_DOOR_H
#define SHIM_BRIDGE_DOOR_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "shim/bridge/bridge.h"
#include "shim/bridge/loop.h"

#define DOOR_PARK_MS  1000
#define DOOR_PARK_MAX 256 /* the oldest leaves for the newest */
#define DOOR_CLAIM_MS 10000
#define DOOR_ENTRIES  4096 /* claims and parked connections together */
#define DOOR_BUCKETS  1024

/* What bridge_expect() was told. */
struct claim {
	struct rules *rules;
	bool dns;
	enum rules_connection kind;
	const struct cluster *cluster;
	char name[REGISTRY_NAME_MAX + 1];
	uint16_t port;
	struct sockaddr_storage dialled;
	int number; /* see struct dial */
	uint64_t cookie;
	struct downstream *early; /* who has served it so far, with no socket of its own */
};

/* Give back what a claim holds: its reference to the rules. */
void claim_release(struct claim *claim);

struct door_entry; /* a claim or a parked connection */

struct listener {
	struct watch watch;
	int fd; /* -1: not open */
	uint16_t port; /* 0: not open */
	struct timer retry;
	struct door *door;
};

struct door {
	struct loop *loop;
	/* A claimed connection: the descriptor and what the claim holds belong to the callee. */
	void (*admit)(struct door *door, int fd, const struct claim *claim);
	/* Descriptors ran out: true if one was freed. */
	bool (*free_descriptor)(struct door *door);
	struct listener listeners[4]; /* AF_INET, AF_INET6, and both for those that accept late */
	int reserve; /* kept to be able to accept and close when descriptors run out */
	pthread_mutex_t lock; /* for the rest */
	struct door_entry *entries, *free_entries; /* mapped, not allocated */
	struct door_entry *buckets[DOOR_BUCKETS];  /* by local address and port */
	struct door_entry *parked;                 /* the oldest first */
	struct door_entry *ended;		   /* likewise, see door_end_early() */
	struct timer forget;			   /* them */
	unsigned n_entries, n_parked, n_ended;
	atomic_uint n_late; /* claims of connections that have not been accepted at late doors */
	unsigned late_max;  /* so many there can be: then the kernel's queue is half full */
	unsigned claim_ms; /* DOOR_CLAIM_MS */
	struct task claimed; /* parked connections have been claimed */
	bool claimed_posted;
};

/* Returns 0 or -1 with `err`. admit and free_descriptor are set by the caller afterwards. */
int door_init(struct door *door, struct loop *loop, struct err *err);

/* Close everything. For tests, and for a start that failed. */
void door_release(struct door *door);

/* Listen for a family if that is not done yet. Returns the port, or 0 with `err`. */
uint16_t door_listen(struct door *door, int family, bool late, struct err *err);

/* For any thread: whether another connection should go to a door that accepts late. */
bool door_has_room(const struct door *door);

/* See bridge_expect(). */
int door_expect(struct door *door, int family, const struct sockaddr *local,
		const struct dial *dial);

/*
 * To serve a connection that has not been accepted: takes what the claim for it holds. Who serves it,
 * named by door_serve_early(), is `early` of the claim that comes with the socket one day, or says before that
 * it is gone. NULL: it has been accepted, or there is no such claim of this cookie.
 */
struct door_entry *door_take_early(struct door *door, int family, const struct sockaddr *local,
				   uint64_t cookie, struct claim *claim);
void door_serve_early(struct door *door, struct door_entry *entry, struct downstream *early);
void door_forget_early(struct door *door, struct door_entry *entry, struct downstream *early);

/*
 * The program is about to close its end, with a reset: nothing comes of the connection. But where the program
 * has another descriptor of it that no hook has seen, what it sends by that is for whom the claim says. A
 * reference to `rules` is taken.
 */
void door_end_early(struct door *door, struct door_entry *entry, struct downstream *early,
		    struct rules *rules);
void door_forget_ended(struct timer *timer);

/* Whether the other end of an accepted connection is the socket of that cookie, as the kernel says
 * (sock_diag(7)): 1, 0, or -1: it cannot be asked. */
int door_is_from(int fd, uint64_t cookie);

#endif
