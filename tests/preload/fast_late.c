/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose connections are young when they take the fast lane, so that the bridge has not been
 * given them yet: fast_late MODE HOST PORT [HOW]. Each mode says nothing and ends with 0 where all is as it is
 * without the library.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "tests/preload/fast.h"

static const char *host, *port, *how;

static struct link *fresh(void)
{
	return link_over(dial(host, port), BY_RECV, 4096);
}

static void done(struct link *link)
{
	close(link->fd);
	free(link);
}

/* Upstream connections that the ones to come can have. */
static void warm(void)
{
	struct link *links[3];

	for (int i = 0; i < 3; i++) {
		links[i] = fresh();
		ask(links[i]->fd, "/echo/warm", BY_SEND);
	}
	for (int i = 0; i < 3; i++) {
		told(links[i], "/echo/warm");
		trip(links[i], "/echo/warm");
		done(links[i]);
	}
}

/* The first request and its answer, the second and its answer, each by any way. */
static void all_ways(void)
{
	for (int i = 0; i < SEND_WAYS * RECV_WAYS * 2; i++) {
		struct link *link = fresh();

		link->way = i % RECV_WAYS;
		ask(link->fd, "/echo/first", i % 2 ? BY_SEND : i % SEND_WAYS);
		told(link, "/echo/first");
		link->way = i / 2 % RECV_WAYS;
		ask(link->fd, "/echo/second", i / 3 % SEND_WAYS);
		told(link, "/echo/second");
		done(link);
	}
}

/* Until the kernel hands it over by itself. */
static void idle(void)
{
	struct link *links[20];

	for (int i = 0; i < 20; i++) {
		links[i] = fresh();
		if (i % 2)
			trip(links[i], "/echo/early");
	}
	poll(NULL, 0, 1500);
	for (int i = 0; i < 20; i++) {
		ask(links[i]->fd, "/echo/afterwards", i % SEND_WAYS);
		told(links[i], "/echo/afterwards");
		trip(links[i], "/echo/again");
	}
	poll(NULL, 0, 2500);
	for (int i = 0; i < 20; i++) {
		trip(links[i], "/echo/late");
		done(links[i]);
	}
}

static void ends(const struct link *link, const char *what)
{
	char byte;
	ssize_t n = recv(link->fd, &byte, 1, 0);

	if (n != 0)
		die("%s ends with %zd", what, n);
}

/* The other side ends it, in order. */
static void last(void)
{
	static const char text[] = "GET /echo/last HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n";

	for (int i = 0; i < 50; i++) {
		struct link *link = fresh();

		if (i % 3 == 0)
			trip(link, "/echo/first");
		put_all(link->fd, text, sizeof(text) - 1, i % SEND_WAYS);
		told(link, "/echo/last");
		ends(link, "the last answer");
		done(link);
	}
}

/* What the program does when it is done, or before it began. */
static void leaves(void)
{
	const struct linger drop = {.l_onoff = 1};

	for (int i = 0; i < 100; i++) {
		struct link *link = fresh();

		if (i % 4)
			trip(link, "/echo/first");
		if (i % 3 == 0)
			setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
		if (i % 3 == 1) {
			shutdown(link->fd, SHUT_WR);
			ends(link, "a half-closed connection");
		}
		done(link);
	}
	trip(fresh(), "/echo/afterwards");
}

/* Another descriptor of the same socket, while it lives in a message to ourselves if need be. */
static int passed(int fd)
{
	int pair[2];
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	*c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(pair[0], &msg, 0) != 1)
		die("sendmsg");
	close(fd);
	if (recvmsg(pair[1], &msg, 0) != 1)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	close(pair[0]);
	close(pair[1]);
	return fd;
}

enum { COPY_WAYS = 7 };

static int copy(int fd, int way)
{
	int other;

	switch (way) {
	case 0:
		other = dup(fd);
		break;
	case 1:
		other = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		break;
	case 2:
		other = dup2(fd, 101);
		break;
	case 3:
		return passed(fd);
	case 4:
		other = (int)syscall(SYS_dup, fd);
		break;
	case 5:
		other = (int)bare(SYS_dup, fd, 0, 0, 0, 0, 0);
		break;
	default:
		return fd;
	}
	if (other < 0)
		die("copy %d", way);
	close(fd);
	return other;
}

