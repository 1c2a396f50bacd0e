/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of rule files, each with the place where it stands. Absent text is NULL; absent values of
 * other types are not `set`. They live in the snapshot's region.
 */
#ifndef RULES_VALUE_H
#define RULES_VALUE_H

#include "rules/rules.h"

struct text {
	struct where where;
	const char *s;
};

struct number {
	struct where where;
	long long value;
	bool set;
};

/* A floating-point number; integers are taken too. */
struct decimal {
	struct where where;
	double value;
	bool set;
};

/* google.protobuf.Duration, written as Go's time.ParseDuration has it: "1.5s", "250ms", "1h30m". */
struct duration {
	struct where where;
	int64_t ns;
	bool set;
};

struct flag {
	struct where where;
	bool value;
	bool set;
};

/* One of the names in a table; `value` is 0 when nothing was written. */
struct choice {
	struct where where;
	int value;
	bool set;
};

/* A list of structs (or of `struct text`). */
struct list {
	struct where where;
	void *items;
	size_t n;
	bool partial; /* some of what was written is not here: it was refused */
};

/* An entry of a map<string, string>: labels, headers. */
struct pair {
	struct where where;
	struct text name, value;
};

#endif
