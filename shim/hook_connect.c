/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect(2): a connection to a registry host becomes one to the bridge's door, made by the
 * program's own socket and with the kernel's own results, so that blocking, non-blocking and
 * interrupted connects are what they are anywhere else.
 *
 * There are two ways out of here for such a connection, the door or an error (promise 1): past the
 * decision, no path leads back to the original call.
 */
#include "shim/hook_connect.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "rules/rules.h"
#include "shim/address.h"
#include "shim/bridge/bridge.h"
#include "shim/detour.h"
#include "shim/fork.h"
#include "shim/hook.h"
#include "shim/log.h"
#include "shim/mesh.h"
#include "shim/process.h"
#include "shim/registry.h"
#include "shim/sockets.h"

/* Where to connect instead, and under which family the bridge will see it. */
struct door {
	struct sockaddr_storage address;
	socklen_t len;
	int family;
	bool late; /* it accepts late */
};

static int option(int fd, int level, int name, int otherwise)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 ? value : otherwise;
}

enum socket_kind {
	SOCKET_NONE, /* no socket, or no descriptor: the kernel shall say so */
	SOCKET_TCP,
	SOCKET_OTHER,
	SOCKET_UNKNOWN, /* a seccomp filter forbids to ask: may be any, and none gets past us */
};

static enum socket_kind kind_of(int fd)
{
	int type = option(fd, SOL_SOCKET, SO_TYPE, -1);

	if (type < 0)
		return errno == EBADF || errno == ENOTSOCK ? SOCKET_NONE : SOCKET_UNKNOWN;
	if (type != SOCK_STREAM)
		return SOCKET_OTHER;
	int protocol = option(fd, SOL_SOCKET, SO_PROTOCOL, IPPROTO_TCP);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP || protocol == 0 ? SOCKET_TCP
										      : SOCKET_OTHER;
}

/*
 * Whether the socket has not been connected so far. The second connect(2) of a non-blocking socket
 * may return 0 like a first one, and must not be announced to the bridge again.
 */
static bool is_fresh(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return true;
	return info.tcpi_state == TCP_CLOSE;
}

/* ---- the door --------------------------------------------------------------------------- */

/* ::ffff:127.0.0.1, which an IPv6 socket uses to get to the IPv4 listener. */
static int mapped_door(struct door *door, struct err *err)
{
	struct sockaddr_storage v4;
	struct sockaddr_in in;

	if (bridge_door(AF_INET, &door->late, &v4, &door->len, err) < 0)
		return -1;
	memcpy(&in, &v4, sizeof(in));
	struct sockaddr_in6 mapped = {
	    .sin6_family = AF_INET6,
	    .sin6_port = in.sin_port,
	    .sin6_addr = address_map_v4(in.sin_addr),
	};

	memcpy(&door->address, &mapped, sizeof(mapped));
	door->len = sizeof(mapped);
	door->family = AF_INET;
	return 0;
}

/*
 * The door for a socket that would go to `to`, of the same family: what the kernel has to say about
 * a family that does not fit the socket, it says about the door as well.
 */
static int find_door(int fd, const struct sockaddr *to, socklen_t len, struct door *door,
		     struct err *err)
{
	struct in6_addr ip;
	uint16_t port;

	address_split(to, len, &ip, &port);
	if (to->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ip))
		return mapped_door(door, err);
	door->family = to->sa_family;
	if (bridge_door(door->family, &door->late, &door->address, &door->len, err) == 0)
		return 0;
	/* A host without ::1. */
	if (door->family != AF_INET6 || option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
		return -1;
	err_clear(err);
	return mapped_door(door, err);
}

/*
 * A socket that is bound to a device reaches no loopback: it is released, and the bridge's own
 * connections go where the routes say. Returns 0, or an errno value if the kernel does not allow it
 * (it takes CAP_NET_RAW): better an error than a connect that never ends.
 */
