/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into, editing and writing out a message head. Names compare case-insensitively and keep
 * the case in which they came; fields keep their order (promise 7).
 *
 * A head's field array is edited in place; texts that are added must outlive it (the exchange's
 * arena, the rules' snapshot or static text). Threads: the owner's.
 */
#ifndef SHIM_BRIDGE_HEAD_H
#define SHIM_BRIDGE_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/bridge/buf.h"
#include "shim/bridge/http1.h"

/* The first field of that name from index `from` on; NULL: none. */
struct field *head_find(const struct http1_head *head, const char *name, size_t from);

/* How many fields have that name. */
size_t head_count(const struct http1_head *head, const char *name);

/* Whether a comma-separated field (all of that name together, RFC 9110 5.6.1) has this token,
 * compared case-insensitively. */
bool head_has_token(const struct http1_head *head, const char *name, const char *token);

/* The same of `n` tokens at a time: bit i stands for tokens[i]. */
unsigned head_tokens(const struct http1_head *head, const char *name, const char *const *tokens,
		     unsigned n);

/* Whether it is the head of a gRPC request or response: content-type application/grpc or
 * application/grpc+..., as Envoy tells them. */
bool head_is_grpc(const struct http1_head *head);

/* Remove all fields of that name. */
void head_remove(struct http1_head *head, const char *name);

/* Give the first field of that name this value and remove the others; add one at the end if there
 * was none. Returns 0, or -1 if the array of `max_fields` is full. */
int head_set(struct http1_head *head, size_t max_fields, const char *name, const char *value);

/* Add one at the end. Returns as head_set() does. */
int head_add(struct http1_head *head, size_t max_fields, const char *name, const char *value);

/*
 * Remove the hop-by-hop fields (RFC 9110 7.6.1): Connection and all that it names, Keep-Alive,
 * Proxy-Connection, TE, Upgrade. With `keep_upgrade`, Connection and Upgrade stay if the
 * head asks for an upgrade, reduced to "upgrade". A request that takes trailers goes on saying so,
 * with "TE: trailers" and its Connection, since they are passed on. Transfer-Encoding and Trailer stay: bodies are
 * passed on in the framing in which they came. Host, Content-Length, Transfer-Encoding and other
 * framing fields are not removed even if Connection names them.
 */
void head_strip_hop_by_hop(struct http1_head *head, bool keep_upgrade);

/*
 * Write start line, fields and the empty line. A request is written with `method`, `target` and
 * HTTP/1.1, a response with its status, its reason and HTTP/1.1, whatever version came. Returns
 * the number of bytes, or -1 if the buffer has no room (nothing is written then).
 */
ssize_t head_write(const struct http1_head *head, struct buf *out);

/* Length of the same in bytes. */
size_t head_length(const struct http1_head *head);

#endif
