/* SPDX-License-Identifier: Apache-2.0 */
/*
 * send(2) and its family. The kernel carries the data (promise 2); what is looked at here is the
 * address beside it: with MSG_FASTOPEN it makes the call a connect(2) in disguise, and on a
 * socket other than TCP it may be a registry host's, which is not reached that way.
 */
#include <stddef.h>

#include "shim/address.h"
#include "shim/hook.h"
#include "shim/hook_connect.h"

/* What is to become of one message. */
enum passage {
	PASS,   /* the real call, as it came */
	OPENED, /* connected to the bridge: the real call without address and MSG_FASTOPEN */
	FAIL,   /* errno says why */
};

static enum passage examine(int fd, const struct sockaddr *to, socklen_t len, int flags)
{
	int rc;

	if (!to || !hook_awake() || !address_is_remote(to, len))
		return PASS;
	if (!(flags & MSG_FASTOPEN)) {
		if (!datagram_is_refused(fd, to, len))
			return PASS;
		errno = ECONNREFUSED;
		return FAIL;
	}
	if (!connect_by_rules(fd, to, len, &rc))
		return PASS;
	return rc == 0 ? OPENED : FAIL;
}

ssize_t hook_send(int fd, const void *data, size_t len, int flags)
{
	return real.send(fd, data, len, flags);
}
EXPORT(send)

ssize_t hook_recv(int fd, void *data, size_t len, int flags)
{
	return real.recv(fd, data, len, flags);
}
EXPORT(recv)

ssize_t hook_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
		    socklen_t tolen)
{
	switch (examine(fd, to, tolen, flags)) {
	case OPENED:
		return real.send(fd, data, len, flags & ~MSG_FASTOPEN);
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
	struct msghdr plain;

	switch (msg ? examine(fd, msg->msg_name, msg->msg_namelen, flags) : PASS) {
	case OPENED:
		plain = *msg;
		plain.msg_name = NULL;
		plain.msg_namelen = 0;
		return real.sendmsg(fd, &plain, flags & ~MSG_FASTOPEN);
	case FAIL:
		return -1;
	case PASS:
		break;
	}
	return real.sendmsg(fd, msg, flags);
}
EXPORT(sendmsg)

/* Whether a message has to be looked at before the kernel may have it. */
static bool is_special(int fd, const struct msghdr *msg, int flags)
{
	if (!address_is_remote(msg->msg_name, msg->msg_namelen))
		return false;
	return (flags & MSG_FASTOPEN) || datagram_is_refused(fd, msg->msg_name, msg->msg_namelen);
}

/* As many messages as need no look go together; one that does goes alone. A short count is what
 * sendmmsg(2) gives too when a message in the middle fails. */
int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned plain = n;

	if (hook_awake() && msgs)
		for (plain = 0; plain < n; plain++)
			if (is_special(fd, &msgs[plain].msg_hdr, flags))
				break;
	if (plain > 0 || n == 0)
		return real.sendmmsg(fd, msgs, plain, flags);

	ssize_t sent = hook_sendmsg(fd, &msgs[0].msg_hdr, flags);

	if (sent < 0)
		return -1;
	msgs[0].msg_len = (unsigned)sent;
	return 1;
}
EXPORT(sendmmsg)
