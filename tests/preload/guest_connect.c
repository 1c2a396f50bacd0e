/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect(2) as programs use it, one way per run: guest_connect WAY HOST PORT. Prints what every
 * call along the way gave, and the status of one GET at its end: the same for a host of the mesh
 * and for any server on loopback. Prints "skip: REASON" where the kernel cannot do it.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

#define ADDR(name) ((const struct sockaddr *)&(name))

static const char *host, *port;
static struct sockaddr_in to;   /* the host, IPv4 */
static struct sockaddr_in6 to6; /* the same: v4-mapped, or its IPv6 address if it has one */
static bool has6;

static void skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(0);
}

/* Prints a call with its result, and errno if that is -1. */
static long show(const char *what, long result)
{
	printf("%s: %ld%s%s\n", what, result, result < 0 ? " " : "",
	       result < 0 ? strerrorname_np(errno) : "");
	return result;
}
#define SHOW(call) show(#call, (call))

static int open_as(int family, int flags)
{
	int fd = socket(family, SOCK_STREAM | flags, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int go(int fd)
{
	return connect(fd, ADDR(to), sizeof(to));
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

static void set(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		die("setsockopt %d", name);
}

static void show_peer(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (SHOW(getpeername(fd, (struct sockaddr *)&peer, &len)) < 0)
		return;
	bool same = peer.ss_family == AF_INET ?
			memcmp(&peer, &to, 8) == 0 :
			memcmp((char *)&peer + 8, (char *)&to6 + 8, 16) == 0 &&
			    memcmp(&peer, &to6, 4) == 0;

	printf("peer: family %d, %u bytes, %s\n", peer.ss_family, len,
	       same ? "as dialled" : "another one");
}

/* One GET over a connected socket, whatever its mode. */
static void finish(int fd)
{
	static struct answer answer;
	char request[1024];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	ssize_t n;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
	answer.len = 0;
	while ((n = recv(fd, answer.text + answer.len, sizeof(answer.text) - 1 - answer.len, 0)) >
	       0)
		answer.len += (size_t)n;
	if (n < 0)
		die("recv");
	answer_parse(&answer);
	printf("status: %d\n", answer.status);
	SHOW(close(fd));
}

/* A non-blocking connect that has been begun. */
static void begin(int fd)
{
	if (go(fd) < 0 && errno != EINPROGRESS)
		die("connect");
}

static void wait_writable(int fd)
{
	struct pollfd watch = {.fd = fd, .events = POLLOUT};

	if (poll(&watch, 1, 5000) != 1)
		die("poll");
	printf("poll: %x\n", (unsigned)watch.revents);
}

/* ---- readiness -------------------------------------------------------------------------- */

static void with_poll(void)
{
	int fd = open_as(AF_INET, SOCK_NONBLOCK);
	struct pollfd watch = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};

	SHOW(poll(&watch, 1, 0)); /* not connected: writable and hung up */
	printf("events: %x\n", (unsigned)watch.revents);
	begin(fd);
	wait_writable(fd);
	SHOW(option(fd, SOL_SOCKET, SO_ERROR));
	finish(fd);
}

static void with_select(void)
{
	int fd = open_as(AF_INET, SOCK_NONBLOCK);
	fd_set in, out;
	struct timeval limit = {.tv_sec = 5};

	begin(fd);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	SHOW(select(fd + 1, &in, &out, NULL, &limit));
	printf("in %d, out %d\n", FD_ISSET(fd, &in), FD_ISSET(fd, &out));
	SHOW(option(fd, SOL_SOCKET, SO_ERROR));
	finish(fd);
}

static void show_event(int epoll, int timeout)
{
	struct epoll_event event = {0};
	int n = epoll_wait(epoll, &event, 1, timeout);

	printf("epoll: %d, %x, data %d\n", n, n > 0 ? event.events : 0,
	       n > 0 ? event.data.fd == 4711 : 0);
}

/* Until the socket says that it is connected; what it says before that is seen too if the set knows
 * it by then. */
static void with_epoll(unsigned how, bool before)
{
	int fd = open_as(AF_INET, SOCK_NONBLOCK);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | how,
				    .data.fd = 4711};

	if (before)
		SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	if (before)
		show_event(epoll, 0);
	if (before && how == EPOLLONESHOT)
		SHOW(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
	begin(fd);
	if (!before)
		SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	show_event(epoll, 5000);
	show_event(epoll, 0);
	SHOW(option(fd, SOL_SOCKET, SO_ERROR));
	SHOW(go(fd) == 0 || errno == EISCONN);
	finish(fd);
	close(epoll);
}

static void level_before(void)
{
	with_epoll(0, true);
}

static void level_after(void)
{
	with_epoll(0, false);
}

static void edge_before(void)
{
	with_epoll(EPOLLET, true);
}

static void edge_after(void)
{
	with_epoll(EPOLLET, false);
}

static void oneshot_before(void)
{
	with_epoll(EPOLLONESHOT, true);
}

static void oneshot_after(void)
{
	with_epoll(EPOLLONESHOT, false);
}

/* ---- connect again and again ------------------------------------------------------------ */

static void twice(void)
{
	int fd = open_as(AF_INET, 0);

	SHOW(go(fd));
	SHOW(go(fd));
	finish(fd);
	fd = open_as(AF_INET, SOCK_NONBLOCK);
	begin(fd);
	wait_writable(fd);
	SHOW(go(fd));
	SHOW(go(fd));
	show_peer(fd);
	finish(fd);
}

/* A dissolved connection, and a new one of the same socket, from the same port in the end. */
static void disconnect(void)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = open_as(AF_INET, 0);

	SHOW(go(fd));
	SHOW(connect(fd, &none, sizeof(none)));
	show_peer(fd);
	SHOW(go(fd));
	show_peer(fd);
	finish(fd);

	fd = open_as(AF_INET, 0);
	SHOW(bind(fd, ADDR(any), sizeof(any)));
	SHOW(go(fd));
	SHOW(connect(fd, &none, sizeof(none)));
	SHOW(go(fd));
	show_peer(fd);
	finish(fd);
}

static void listening(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = open_as(AF_INET, 0);

	SHOW(bind(fd, ADDR(any), sizeof(any)));
	SHOW(listen(fd, 1));
	SHOW(go(fd));
	close(fd);
}

/* ---- fast open -------------------------------------------------------------------------- */

/* The kernel puts the SYN off until there is something to send, cookie or not. */
static void fastopen_connect(void)
{
	for (int no_cookie = 0; no_cookie < 2; no_cookie++) {
		int fd = open_as(AF_INET, 0);

		set(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
		if (no_cookie)
			set(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
		SHOW(go(fd));
		/* Longer than any claim is kept. */
		if (no_cookie && getenv("GUEST_PAUSE"))
			sleep((unsigned)atoi(getenv("GUEST_PAUSE")));
		finish(fd);
	}
}

/* ---- sockets that are special ----------------------------------------------------------- */

static void bound(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET}, loopback = any;
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
	int fd = open_as(AF_INET, 0);

	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	SHOW(bind(fd, ADDR(loopback), sizeof(loopback)));
	SHOW(go(fd));
	finish(fd);

	fd = open_as(AF_INET, 0);
	set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	SHOW(bind(fd, ADDR(loopback), sizeof(loopback)));
	SHOW(go(fd));
	finish(fd);

	fd = open_as(AF_INET, 0);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	SHOW(bind(fd, ADDR(any), sizeof(any)));
	SHOW(go(fd));
	finish(fd);

	fd = open_as(AF_INET6, 0);
	SHOW(bind(fd, ADDR(any6), sizeof(any6)));
	SHOW(connect(fd, ADDR(to6), sizeof(to6)));
	finish(fd);
}

/* Bound to an address that is not loopback's. */
static void bound_elsewhere(void)
{
	struct sockaddr_in source = {.sin_family = AF_INET};
	int fd = open_as(AF_INET, 0);

	source.sin_addr.s_addr = htonl(0xc0000235); /* 192.0.2.53 */
	SHOW(bind(fd, ADDR(source), sizeof(source)));
	SHOW(go(fd));
	show_peer(fd);
	finish(fd);
}

static int open_on_device(void)
{
	const char *device = getenv("GUEST_DEVICE");
	int fd = open_as(AF_INET, 0);

	SHOW(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)));
	return fd;
}

