/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange: what goes on between one connection of the program (downstream) and the connections
 * to destinations (upstream) that its requests need. A state machine over abstract streams: it does
 * no polling, sleeping or connecting, so that tests drive it over memory.
 *
 *        head -> route -> fault -> acquire -> relay -> next --> head ...
 *          \        \        \        \         |\       \
 *           \        \        \        \        | tunnel  linger -> closed
 *            `--------`--------`--------`-> answer -----'
 *
 * Another attempt at a request: from acquire or relay to backoff, and from there to acquire.
 * A connection that is not HTTP, or not known to be (RULES_OPAQUE, RULES_SNIFF, RULES_PASSTHROUGH)
 * starts at peek, and goes on to head, or by acquire to tunnel.
 *
 * Memory: four buffers of fixed size and an arena that is reset between requests. Streams are read
 * only as far as their buffer has room; that is the back-pressure.
 *
 * Threads: whoever holds the lock that the exchange lives under (the bridge's) may drive it.
 */
#ifndef SHIM_BRIDGE_EXCHANGE_H
#define SHIM_BRIDGE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/rules.h"
#include "shim/bridge/io.h"
#include "shim/err.h"

struct exchange;

/* An upstream connection, as far as an exchange looks at it. */
struct upstream {
	struct io *io; /* its handshake is done */
	bool reused;   /* it has carried a request before, and may have died since */
};

/* Why no upstream connection could be had; decides the answer (istio-semantics 2.6). */
enum upstream_failure {
	UPSTREAM_NO_HOST,  /* no endpoint, none healthy, or none could be resolved: "no healthy
			      upstream" (UH) */
	UPSTREAM_CONNECT,  /* refused, unreachable, out of descriptors ... (UF) */
	UPSTREAM_TIMEOUT,  /* connectTimeout ran out (UF) */
	UPSTREAM_TLS,	   /* the handshake or the verification failed (UF) */
	UPSTREAM_OVERFLOW, /* a limit of connectionPool is reached (UO) */
	UPSTREAM_NOT_READY, /* none is idle that program threads may use: the bridge's has to ask */
};

/* A wish for an upstream connection. Pointers are valid during acquire() only, but for the cluster,
 * which stays as long as the exchange's rules do. */
struct acquisition {
	const struct cluster *cluster;
	const char *server_name; /* of TLS */
	const char *dynamic;	 /* RESOLUTION_DYNAMIC_DNS: the name to resolve; RESOLUTION_NONE: the
				    address that was dialled, as text. NULL with all others */
	bool http;	  /* pooled, with ALPN; else a connection of its own */
	bool encrypted;	  /* its bytes are TLS of the program's own: no more is put over them */
	bool fresh;	  /* not one that was used before */
	bool abroad;	  /* on a program's thread: see UPSTREAM_NOT_READY. Not the exchange's to say */
	unsigned attempt; /* 0: the request's first; others are retries, which maxRetries counts */
	bool other_host;  /* a retry, on a host where the request has not been, if there is one */
	bool hashed;	  /* consistentHash, and the request has what is hashed: */
	uint64_t hash;
};

/* What an exchange asks of its surroundings. */
struct exchange_ops {
	/*
	 * Get a connection. The answer is one call of exchange_connected() or exchange_failed(),
	 * from within acquire() or later.
	 */
	void (*acquire)(struct exchange *exchange, const struct acquisition *wish);
	/* The answer to acquire() is no longer wanted, or the retry that was announced. */
	void (*cancel)(struct exchange *exchange);
	/* Give a connection back: for the next request (`reusable`) or to be closed; `reset`: hard. */
	void (*release)(struct exchange *exchange, struct upstream *upstream, bool reusable,
			bool reset);
	/*
	 * What the destination did with the request, for outlierDetection: the status of its answer
	 * (101, >= 200), OUTCOME_RESET: the connection broke before there was one, OUTCOME_TIMEOUT: a
	 * timeout of the rules ran out. Failures of acquire() are known already.
	 */
	void (*report)(struct exchange *exchange, struct upstream *upstream, int outcome);
	/* Whether maxRetries lets another retry be made to the cluster now. */
	bool (*may_retry)(struct exchange *exchange, const struct cluster *cluster);
	/* It will be: the next acquire() is for a retry. It counts from now on, not only from then. */
	void (*retry)(struct exchange *exchange);
	/*
	 * Whether nothing that was written to the connection since acquire() can have been seen by
	 * the destination: its kernel has acknowledged none of it. False when in doubt.
	 */
	bool (*unseen)(struct exchange *exchange, struct upstream *upstream);
	/* Whether that can still come true: its kernel has acknowledged nothing so far. */
	bool (*unacked)(struct exchange *exchange, struct upstream *upstream);
	/*
	 * A stream that takes a copy of one request (head and body as they go upstream) to a cluster
	 * and drops the answer. It buffers within bounds; a write that does not fit gives
	 * IO_WANT_WRITE, and the copy is then to be closed with a reset. Closing it without one ends
	 * the request. NULL: it cannot be had.
	 */
	struct io *(*mirror)(struct exchange *exchange, const struct cluster *cluster,
			     const char *server_name);
	/* Uniform random bits, for weighted destinations, percentages, jitter. */
	uint32_t (*random)(struct exchange *exchange);
	/* Monotonic time in ms. */
	uint64_t (*now)(struct exchange *exchange);
	/* Drive the exchange again in `ms`, unless called again before; 0: not at all. */
	void (*timer)(struct exchange *exchange, uint64_t ms);
};

enum {
	OUTCOME_RESET = 0,
	OUTCOME_TIMEOUT = -1,
};

/* What the program dialled. */
struct exchange_target {
	struct rules *rules; /* a reference, taken over */
	enum rules_connection kind;
	const struct cluster *cluster; /* RULES_OPAQUE, RULES_SNIFF; RULES_PASSTHROUGH: `direct`.
					  RULES_HTTP: NULL, or where every request goes as it
					  stands, no rules asked (the copies for a mirror); as
					  long as the rules */
	const struct cluster *direct;  /* the host's own address, untouched by rules: of the
					  caller's making, to outlive the exchange */
	const char *name; /* to outlive the exchange */
	uint16_t port;
	const struct in6_addr *address; /* IPv4 as v4-mapped; to outlive the exchange. NULL: not known */
	const char *source; /* address and port of the program's own socket, as "127.0.0.1:40000" or
			       "[::1]:40000"; to outlive the exchange. NULL: not known */
};

/*
 * Start. `down` is taken over, and so is target->rules, on failure too. `env` is the caller's, see
 * exchange_env(). NULL: no memory.
 */
struct exchange *exchange_new(const struct exchange_ops *ops, void *env, struct io *down,
			      const struct exchange_target *target)
    __attribute__((warn_unused_result));

void *exchange_env(const struct exchange *exchange);

/*
 * Close whatever is open and free. A request that is under way upstream is broken off. NULL is
 * allowed.
 */
void exchange_free(struct exchange *exchange);

enum exchange_result {
	EXCHANGE_WAIT, /* nothing to do until a stream is ready or a callback comes */
	EXCHANGE_MORE, /* there is more to do, but others should have their turn */
	EXCHANGE_DONE, /* over: call exchange_free() */
};

/* Do all that can be done now. To be called after every event on any of its streams, after
 * exchange_connected() and exchange_failed(), and when the timer fires. */
enum exchange_result exchange_drive(struct exchange *exchange);

/* Answers to acquire(). The upstream belongs to the exchange until release(). */
void exchange_connected(struct exchange *exchange, struct upstream *upstream);
void exchange_failed(struct exchange *exchange, enum upstream_failure failure,
		     const char *reason);

/* The program's end is gone for good (EPOLLERR): there is nobody to answer. Where bytes only pass, those
 * that it has sent before are still passed on, as far as that goes at once. */
void exchange_abandon(struct exchange *exchange);

/* Whether it is between two requests, and has not seen a byte of the next. */
bool exchange_is_idle(const struct exchange *exchange);

/* Nothing of the request is left to come or to be written. */
bool exchange_has_sent_all(const struct exchange *exchange);

/* The upstream connection that it has; NULL: none. */
struct upstream *exchange_upstream(const struct exchange *exchange);

/* The same, if a request and its answer pass over it at present. */
struct upstream *exchange_relays(const struct exchange *exchange);

/* Whether it has bytes of the program's, or for the program, that it could not pass on so far. */
bool exchange_has_unsent(const struct exchange *exchange);
bool exchange_has_unread(const struct exchange *exchange);

/*
 * Undo what it did with the beginning of a request, if it only failed for UPSTREAM_NOT_READY: it is idle
 * again, and has to be given the same bytes anew. Returns false where more than that was done.
 */
bool exchange_hand_back(struct exchange *exchange);

/* Whether it is in the middle of a request that the program has not sent to its end. */
bool exchange_awaits_request(const struct exchange *exchange);

/* The step it is in, by name: for logs and tests. */
const char *exchange_step(const struct exchange *exchange);

#endif
