/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exchange has beside its steps to carry out HTTPRoute's timeout, retries, fault and mirrors:
 * the clocks (timeout.c), the decisions (retry.c), what is kept to be sent again (resend.c) and the copies
 * (mirror.c). Part of exchange_state.h, and for the same files.
 */
#ifndef SHIM_BRIDGE_RESILIENCE_H
#define SHIM_BRIDGE_RESILIENCE_H

#include "shim/bridge/exchange_state.h"

/* fault.c: whether an event of this percentage happens to the request. Draws only if it must. */
bool fault_strikes(struct exchange *x, double percentage);

/*
 * timeout.c. HTTPRoute.timeout runs from when the request is here as a whole until the response is,
 * over all attempts; perTryTimeout from when the attempt has a connection too, until the response
 * begins. As in Envoy, a request for an upgrade has no end, and so neither.
 */

/* More of the request's body was looked at, or the request begins. */
void timeout_request_seen(struct exchange *x);

/* An attempt has a connection. */
void timeout_connected(struct exchange *x);

/* Nothing of the request is waited for any more, or nothing of an attempt. */
void timeout_stop(struct exchange *x);
void timeout_stop_try(struct exchange *x);

/* If one has run out, see to it and return true: the step was changed, or the exchange is over. */
bool timeout_ran_out(struct exchange *x);

/*
 * retry.c: whether the policy has another attempt made, now that the last one came to no connection,
 * broke before its response began (`why`, for the log), or got the response whose head is in
 * x->response. If so it is set up, in the step `backoff`; else nothing is changed, but for
 * x->exhausted.
 */
bool retry_after_failure(struct exchange *x);
bool retry_after_reset(struct exchange *x, const char *why);
bool retry_after_response(struct exchange *x);

/* retry.c: the same for a pooled connection that had died before it could take the request: no
 * attempt of the policy's, and at once. */
bool retry_stale(struct exchange *x);

/* retry.c: RFC 9110 9.2.1: the destination can act on it twice without harm. */
bool retry_is_safe(const struct exchange *x);

/* retry.c: whether the policy may call for an attempt after some of the request was sent. */
bool retry_needs_body(const struct exchange *x);

/*
 * resend.c: the request's body as it was sent, kept within a limit while another attempt is
 * possible.
 */

/* Whether the request can be sent again from its start. */
bool resend_possible(struct exchange *x);

/* An attempt begins: what was sent before comes first. */
void resend_rewind(struct exchange *x);

/* What is to be sent before more of the body. */
static inline size_t resend_left(const struct exchange *x)
{
	return x->sent.len - x->sent.resent;
}

/* Send some of that. Results of io_write(). */
ssize_t resend_write(struct exchange *x);

/* These n bytes were sent for the first time. */
void resend_keep(struct exchange *x, const char *data, size_t n);

/*
 * The same, of bytes in the program's memory, each time behind the last ones. They are copied only
 * if they are still needed when they are about to go: so resend_settle() before they do.
 */
void resend_note(struct exchange *x, const char *data, size_t n);
void resend_settle(struct exchange *x);

/* The request is over. */
void resend_release(struct exchange *x);

/* mirror.c: ask for the mirrors of the route, and give them the head. */
void mirror_start(struct exchange *x);

/* mirror.c: n bytes of the body were sent for the first time, perhaps the last. */
void mirror_body(struct exchange *x, const char *data, size_t n);

/* mirror.c: break off the copies that are not over. Idempotent. */
void mirror_drop(struct exchange *x);

/* relay.c: read of the request's body what there is room for, while it cannot be sent. */
void relay_read_ahead(struct exchange *x);

#endif