static void on_device(void)
{
	int fd = open_on_device();

	SHOW(go(fd));
	show_peer(fd);
	finish(fd);
}

/* Without CAP_NET_RAW there is no way back from a device. */
static void on_device_for_good(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	int fd = open_on_device();

	SHOW(syscall(SYS_capset, &head, data));
	SHOW(go(fd));
	show_peer(fd);
	close(fd);
}

static void v6(void)
{
	int fd = open_as(AF_INET6, 0);

	SHOW(connect(fd, ADDR(to6), sizeof(to6)));
	show_peer(fd);
	finish(fd);

	fd = open_as(AF_INET6, 0);
	SHOW(connect(fd, ADDR(to6), 24)); /* without a scope */
	finish(fd);
}

static void v6only(void)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = to.sin_port};
	int fd = open_as(AF_INET6, 0);

	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.sin6_addr.s6_addr[12], &to.sin_addr, 4);
	set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	SHOW(connect(fd, ADDR(mapped), sizeof(mapped)));
	if (!has6)
		return;
	SHOW(connect(fd, ADDR(to6), sizeof(to6)));
	show_peer(fd);
	finish(fd);
}

static void mptcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (fd < 0)
		skip("no MPTCP here");
	SHOW(go(fd));
	show_peer(fd);
	finish(fd);
}

