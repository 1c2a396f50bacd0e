/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/detour.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "rules/rules.h"
#include "shim/address.h"
#include "shim/bridge/bridge.h"
#include "shim/dns_answer.h"
#include "shim/hook.h"
#include "shim/log.h"
#include "shim/process.h"

bool detour_is_server(const struct sockaddr *to, socklen_t len)
{
	struct in6_addr ip;
	uint16_t port;

	return address_split(to, len, &ip, &port) && port == DNS_PORT;
}

/* ---- sockets and addresses -------------------------------------------------------------- */

static int option(int fd, int level, int name)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static bool is_udp(int fd)
{
	return option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM &&
	       option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDP;
}

bool detour_is_impossible(int fd)
{
	char device[64] = "";
	socklen_t len = sizeof(device) - 1;

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len) < 0 || !device[0] ||
	    strcmp(device, "lo") == 0)
		return false;
	log_warn("a DNS socket is bound to device %s: it is left alone, and learns no mesh address",
		 device);
	return true;
}

/* Whether what a UDP socket sends leaves by an interface that it has chosen (ip(7), IP_UNICAST_IF):
 * the way to loopback would lead out of the machine. TCP takes no notice of it. */
static bool has_chosen_interface(int fd)
{
	int v4 = option(fd, IPPROTO_IP, IP_UNICAST_IF);
	int v6 = option(fd, IPPROTO_IPV6, IPV6_UNICAST_IF); /* -1: it has none */

	if ((v4 == 0 || v4 == -1) && (v6 == 0 || v6 == -1))
		return false;
	log_warn("a DNS socket sends by an interface of its choice: it is left alone, and learns no "
		 "mesh address");
	return true;
}

static bool is_unicast(const struct in6_addr *ip)
{
	if (!IN6_IS_ADDR_V4MAPPED(ip))
		return !IN6_IS_ADDR_MULTICAST(ip);
	uint32_t v4 = ntohl(address_v4(ip).s_addr);

	return !IN_MULTICAST(v4) && v4 != INADDR_BROADCAST;
}

/* Whether the rules in force name any host. Reads them if that is due. */
static bool is_of_use(void)
{
	struct guard guard = guard_enter();
	struct rules *rules = mesh_rules();
	bool any = rules && rules_n_hosts(rules) > 0;

	mesh_rules_unref(rules);
	guard_leave(&guard, 0);
	return any;
}

/* Whether a UDP socket that talks to this address can do so through a window. errno is
 * preserved. */
static bool can_use_window(int fd, const struct sockaddr *to, socklen_t len)
{
	struct in6_addr ip;
	uint16_t port;
	int saved = errno;
	bool can = address_split(to, len, &ip, &port) && is_unicast(&ip) && is_udp(fd) &&
		   is_of_use() && !detour_is_impossible(fd) && !has_chosen_interface(fd);

	errno = saved;
	return can;
}

/*
 * A server's address as the bridge takes it: v4-mapped as IPv4, and the unspecified address as the
 * loopback one, which it means.
 */
static void server_of(const struct sockaddr *to, socklen_t len, struct sockaddr_storage *server)
{
	struct sockaddr_in6 v6 = {0};
	struct in6_addr ip;
	uint16_t port;

	address_split(to, len, &ip, &port);
	memset(server, 0, sizeof(*server));
	if (IN6_IS_ADDR_V4MAPPED(&ip)) {
		struct sockaddr_in v4 = {.sin_family = AF_INET,
					 .sin_port = htons(port),
					 .sin_addr = address_v4(&ip)};

		if (v4.sin_addr.s_addr == INADDR_ANY)
			v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(server, &v4, sizeof(v4));
		return;
	}
	memcpy(&v6, to, len < sizeof(v6) ? len : sizeof(v6));
	v6.sin6_flowinfo = 0;
	if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr))
		v6.sin6_addr = in6addr_loopback;
	memcpy(server, &v6, sizeof(v6));
}

