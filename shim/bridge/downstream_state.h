/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two drivers of a connection share: downstream.c on the bridge's thread, fast_lane.c on the
 * program's. Nobody else includes this.
 */
#ifndef SHIM_BRIDGE_DOWNSTREAM_STATE_H
#define SHIM_BRIDGE_DOWNSTREAM_STATE_H

#include <arpa/inet.h>

#include "shim/bridge/downstream.h"
#include "shim/container_of.h"

struct downstream {
	struct downstreams *all;
	struct claim claim; /* its rules have gone to the exchange */
	struct exchange *exchange; /* NULL: over, kept for a queued `again` only */
	struct io *down; /* the socket, a port over it, or the end of a pipe (a copy for a mirror) */
	struct io *sock; /* NULL: a pipe, or a test's stream */
	struct watch watch; /* of the socket; else not set */
	struct timer timer;
	struct timer life; /* of a copy */
	struct task again;
	bool queued, driving;
	struct door_entry *late; /* it has not been accepted, and there is no socket; else NULL */
	bool homeless; /* late, and `again` is queued when it comes */
	bool urgent;   /* it was made to come by a byte that is none of the stream's */
	bool copy; /* for a mirror */

	/* fast_lane.c */
	bool port;	 /* `down` is one: the fast lane may be taken */
	bool fast;	 /* a request is under way on the program's threads */
	bool kernel_only; /* no request will be so any more */
	bool doubt;	 /* kernel_only, until its program receives by a hooked call */
	unsigned doubts; /* that turned out to be unfounded */
	bool answered;	 /* since its program sent last, it was looked whether there is an answer */
	bool over;	 /* the exchange is done, and `again` ends it */
	bool touched;	 /* a call came since the last look */
	bool ripe;	 /* at the last look there was something to do for who waits */
	uint64_t read;	 /* of what went through the socket, so much has the program read for sure */
	unsigned waiting; /* threads that wait for the upstream socket */
	unsigned writers; /* those of them that have more to send */
	unsigned turn;	  /* counts how often they were woken all */
	struct downstream *fast_next, *fast_prev;

	struct acquiring acquiring;
	struct cluster cluster;	 /* past the rules: the one that the registry does not have */
	struct in6_addr address; /* that was dialled */
	char literal[INET6_ADDRSTRLEN]; /* the same as text; "": it is synthetic */
	char id[32];
	char source[INET6_ADDRSTRLEN + 8]; /* the program's own address and port */
	struct downstream *next, *prev;
};

static inline struct connection *downstream_connection(struct upstream *upstream)
{
	return container_of(upstream, struct connection, upstream);
}

/* What it waits for is called off. An exchange that is under way was abandoned before. */
void downstream_free(struct downstream *downstream);

/* downstream.c, for downstream_late.c: its parts. NULL, or -1: no memory; what it had of the claim is given back by
 * the caller of the first, and by the second itself. */
struct downstream *downstream_new(struct downstreams *all, const struct claim *claim);
int downstream_begin(struct downstream *downstream, struct io *down);

/* The stream of an accepted socket, which is watched from here on. NULL: closed. */
struct io *downstream_take_socket(struct downstream *downstream, int fd);

/* Where its program's own end is. */
void downstream_note_source(struct downstream *downstream, const struct sockaddr *own);

/* fast_lane.c: the program's socket, for the calling thread. -1: it cannot be had. On the bridge's thread it is to
 * be closed. */
int fast_lane_borrow_own(const struct downstream *downstream);

/* fast_lane.c: have the bridge's thread drive it, as soon as it can. */
void fast_lane_leave(struct downstream *downstream);

/* fast_lane.c: an event of the socket. True: it is not the bridge's thread that drives the exchange now. */
bool fast_lane_ignores(struct downstream *downstream, uint32_t events);

/* fast_lane.c: the bridge's thread is going to drive the exchange. */
void fast_lane_come_home(struct downstream *downstream);

/* fast_lane.c: the upstream connection is about to be given back. False: it is not to be used any more,
 * since somebody waited there. */
bool fast_lane_parts(struct downstream *downstream, struct connection *connection);

/* fast_lane.c: it has begun, or is about to be freed. */
void fast_lane_admit(struct downstream *downstream);
void fast_lane_forget(struct downstream *downstream);

#endif