/* What a program sets before is there afterwards, and what it asks is what a socket says. */
static void options(void)
{
	int fd = open_as(AF_INET, 0);
	struct timeval wait = {.tv_sec = 7}, got = {0};
	struct tcp_info info;
	socklen_t len = sizeof(got);

	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 4321);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 99);
	set(fd, SOL_SOCKET, SO_SNDBUF, 30000);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		die("SO_RCVTIMEO");
	SHOW(go(fd));
	SHOW(option(fd, SOL_SOCKET, SO_KEEPALIVE));
	SHOW(option(fd, IPPROTO_TCP, TCP_NODELAY));
	SHOW(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	SHOW(option(fd, IPPROTO_TCP, TCP_KEEPIDLE));
	SHOW(option(fd, SOL_SOCKET, SO_SNDBUF));
	SHOW(option(fd, SOL_SOCKET, SO_TYPE));
	SHOW(option(fd, SOL_SOCKET, SO_PROTOCOL));
	SHOW(option(fd, SOL_SOCKET, SO_DOMAIN));
	SHOW(option(fd, SOL_SOCKET, SO_ERROR));
	SHOW(option(fd, SOL_SOCKET, SO_ACCEPTCONN));
	SHOW(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	printf("%ld s\n", (long)got.tv_sec);
	len = sizeof(info);
	SHOW(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	printf("state %d, flags %x\n", info.tcpi_state, (unsigned)fcntl(fd, F_GETFL));
	finish(fd);
}

/* The local end: one address of this machine, before and after, and always the same. */
static void local_name(void)
{
	struct sockaddr_in a = {0}, b = {0};
	socklen_t len = sizeof(a);
	int fd = open_as(AF_INET, 0);

	SHOW(getsockname(fd, (struct sockaddr *)&a, &len));
	printf("%u bytes, port %d, any %d\n", len, a.sin_port, a.sin_addr.s_addr == INADDR_ANY);
	SHOW(go(fd));
	SHOW(getsockname(fd, (struct sockaddr *)&a, &len));
	SHOW(getsockname(fd, (struct sockaddr *)&b, &len));
	printf("port %d, any %d, same %d\n", a.sin_port != 0, a.sin_addr.s_addr == INADDR_ANY,
	       memcmp(&a, &b, sizeof(a)) == 0);
	finish(fd);
}

/* ---- arguments that are none ------------------------------------------------------------ */

static void bad_arguments(void)
{
	const struct sockaddr *volatile null = NULL, *volatile low = (void *)16;
	const struct sockaddr *volatile high = (void *)-1;
	struct sockaddr_in wrong = to;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer), *volatile bad_len = (void *)-8, *volatile no_len = NULL;
	int fd = open_as(AF_INET, 0);

	SHOW(connect(fd, null, sizeof(to)));
	SHOW(connect(fd, low, sizeof(to)));
	SHOW(connect(fd, high, sizeof(to)));
	SHOW(connect(fd, ADDR(to), 0));
	SHOW(connect(fd, ADDR(to), 1));
	SHOW(connect(fd, ADDR(to), sizeof(to) - 1));
	SHOW(connect(fd, ADDR(to), 129));
	SHOW(connect(fd, ADDR(to), (socklen_t)-1));
	SHOW(connect(fd, ADDR(to6), sizeof(to6)));
	wrong.sin_family = 99;
	SHOW(connect(fd, ADDR(wrong), sizeof(wrong)));
	SHOW(connect(-1, ADDR(to), sizeof(to)));
	SHOW(connect(1 << 30, ADDR(to), sizeof(to)));
	SHOW(sendto(fd, "x", 1, MSG_NOSIGNAL | MSG_FASTOPEN, high, sizeof(to)));
	SHOW(sendmsg(fd, (const struct msghdr *)(const void *)high, MSG_NOSIGNAL));
	SHOW(recvmsg(fd, (struct msghdr *)(void *)(size_t)-16, MSG_DONTWAIT));
	SHOW(getpeername(fd, (struct sockaddr *)&peer, &len));
	SHOW(go(fd));
	SHOW(getpeername(fd, (struct sockaddr *)&peer, bad_len));
	SHOW(getpeername(fd, (struct sockaddr *)&peer, no_len));
	SHOW(getpeername(fd, (struct sockaddr *)(void *)(size_t)-16, &len));
	SHOW(recvfrom(fd, &peer, 1, MSG_DONTWAIT, (struct sockaddr *)&peer, bad_len));
	len = (socklen_t)-1;
	SHOW(getpeername(fd, (struct sockaddr *)&peer, &len));
	len = 0;
	SHOW(getpeername(fd, (struct sockaddr *)&peer, &len));
	printf("%u\n", len);
	finish(fd);
}

/* ---- other hands ------------------------------------------------------------------------ */

static void *connect_thread(void *arg)
{
	return (void *)(intptr_t)go(*(int *)arg);
}

/* A thread connects, a copy of the descriptor is used, a child sends, another process reads. */
static void other_hands(void)
{
	int fd = open_as(AF_INET, 0), status;
	int copy = dup(fd);
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, connect_thread, &copy) || pthread_join(thread, &result))
		die("thread");
	show("connect in a thread, over a copy", (long)(intptr_t)result);
	close(copy);
	show_peer(fd);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		show_peer(fd);
		finish(fd);
		exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	printf("child: %x\n", (unsigned)status);
}

