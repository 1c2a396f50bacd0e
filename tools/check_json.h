/* SPDX-License-Identifier: Apache-2.0 */
/* JSON on standard output (RFC 8259), as much of it as meshshim-check writes. */
#ifndef TOOLS_CHECK_JSON_H
#define TOOLS_CHECK_JSON_H

#include <stddef.h>

#include "rules/rules.h"

/* A string in quotes; NULL becomes null. */
void json_text(const char *text);
void json_bytes(const char *text, size_t len);

/* "file:line", or null without a file. */
void json_where(const struct where *where);

#endif