/* By another number, in another process. */
static void copies(void)
{
	for (int i = 0; i < 6 * COPY_WAYS; i++) {
		struct link *link = fresh();
		int status = 0;

		if (i % 6)
			trip(link, "/echo/first");
		link->fd = copy(link->fd, i % COPY_WAYS);
		if (i % 2) {
			ask(link->fd, "/echo/copy", i % SEND_WAYS);
			told(link, "/echo/copy");
		}
		pid_t pid = fork();
		if (pid == 0) {
			ask(link->fd, "/echo/child", i % SEND_WAYS);
			told(link, "/echo/child");
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("the child ended with %x", status);
		trip(link, "/echo/parent");
		done(link);
	}
}

/* A child goes on with what its parent has closed. */
static void inherited(void)
{
	for (int i = 0; i < 20; i++) {
		struct link *link = fresh();
		int status = 0, go[2];
		char byte = 0;

		trip(link, "/echo/first");
		if (pipe(go) < 0)
			die("pipe");
		pid_t pid = fork();
		if (pid == 0) {
			if (read(go[0], &byte, 1) != 1)
				_exit(1);
			trip(link, "/echo/child");
			ask(link->fd, "/echo/again", i % SEND_WAYS);
			told(link, "/echo/again");
			_exit(0);
		}
		done(link);
		if (write(go[1], &byte, 1) != 1 || waitpid(pid, &status, 0) != pid || status)
			die("the child ended with %x", status);
		close(go[0]);
		close(go[1]);
	}
}

/* A shell has the last word, and nobody waits for an answer. */
static void shells(void)
{
	for (int i = 0; i < 80; i++) {
		struct link *link = fresh();
		char command[200];

		trip(link, "/echo/first");
		snprintf(command, sizeof(command),
			 "read go; printf 'GET /echo/shell HTTP/1.1\\r\\nHost: webserver\\r\\n\\r\\n' >&%d", link->fd);
		FILE *shell = popen(command, "w");

		if (!shell)
			die("popen");
		done(link);
		fputs("go\n", shell);
		if (pclose(shell) != 0)
			die("the shell failed");
	}
	poll(NULL, 0, 500);
}

/* "close" or "bare": a connection is reset by a way that hooks see, or none does. Says where it was from and to. */
static void strangers(void)
{
	const struct linger drop = {.l_onoff = 1};
	/* A port of its own: what connect(2) picks may be that of other connections, too. */
	struct sockaddr_in own = {.sin_family = AF_INET}, door;
	socklen_t len = sizeof(own), door_len = sizeof(door);
	const struct addrinfo *to = resolve(host, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		die("connect");
	trip(link_over(fd, BY_RECV, 4096), "/echo/first");
	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
	    bare(SYS_getpeername, fd, (long)&door, (long)&door_len, 0, 0, 0) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop)) < 0)
		die("its addresses");
	if (strcmp(how, "close") == 0)
		close(fd);
	else
		bare(SYS_close, fd, 0, 0, 0, 0, 0);
	printf("%d %d\n", ntohs(own.sin_port), ntohs(door.sin_port));
	fflush(stdout);
	getchar();
}

/* How often threads other than this one have gone to sleep. */
static long wakes(void)
{
	DIR *tasks = opendir("/proc/self/task");
	char path[300], line[200];
	long sum = 0, n;

	for (struct dirent *task; (task = readdir(tasks));) {
		if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		FILE *status = fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
				sum += n;
		if (status)
			fclose(status);
	}
	closedir(tasks);
	return sum;
}

/* A connection for each request: nobody is woken to be told of either end. What is, goes by the clock. */
static void quiet(void)
{
	enum { MANY = 1000 };
	long before = wakes(), start = now_ms();

	for (int i = 0; i < MANY; i++) {
		struct link *link = fresh();

		trip(link, "/echo/only");
		done(link);
	}
	long woken = wakes() - before, limit = MANY / 4 + (now_ms() - start) / 10;

	if (woken > limit)
		die("%d connections have woken others %ld times, and not %ld", MANY, woken, limit);
}

/* More than there are upstream connections, and than a queue of the kernel's need hold. */
static void crowd(void)
{
	enum { MANY = 300 };
	static struct link *links[MANY];

	for (int i = 0; i < MANY; i++) {
		links[i] = fresh();
		trip(links[i], "/echo/first");
	}
	for (int i = 0; i < MANY; i++)
		ask(links[i]->fd, "/echo/at-once", i % 7 ? BY_SEND : BY_BARE);
	for (int i = 0; i < MANY; i++)
		told(links[i], "/echo/at-once");
	for (int i = 0; i < MANY; i++)
		done(links[i]);
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"ways", all_ways}, {"idle", idle},	    {"last", last},
	    {"leaves", leaves}, {"copies", copies}, {"inherited", inherited},
	    {"quiet", quiet},	{"crowd", crowd},   {"shells", shells},
	    {"strangers", strangers},
	};

	if (argc < 4)
		die("usage: fast_late MODE HOST PORT [HOW]");
	host = argv[2];
	port = argv[3];
	how = argv[4] ? argv[4] : "";
	alarm(120);
	warm();
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