static void half_closed(void)
{
	static struct answer answer;
	char request[1024];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	int fd = open_as(AF_INET, 0);
	ssize_t n;

	SHOW(go(fd));
	if (send(fd, request, len, 0) != (ssize_t)len)
		die("send");
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	while ((n = read(fd, answer.text + answer.len, sizeof(answer.text) - 1 - answer.len)) > 0)
		answer.len += (size_t)n;
	answer_parse(&answer);
	printf("status: %d\n", answer.status);
	SHOW(shutdown(fd, SHUT_RDWR));
	close(fd);
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{"poll", with_poll},
	{"select", with_select},
	{"level-before", level_before},
	{"level-after", level_after},
	{"edge-before", edge_before},
	{"edge-after", edge_after},
	{"oneshot-before", oneshot_before},
	{"oneshot-after", oneshot_after},
	{"twice", twice},
	{"disconnect", disconnect},
	{"listening", listening},
	{"fastopen-connect", fastopen_connect},
	{"bound", bound},
	{"bound-elsewhere", bound_elsewhere},
	{"device", on_device},
	{"device-for-good", on_device_for_good},
	{"v6", v6},
	{"v6only", v6only},
	{"mptcp", mptcp},
	{"options", options},
	{"local-name", local_name},
	{"bad-arguments", bad_arguments},
	{"other-hands", other_hands},
	{"half-closed", half_closed},
};

static void find_host(void)
{
	struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM}, *found;

	found = resolve(host, port);
	memcpy(&to, found->ai_addr, sizeof(to));
	freeaddrinfo(found);
	has6 = getaddrinfo(strcmp(host, "127.0.0.1") ? host : "::1", port, &hints, &found) == 0;
	if (!has6)
		die("no IPv6 address");
	memcpy(&to6, found->ai_addr, sizeof(to6));
	freeaddrinfo(found);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: guest_connect WAY HOST PORT");
	host = argv[2];
	port = argv[3];
	find_host();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, argv[1]) == 0) {
			ways[i].run();
			return 0;
		}
	die("no such way: %s", argv[1]);
}
