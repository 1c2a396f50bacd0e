/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the environment asked for, and the rules in force. (Not "config": libconfig owns
 * config_init.)
 *
 * The constructor only notes the variables (DESIGN section 8, read with secure_getenv(3)) and, for
 * relative paths, the directory; files are read at the first name look-up or non-loopback
 * connection (promise 3). Rules that cannot be loaded are logged once per attempt as one line and
 * leave the shim failing closed; the files are looked at again, at most once a second and only when
 * their size, inode or modification time changed. A reload that fails keeps the rules in force.
 *
 * Threads: mesh_init() belongs to the constructor; the rest is for any thread. One lock,
 * outside the registry's and inside the bridge's, whose thread asks too (dns_answer.h). Signals are
 * blocked while it is held.
 * A vfork child gets the rules in force and never loads: the memory is its parent's.
 */
#ifndef SHIM_MESH_H
#define SHIM_MESH_H

#include <stdbool.h>

struct rules;

/* Read the environment. Called once, by the constructor. */
void mesh_init(void);

/* False: no MESHSHIM_RULES, or MESHSHIM_DISABLE=1. Every hook passes straight through then. */
bool mesh_active(void);

/* Whether program threads may do exchanges themselves: not with MESHSHIM_FAST_LANE=0. */
bool mesh_fast_lane(void);

/* MESHSHIM_RULES with absolute paths, and without empty ones. NULL: memory ran out. Constant. */
const char *mesh_paths(void);

/*
 * The rules in force as a new reference (give it back with mesh_rules_unref()), loading or
 * reloading them first if that is due; the registry is brought up to date with them. NULL: there
 * are none, fail closed. errno is preserved.
 */
struct rules *mesh_rules(void) __attribute__((warn_unused_result));

/*
 * Whether the rules that were in force at the last look, which is not to be repeated yet, let every
 * address pass that is neither synthetic nor a DNS server's. What programs connect to most is thus
 * told without a system call or a lock. Async-signal-safe.
 */
bool mesh_is_open(void);

/* rules_unref() for program threads. What the JIT of regular expressions made is freed under a lock
 * of PCRE2's, which a forked child must not inherit. (The bridge's thread never forks in
 * between.) */
void mesh_rules_unref(struct rules *rules);

/* In a forked child: the rules in force stay. See fork.h. */
void mesh_fork_child(void);

#endif
