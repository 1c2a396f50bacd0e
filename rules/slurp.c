/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/slurp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/utf8.h"

/* O_NONBLOCK keeps a FIFO from blocking the open; O_NOCTTY a terminal from becoming ours. */
static const char *open_regular(const char *path, int *fd, struct slurp *slurp)
{
	struct stat st;
	const char *wrong = NULL;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return strerror(errno);
	if (fstat(*fd, &st) < 0)
		wrong = strerror(errno);
	else if (S_ISDIR(st.st_mode))
		wrong = "is a directory";
	else if (!S_ISREG(st.st_mode))
		wrong = "not a regular file";
	else if ((uintmax_t)st.st_size > SLURP_MAX)
		wrong = "larger than 64 MiB";
	if (wrong) {
		close(*fd);
		return wrong;
	}
	slurp->device = st.st_dev;
	slurp->inode = st.st_ino;
	slurp->len = (size_t)st.st_size;
	return NULL;
}

/* A file that grows or shrinks meanwhile is being written: half of it must not pass for all. */
static const char *read_all(int fd, struct slurp *slurp)
{
	size_t size = slurp->len + 1;
	size_t len = 0;

	slurp->text = malloc(size + 1);
	if (!slurp->text)
		return "out of memory";
	while (len < size) {
		ssize_t n = read(fd, slurp->text + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return strerror(errno);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len != slurp->len)
		return "changed while it was read";
	slurp->text[len] = '\0';
	return NULL;
}

static int line_of(const char *text, size_t at)
{
	int line = 1;

	for (size_t i = 0; i < at; i++)
		if (text[i] == '\n')
			line++;
	return line;
}

static const char *check_text(struct slurp *slurp)
{
	const char *nul = memchr(slurp->text, '\0', slurp->len);
	size_t valid;

	if (nul) {
		slurp->bad_line = line_of(slurp->text, (size_t)(nul - slurp->text));
		return "NUL byte in the file";
	}
	valid = utf8_valid_prefix(slurp->text, slurp->len);
	if (valid < slurp->len) {
		slurp->bad_line = line_of(slurp->text, valid);
		return "invalid UTF-8";
	}
	if (slurp->len >= 3 && !memcmp(slurp->text, "\xef\xbb\xbf", 3)) {
		slurp->len -= 3;
		memmove(slurp->text, slurp->text + 3, slurp->len + 1);
	}
	return NULL;
}

const char *slurp_file(const char *path, struct slurp *slurp)
{
	const char *wrong;
	int fd;

	memset(slurp, 0, sizeof(*slurp));
	wrong = open_regular(path, &fd, slurp);
	if (wrong)
		return wrong;
	wrong = read_all(fd, slurp);
	close(fd);
	if (!wrong)
		wrong = check_text(slurp);
	if (wrong) {
		free(slurp->text);
		slurp->text = NULL;
	}
	return wrong;
}

int slurp_is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void slurp_free_list(char **files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(files[i]);
	free(files);
}

static int wanted(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 4 && !strcmp(name + len - 4, ".cfg");
}

static int append(char ***files, size_t *n, const char *directory, const char *name)
{
	size_t len = strlen(directory);
	char **grown;

	/* Doubling at powers of two keeps the count the only bookkeeping. */
	if ((*n & (*n - 1)) == 0) {
		grown = realloc(*files, (*n ? *n * 2 : 1) * sizeof(**files));
		if (!grown)
			return -1;
		*files = grown;
	}
	if (asprintf(&(*files)[*n], "%s%s%s", directory,
		     len && directory[len - 1] == '/' ? "" : "/", name) < 0)
		return -1;
	(*n)++;
	return 0;
}

static int compare_paths(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

const char *slurp_directory(const char *path, char ***files, size_t *n)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	const char *wrong = NULL;

	*files = NULL;
	*n = 0;
	if (!dir)
		return strerror(errno);
	while (errno = 0, !wrong && (entry = readdir(dir)))
		if (wanted(entry->d_name) && append(files, n, path, entry->d_name) < 0)
			wrong = "out of memory";
	if (!wrong && errno)
		wrong = strerror(errno);
	closedir(dir);
	if (wrong) {
		slurp_free_list(*files, *n);
		return wrong;
	}
	if (*n)
		qsort(*files, *n, sizeof(**files), compare_paths);
	return NULL;
}
