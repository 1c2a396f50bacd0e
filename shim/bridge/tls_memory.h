/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's memory. OpenSSL wipes keys when it frees them, but not all of what it makes on the way from
 * a PEM file to a key: between tls_memory_wipe(true) and tls_memory_wipe(false) all that it frees is
 * wiped. Private to tls*.c.
 */
#ifndef SHIM_BRIDGE_TLS_MEMORY_H
#define SHIM_BRIDGE_TLS_MEMORY_H

#include <stdbool.h>

/* Before OpenSSL has taken any; later it has no effect. */
void tls_memory_init(void);

void tls_memory_wipe(bool wipe);

#endif
