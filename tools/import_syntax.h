/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's syntax errors in words that help. */
#ifndef TOOLS_IMPORT_SYNTAX_H
#define TOOLS_IMPORT_SYNTAX_H

#include <yaml.h>

#include "tools/import_yaml.h"

/* The number of the line that a mark of libyaml's stands in. */
int syntax_line(const struct yaml_input *input, const yaml_mark_t *mark);

/* What a parser that failed found in its input, into `out`, as snprintf(3). Returns the line. */
int syntax_describe(const yaml_parser_t *parser, const struct yaml_input *input, char *out,
		    size_t size);

#endif
