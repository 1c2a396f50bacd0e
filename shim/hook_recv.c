/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recvfrom(2) and its family. The kernel carries the data (promise 2); what is looked at here is
 * the address beside it, which is a DNS server's and not that of the bridge's window for it
 * (detour.h).
 */
#include <stddef.h>

#include "shim/detour.h"
#include "shim/fast.h"
#include "shim/fast_iov.h"
#include "shim/hook.h"

/* 0: nothing is to be restored. */
static socklen_t room_for(const struct sockaddr *from, const socklen_t *len)
{
	return from && hook_may_read(len) && hook_awake() ? *len : 0;
}

ssize_t hook_recv(int fd, void *data, size_t len, int flags)
{
	ssize_t n;

	if (fast_is_other(fd))
		return real.recv(fd, data, len, flags);
	if (fast_receive(fd, data, len, flags, &n))
		return n;
	n = real.recv(fd, data, len, flags);
	fast_received(fd, n);
	return n;
}
EXPORT(recv)

ssize_t hook___recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
	ssize_t n;

	if (fast_is_other(fd) || len > size) /* that is the end of the program */
		return real.__recv_chk(fd, data, len, size, flags);
	if (fast_receive(fd, data, len, flags, &n))
		return n;
	n = real.__recv_chk(fd, data, len, size, flags);
	fast_received(fd, n);
	return n;
}
EXPORT(__recv_chk)

ssize_t hook_read(int fd, void *data, size_t len)
{
	ssize_t n;

	if (fast_is_other(fd))
		return real.read(fd, data, len);
	if (fast_receive(fd, data, len, 0, &n))
		return n;
	n = real.read(fd, data, len);
	fast_received(fd, n);
	return n;
}
EXPORT(read)

ssize_t hook___read_chk(int fd, void *data, size_t len, size_t size)
{
	ssize_t n;

	if (fast_is_other(fd) || len > size)
		return real.__read_chk(fd, data, len, size);
	if (fast_receive(fd, data, len, 0, &n))
		return n;
	n = real.__read_chk(fd, data, len, size);
	fast_received(fd, n);
	return n;
}
EXPORT(__read_chk)

ssize_t hook_readv(int fd, const struct iovec *parts, int n)
{
	ssize_t got;

	if (fast_is_other(fd))
		return real.readv(fd, parts, n);
	if (n > 0 && fast_find(fd) && fast_receive_parts(fd, parts, (size_t)n, 0, &got))
		return got;
	fast_give_up(fd);
	fast_wait_in_kernel(fd);
	got = real.readv(fd, parts, n);
	fast_received(fd, got);
	return got;
}
EXPORT(readv)

ssize_t hook_recvfrom(int fd, void *data, size_t len, int flags, struct sockaddr *from,
		      socklen_t *fromlen)
{
	socklen_t room = room_for(from, fromlen);
	ssize_t n;

	if (!from && fast_receive(fd, data, len, flags, &n))
		return n;
	if (from)
		fast_wait_in_kernel(fd);
	n = real.recvfrom(fd, data, len, flags, from, fromlen);
	fast_received(fd, n);
	if (n >= 0 && room)
		detour_restore(from, room, *fromlen);
	return n;
}
EXPORT(recvfrom)

ssize_t hook___recvfrom_chk(int fd, void *data, size_t len, size_t size, int flags,
			    struct sockaddr *from, socklen_t *fromlen)
{
	socklen_t room = room_for(from, fromlen);
	ssize_t n;

	if (len > size)
		return real.__recvfrom_chk(fd, data, len, size, flags, from, fromlen);
	if (!from && fast_receive(fd, data, len, flags, &n))
		return n;
	if (from)
		fast_wait_in_kernel(fd);
	n = real.__recvfrom_chk(fd, data, len, size, flags, from, fromlen);
	fast_received(fd, n);
	if (n >= 0 && room)
		detour_restore(from, room, *fromlen);
	return n;
}
EXPORT(__recvfrom_chk)

ssize_t hook_recvmsg(int fd, struct msghdr *msg, int flags)
{
	socklen_t room = hook_may_read(msg) && hook_awake() && msg->msg_name ? msg->msg_namelen : 0;
	ssize_t n;

	if (hook_may_read(msg) && fast_receive_message(fd, msg, flags, &n))
		return n;
	fast_give_up(fd);
	fast_wait_in_kernel(fd);
	n = real.recvmsg(fd, msg, flags);
	fast_received(fd, n);
	if (n >= 0 && room)
		detour_restore(msg->msg_name, room, msg->msg_namelen);
	return n;
}
EXPORT(recvmsg)

/* What room there was for each address the kernel does not tell afterwards: the least of all
 * counts. Programs give the same to each. */
static socklen_t least_room(const struct mmsghdr *msgs, unsigned n)
{
	socklen_t least = sizeof(struct sockaddr_storage);

	for (unsigned i = 0; i < n; i++)
		if (msgs[i].msg_hdr.msg_name && msgs[i].msg_hdr.msg_namelen < least)
			least = msgs[i].msg_hdr.msg_namelen;
	return least;
}

int hook_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	bool awake = hook_may_read(msgs) && hook_awake();
	socklen_t room = awake ? least_room(msgs, n) : 0;

	fast_give_up(fd);
	int got = real.recvmmsg(fd, msgs, n, flags, timeout);

	for (int i = 0; awake && i < got; i++)
		detour_restore(msgs[i].msg_hdr.msg_name, room, msgs[i].msg_hdr.msg_namelen);
	return got;
}
EXPORT(recvmmsg)
