/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way of making a connection, each followed by one GET over it: guest_hooks_connect HOST
 * PORT. Prints one line per way with the status of the response. Without the preload HOST is one
 * that a plain HTTP server listens on.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/syscall.h>

#include "tests/preload/guest.h"

static const char *port;
static char request[1024];
static size_t request_len;
static struct sockaddr_in to;
static struct sockaddr_in6 mapped;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			die("line %d: %s", __LINE__, #condition);                                  \
	} while (0)

#define ADDR(name) ((const struct sockaddr *)&(name))

static int open_socket(int family, int flags)
{
	int fd = socket(family, SOCK_STREAM | flags, 0);

	CHECK(fd >= 0);
	return fd;
}

/* The other end is what was dialled, however much room there is for it. */
static void check_peer(int fd, const void *dialled, socklen_t len)
{
	struct sockaddr_storage peer;
	socklen_t got = sizeof(peer);

	CHECK(getpeername(fd, (struct sockaddr *)&peer, &got) == 0);
	CHECK(got == len);
	CHECK(memcmp(&peer, dialled, 4) == 0); /* family and port */
	if (peer.ss_family == AF_INET)
		CHECK(memcmp(&peer, dialled, 8) == 0);
	else
		CHECK(memcmp((char *)&peer + 8, (const char *)dialled + 8, 16) == 0);

	memset(&peer, 0x55, sizeof(peer));
	got = 3;
	CHECK(getpeername(fd, (struct sockaddr *)&peer, &got) == 0);
	CHECK(got == len);
	CHECK(((unsigned char *)&peer)[3] == 0x55);
	CHECK(memcmp(&peer, dialled, 3) == 0);
	got = sizeof(peer);
	CHECK(syscall(SYS_getpeername, fd, &peer, &got) == 0);
	CHECK(memcmp(&peer, dialled, 4) == 0);
}

/* Read to the end of the response and print its status. */
static void finish(const char *way, int fd)
{
	static struct answer answer;
	ssize_t n;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	answer.len = 0;
	while ((n = recv(fd, answer.text + answer.len, sizeof(answer.text) - 1 - answer.len, 0)) >
	       0)
		answer.len += (size_t)n;
	if (n < 0)
		die("%s: recv", way);
	answer_parse(&answer);
	printf("%s: %d\n", way, answer.status);
	CHECK(close(fd) == 0);
}

static void send_request(int fd)
{
	CHECK(send(fd, request, request_len, MSG_NOSIGNAL) == (ssize_t)request_len);
}

static void blocking(void)
{
	int fd = open_socket(AF_INET, 0);

	errno = EDOM;
	CHECK(connect(fd, ADDR(to), sizeof(to)) == 0);
	CHECK(errno == EDOM);
	CHECK(connect(fd, ADDR(to), sizeof(to)) == -1 && errno == EISCONN);
	check_peer(fd, &to, sizeof(to));
	send_request(fd);
	finish("blocking", fd);
}

static void nonblocking(void)
{
	int fd = open_socket(AF_INET, SOCK_NONBLOCK);
	struct pollfd watch = {.fd = fd, .events = POLLOUT};
	int error;
	socklen_t len = sizeof(error);

	if (connect(fd, ADDR(to), sizeof(to)) < 0)
		CHECK(errno == EINPROGRESS);
	CHECK(poll(&watch, 1, 5000) == 1);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
	/* Once to learn that it is done, once to be told off. */
	CHECK(connect(fd, ADDR(to), sizeof(to)) == 0 || errno == EISCONN);
	CHECK(connect(fd, ADDR(to), sizeof(to)) == -1 && errno == EISCONN);
	check_peer(fd, &to, sizeof(to));
	send_request(fd);
	finish("non-blocking", fd);
}

static void by_syscall(void)
{
	int fd = open_socket(AF_INET, 0);

	CHECK(syscall(SYS_connect, fd, &to, sizeof(to)) == 0);
	CHECK(syscall(SYS_sendto, fd, request, request_len, 0, NULL, 0) == (long)request_len);
	finish("syscall", fd);
}

