/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's error queue in words that a person can act on. Private to tls*.c. */
#ifndef SHIM_BRIDGE_TLS_ERROR_H
#define SHIM_BRIDGE_TLS_ERROR_H

#include "shim/err.h"

/* Set "what: why" from the oldest error in the queue of this thread, which is the most specific
 * one, and clear the queue. With an empty queue only `what`. */
void tls_error(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
