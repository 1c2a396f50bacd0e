/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GET through every way in which a program can use a socket: modes MODE HOST PORT [PATH].
 * Prints the status and the body. None of the calls but getaddrinfo, socket, connect and close is
 * one that a preloaded library would have to know of.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static struct answer answer;
static char request[1024];
static size_t request_len;
static const char *host, *port;

static void all(ssize_t n, const char *what)
{
	if (n != (ssize_t)request_len)
		die("%s sent %zd of %zu bytes", what, n, request_len);
}

static void read_all(int fd)
{
	char data[512];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		answer_add(&answer, data, (size_t)n);
	if (n < 0)
		die("read");
}

static void with_send(void)
{
	int fd = dial(host, port);
	char data[512];
	ssize_t n;

	all(send(fd, request, request_len, 0), "send");
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		answer_add(&answer, data, (size_t)n);
	if (n < 0)
		die("recv");
}

/* In small pieces, so that the head arrives bit by bit. */
static void with_write(void)
{
	int fd = dial(host, port);

	for (size_t i = 0; i < request_len; i += 7) {
		size_t n = request_len - i < 7 ? request_len - i : 7;

		if (write(fd, request + i, n) != (ssize_t)n)
			die("write");
	}
	read_all(fd);
}

static void with_writev(void)
{
	struct iovec iov[2] = {{request, 10}, {request + 10, request_len - 10}};
	char a[100], b[400];
	struct iovec in[2] = {{a, sizeof(a)}, {b, sizeof(b)}};
	int fd = dial(host, port);
	ssize_t n;

	all(writev(fd, iov, 2), "writev");
	while ((n = readv(fd, in, 2)) > 0) {
		answer_add(&answer, a, (size_t)n < sizeof(a) ? (size_t)n : sizeof(a));
		if ((size_t)n > sizeof(a))
			answer_add(&answer, b, (size_t)n - sizeof(a));
	}
	if (n < 0)
		die("readv");
}

