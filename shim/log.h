/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log (MESHSHIM_LOG, MESHSHIM_LOG_LEVEL): one write(2) per line, "meshshim[pid]: level: text".
 *
 * Threads: any, signal handlers included once log_init() ran. errno is preserved. Never stdout;
 * stderr only while descriptor 2 is still the file that it was at start (a program may have put a
 * socket there). A log file is opened, appended to and closed for each line, so the log owns no
 * descriptor.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

/*
 * `target` is "stderr", a file, or NULL for stderr; `level` the name of a level or NULL for
 * "error". Both are copied. Returns 0, or -1 if the level is no such name (error is used then).
 */
int log_init(const char *target, const char *level);

/* The file that lines go to, with its directory; NULL: stderr. Constant after log_init(). */
const char *log_file(void);

/* Whether lines of this level are written. */
bool log_enabled(enum log_level level);

/* Write one line. Longer than 1 KiB is cut. A line break in the text becomes a space. */
void log_write(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  (log_enabled(LOG_INFO) ? log_write(LOG_INFO, __VA_ARGS__) : (void)0)
#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)

#endif