/* An IPv4 address as an IPv6 socket has it. */
static socklen_t map(struct sockaddr_storage *addr)
{
	struct sockaddr_in v4;

	memcpy(&v4, addr, sizeof(v4));
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_port = v4.sin_port,
				  .sin6_addr = address_map_v4(v4.sin_addr)};

	memcpy(addr, &v6, sizeof(v6));
	return sizeof(v6);
}

/* ---- the window ------------------------------------------------------------------------- */

/* The window for `server`, as a socket that was given an address of `family` can reach it. Returns
 * 0 or an errno value. */
static int find_window(int fd, int family, const struct sockaddr_storage *server, struct detour *window)
{
	struct err err = {0};

	/* The bridge would be our parent's, and nothing may be started in its name. */
	if (process_check() == PROCESS_VFORKED) {
		log_warn("DNS refused: a child made by vfork(2) cannot use the bridge");
		return ECONNREFUSED;
	}
	if (bridge_dns_window((const struct sockaddr *)server, &window->to, &window->len, &err) <
	    0) {
		log_error("DNS refused: %s", err.text);
		return err.code ? err.code : ECONNREFUSED;
	}
	if (!bridge_shares_network(fd)) {
		log_warn("DNS refused: the socket is in another network namespace than the bridge");
		return ENETUNREACH;
	}
	if (family == AF_INET6 && window->to.ss_family == AF_INET)
		window->len = map(&window->to);
	return 0;
}

/* What the kernel would do on sending: give the socket a port, IP_BIND_ADDRESS_NO_PORT or not. */
static int give_port(int fd, const struct sockaddr_storage *local, socklen_t len)
{
	int on = 1, off = 0;
	bool without = option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) > 0;

	if (without)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off, sizeof(off));
	int rc = bind(fd, (const struct sockaddr *)local, len);
	if (without)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return rc;
}

/* Tell the bridge whose socket it is, giving it a port if it has none. Returns 0 or an errno
 * value. */
static int claim(int fd, int family)
{
	struct sockaddr_storage local = {0};
	socklen_t len = sizeof(local);
	struct in6_addr ip;
	struct stat st;
	uint16_t port = 0;

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0 || fstat(fd, &st) < 0)
		return errno;
	address_split((struct sockaddr *)&local, len, &ip, &port);
	if (!port) {
		if (give_port(fd, &local, len) < 0 ||
		    getsockname(fd, (struct sockaddr *)&local, &len) < 0)
			return errno;
	}
	bridge_dns_claim(family, (struct sockaddr *)&local, st.st_ino);
	return 0;
}

/* Dissolve a UDP socket's connection. */
static void disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	real.connect(fd, &none, sizeof(none));
}

/*
 * First to where it was to go: so errors are the kernel's, and the socket gets the local address
 * that it would have had, which it keeps when it is connected to the window next. But not to a
 * link-local address, which would tie it to a device.
 */
static int connect_through(int fd, const struct sockaddr *to, socklen_t len)
{
	struct sockaddr_storage server;
	struct detour window;

	server_of(to, len, &server);
	bool link_local = server.ss_family == AF_INET6 &&
			  IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&server)->sin6_addr);

	if (!link_local && real.connect(fd, to, len) < 0)
		return errno;
	int error = find_window(fd, to->sa_family, &server, &window);

	if (!error && real.connect(fd, (struct sockaddr *)&window.to, window.len) < 0)
		error = errno;
	if (!error)
		error = claim(fd, server.ss_family);
	if (error)
		disconnect(fd);
	return error;
}

bool detour_connect(int fd, const struct sockaddr *to, socklen_t len, int *rc)
{
	if (!detour_is_server(to, len) || !can_use_window(fd, to, len))
		return false;
	struct guard guard = guard_enter();

	int error = connect_through(fd, to, len);

	guard_leave(&guard, error);
	*rc = error ? -1 : 0;
	return true;
}

/* ---- datagrams -------------------------------------------------------------------------- */

