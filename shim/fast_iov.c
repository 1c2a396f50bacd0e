/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/fast_iov.h"

#include <stdint.h>
#include <string.h>

#include "shim/hook.h"

/* A request takes the fast lane if its whole head comes in one piece, and often its parts are short. What is
 * longer goes part by part. */
#define GATHER 4096

static size_t length_of(const struct iovec *parts, size_t n)
{
	size_t length = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(length, parts[i].iov_len, &length))
			return SIZE_MAX;
	return length;
}

static bool may_read_all(const struct iovec *parts, size_t n)
{
	if (!n || n > UIO_MAXIOV || !hook_may_read(parts))
		return false;
	for (size_t i = 0; i < n; i++)
		if (parts[i].iov_len && !hook_may_read(parts[i].iov_base))
			return false;
	return true;
}

static bool send_gathered(int fd, const struct iovec *parts, size_t n, size_t length, int flags,
			  ssize_t *sent)
{
	char text[GATHER];
	size_t at = 0;

	for (size_t i = 0; i < n; at += parts[i++].iov_len)
		memcpy(text + at, parts[i].iov_base, parts[i].iov_len);
	return fast_send(fd, text, length, flags, sent);
}

/* One part after the other, until one is not taken whole. Those that the fast lane does not take any more are
 * for the kernel, behind what it was given before. */
static ssize_t send_each(int fd, const struct iovec *parts, size_t n, int flags, ssize_t first)
{
	size_t done = (size_t)first;

	if (done < parts[0].iov_len)
		return first;
	for (size_t i = 1; i < n; i++) {
		ssize_t some = 0;

		if (!parts[i].iov_len)
			continue;
		if (!fast_send(fd, parts[i].iov_base, parts[i].iov_len, flags, &some))
			some = real.send(fd, parts[i].iov_base, parts[i].iov_len, flags);
		if (some > 0)
			done += (size_t)some;
		if (some < (ssize_t)parts[i].iov_len)
			break;
	}
	return (ssize_t)done;
}

bool fast_send_parts(int fd, const struct iovec *parts, size_t n, int flags, ssize_t *sent)
{
	int saved = errno;

	if (!sockets_find(fd) || !may_read_all(parts, n))
		return false;
	size_t length = length_of(parts, n);

	if (length <= GATHER)
		return length && send_gathered(fd, parts, n, length, flags, sent);
	while (!parts->iov_len) {
		parts++;
		n--;
	}
	if (length > SIZE_MAX / 2 ||
	    !fast_send(fd, parts[0].iov_base, parts[0].iov_len, flags, sent))
		return false;
	if (*sent > 0) {
		*sent = send_each(fd, parts, n, flags, *sent);
		errno = saved;
	}
	return true;
}

bool fast_receive_parts(int fd, const struct iovec *parts, size_t n, int flags, ssize_t *got)
{
	size_t done = 0;
	int saved = errno;

	if (!may_read_all(parts, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		ssize_t some;

		if (!parts[i].iov_len)
			continue;
		/* Past the first byte nobody waits, and what the kernel has comes in the next call. */
		if (!fast_try_receive(fd, parts[i].iov_base, parts[i].iov_len,
				  done ? flags | MSG_DONTWAIT : flags, &some)) {
			if (!done)
				return false;
			break;
		}
		if (some <= 0 && !done) {
			*got = some;
			return true;
		}
		if (some <= 0)
			break;
		done += (size_t)some;
		if ((size_t)some < parts[i].iov_len)
			break;
	}
	errno = done ? saved : errno;
	*got = (ssize_t)done;
	return done > 0;
}
