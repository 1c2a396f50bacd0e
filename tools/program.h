/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a program before it is run: where is it, and can a preloaded library intercept it?
 *
 * Threads: one. Nothing is printed.
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
	char file[PATH_MAX]; /* what the kernel loads: `path`, or the interpreter of a script */
	const char *reason;  /* unless PROGRAM_OK: one word of those in meshshim-check(1) */
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
 * (static), or one that is not there; musl's loader; no library at all; setuid, setgid and file
 * capabilities (the loader drops LD_PRELOAD); Go programs (they make system calls by themselves).
 */
enum program_status program_check(struct program *program);

/* What may keep a program that can be intercepted from being served in full. */
struct program_note {
	const char *code; /* one word of those in meshshim-check(1) */
	char text[PATH_MAX + 256];
	struct program_note *next;
};

/*
 * Notes on a program that program_check() found fit: its interpreter, a DNS resolver of its own,
 * io_uring, parts written in Go. Looks into the program and into the libraries that it needs, and
 * they in turn, as far as these are in LD_LIBRARY_PATH, a run path or the loader's own
 * directories. Returns a list for program_notes_free(), which may be empty (NULL); what memory is
 * missing for is left out, and *lost is set then.
 */
struct program_note *program_notes(const struct program *program, int *lost);
void program_notes_free(struct program_note *notes);

#endif
