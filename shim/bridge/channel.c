/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/channel.h"

#include <string.h>
#include <sys/socket.h>

#include "shim/libc.h"

union control {
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int channel_open(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

int channel_send(int end, uint64_t serial, int fd)
{
	union control control = {0};
	struct iovec part = {&serial, sizeof(serial)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return real.sendmsg(end, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

bool channel_receive(int end, uint64_t *serial, int *fd)
{
	union control control;
	struct iovec part = {serial, sizeof(*serial)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space)};

	*fd = -1;
	if (real.recvmsg(end, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof(*serial))
		return false;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return true;
}
