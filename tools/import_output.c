/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file is replaced by writing another one beside it, which is renamed over it. Signals wait for
 * the time that this takes, so that no other file stays behind; it has no readers that could make
 * it last.
 */
#include "tools/import_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
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

/* ---- writing ------------------------------------------------------------------------------ */

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

/* A device, a pipe, a descriptor. */
static const char *write_through(int fd, const char *text, size_t len)
{
	const char *wrong = fd < 0 || write_all(fd, text, len) < 0 ? strerror(errno) : NULL;

	if (fd > STDERR_FILENO)
		close(fd);
	return wrong;
}

/* Room first: what is there must not be lost to a full disk or a limit. */
static int make_room(int fd, off_t size, size_t len)
{
	int error = (off_t)len > size ? posix_fallocate(fd, 0, (off_t)len) : 0;

	if (!error || error == EINVAL || error == EOPNOTSUPP)
		return 0;
	if (ftruncate(fd, size) < 0)
		return -1;
	errno = error;
	return -1;
}

/* Returns 0 or -1, with errno. */
static int overwrite(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), status = -1, error;
	struct stat old;

	if (fd < 0)
		return -1;
	if (!fstat(fd, &old) && !make_room(fd, old.st_size, len) && !write_all(fd, text, len) &&
	    !ftruncate(fd, (off_t)len) && !fsync(fd))
		status = 0;
	error = errno;
	if (close(fd) < 0 && !status)
		return -1;
	errno = error;
	return status;
}

/* ---- replacing ---------------------------------------------------------------------------- */

static mode_t default_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

static int keep_owner(int fd, const struct stat *old)
{
	struct stat now;

	if (!old)
		return 0;
	if (fstat(fd, &now) < 0)
		return -1;
	if (now.st_uid == old->st_uid && now.st_gid == old->st_gid)
		return 0;
	return fchown(fd, old->st_uid, old->st_gid);
}

/* `old`: the file that it takes the place of; NULL: none. `*in_place`: it cannot, but perhaps the
 * file can be written to. Returns 0 or -1, with errno. */
static int replace(const char *path, const struct stat *old, const char *text, size_t len,
		   char *temporary, bool *in_place)
{
	mode_t mode = old ? old->st_mode & 07777 : default_mode();
	int fd = mkostemp(temporary, O_CLOEXEC), status = 0, error;

	*in_place = old && fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS);
	if (fd < 0)
		return -1;
	if (keep_owner(fd, old) < 0) {
		*in_place = errno == EPERM;
		status = -1;
	} else if (write_all(fd, text, len) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0) {
		status = -1;
	}
	error = errno;
	if (close(fd) < 0 && !status) {
		status = -1;
		error = errno;
	}
	if (!status && rename(temporary, path) < 0) {
		status = -1;
		error = errno;
		*in_place = old && error == EBUSY; /* something is mounted there */
	}
	if (status < 0)
		unlink(temporary);
	errno = error;
	return status;
}

/* Beyond the limit for files, write() is to fail instead of killing. */
static const char *put(const char *path, const struct stat *old, const char *text, size_t len)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction before;
	sigset_t all, mask;
	bool in_place;
	size_t size = strlen(path) + sizeof(".XXXXXX");
	char *temporary = malloc(size);
	int status, error;

	if (!temporary)
		return "out of memory";
	snprintf(temporary, size, "%s.XXXXXX", path);
	sigfillset(&all);
	sigdelset(&all, SIGXFSZ); /* blocked, it would not be ignored but wait */
	sigprocmask(SIG_BLOCK, &all, &mask);
	sigaction(SIGXFSZ, &ignore, &before);
	status = replace(path, old, text, len, temporary, &in_place);
	if (status < 0 && in_place)
		status = overwrite(path, text, len);
	error = errno;
	sigaction(SIGXFSZ, &before, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	free(temporary);
	return status < 0 ? strerror(error) : NULL;
}

/* ---- what is there ------------------------------------------------------------------------ */

/* Where the last name of a path stands, without links; NULL: nowhere. malloc'd. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *above = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	char *directory = above ? realpath(above, NULL) : NULL;

	free(above);
	return directory;
}

static bool is_own_descriptors(const char *directory)
{
	char *own = realpath("/proc/self/fd", NULL);
	bool same = own && !strcmp(own, directory);

	free(own);
	return same;
}

/* One link further. Returns the number of a descriptor of ours, -1: it is none. `*path`, which is
 * malloc'd, becomes what it links to, or NULL. */
static int follow(char **path)
{
	const char *slash = strrchr(*path, '/'), *name = slash ? slash + 1 : *path;
	char *directory = directory_of(*path), *next = NULL, *end, target[PATH_MAX];
	int fd = -1;
	ssize_t n;

	if (directory && is_own_descriptors(directory)) {
		fd = (int)strtol(name, &end, 10);
		fd = *name && !*end ? fd : -1;
	} else if (directory) {
		n = readlink(*path, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		if (n > 0 && asprintf(&next, "%s%s%s", target[0] == '/' ? "" : directory,
				      target[0] == '/' ? "" : "/", target) < 0)
			next = NULL;
	}
	free(directory);
	free(*path);
	*path = next;
	return fd;
}

/* The descriptor that /dev/stdout or /dev/fd/3 names; -1: something else. It may be a file, whose
 * name is of no use: what others write to the descriptor would go to the file that was. */
static int descriptor_of(const char *path)
{
	char *at = strdup(path);
	int fd = -1;

	for (int i = 0; at && fd < 0 && i < 40; i++)
		fd = follow(&at);
	free(at);
	return fd;
}

const char *output_write(const char *path, const char *text, size_t len)
{
	int fd = strcmp(path, "-") != 0 ? descriptor_of(path) : STDOUT_FILENO;
	struct stat status;
	const char *wrong;
	char *real;

	if (fd >= 0)
		return write_through(fd, text, len);
	if (stat(path, &status) < 0) {
		/* A link to nowhere would be replaced by the file, which nobody expects. */
		if (errno != ENOENT || !lstat(path, &status))
			return strerror(errno);
		return put(path, NULL, text, len);
	}
	if (!S_ISREG(status.st_mode))
		return write_through(open(path, O_WRONLY | O_CLOEXEC), text, len);
	real = realpath(path, NULL);
	if (!real)
		return strerror(errno);
	wrong = put(real, &status, text, len);
	free(real);
	return wrong;
}
