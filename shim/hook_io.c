/* SPDX-License-Identifier: Apache-2.0 */
/*
 * send(2) and its family. The kernel carries the data (promise 2); what is looked at here is the
 * address beside it: with MSG_FASTOPEN it makes the call a connect(2) in disguise, and on a socket
 * other than TCP it may be a registry host's, which is not reached that way, or a DNS server's
 * (detour.h).
 */
#include <stddef.h>
#include <sys/uio.h>

#include "shim/detour.h"
#include "shim/fast.h"
#include "shim/fast_iov.h"
#include "shim/hook.h"
#include "shim/hook_connect.h"

/* What is to become of one message. */
enum passage {
	PASS,   /* the real call, as it came */
	OPENED, /* connected to the bridge: the real call without address and MSG_FASTOPEN */
	MOVED,  /* the real call with the address in `detour`, or none if that has no length */
	FAIL,   /* errno says why */
};

static enum passage examine_datagram(int fd, const struct msghdr *msg, int flags,
				     struct detour *detour)
{
	const struct sockaddr *to = msg->msg_name;

	if (datagram_is_refused(fd, to, msg->msg_namelen)) {
		errno = ECONNREFUSED;
		return FAIL;
	}
	switch (detour_send(fd, msg, flags, detour)) {
	case DETOUR_WINDOW:
		return MOVED;
	case DETOUR_CONNECTED:
		detour->len = 0;
		return MOVED;
	case DETOUR_FAILED:
		return FAIL;
	case DETOUR_NONE:
		break;
	}
	return PASS;
}

static enum passage examine(int fd, const struct msghdr *msg, int flags, struct detour *detour)
{
	const struct sockaddr *to = msg->msg_name;
	int rc;

	if (!to || !hook_awake() || !connect_is_of_interest(to, msg->msg_namelen))
		return PASS;
	if ((flags & MSG_FASTOPEN) && connect_by_rules(fd, to, msg->msg_namelen, &rc))
		return rc == 0 ? OPENED : FAIL;
	return examine_datagram(fd, msg, flags, detour);
}

/* Descriptors that are passed on (unix(7)). */
static void share_passed(const struct msghdr *msg)
{
	if (!hook_may_read(msg->msg_control) || !sockets_table)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c && c->cmsg_len >= sizeof(*c);
	     c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		const int *fds = (const int *)CMSG_DATA(c);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(*fds)) <= c->cmsg_len; i++)
			sockets_share(fds[i]);
	}
}

ssize_t hook_send(int fd, const void *data, size_t len, int flags)
{
	ssize_t n;

	if (fast_is_other(fd))
		return real.send(fd, data, len, flags);
	if (fast_send(fd, data, len, flags, &n))
		return n;
	return real.send(fd, data, len, flags);
}
EXPORT(send)

int hook_shutdown(int fd, int how)
{
	int rc = real.shutdown(fd, how);

	if (rc == 0 && how != SHUT_WR)
		fast_break_off(fd);
	return rc;
}
EXPORT(shutdown)

ssize_t hook_write(int fd, const void *data, size_t len)
{
	ssize_t n;

	if (fast_is_other(fd))
		return real.write(fd, data, len);
	/* Where there is nobody to write to, write(2) shall have its signal. */
	if (fast_send(fd, data, len, 0, &n))
		return n;
	return real.write(fd, data, len);
}
EXPORT(write)

ssize_t hook_writev(int fd, const struct iovec *parts, int n)
{
	ssize_t sent;

	if (fast_is_other(fd))
		return real.writev(fd, parts, n);
	if (n > 0 && fast_send_parts(fd, parts, (size_t)n, 0, &sent))
		return sent;
	return real.writev(fd, parts, n);
}
EXPORT(writev)

/* Inside of libc nobody comes by here: what the program does with the stream is the kernel's business. */
FILE *hook_fdopen(int fd, const char *mode)
{
	if (!real.fdopen)
		libc_bind();
	fast_renounce(fd);
	return real.fdopen(fd, mode);
}
EXPORT(fdopen)

ssize_t hook_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
		    socklen_t tolen)
{
	struct iovec part = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_name = (void *)to,
			     .msg_namelen = tolen,
			     .msg_iov = &part,
			     .msg_iovlen = 1};
	struct detour detour;
	ssize_t n;

	if (!to && fast_send(fd, data, len, flags, &n))
		return n;
	switch (examine(fd, &msg, flags, &detour)) {
	case OPENED:
		return real.send(fd, data, len, flags & ~MSG_FASTOPEN);
	case MOVED:
		return real.sendto(fd, data, len, flags,
				   detour.len ? (struct sockaddr *)&detour.to : NULL, detour.len);
	case FAIL:
		return -1;
	case PASS:
		break;
	}
	return real.sendto(fd, data, len, flags, to, tolen);
}
EXPORT(sendto)

ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr moved;
	struct detour detour = {0};
	ssize_t n;

	if (hook_may_read(msg) && fast_send_message(fd, msg, flags, &n))
		return n;
	if (hook_may_read(msg))
		share_passed(msg);
	switch (hook_may_read(msg) ? examine(fd, msg, flags, &detour) : PASS) {
	case OPENED:
		flags &= ~MSG_FASTOPEN;
		break;
	case MOVED:
		break;
	case FAIL:
		return -1;
	case PASS:
		return real.sendmsg(fd, msg, flags);
	}
	moved = *msg;
	moved.msg_name = detour.len ? &detour.to : NULL;
	moved.msg_namelen = detour.len;
	return real.sendmsg(fd, &moved, flags);
}
EXPORT(sendmsg)

/* Whether a message has to be looked at before the kernel may have it. */
static bool is_special(int fd, const struct msghdr *msg, int flags)
{
	const struct sockaddr *to = msg->msg_name;
	socklen_t len = msg->msg_namelen;

	if (!connect_is_of_interest(to, len))
		return false;
	return (flags & MSG_FASTOPEN) || detour_is_server(to, len) ||
	       datagram_is_refused(fd, to, len);
}

/* As many messages as need no look go together; one that does goes alone. Returns how many are
 * gone, or -1. */
static int send_some(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned plain = 0;

	while (plain < n && !is_special(fd, &msgs[plain].msg_hdr, flags))
		share_passed(&msgs[plain++].msg_hdr);
	if (plain > 0)
		return real.sendmmsg(fd, msgs, plain, flags);

	ssize_t sent = hook_sendmsg(fd, &msgs[0].msg_hdr, flags);

	if (sent < 0)
		return -1;
	msgs[0].msg_len = (unsigned)sent;
	return 1;
}

/* A short count is what sendmmsg(2) gives too when a message in the middle fails. */
int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned sent = 0;
	int saved = errno;

	if (!hook_awake() || !hook_may_read(msgs) || n == 0)
		return real.sendmmsg(fd, msgs, n, flags);
	if (n > UIO_MAXIOV)
		n = UIO_MAXIOV; /* as the kernel does */
	while (sent < n) {
		int more = send_some(fd, msgs + sent, n - sent, flags);

		if (more < 0 && sent == 0)
			return -1;
		if (more <= 0)
			break;
		sent += (unsigned)more;
	}
	errno = saved;
	return (int)sent;
}
EXPORT(sendmmsg)
