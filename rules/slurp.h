/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories as the rule loader wants them: whole, checked, and never blocking.
 *
 * libconfig is given memory only. Its scanner ends the process when a read fails, as it does on a
 * directory, so that no file name may ever reach it.
 */
#ifndef RULES_SLURP_H
#define RULES_SLURP_H

#include <stddef.h>
#include <sys/types.h>

#define SLURP_MAX ((size_t)64 << 20) /* bytes of one file, and of a file with all it includes */

struct slurp {
	char *text; /* NUL-terminated, malloc'd */
	size_t len;
	dev_t device;
	ino_t inode;
	int bad_line; /* after a failure: the line it is about, else 0 */
};

/*
 * Read a regular file of valid UTF-8 without NUL bytes. A byte order mark is dropped. Returns NULL
 * and fills `slurp` (free(text) is the caller's), or what is wrong in words that outlive the call
 * (an errno text or a constant).
 */
const char *slurp_file(const char *path, struct slurp *slurp) __attribute__((warn_unused_result));

/*
 * The paths of a directory's *.cfg files (hidden ones left out) in strcmp order. Returns NULL and a
 * malloc'd array of malloc'd strings, or what is wrong.
 */
const char *slurp_directory(const char *path, char ***files, size_t *n)
    __attribute__((warn_unused_result));

/* Free what slurp_directory() gave. */
void slurp_free_list(char **files, size_t n);

/* Whether the path names a directory. */
int slurp_is_directory(const char *path);

#endif