static void with_sendmsg(void)
{
	struct iovec iov[2] = {{request, 20}, {request + 20, request_len - 20}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	char data[512];
	struct iovec in = {data, sizeof(data)};
	struct msghdr into = {.msg_iov = &in, .msg_iovlen = 1};
	int fd = dial(host, port);
	ssize_t n;

	all(sendmsg(fd, &msg, MSG_NOSIGNAL), "sendmsg");
	while ((n = recvmsg(fd, &into, 0)) > 0)
		answer_add(&answer, data, (size_t)n);
	if (n < 0)
		die("recvmsg");
}

static void with_sendmmsg(void)
{
	struct iovec iov[2] = {{request, 30}, {request + 30, request_len - 30}};
	struct mmsghdr msgs[2] = {{.msg_hdr = {.msg_iov = &iov[0], .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = &iov[1], .msg_iovlen = 1}}};
	char data[512];
	struct iovec in = {data, sizeof(data)};
	struct mmsghdr into = {.msg_hdr = {.msg_iov = &in, .msg_iovlen = 1}};
	int fd = dial(host, port);
	int n;

	if (sendmmsg(fd, msgs, 2, 0) != 2)
		die("sendmmsg");
	all((ssize_t)(msgs[0].msg_len + msgs[1].msg_len), "sendmmsg");
	while ((n = recvmmsg(fd, &into, 1, 0, NULL)) > 0 && into.msg_len > 0)
		answer_add(&answer, data, into.msg_len);
	if (n < 0)
		die("recvmmsg");
}

static int request_file(void)
{
	int file = memfd_create("request", MFD_CLOEXEC);

	if (file < 0 || write(file, request, request_len) != (ssize_t)request_len ||
	    lseek(file, 0, SEEK_SET) < 0)
		die("memfd");
	return file;
}

static void with_sendfile(void)
{
	int fd = dial(host, port), file = request_file();

	all(sendfile(fd, file, NULL, request_len), "sendfile");
	read_all(fd);
}

static void with_splice(void)
{
	int fd = dial(host, port), file = request_file(), out[2], in[2];
	ssize_t n;

	if (pipe(out) < 0 || pipe(in) < 0)
		die("pipe");
	all(splice(file, NULL, out[1], NULL, request_len, 0), "splice");
	all(splice(out[0], NULL, fd, NULL, request_len, 0), "splice");
	while ((n = splice(fd, NULL, in[1], NULL, 4096, 0)) > 0) {
		char data[4096];

		if (read(in[0], data, (size_t)n) != n)
			die("read from pipe");
		answer_add(&answer, data, (size_t)n);
	}
	if (n < 0)
		die("splice from socket");
}

static void with_stdio(void)
{
	FILE *stream = fdopen(dial(host, port), "r+");
	char line[512];
	size_t n;

	if (!stream || fwrite(request, 1, request_len, stream) != request_len || fflush(stream))
		die("stdio");
	while ((n = fread(line, 1, sizeof(line), stream)) > 0)
		answer_add(&answer, line, n);
	if (ferror(stream))
		die("fread");
	fclose(stream);
}

static void with_dup(void)
{
	int fd = dial(host, port), copy = dup(fd);

	close(fd);
	if (copy < 0 || dup2(copy, 100) != 100)
		die("dup");
	close(copy);
	all(write(100, request, request_len), "write");
	read_all(100);
}

/* The parent connects, the child sends and receives, the parent has closed its copy. */
static void with_fork(void)
{
	int fd = dial(host, port), pipes[2], status;
	pid_t child;

	if (pipe(pipes) < 0 || (child = fork()) < 0)
		die("fork");
	if (child == 0) {
		all(write(fd, request, request_len), "write");
		read_all(fd);
		if (write(pipes[1], answer.text, answer.len) != (ssize_t)answer.len)
			_exit(1);
		_exit(0);
	}
	close(fd);
	close(pipes[1]);
	read_all(pipes[0]);
	if (waitpid(child, &status, 0) != child || status != 0)
		die("the child ended with status %x", status);
}

static int dial_nonblocking(int epoll, unsigned events)
{
	struct addrinfo *to = resolve(host, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (fd < 0)
		die("socket");
	/* Registered before connect(2): a library that swaps the descriptor loses it here. */
	if (epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno != EINPROGRESS)
		die("a non-blocking connect did not say EINPROGRESS");
	freeaddrinfo(to);
	return fd;
}

static void check_connected(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)
		die("SO_ERROR is %d", error);
}

/* Send once writable, read once readable, until the end. Returns true at the end. */
static int pump(int fd, int *sent)
{
	char data[512];
	ssize_t n;

	if (!*sent) {
		check_connected(fd);
		all(write(fd, request, request_len), "write");
		*sent = 1;
	}
	while ((n = read(fd, data, sizeof(data))) > 0)
		answer_add(&answer, data, (size_t)n);
	if (n < 0 && errno != EAGAIN)
		die("read");
	return n == 0;
}

static void with_epoll(unsigned edge)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), sent = 0;
	int fd = dial_nonblocking(epoll, EPOLLIN | EPOLLOUT | edge);
	struct epoll_event event;

	do {
		if (epoll_wait(epoll, &event, 1, 20000) != 1)
			die("epoll_wait saw nothing");
		if (!sent && !(event.events & EPOLLOUT))
			continue;
		if (!sent && !edge) {
			struct epoll_event in = {.events = EPOLLIN, .data.fd = fd};

			epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &in);
		}
		if (pump(fd, &sent))
			return;
	} while (1);
}

static void with_epoll_level(void)
{
	with_epoll(0);
}

static void with_epoll_edge(void)
{
	with_epoll(EPOLLET);
}

static void with_poll(void)
{
	int sent = 0, fd = dial_nonblocking(-1, 0);

	do {
		struct pollfd ready = {.fd = fd, .events = sent ? POLLIN : POLLOUT};

		if (poll(&ready, 1, 20000) != 1)
			die("poll saw nothing");
	} while (!pump(fd, &sent));
}

static void with_select(void)
{
	int sent = 0, fd = dial_nonblocking(-1, 0);

	do {
		struct timeval timeout = {.tv_sec = 20};
		fd_set set;

		FD_ZERO(&set);
		FD_SET(fd, &set);
		if (select(fd + 1, sent ? &set : NULL, sent ? NULL : &set, NULL, &timeout) != 1)
			die("select saw nothing");
	} while (!pump(fd, &sent));
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
    {"send", with_send},
    {"write", with_write},
    {"writev", with_writev},
    {"sendmsg", with_sendmsg},
    {"sendmmsg", with_sendmmsg},
    {"sendfile", with_sendfile},
    {"splice", with_splice},
    {"stdio", with_stdio},
    {"dup", with_dup},
    {"fork", with_fork},
    {"epoll-level", with_epoll_level},
    {"epoll-edge", with_epoll_edge},
    {"poll", with_poll},
    {"select", with_select},
};

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: modes MODE HOST PORT");
	host = argv[2];
	port = argv[3];
	request_len = request_text(request, sizeof(request), "/anything?x=1");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) != 0)
			continue;
		modes[i].run();
		answer_parse(&answer);
		printf("%d %s\n", answer.status, answer.body);
		return 0;
	}
	die("no mode %s", argv[1]);
}
