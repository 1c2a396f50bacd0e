/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a program before it is run: where is it, and can a preloaded library intercept it?
 *
 * Threads: one. Nothing is allocated, nothing is printed.
 */
#ifndef TOOLS_PROGRAM_H
#define TOOLS_PROGRAM_H

#include <limits.h>

/* The exit statuses by which shells and env(1) say the same. */
enum program_status {
	PROGRAM_OK = 0,
	PROGRAM_UNFIT = 126,   /* it is there, but cannot be run or not be intercepted */
	PROGRAM_MISSING = 127, /* it is not there */
};

struct program {
	char path[PATH_MAX]; /* what to execute */
	char why[PATH_MAX + 256]; /* unless PROGRAM_OK: one line, no full stop */
};

/*
 * Find `name` as execvp(3) does: along PATH unless it has a slash. Files that may not be executed
 * are passed over as long as a later directory has one that may.
 */
enum program_status program_find(const char *name, struct program *program);

/*
 * Whether LD_PRELOAD reaches the program at `program->path`. Follows #! lines to the interpreter,
 * and through "env NAME" to the program of that name. Not fit are: files that are not executable;
 * neither ELF nor script; another ELF class or machine than this program's; no dynamic loader
 * (static); musl's loader; setuid, setgid and file capabilities (the loader drops LD_PRELOAD); Go
 * programs (they make system calls by themselves).
 */
enum program_status program_check(struct program *program);

#endif
