/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object: what went wrong, in words for a log line or a 503 body. First error wins:
 * setting an object that is already set does nothing, so that the most specific cause survives on
 * its way up. No memory is allocated. Threads: an object belongs to its owner.
 */
#ifndef SHIM_ERR_H
#define SHIM_ERR_H

struct err {
	int code;       /* an errno value, or 0 where none applies */
	char text[256]; /* empty: no error. One line, no full stop */
};

/* Forget the error. */
void err_clear(struct err *err);

/* Set text and errno value (0: none). NULL is allowed and ignored. Truncates silently. */
void err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* err_set() with ": " and strerror(code) at the end. */
void err_set_errno(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
