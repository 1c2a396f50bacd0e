/* SPDX-License-Identifier: Apache-2.0 */
/* Envoy's substitution commands in header values: %COMMAND%, %COMMAND(...)%, %COMMAND(...):12%. */
#ifndef RULES_HEADER_COMMAND_H
#define RULES_HEADER_COMMAND_H

#include <stddef.h>

/* Those that the bridge can answer; shim/bridge/format.c does. */
#define HEADER_COMMANDS(X)                                                                         \
	X(REQ)                                                                                     \
	X(RESP)                                                                                    \
	X(PROTOCOL)                                                                                \
	X(DOWNSTREAM_REMOTE_ADDRESS)                                                               \
	X(DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT)                                                  \
	X(DOWNSTREAM_LOCAL_ADDRESS)                                                                \
	X(DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT)                                                   \
	X(DOWNSTREAM_LOCAL_PORT)                                                                   \
	X(UPSTREAM_CLUSTER)                                                                        \
	X(START_TIME)                                                                              \
	X(HOSTNAME)                                                                                \
	X(RESPONSE_CODE)                                                                           \
	X(RESPONSE_FLAGS)

enum header_command_kind {
	COMMAND_UNKNOWN,
#define X(name) COMMAND_##name,
	HEADER_COMMANDS(X)
#undef X
};

struct header_command {
	enum header_command_kind kind;
	const char *name, *other; /* REQ(name?other), RESP; not NUL-terminated. NULL: none */
	size_t name_len, other_len;
	size_t max; /* bytes of the result: ":12" */
};

/*
 * Read the command at a percent sign. Returns its length with both signs. 0: there is none, as with
 * "%%", which stands for the sign itself. `command` may be NULL; where a known name has arguments that
 * it does not take, or lacks those that it needs, its kind is COMMAND_UNKNOWN.
 */
size_t header_command_read(const char *at, struct header_command *command);

#endif
