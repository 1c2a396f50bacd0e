/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge's only door for the hooks: start it, tell it which connection is coming, ask it who
 * is at the other end.
 *
 * One bridge per process, started by the first connection to a registry host or to a DNS server
 * (port 53), or by the first query for a registry name: loopback listeners on 127.0.0.1 and ::1
 * when asked for, one thread named "meshshim" with all signals blocked, one epoll loop. That thread
 * has a descriptor table of its own (thread.h): of the bridge, the program's table has the wake
 * descriptor only. A forked child starts its own when it first needs one; a vfork child must not
 * come here (process.h).
 *
 * How a hook uses it:
 *     bridge_door(family, &door)          where to connect the program's socket to
 *     real.connect(fd, &door)             the kernel picks the local port
 *     bridge_expect(family, local, &dial) the connection from there belongs to this dial
 * The bridge's accept may overtake bridge_expect(): it parks what it does not know, unread, for
 * a second, and closes what nobody claims. So no process but this one gets in (promise 8).
 *
 * Threads: any. Locks inside: bridge, then door (a leaf). errno as said.
 */
#ifndef SHIM_BRIDGE_BRIDGE_H
#define SHIM_BRIDGE_BRIDGE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "shim/err.h"
#include "shim/registry.h"

struct downstream;
struct mesh_socket;
struct rules;

/* The address of the listener for AF_INET or AF_INET6, starting the bridge and the listener if
 * need be. `*late`: one that accepts late (door.h) is wanted, and is it. Returns 0, or -1 with `err` set (its code an errno value fit for connect(2)). */
int bridge_door(int family, bool *late, struct sockaddr_storage *door, socklen_t *len, struct err *err);

/* One connection that a hook has made to the door. */
struct dial {
	struct rules *rules;             /* its reference is taken over by bridge_expect() */
	bool dns;                        /* to a DNS server; kind, cluster and name: not used */
	enum rules_connection kind;      /* not RULES_BLOCKED */
	const struct cluster *cluster;   /* RULES_OPAQUE, RULES_SNIFF; belongs to rules */
	const char *name;                /* registry name that was dialled; copied */
	uint16_t port;                   /* port that was dialled */
	int number;			 /* the program's socket, and its entry in sockets.h; */
	uint64_t cookie;		 /* 0: none, the fast lane is not for it */
	bool late;			 /* bridge_door() said so */
	const struct sockaddr *dialled;  /* what getpeername(2) shall answer; copied */
	socklen_t dialled_len;
};

/* Claim the connection that comes from this local address (getsockname(2)) to the door of `family`.
 * Takes over dial->rules in any case. Takes no memory. Returns 0, or -1 when there are too many
 * claims (the connection will be closed). */
int bridge_expect(int family, const struct sockaddr *local, const struct dial *dial);

/*
 * Whether a socket is in the bridge's network namespace, as far as the kernel tells (5.14 and
 * newer): in another one, the door's address is somebody else's, or nobody's. A thread may have
 * gone there by unshare(2) or setns(2), or got the socket from elsewhere. The bridge has to be
 * running. errno is not preserved.
 */
bool bridge_shares_network(int fd);

/*
 * On a thread of the program's: what serves the socket that has this entry and this cookie, to be used by
 * fast_lane.h until bridge_leave(). NULL: nothing so far, or no more; there is nothing to leave then.
 * Signals are blocked in between. errno is not preserved.
 */
struct downstream *bridge_visit(const struct mesh_socket *socket, uint64_t cookie, sigset_t *old);

/* The same for its number, and if nobody serves it so far because its door accepts late, somebody does now. */
struct downstream *bridge_visit_early(const struct mesh_socket *socket, int fd, uint64_t cookie,
				      sigset_t *old);
void bridge_leave(const sigset_t *old);

/* The program is closing its epoll set of that number. */
void bridge_forget_epoll_set(int number);

/*
 * If `peer` is this process's door (or was, in the process that we were forked from), the address
 * that the program dialled from `local_port`. Returns true and fills `dialled`, or false. Takes no
 * lock; async-signal-safe.
 */
bool bridge_dialled(const struct sockaddr *peer, uint16_t local_port,
		    struct sockaddr_storage *dialled, socklen_t *len);

/*
 * The window through which the program's UDP socket talks to this DNS server (AF_INET or AF_INET6,
 * v4-mapped ones as AF_INET), see dns.h; the bridge is started if need be. The socket has to be
 * claimed with bridge_dns_claim() before it sends. Returns 0, or -1 with `err` as bridge_door().
 */
int bridge_dns_window(const struct sockaddr *server, struct sockaddr_storage *window,
		      socklen_t *len, struct err *err);

/* This process's UDP socket with this local address and inode sends to a window of `family`. */
void bridge_dns_claim(int family, const struct sockaddr *local, ino_t inode);

/* If `peer` is a window of this process (or was, of the one that we were forked from), its server.
 * Returns true and fills `server`, or false. Takes no lock; async-signal-safe. */
bool bridge_dns_server(const struct sockaddr *peer, struct sockaddr_storage *server,
		       socklen_t *len);

/*
 * The program is about to dup2(2) onto the one descriptor that the bridge has in the program's
 * table: move it away first. Returns 0, or -1 with errno when it cannot be moved.
 */
int bridge_relocate(int fd);

/* In a forked child: drop the copy of the bridge, which is not started then. */
void bridge_fork_child(void);

#endif
