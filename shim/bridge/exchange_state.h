/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of an exchange share: exchange.c (head, acquire, next, linger), peek.c (peek),
 * route.c (route), fault.c (fault), retry.c (backoff), relay.c (relay), tunnel.c (tunnel), answer.c
 * (answers of our own) and deadline.c. Nobody else includes this. What timeouts, retries and mirrors
 * share is in resilience.h.
 */
#ifndef SHIM_BRIDGE_EXCHANGE_STATE_H
#define SHIM_BRIDGE_EXCHANGE_STATE_H

#include "rules/resilience.h"
#include "shim/bridge/arena.h"
#include "shim/bridge/buf.h"
#include "shim/bridge/exchange.h"
#include "shim/bridge/hash_policy.h"
#include "shim/bridge/head.h"
#include "shim/bridge/http1.h"

/* The steps, in the order of the picture in exchange.h. */
#define EXCHANGE_STEPS(X)                                                                          \
	X(peek) X(head) X(route) X(fault) X(acquire) X(backoff) X(relay) X(tunnel) X(answer)       \
	X(next) X(linger)

enum step_result {
	STEP_MORE, /* go on at once, with the step that is set now */
	STEP_WAIT, /* a stream, a callback or the timer will bring us back */
	STEP_DONE, /* the exchange is over */
};

/* Times at which something is over. The nearest one is what the timer is set to. */
enum deadline {
	DEADLINE_LINGER,
	DEADLINE_DELAY,	  /* HTTPFaultInjection.delay */
	DEADLINE_BACKOFF, /* between two attempts */
	DEADLINE_TRY,	  /* HTTPRetry.perTryTimeout */
	DEADLINE_REQUEST, /* HTTPRoute.timeout */
	DEADLINE_DETECTION, /* meshConfig.protocolDetectionTimeout */
	DEADLINE_IDLE,	    /* connectionPool.tcp.idleTimeout */
	DEADLINE_DURATION,  /* connectionPool.tcp.maxConnectionDuration */
	DEADLINES,
};

struct step {
	const char *name;
	enum step_result (*run)(struct exchange *x);
};

#define X(name) extern const struct step step_##name;
EXCHANGE_STEPS(X)
#undef X

/* One direction of a message: bytes at the front of a buffer that were looked at and may pass. */
struct passing {
	struct http1_body body;
	size_t ready; /* to be written */
	size_t skip;  /* behind them: framing that is not passed on */
};

/* What was sent, in pieces: a buffer that grows would have to move what it holds. */
struct sent_piece;
struct sent {
	struct sent_piece *first, *last;
	size_t len;
	size_t resent;	       /* how much of that the present connection was given; */
	struct sent_piece *at; /* the piece that is next of it, */
	size_t at_taken;       /* and how much of that one */
	const char *noted;     /* sent last, and not ours: see resend_note(); NULL: nothing */
	size_t noted_len;
};

struct exchange {
	const struct exchange_ops *ops;
	void *env;
	struct exchange_target target;
	const struct step *step;
	struct io *down;
	struct upstream *up;
	struct arena arena; /* reset between requests */
	struct arena up_arena; /* for the response; reset between attempts */

	struct buf down_in;  /* from the program */
	struct buf up_in;    /* from the destination */
	struct buf up_out;   /* request head; kept until the response begins, to be sent again */
	struct buf down_out; /* response heads and answers of our own */

	/* the request */
	size_t scanned;      /* http1_head_length()'s progress */
	struct http1_head request;
	size_t max_fields;
	const char *method;  /* NUL-terminated */
	const char *authority; /* as it came */
	const char *path;    /* origin-form, as it came */
	uint64_t started;    /* when it came, ms since 1970 */
	struct verdict verdict;
	char server_name[256];
	const char *dynamic; /* see struct acquisition */
	bool encrypted;	     /* likewise */
	struct hash_policy hash;
	struct passing sending;
	size_t head_sent;    /* bytes of up_out */
	bool send_broken;    /* the destination takes no more; it may have answered, though */

	/* what the rules say of it beside the destination */
	struct resilience policy;
	bool delayed;	  /* by a fault: it has no policy */
	bool clocked;	  /* it is here as a whole: its timeouts run */
	unsigned attempt; /* retries so far */
	bool exhausted;	  /* one more was called for, and none was left */
	const char *flag; /* Envoy's, why the answer is one of our own; NULL: it is none, or "-" */

