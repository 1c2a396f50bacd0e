/* SPDX-License-Identifier: Apache-2.0 */
/* meshshim-check --app: can this program be intercepted? */
#ifndef TOOLS_CHECK_APP_H
#define TOOLS_CHECK_APP_H

#include <stdbool.h>

/*
 * Say on standard output whether the program, a path or a name in PATH, can be intercepted, and
 * why not; as text or as JSON (the keys are in meshshim-check(1)). `quiet`: without notes. Returns
 * the verdict.
 */
bool app_report(const char *name, bool json, bool quiet);

#endif