static int leave_device(int fd, const struct decision *decision)
{
	char device[64] = "";
	socklen_t len = sizeof(device) - 1;

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len) < 0 || !device[0] ||
	    strcmp(device, "lo") == 0)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0) == 0) {
		log_info("%s:%u: the socket was bound to device %s, which does not lead to the "
			 "bridge: released",
			 decision->name, decision->port, device);
		return 0;
	}
	log_error("%s:%u: the socket is bound to device %s and cannot reach the bridge",
		  decision->name, decision->port, device);
	return ENETUNREACH;
}

/*
 * With TCP_FASTOPEN_CONNECT the kernel may put the connection off until the program sends, however
 * late that is, and with it the bridge's knowing of it.
 */
static void connect_at_once(int fd)
{
	int off = 0;

	if (option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0) > 0)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &off, sizeof(off));
}

/* ---- the three answers ------------------------------------------------------------------ */

static int refuse(const struct sockaddr *to, socklen_t len, const struct decision *decision,
		  enum log_level level)
{
	char text[INET6_ADDRSTRLEN] = "?";
	struct in6_addr ip;
	uint16_t port = 0;

	if (log_enabled(level) && address_split(to, len, &ip, &port)) {
		struct in_addr v4 = address_v4(&ip);

		if (IN6_IS_ADDR_V4MAPPED(&ip))
			inet_ntop(AF_INET, &v4, text, sizeof(text));
		else
			inet_ntop(AF_INET6, &ip, text, sizeof(text));
		log_write(level, "connection to %s%s%s port %u refused: %s", text,
			  decision->name[0] ? " " : "", decision->name, port, decision->reason);
	}
	return ECONNREFUSED;
}

static bool may_be_fast(const struct decision *decision)
{
	return mesh_fast_lane() && decision->to == ROUTE_BRIDGE && decision->kind == RULES_HTTP;
}

/* Connect to the door and tell the bridge. Takes over the reference `rules`. Returns 0 or the errno
 * value that connect(2) gave. */
static int enter_door(int fd, const struct sockaddr *to, socklen_t len, const struct door *door,
		      struct rules *rules, const struct decision *decision)
{
	bool fresh = is_fresh(fd);
	int error = fresh ? leave_device(fd, decision) : 0;

	if (fresh)
		connect_at_once(fd);
	if (!error && real.connect(fd, (const struct sockaddr *)&door->address, door->len) < 0)
		error = errno;
	/* An interrupted connect goes on by itself, as a non-blocking one does. */
	if (!fresh || (error != 0 && error != EINPROGRESS && error != EINTR)) {
		mesh_rules_unref(rules);
		return error;
	}
	struct sockaddr_storage local = {0};
	socklen_t local_len = sizeof(local);
	struct dial dial = {
	    .rules = rules,
	    .dns = decision->to == ROUTE_DNS,
	    .kind = decision->kind,
	    .late = door->late,
	    .cluster = decision->cluster,
	    .name = decision->name,
	    .port = decision->port,
	    .dialled = to,
	    .dialled_len = len,
	};

	if (may_be_fast(decision)) {
		dial.number = fd;
		dial.cookie = sockets_enter(fd, door->late);
	}
	getsockname(fd, (struct sockaddr *)&local, &local_len);
	if (bridge_expect(door->family, (struct sockaddr *)&local, &dial) < 0)
		log_error("%s:%u: too many connections at once: this one will be closed",
			  decision->name, decision->port);
	return error;
}

/* Takes over the reference `rules`. Returns 0 or an errno value. */
static int bridge_connect(int fd, const struct sockaddr *to, socklen_t len, struct rules *rules,
			  struct decision *decision)
{
	struct door door;
	struct err err = {0};

	/* The bridge would be our parent's, and nothing may be started in its name. */
	if (process_check() == PROCESS_VFORKED) {
		decision->reason = "a child made by vfork(2) cannot use the bridge";
		mesh_rules_unref(rules);
		return refuse(to, len, decision, LOG_WARN);
	}
	door.late = may_be_fast(decision);
	if (find_door(fd, to, len, &door, &err) < 0) {
		log_error("%s:%u: %s", decision->name, decision->port, err.text);
		mesh_rules_unref(rules);
		return err.code ? err.code : ECONNREFUSED;
	}
	if (!bridge_shares_network(fd)) {
		decision->reason = "the socket is in another network namespace than the bridge";
		mesh_rules_unref(rules);
		refuse(to, len, decision, LOG_WARN);
		return ENETUNREACH;
	}
	log_debug("%s:%u: connecting through the bridge", decision->name, decision->port);
	return enter_door(fd, to, len, &door, rules, decision);
}