/* Whether the socket is connected to the window for this server. */
static bool is_connected_to(int fd, const struct sockaddr_storage *server)
{
	struct sockaddr_storage peer, behind;
	socklen_t len = sizeof(peer);
	socklen_t behind_len;

	return real.getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
	       bridge_dns_server((struct sockaddr *)&peer, &behind, &behind_len) &&
	       behind.ss_family == server->ss_family && memcmp(&behind, server, behind_len) == 0;
}

/* The start of a message, as far as its question can reach. */
static size_t gather(const struct msghdr *msg, uint8_t out[DNS_QUESTION_MAX])
{
	size_t len = 0;

	if (!hook_may_read(msg->msg_iov) || msg->msg_iovlen > UIO_MAXIOV)
		return 0; /* as the kernel says */
	for (size_t i = 0; i < msg->msg_iovlen && len < DNS_QUESTION_MAX; i++) {
		const struct iovec *part = &msg->msg_iov[i];
		size_t room = DNS_QUESTION_MAX - len;
		size_t n = part->iov_len < room ? part->iov_len : room;

		if (n > 0 && !hook_may_read(part->iov_base))
			break;
		if (n > 0)
			memcpy(out + len, part->iov_base, n);
		len += n;
	}
	return len;
}

/* Whether this is one of several datagrams that leave with one call (udp(7), UDP_SEGMENT). */
static bool is_segmented(int fd, const struct msghdr *msg)
{
	struct msghdr copy = *msg; /* CMSG_NXTHDR(3) has no const */

	if (option(fd, SOL_UDP, UDP_SEGMENT) > 0)
		return true;
	if (!hook_may_read(msg->msg_control))
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

/* Whether a datagram may be a question of ours. What cannot be told here, since more of it follows,
 * the bridge sees in whole and decides. */
static bool may_be_ours(int fd, const struct msghdr *msg, int flags)
{
	uint8_t start[DNS_QUESTION_MAX];
	struct dns_question question;

	switch (dns_read_question(start, gather(msg, start), &question)) {
	case DNS_QUERY:
		return dns_is_ours(&question) || is_segmented(fd, msg);
	case DNS_SHORT:
		return (flags & MSG_MORE) || option(fd, SOL_UDP, UDP_CORK) > 0;
	case DNS_OTHER:
		break;
	}
	return is_segmented(fd, msg);
}

static enum detour_send send_unconnected(int fd, const struct msghdr *msg, int flags,
					 const struct sockaddr_storage *server,
					 struct detour *detour)
{
	const struct sockaddr *to = msg->msg_name;

	if (!may_be_ours(fd, msg, flags))
		return DETOUR_NONE;
	int error = find_window(fd, to->sa_family, server, detour);

	if (!error)
		error = claim(fd, server->ss_family);
	errno = error;
	return error ? DETOUR_FAILED : DETOUR_WINDOW;
}

enum detour_send detour_send(int fd, const struct msghdr *msg, int flags, struct detour *detour)
{
	const struct sockaddr *to = msg->msg_name;
	struct sockaddr_storage server;

	if (!detour_is_server(to, msg->msg_namelen) || !can_use_window(fd, to, msg->msg_namelen))
		return DETOUR_NONE;
	server_of(to, msg->msg_namelen, &server);
	struct guard guard = guard_enter();
	enum detour_send verdict = DETOUR_CONNECTED;

	if (!is_connected_to(fd, &server))
		verdict = send_unconnected(fd, msg, flags, &server, detour);
	guard_leave(&guard, verdict == DETOUR_FAILED ? errno : 0);
	return verdict;
}

void detour_restore(void *addr, socklen_t room, socklen_t len)
{
	struct sockaddr_storage peer = {0};
	struct sockaddr_storage server;
	socklen_t server_len;

	if (!addr || len > sizeof(peer))
		return;
	/* What there was no room for is rarely more than padding. */
	memcpy(&peer, addr, len < room ? len : room);
	if (!bridge_dns_server((struct sockaddr *)&peer, &server, &server_len))
		return;
	if (peer.ss_family == AF_INET6 && server.ss_family == AF_INET)
		server_len = map(&server);
	memcpy(addr, &server, server_len < room ? server_len : room);
}
