/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getpeername(2): the address that the program dialled, not the bridge's door or its window. Asked
 * of the kernel and looked up by port each time, so nothing is remembered by descriptor number.
 */
#include <string.h>

#include "shim/address.h"
#include "shim/bridge/bridge.h"
#include "shim/detour.h"
#include "shim/hook.h"

/* The address that the program dialled on this socket. False: it is no connection of ours. */
static bool find_dialled(int fd, struct sockaddr_storage *dialled, socklen_t *dialled_len)
{
	struct sockaddr_storage peer = {0};
	struct sockaddr_storage local = {0};
	socklen_t peer_len = sizeof(peer);
	socklen_t local_len = sizeof(local);
	struct in6_addr ip;
	uint16_t peer_port;
	uint16_t port;

	if (real.getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
	    !address_split((struct sockaddr *)&peer, peer_len, &ip, &peer_port) ||
	    !address_is_local(&ip) || getsockname(fd, (struct sockaddr *)&local, &local_len) < 0)
		return false;
	/* An IPv6 socket at the IPv4 door. */
	if (peer.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ip)) {
		struct sockaddr_in in = {
		    .sin_family = AF_INET,
		    .sin_port = htons(peer_port),
		    .sin_addr = address_v4(&ip),
		};

		memcpy(&peer, &in, sizeof(in));
	}
	return address_split((struct sockaddr *)&local, local_len, &ip, &port) &&
	       bridge_dialled((struct sockaddr *)&peer, port, dialled, dialled_len);
}

/* The same for a datagram socket, whose peer may be a window. */
static bool find_server(int fd, struct sockaddr_storage *server, socklen_t *len)
{
	*len = sizeof(*server);
	if (real.getpeername(fd, (struct sockaddr *)server, len) < 0)
		return false;
	detour_restore(server, sizeof(*server), *len);
	return true;
}

static bool is_datagram(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

int hook_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_storage dialled;
	socklen_t dialled_len;
	socklen_t room = hook_may_read(len) ? *len : 0;
	int saved = errno;
	int rc = real.getpeername(fd, addr, len);

	if (rc < 0 || !hook_awake())
		return rc;
	/* The kernel gave the length that the address has, whatever room there was. */
	if ((*len == sizeof(struct sockaddr_in) || *len == sizeof(struct sockaddr_in6)) &&
	    (is_datagram(fd) ? find_server : find_dialled)(fd, &dialled, &dialled_len)) {
		memcpy(addr, &dialled, room < dialled_len ? room : dialled_len);
		*len = dialled_len;
	}
	errno = saved;
	return rc;
}
EXPORT(getpeername)
