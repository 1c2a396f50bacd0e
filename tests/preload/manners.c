/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library in somebody else's process must leave alone: manners MODE HOST PORT BODY.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/preload/guest.h"

#define CANARY 12345

static const char *host, *port, *body;

/* Calls that succeed leave errno as it was. */
static void errno_mode(void)
{
	char request[1024], data[4096], name[NI_MAXHOST];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	int fd, copy;

#define KEEPS(call, what)                                                                          \
	do {                                                                                       \
		errno = CANARY;                                                                    \
		if (!(call))                                                                       \
			die(what " failed");                                                       \
		if (errno != CANARY)                                                               \
			die(what " changed errno");                                                \
	} while (0)

	for (int round = 0; round < 2; round++) {
		KEEPS(getaddrinfo(host, port, &hints, &to) == 0, "getaddrinfo");
		KEEPS((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0, "socket");
		KEEPS(connect(fd, to->ai_addr, to->ai_addrlen) == 0, "connect");
		KEEPS(getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0, "getpeername");
		KEEPS(getnameinfo(to->ai_addr, to->ai_addrlen, name, sizeof(name), NULL, 0,
				  NI_NAMEREQD) == 0,
		      "getnameinfo");
		KEEPS((copy = dup2(fd, 50)) == 50, "dup2");
		KEEPS(close(copy) == 0, "close");
		KEEPS(send(fd, request, len, 0) == (ssize_t)len, "send");
		KEEPS(recv(fd, data, sizeof(data), 0) > 0, "recv");
		KEEPS(close(fd) == 0, "close");
		freeaddrinfo(to);
	}
}

/* The program leaves before the answer comes: nobody gets a SIGPIPE, and the next request works. */
static void sigpipe_mode(void)
{
	char request[1024];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");

	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; i < 50; i++) {
		struct linger hard = {.l_onoff = 1, .l_linger = 0};
		int fd = dial(host, port);

		if (write(fd, request, len) != (ssize_t)len)
			die("write");
		if (i % 2 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) < 0)
			die("SO_LINGER");
		close(fd);
	}
	expect(host, port, "/anything?x=1", body);
}

static int count(const char *directory)
{
	DIR *dir = opendir(directory);
	int n = 0;

	if (!dir)
		die("%s", directory);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

/* Looking around and talking to loopback makes no thread; a request makes one. */
static void threads_mode(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&address, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &len) < 0 ||
	    connect(fd, (struct sockaddr *)&address, len) < 0)
		die("loopback");
	close(fd);
	close(listener);
	if (count("/proc/self/task") != 1)
		die("%d threads before the first request", count("/proc/self/task"));
	expect(host, port, "/anything?x=1", body);
	if (count("/proc/self/task") < 2)
		die("%d threads after it", count("/proc/self/task"));
}

/* Started with 0-2 closed: the program's first sockets get these numbers, and nobody else does. */
static void closed_mode(void)
{
	int fd;

	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			exit(10 + fd);
	for (int round = 0; round < 2; round++) {
		expect(host, port, "/anything?x=1", body);
		for (fd = 0; fd < 3; fd++)
			if (fcntl(fd, F_GETFD) != -1)
				exit(20 + fd);
	}
	if ((fd = dial(host, port)) != 0)
		exit(30 + fd);
}

/* The lowest free number is what the program expects next, and ours are close-on-exec. */
static void numbers_mode(void)
{
	int first = dup(0);

	close(first);
	expect(host, port, "/anything?x=1", body);
	if (dup(0) != first)
		die("the next descriptor is no longer %d", first);
	close(first);
	for (int fd = 3; fd < 65536; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && fd != first && !(flags & FD_CLOEXEC))
			die("descriptor %d is not mine and not close-on-exec", fd);
	}
}

static void limit_mode(void)
{
	struct rlimit few = {16, 16};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		die("setrlimit");
	for (int i = 0; i < 30; i++)
		expect(host, port, "/anything?x=1", body);
}

static const struct guest_mode modes[] = {
    {"errno", errno_mode},   {"sigpipe", sigpipe_mode}, {"threads", threads_mode},
    {"closed", closed_mode}, {"numbers", numbers_mode}, {"limit", limit_mode},
};

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: manners MODE HOST PORT BODY");
	host = argv[2];
	port = argv[3];
	body = argv[4];
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