	/* resend.c: its body as far as it was sent, to be sent again */
	struct sent sent;
	bool sent_lost; /* it is no longer whole */

	/* mirror.c: streams that take a copy; in the arena. NULL: over */
	struct io **mirrors;
	size_t n_mirrors;

	/* the upstream connection */
	bool acquiring;
	bool retrying; /* the next acquire() is announced as a retry */
	bool want_fresh; /* not a connection that was used before */
	bool failed;
	enum upstream_failure failure;
	char reason[256];

	/* the response */
	size_t up_scanned;
	unsigned interim; /* 1xx answers so far */
	bool responding;     /* the first byte of a response came */
	struct http1_head response;
	struct passing receiving;
	bool have_response;  /* its final head was written to down_out */
	bool up_keep;        /* the destination lets its connection live on */

	bool keep;     /* the program's connection lives on after this request */
	bool down_eof; /* the program will send no more */
	bool up_eof, down_shut, up_shut, tunnelling; /* tunnel */
	uint64_t deadlines[DEADLINES]; /* 0: not set */
	bool down_reset; /* close it hard */
	bool gone;     /* nobody to answer: end now */
	bool leaving;  /* the same in a tunnel: end when what was said has been passed on */
	size_t budget; /* bytes that this drive may still move */
};

/* answer.c: put an answer of our own into down_out and go to its step. `flag` is Envoy's response
 * flag for the log; `body` may be NULL. Returns STEP_MORE, or STEP_DONE (no memory). */
enum step_result answer_local(struct exchange *x, unsigned status, const char *flag,
			      const char *body);

/* answer.c: the answer to a request that a fault aborts. With a gRPC status (else -1) a request of gRPC
 * is answered in its way, others as if there were none: that is what Envoy does. */
enum step_result answer_fault(struct exchange *x, unsigned status, int grpc_status);

/* answer.c: the answer that a redirect or directResponse of the rules gives. */
enum step_result answer_rules(struct exchange *x, const struct rules_request *request);

/* header_edit.c: what becomes of a final response on its way to the program: the verdict's operations,
 * and the cookie that consistentHash made up. Results and max_fields as in exchange_edit_head(). */
int exchange_edit_response(struct exchange *x, struct http1_head *head, size_t *max_fields)
    __attribute__((warn_unused_result));

/*
 * header_edit.c: apply the verdict's header operations to x->request, or to the head of a `response`,
 * the origin's or one of our own.
 * Where fields may come to it, its array becomes one of the arena, and *max_fields grows by as much.
 * Returns 0, or -1: no memory.
 */
int exchange_edit_head(struct exchange *x, struct http1_head *head, size_t *max_fields,
		       bool response) __attribute__((warn_unused_result));

/* answer.c: the answer to a failed acquire(), per istio-semantics 2.6. */
enum step_result answer_failure(struct exchange *x, enum upstream_failure failure,
				const char *reason);

/* answer.c: "upstream connect error or disconnect/reset before headers. reset reason: ...", with
 * "retried and the latest" before the reason if it was */
enum step_result answer_reset(struct exchange *x, unsigned status, const char *flag,
			      const char *reason, const char *detail);

/* deadline.c: let it be over in `ms` from now. */
void deadline_set(struct exchange *x, enum deadline which, uint64_t ms);

/* deadline.c: it is not waited for any more. Idempotent. */
void deadline_clear(struct exchange *x, enum deadline which);

/* deadline.c: it was set, and is over. */
bool deadline_passed(const struct exchange *x, enum deadline which);

/* peek.c: end a connection for HTTP whose first byte is that of a TLS handshake. */
enum step_result peek_refuse_hello(struct exchange *x);

/* exchange.c: room for `length` bytes more in a buffer. Returns 0 or -1 (no memory). */
int exchange_room(struct buf *buf, size_t length);

/* exchange.c: how many lines a head has, and so how many fields at most. */
size_t exchange_count_lines(const char *head, size_t length);

/* exchange.c: give the upstream connection back, if there is one. */
void exchange_release(struct exchange *x, bool reusable, bool reset);

/* exchange.c: has the request been read to its end? */
bool exchange_request_done(const struct exchange *x);

/* answer.c: the answer to a request that cannot be understood; nothing after it is read. */
enum step_result answer_bad_request(struct exchange *x, unsigned status, const char *why);

/* exchange.c: end it, closing the program's connection hard. Returns STEP_DONE. */
enum step_result exchange_break(struct exchange *x);

#endif
