/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64: the hash that Envoy's consistent hashing is made of. Pure; any thread.
 */
#ifndef SHIM_BRIDGE_HASH_H
#define SHIM_BRIDGE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed);

#endif
