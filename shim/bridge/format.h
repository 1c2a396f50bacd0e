/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's substitution commands, as header operations have them in their values: %REQ(x)%, %PROTOCOL%
 * and so on (rules/header_command.h lists them). "%%" stands for the sign itself.
 *
 * Threads: the owner's of what is handed in.
 */
#ifndef SHIM_BRIDGE_FORMAT_H
#define SHIM_BRIDGE_FORMAT_H

#include <netinet/in.h>
#include <stdint.h>

#include "rules/rules.h"
#include "shim/bridge/arena.h"
#include "shim/bridge/http1.h"

/* What the commands ask about. A command for which there is nothing stands for nothing. */
struct format_source {
	const struct http1_head *request;
	const struct http1_head *response; /* NULL: there is none yet */
	const char *authority, *path;	   /* as the program sent them: %REQ(:path)% */
	const char *source; /* the program's own address and port, NULL: not known */
	const struct in6_addr *dialled; /* IPv4 as v4-mapped; NULL: not known */
	uint16_t port;			/* that was dialled */
	const struct cluster *cluster;	/* NULL: none */
	const char *flags;	/* of the response, as Envoy writes them; NULL, "": none */
	uint64_t started; /* when the request came, ms since 1970 */
};

/* The value with its commands carried out, free of control characters: `value` itself or in the
 * arena. NULL: no memory. */
const char *format_value(struct arena *arena, const char *value, const struct format_source *source)
    __attribute__((warn_unused_result));

#endif
