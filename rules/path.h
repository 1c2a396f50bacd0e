/* SPDX-License-Identifier: Apache-2.0 */
/* Path normalization (MeshConfig.pathNormalization), private to rules/. */
#ifndef RULES_PATH_H
#define RULES_PATH_H

#include <stddef.h>

#include "rules/mesh_config.h"

/*
 * A path as it is matched and sent, in a buffer of its own only where something changes.
 */
struct path {
	const char *s; /* not NUL-terminated */
	size_t len;    /* without query and fragment */
	char *owned;   /* malloc'd, or NULL */
	char small[768]; /* longer than most, also with every byte escaped */
};

/*
 * Normalize the path of a request target (its query and fragment are not looked at). "*" and
 * everything that does not begin with "/" stays as it is. Returns 0, or -1: out of memory.
 */
int path_init(struct path *path, const char *target, enum normalization how)
    __attribute__((warn_unused_result));

void path_release(struct path *path);

/* match.c: as path_init(), in the way that a rule set says. `rules` may be NULL: BASE. */
struct rules;
int rules_normalize(const struct rules *rules, const char *target, struct path *path)
    __attribute__((warn_unused_result));

#endif
