/* SPDX-License-Identifier: Apache-2.0 */
/* google.protobuf.Duration as Istio's users write it. */
#ifndef RULES_DURATION_H
#define RULES_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What Go's time.ParseDuration takes: "1.5s", "250ms", "1h30m", "-2s", "0". Returns false when it
 * is none, or too large for nanoseconds in 64 bits.
 */
bool duration_parse(const char *text, int64_t *ns);

#define DURATION_MAX 32

/* The form of protobuf's JSON: "1.5s", "0.25s", "3600s". */
const char *duration_format(int64_t ns, char out[DURATION_MAX]);

#endif
