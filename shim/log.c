/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is put together on the stack and leaves in one write(2), so that lines of several threads
 * and processes do not mix. No lock: what log_init() sets does not change any more.
 */
#include "shim/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/libc.h"
#include "shim/thread.h"

#define LINE_MAX_BYTES 1024

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARN] = "warn",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};

static enum log_level threshold = LOG_ERROR;
static char file[PATH_MAX]; /* empty: stderr */

/* What descriptor 2 was at start. Before log_init() nothing is written at all. */
static bool have_stderr;
static dev_t stderr_dev;
static ino_t stderr_ino;

static int set_level(const char *level)
{
	threshold = LOG_ERROR;
	if (!level)
		return 0;
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
		if (strcmp(level, level_names[i]) == 0) {
			threshold = (enum log_level)i;
			return 0;
		}
	return -1;
}

/* A relative name means the directory of now, whatever the program does later. */
static void set_file(const char *target)
{
	size_t len = 0;

	if (target[0] != '/') {
		if (!getcwd(file, sizeof(file) - 1))
			file[0] = '\0';
		len = strlen(file);
		if (len)
			file[len++] = '/';
	}
	if (len + strlen(target) < sizeof(file))
		memcpy(file + len, target, strlen(target) + 1);
	else
		file[0] = '\0';
}

int log_init(const char *target, const char *level)
{
	int saved = errno;
	struct stat st;

	file[0] = '\0';
	if (target && *target && strcmp(target, "stderr") != 0)
		set_file(target);
	have_stderr = fstat(STDERR_FILENO, &st) == 0;
	if (have_stderr) {
		stderr_dev = st.st_dev;
		stderr_ino = st.st_ino;
	}
	errno = saved;
	return set_level(level);
}

const char *log_file(void)
{
	return file[0] ? file : NULL;
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

/* Whether a descriptor is the standard error that we started with. */
static bool is_stderr(int fd)
{
	struct stat st;

	return have_stderr && fstat(fd, &st) == 0 && st.st_dev == stderr_dev &&
	       st.st_ino == stderr_ino;
}

/*
 * On our own threads number 2 is not the program's (thread.h). Take the very file that it has there,
 * from the table of its first thread; where that is forbidden, open it by name.
 */
static int take_stderr(void)
{
	int process = (int)real.syscall(SYS_pidfd_open, getpid(), 0);
	int fd = process < 0 ? -1 : (int)real.syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0);

	if (process >= 0)
		real.close(process);
	if (fd < 0)
		fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct pollfd room = {.fd = fd, .events = POLLOUT};

	/* The bridge waits for nobody's terminal. */
	if (fd >= 0 && real.poll(&room, 1, 0) != 1) {
		real.close(fd);
		return -1;
	}
	return fd;
}

/* Where the line goes. `*opened`: to be closed again. */
static int open_target(bool *opened)
{
	*opened = file[0] || thread_is_ours;
	if (file[0])
		return open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	return thread_is_ours ? take_stderr() : STDERR_FILENO;
}

static void write_line(const char *line, size_t len)
{
	bool opened;
	int fd = open_target(&opened);

	if (fd < 0)
		return;
	/* There is nobody to tell that a log line was lost. */
	if (file[0] || is_stderr(fd))
		while (real.write(fd, line, len) < 0 && errno == EINTR)
			;
	if (opened)
		real.close(fd);
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES + 1];
	int saved = errno;
	va_list arguments;

	if (!log_enabled(level))
		return;
	int n = snprintf(line, sizeof(line), "meshshim[%ld]: %s: ", (long)getpid(),
			 level_names[level]);

	errno = saved; /* for %m */
	va_start(arguments, format);
	int text = vsnprintf(line + n, sizeof(line) - (size_t)n, format, arguments);
	va_end(arguments);
	size_t len = (size_t)n + (text > 0 ? (size_t)text : 0);

	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = 0; i < len; i++)
		if (line[i] == '\n' || line[i] == '\r')
			line[i] = ' ';
	line[len++] = '\n';
	write_line(line, len);
	errno = saved;
}
