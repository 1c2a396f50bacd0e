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
 * Put a text in a file's place: the file has all of it, or stays as it was. The mode of an existing
 * file is kept, a symbolic link is followed; what is no regular file is written to. "-" is standard
 * output. Returns NULL, or what is wrong as above.
 */
const char *output_write(const char *path, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