static void v4_mapped(void)
{
	int fd = open_socket(AF_INET6, 0);

	CHECK(connect(fd, ADDR(mapped), sizeof(mapped)) == 0);
	check_peer(fd, &mapped, sizeof(mapped));
	send_request(fd);
	finish("v4-mapped", fd);
}

static void wrong_family(void)
{
	int fd = open_socket(AF_INET, 0);

	CHECK(connect(fd, ADDR(mapped), sizeof(mapped)) == -1 && errno == EAFNOSUPPORT);
	CHECK(connect(fd, ADDR(to), sizeof(to) - 1) == -1 && errno == EINVAL);
	CHECK(close(fd) == 0);
	CHECK(connect(fd, ADDR(to), sizeof(to)) == -1 && errno == EBADF);
	CHECK(connect(0x7fffffff, ADDR(to), sizeof(to)) == -1 && errno == EBADF);
	int file = open("/dev/null", O_RDWR);

	CHECK(connect(file, ADDR(to), sizeof(to)) == -1 && errno == ENOTSOCK);
	CHECK(close(file) == 0);
}

static void bound(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = open_socket(AF_INET, 0);

	CHECK(bind(fd, ADDR(any), sizeof(any)) == 0);
	CHECK(connect(fd, ADDR(to), sizeof(to)) == 0);
	send_request(fd);
	finish("bound", fd);
}

/* connect(2) in disguise. */
static void fast_open_sendto(void)
{
	int fd = open_socket(AF_INET, 0);

	CHECK(sendto(fd, request, request_len, MSG_FASTOPEN, ADDR(to), sizeof(to)) ==
	      (ssize_t)request_len);
	check_peer(fd, &to, sizeof(to));
	CHECK(sendto(fd, request, 1, MSG_FASTOPEN, ADDR(to), sizeof(to)) == -1 && errno == EISCONN);
	finish("fast open, sendto", fd);
}

static void fast_open_sendmsg(void)
{
	int fd = open_socket(AF_INET, 0);
	struct iovec iov = {.iov_base = request, .iov_len = request_len};
	struct msghdr msg = {
	    .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};

	CHECK(sendmsg(fd, &msg, MSG_FASTOPEN) == (ssize_t)request_len);
	CHECK(msg.msg_name == &to && msg.msg_namelen == sizeof(to));
	check_peer(fd, &to, sizeof(to));
	finish("fast open, sendmsg", fd);
}

static void fast_open_sendmmsg(void)
{
	int fd = open_socket(AF_INET, 0);
	struct iovec iov = {.iov_base = request, .iov_len = request_len};
	struct mmsghdr msgs[1] = {{.msg_hdr = {.msg_name = &to,
					       .msg_namelen = sizeof(to),
					       .msg_iov = &iov,
					       .msg_iovlen = 1}}};

	CHECK(sendmmsg(fd, msgs, 1, MSG_FASTOPEN) == 1);
	CHECK(msgs[0].msg_len == request_len);
	check_peer(fd, &to, sizeof(to));
	finish("fast open, sendmmsg", fd);
}

static void fast_open_nonblocking(void)
{
	int fd = open_socket(AF_INET, SOCK_NONBLOCK);
	struct pollfd watch = {.fd = fd, .events = POLLOUT};
	ssize_t n = sendto(fd, request, request_len, MSG_FASTOPEN, ADDR(to), sizeof(to));

	if (n < 0) {
		CHECK(errno == EINPROGRESS);
		CHECK(poll(&watch, 1, 5000) == 1);
		send_request(fd);
	} else {
		CHECK(n == (ssize_t)request_len);
	}
	finish("fast open, non-blocking", fd);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: guest_hooks_connect HOST PORT");
	port = argv[2];
	request_len = request_text(request, sizeof(request), "/anything?x=1");
	struct addrinfo *found = resolve(argv[1], port);

	memcpy(&to, found->ai_addr, sizeof(to));
	freeaddrinfo(found);
	mapped.sin6_family = AF_INET6;
	mapped.sin6_port = to.sin_port;
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.sin6_addr.s6_addr[12], &to.sin_addr, 4);

	blocking();
	nonblocking();
	by_syscall();
	v4_mapped();
	wrong_family();
	bound();
	fast_open_sendto();
	fast_open_sendmsg();
	fast_open_sendmmsg();
	fast_open_nonblocking();
	return 0;
}
