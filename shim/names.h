/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the resolver hooks ask: is this name, or this address, one of the mesh's? The rules are read
 * only for questions that can have that answer (promise 3).
 *
 * Threads: any. errno is preserved.
 */
#ifndef SHIM_NAMES_H
#define SHIM_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/registry.h"

enum name_status {
	NAME_OTHER,  /* not in the registry: the real resolver's business */
	NAME_MESH,   /* a registry host */
	NAME_REAL,   /* a registry host for which the real resolver answers (resolution NONE): what it
			says is to be noted with names_learn() */
	NAME_FAILED, /* a registry host that no address could be had for: an error, never the real
			resolver (promise 1) */
};

/* The addresses that stand for a registry host; NAME_REAL: its name. */
struct name_answer {
	struct in_addr v4;
	struct in6_addr v6;
	bool has4, has6;
	char canonical[REGISTRY_NAME_MAX + 1];
};

/* Look up a name as it is. NULL, empty and numeric ones are NAME_OTHER without a look at the
 * rules. */
enum name_status names_find(const char *name, struct name_answer *answer);

/* The same for a name that a program gives to libc, which may stand for another: search.h. */
enum name_status names_search(const char *node, struct name_answer *answer);

/* NAME_REAL: the real resolver has said that `canonical` of the answer is at this address. False: it
 * could not be noted, and the program must not have it (promise 1). */
bool names_learn(const struct name_answer *answer, const struct sockaddr *addr, socklen_t len);

/*
 * The registry host behind a synthetic address. NAME_MESH and its name; NAME_FAILED: a synthetic
 * address that nobody has; NAME_OTHER: any other address (an explicit one keeps the name that the
 * DNS gives it).
 */
enum name_status names_reverse(const struct sockaddr *addr, socklen_t len,
			       char name[REGISTRY_NAME_MAX + 1]);

#endif
