/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast lane for calls with several parts: writev(2), readv(2), sendmsg(2), recvmsg(2) without address and
 * control data.
 *
 * Threads: any. errno as the call that is stood for leaves it.
 */
#ifndef SHIM_FAST_IOV_H
#define SHIM_FAST_IOV_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/fast.h"

bool fast_send_parts(int fd, const struct iovec *parts, size_t n, int flags, ssize_t *sent);
bool fast_receive_parts(int fd, const struct iovec *parts, size_t n, int flags, ssize_t *got);

/* sendmsg(2). Returns true with its result in *sent, or false: it is to be called. */
static inline bool fast_send_message(int fd, const struct msghdr *msg, int flags, ssize_t *sent)
{
	return sockets_find(fd) && !msg->msg_name && !msg->msg_controllen &&
	       fast_send_parts(fd, msg->msg_iov, msg->msg_iovlen, flags, sent);
}

/* recvmsg(2), likewise. */
static inline bool fast_receive_message(int fd, struct msghdr *msg, int flags, ssize_t *got)
{
	if (!fast_find(fd) || msg->msg_name ||
	    !fast_receive_parts(fd, msg->msg_iov, msg->msg_iovlen, flags, got))
		return false;
	if (*got >= 0) {
		msg->msg_controllen = 0;
		msg->msg_flags = 0;
	}
	return true;
}

#endif
