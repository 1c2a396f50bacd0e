/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig, privately. rules/ calls libconfig's functions by name; in the shim those names are
 * hidden functions of libconfig.c, which forward to libconfig.so.9, opened when rules are first
 * read. So neither does every program load it, nor can a program's own config_init() get in
 * between (promise 5).
 *
 * Threads: any; no lock.
 */
#ifndef SHIM_LIBCONFIG_H
#define SHIM_LIBCONFIG_H

#include "shim/err.h"

/*
 * Open the library unless it is open. Returns 0, or -1 with `err` (may be NULL) set: it is not
 * installed, or is not the one we know. Whoever holds a lock while rules are read calls this
 * before taking it; else the functions open the library themselves. Without the library, reading
 * a file fails with a text of its own, and every other function does nothing and finds nothing.
 */
int libconfig_open(struct err *err) __attribute__((warn_unused_result));

#endif
