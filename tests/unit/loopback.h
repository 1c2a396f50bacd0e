/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets on 127.0.0.1 for tests of what needs real ones. */
#ifndef TESTS_UNIT_LOOPBACK_H
#define TESTS_UNIT_LOOPBACK_H

#include <stdint.h>

/* Listen on a free port. Returns the descriptor. */
int loopback_listen(uint16_t *port);

/* A port that nobody listens on: bound, so that it stays free of others. The descriptor is kept. */
uint16_t loopback_closed_port(void);

/* Connect, blocking; `*local` (may be NULL) gets the local port. */
int loopback_connect(uint16_t port, uint16_t *local);

#endif
