/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a whole: read into memory, and replaced in one step. */
#ifndef TOOLS_IMPORT_OUTPUT_H
#define TOOLS_IMPORT_OUTPUT_H

#include <stddef.h>

#define INPUT_MAX ((size_t)64 << 20) /* bytes of one input, as for rule files */

/*
 * Read a file, pipe or, for "-", standard input. Returns NULL and a malloc'd text (with a NUL after
 * its `len` bytes), or what is wrong: words that last until the next call.
 */
const char *input_read(const char *path, char **text, size_t *len)
    __attribute__((warn_unused_result));

/*
 * Put a text in a file's place: the file has all of it, or stays as it was, and nothing is left
 * beside it, whatever signal comes. Owner and mode of an existing file are kept, a symbolic link is
 * followed. Where a file cannot be replaced that way (it is mounted, its owner cannot be kept, its
 * directory cannot be written to) it is overwritten in place. What is no regular file is written
 * to, and so are "-", which is standard output, and descriptors by name (/dev/stdout). Returns
 * NULL, or what is wrong as above.
 */
const char *output_write(const char *path, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
