/* SPDX-License-Identifier: Apache-2.0 */
/* What YAML's scalars mean. */
#ifndef TOOLS_IMPORT_SCALAR_H
#define TOOLS_IMPORT_SCALAR_H

#include "rules/tree.h"

struct scalar {
	enum tree_kind kind; /* NONE (null), TEXT, INTEGER, DECIMAL or FLAG */
	union {
		long long integer;
		double decimal;
		bool flag;
	};
};

/*
 * Resolve a plain scalar as Kubernetes' reader does (sigs.k8s.io/yaml): YAML 1.1, so that yes, no,
 * on, off, y and n are booleans, but without its base 60. Timestamps stay texts.
 */
struct scalar scalar_plain(const char *text);

/*
 * Resolve a scalar that has a tag ("tag:yaml.org,2002:int" or "!"). Returns NULL, or what is wrong:
 * a constant.
 */
const char *scalar_tagged(const char *tag, const char *text, struct scalar *out);

#endif
