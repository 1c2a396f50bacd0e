/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *read_all(int fd, char **text, size_t *len)
{
	size_t size = 0;
	ssize_t n = 1;

	while (n) {
		if (*len + 1 >= size) {
			char *grown = realloc(*text, size = size ? size * 2 : 65536);

			if (!grown)
				return "out of memory";
			*text = grown;
		}
		n = read(fd, *text + *len, size - *len - 1);
		if (n < 0 && errno != EINTR)
			return strerror(errno);
		*len += n > 0 ? (size_t)n : 0;
		if (*len > INPUT_MAX)
			return "larger than 64 MiB";
	}
	(*text)[*len] = '\0';
	return NULL;
}

const char *input_read(const char *path, char **text, size_t *len)
{
	int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	const char *wrong;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return strerror(errno);
	wrong = read_all(fd, text, len);
	if (fd != STDIN_FILENO)
		close(fd);
	if (wrong) {
		free(*text);
		*text = NULL;
		*len = 0;
	}
	return wrong;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A device, a pipe. */
static const char *write_through(int fd, const char *text, size_t len)
{
	const char *wrong = fd < 0 || write_all(fd, text, len) < 0 ? strerror(errno) : NULL;

	if (fd > STDERR_FILENO)
		close(fd);
	return wrong;
}

static mode_t default_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static const char *replace(const char *path, mode_t mode, const char *text, size_t len)
{
	const char *wrong = NULL;
	size_t size = strlen(path) + sizeof(".XXXXXX");
	char *temporary = malloc(size);
	int fd;

	if (!temporary)
		return "out of memory";
	snprintf(temporary, size, "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		wrong = strerror(errno);
		free(temporary);
		return wrong;
	}
	if (write_all(fd, text, len) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0)
		wrong = strerror(errno);
	if (close(fd) < 0 && !wrong)
		wrong = strerror(errno);
	if (!wrong && rename(temporary, path) < 0)
		wrong = strerror(errno);
	if (wrong)
		unlink(temporary);
	free(temporary);
	return wrong;
}

const char *output_write(const char *path, const char *text, size_t len)
{
	char *real;
	struct stat status;
	const char *wrong;

	if (!strcmp(path, "-"))
		return write_through(STDOUT_FILENO, text, len);
	if (stat(path, &status) < 0) {
		/* A link to nowhere would be replaced by the file, which nobody expects. */
		if (errno != ENOENT || !lstat(path, &status))
			return strerror(errno);
		return replace(path, default_mode(), text, len);
	}
	if (!S_ISREG(status.st_mode))
		return write_through(open(path, O_WRONLY | O_CLOEXEC), text, len);
	real = realpath(path, NULL);
	if (!real)
		return strerror(errno);
	wrong = replace(real, status.st_mode & 07777, text, len);
	free(real);
	return wrong;
}