/* ---- deciding --------------------------------------------------------------------------- */

/* Whether an address belongs to a registry host. */
static bool is_mesh_address(const struct sockaddr *to, socklen_t len)
{
	char name[REGISTRY_NAME_MAX + 1];

	if (registry_is_synthetic(to, len))
		return true;
	if (!registry_has_explicit())
		return false;
	struct rules *rules = mesh_rules();
	bool found = rules && registry_reverse(rules, to, len, name);

	mesh_rules_unref(rules);
	return found;
}

bool datagram_is_refused(int fd, const struct sockaddr *to, socklen_t len)
{
	if (!address_is_remote(to, len))
		return false;
	struct guard guard = guard_enter();
	bool refused = is_mesh_address(to, len);

	if (refused) {
		enum socket_kind kind = kind_of(fd);

		refused = kind == SOCKET_OTHER || kind == SOCKET_UNKNOWN;
	}
	guard_leave(&guard, 0);
	if (refused)
		log_info("a datagram to a registry host was refused: the mesh speaks TCP");
	return refused;
}

static bool connect_tcp(int fd, const struct sockaddr *to, socklen_t len, int *error)
{
	struct rules *rules = mesh_rules();
	struct decision decision;

	registry_decide(rules, to, len, &decision);
	if (decision.to == ROUTE_DNS) {
		strcpy(decision.name, "DNS"); /* for the log */
		if (detour_is_impossible(fd))
			decision.to = ROUTE_UNTOUCHED;
	}
	switch (decision.to) {
	case ROUTE_BRIDGE:
	case ROUTE_DNS:
		*error = bridge_connect(fd, to, len, rules, &decision);
		return true;
	case ROUTE_REFUSE:
		*error = refuse(to, len, &decision, rules ? LOG_INFO : LOG_WARN);
		break;
	case ROUTE_UNTOUCHED:
		break;
	}
	mesh_rules_unref(rules);
	return decision.to != ROUTE_UNTOUCHED;
}

/* Without rules nobody knows whose address it is: nothing is let out (promise 4). */
static bool connect_datagram_is_refused(int fd, const struct sockaddr *to, socklen_t len)
{
	struct rules *rules = mesh_rules();

	if (!rules) {
		log_warn("a datagram socket was refused its connection: there are no rules");
		return true;
	}
	mesh_rules_unref(rules);
	return datagram_is_refused(fd, to, len);
}

bool connect_by_rules(int fd, const struct sockaddr *to, socklen_t len, int *rc)
{
	struct guard guard = guard_enter();
	int error = 0;
	bool done = false;

	switch (kind_of(fd)) {
	case SOCKET_TCP:
	case SOCKET_UNKNOWN:
		done = connect_tcp(fd, to, len, &error);
		break;
	case SOCKET_OTHER:
		done = address_is_remote(to, len) && connect_datagram_is_refused(fd, to, len);
		error = done ? ECONNREFUSED : 0;
		break;
	case SOCKET_NONE:
		break;
	}
	guard_leave(&guard, error);
	*rc = error ? -1 : 0;
	return done;
}

bool connect_is_of_interest(const struct sockaddr *to, socklen_t len)
{
	if (!hook_may_read(to))
		return false;
	if (detour_is_server(to, len))
		return true;
	return address_is_remote(to, len) &&
	       (registry_is_synthetic(to, len) || !mesh_is_open());
}

int hook_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int rc;

	if (hook_awake() && connect_is_of_interest(to, len) &&
	    (connect_by_rules(fd, to, len, &rc) || detour_connect(fd, to, len, &rc)))
		return rc;
	return real.connect(fd, to, len);
}
EXPORT(connect)
