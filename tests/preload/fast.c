/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with a keep-alive connection that it treats in every way: fast MODE HOST PORT [NUMBER].
 * Each mode says nothing and ends with 0 where all is as it is without the library.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/preload/fast.h"

static const char *host, *port;
static unsigned long number;

/* A connection on which some requests have been made, so that the next one could take the fast
 * lane. */
static struct link *warm(void)
{
	struct link *link = link_over(dial(host, port), BY_RECV, 4096);

	for (int i = 0; i < 5; i++)
		trip(link, "/echo/warm");
	return link;
}

/* ---- taken ------------------------------------------------------------------------------- */

/* The least of several connections: one whose thread was kept from running for a while leaves the fast
 * lane. */
static void taken(void)
{
	uint64_t least = UINT64_MAX;
	char path[64];

	for (int round = 0; round < 10; round++) {
		struct link *link = warm();
		uint64_t before = carried(link->fd), bytes;

		for (int i = 0; i < 20; i++) {
			snprintf(path, sizeof(path), "/echo/%d", i);
			trip(link, path);
		}
		bytes = carried(link->fd) - before;
		least = bytes < least ? bytes : least;
		close(link->fd);
	}
	printf("%" PRIu64 "\n", least);
}

/* ---- mix --------------------------------------------------------------------------------- */

static unsigned seed = 20;

/* Whole, or in pieces, each by a way of its own. */
static void put_anyhow(int fd, const char *data, size_t len)
{
	bool whole = draw(&seed) % 3 == 0;

	for (size_t done = 0, n; done < len; done += n) {
		n = whole ? len : 1 + draw(&seed) % 20;
		if (n > len - done)
			n = len - done;
		put_all(fd, data + done, n, (int)(draw(&seed) % SEND_WAYS));
	}
}

/* One request's text, and the answer that it has to get. */
static size_t make_request(unsigned i, char *out, size_t size, char *wanted, size_t wanted_size)
{
	char body[400];
	size_t len = 1 + draw(&seed) % sizeof(body), n;
	unsigned kind = draw(&seed) % 3;

	for (size_t k = 0; k < len; k++)
		body[k] = (char)draw(&seed);
	if (kind == 0)
		len = 0;
	n = (size_t)snprintf(out, size, "%s /echo/%u HTTP/1.1\r\nHost: webserver\r\n",
			     kind ? "POST" : "GET", i);
	if (kind == 1) {
		n += (size_t)snprintf(out + n, size - n, "Content-Length: %zu\r\n\r\n", len);
		memcpy(out + n, body, len);
		n += len;
	} else if (kind == 2) {
		n += (size_t)snprintf(out + n, size - n, "Transfer-Encoding: chunked\r\n\r\n");
		for (size_t done = 0, some; done < len; done += some) {
			some = 1 + draw(&seed) % (len - done);
			n += (size_t)snprintf(out + n, size - n, "%zx\r\n", some);
			memcpy(out + n, body + done, some);
			n += some;
			n += (size_t)snprintf(out + n, size - n, "\r\n");
		}
		n += (size_t)snprintf(out + n, size - n, "0\r\n\r\n");
	} else {
		n += (size_t)snprintf(out + n, size - n, "\r\n");
	}
	snprintf(wanted, wanted_size, "%s /echo/%u %zu %08x\n", kind ? "POST" : "GET", i, len,
		 adler(body, len));
	return n;
}

enum { DEEP = 8 };

/* Now and then some requests are on their way before the first answer is read. */
static void mix(void)
{
	struct link *link = link_over(dial(host, port), -1, 0);
	char text[DEEP * 8192], wanted[DEEP][128];

	for (unsigned i = 0; i < number;) {
		unsigned deep = draw(&seed) % 4 ? 1 : 1 + draw(&seed) % DEEP;
		size_t len = 0;

		for (unsigned k = 0; k < deep; k++)
			len += make_request(i + k, text + len, sizeof(text) - len, wanted[k],
					    sizeof(wanted[k]));
		put_anyhow(link->fd, text, len);
		for (unsigned k = 0; k < deep; k++, i++) {
			link_answer(link);
			if (link->status != 200 || strcmp(link->text, wanted[k]) != 0)
				die("seed 20, request %u: status %d, \"%s\", not \"%s\"", i,
				    link->status, link->text, wanted[k]);
		}
	}
}

/* ---- numbers used anew ------------------------------------------------------------------- */

static void bare_close(int fd)
{
	bare(SYS_close, fd, 0, 0, 0, 0, 0);
}

static void reuse_own(void)
{
	for (int with_request = 0; with_request < 2; with_request++) {
		struct link *link = warm();
		int ends[2], fd = link->fd;
		char text[512], data[1024];
		size_t len = ask_text(text, sizeof(text), "/echo/never");

		if (with_request)
			ask(fd, "/echo/unread", BY_SEND);
		/* The connection lives on, so that nobody is told. */
		bare(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 500, 0, 0, 0);
		bare_close(fd);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || ends[0] != fd)
			die("the number %d is not used anew", fd);
		put_all(fd, text, len, BY_SEND);
		if (recv(ends[1], data, sizeof(data), MSG_DONTWAIT) != (ssize_t)len ||
		    memcmp(data, text, len) != 0)
			die("the new peer did not get what was sent");
		put_all(ends[1], "hello", 5, BY_SEND);
		if (recv(fd, data, sizeof(data), 0) != 5 || memcmp(data, "hello", 5) != 0)
			die("the new peer's words did not come");
		close(ends[0]);
		close(ends[1]);
	}
	trip(warm(), "/echo/afterwards");
}

/* The numbers of the library's sockets to somewhere, in this table. */
static int upstreams(int *fds, int max)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	for (struct dirent *entry; (entry = readdir(dir));) {
		int fd = atoi(entry->d_name), domain;
		socklen_t len = sizeof(domain);

		if (fd >= 1000 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
		    domain == AF_INET && n < max)
			fds[n++] = fd;
	}
	closedir(dir);
	return n;
}

static int strange[2]; /* the program's own: a file, twice, or a pair of sockets */

static int replace_upstreams(void)
{
	int fds[64], n = upstreams(fds, 64);

	if (number < 3)
		strange[0] = strange[1] = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	else if (socketpair(AF_UNIX, SOCK_STREAM, 0, strange) < 0)
		die("socketpair");
	for (int i = 0; i < n; i++)
		if (bare(SYS_dup3, strange[0], fds[i], 0, 0, 0, 0) != fds[i])
			die("dup3");
	return n;
}

static void has_stayed_empty(void)
{
	struct stat st;
	char byte;

	if (fstat(strange[0], &st) < 0 || st.st_size != 0 ||
	    recv(strange[1], &byte, 1, MSG_DONTWAIT) >= 0)
		die("something was written to the program's own");
}

/* NUMBER 0: between two requests; 1: before the answer; 2: in the middle of a long answer. The same + 3: the
 * numbers become a socket's. */
static void reuse_upstream(void)
{
	struct link *link = warm();
	const char *path = number % 3 == 2 ? "/size/3000000" : "/echo/x";
	char data[4096];

	if (number % 3 > 0)
		ask(link->fd, path, BY_SEND);
	if (number % 3 == 2 && recv(link->fd, data, sizeof(data), 0) <= 0)
		die("no answer");
	if (replace_upstreams() < 1)
		die("no upstream socket has a number here");
	if (number % 3 == 0)
		ask(link->fd, path, BY_SEND);
	/* An answer, or an end. */
	ssize_t n = recv(link->fd, data, sizeof(data), 0);
	if (n < 12 || (number % 3 < 2 && memcmp(data, "HTTP/1.1 200", 12) != 0 &&
		       memcmp(data, "HTTP/1.1 503", 12) != 0))
		die("%zd bytes of an answer: %.100s", n, data);
	has_stayed_empty();
	for (int i = 0; i < 3; i++)
		trip(warm(), "/echo/afterwards");
	has_stayed_empty();
}

/* ---- stdio ------------------------------------------------------------------------------- */

static void stdio(void)
{
	struct link *link = warm();
	FILE *stream = fdopen(link->fd, "r+");
	char line[256];

	setvbuf(stream, NULL, _IOLBF, 0);
	for (int i = 0; i < 5; i++) {
		fprintf(stream, "GET /echo/%d HTTP/1.1\r\nHost: webserver\r\n\r\n", i);
		fflush(stream);
		if (!fgets(line, sizeof(line), stream) || strncmp(line, "HTTP/1.1 200", 12) != 0)
			die("no answer: %s", line);
		while (fgets(line, sizeof(line), stream) && line[0] != '\r')
			;
		if (!fgets(line, sizeof(line), stream) || atoi(line + 10) != i)
			die("the wrong answer: %s", line);
		fseek(stream, 0, SEEK_CUR);
		trip(link, "/echo/between");
	}
}

/* ---- fork -------------------------------------------------------------------------------- */

static void collect(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("a child ended with status %x", status);
}

static void forks(void)
{
	struct link *link = warm(), *other = warm();

	for (int round = 0; round < 10; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (round % 2)
				trip(warm(), "/echo/own");
			for (int i = 0; i < 3; i++)
				trip(link, "/echo/child");
			_exit(0);
		}
		collect(pid);
		for (int i = 0; i < 3; i++) {
			trip(link, "/echo/parent");
			trip(other, "/echo/other");
		}
		/* What the parent has sent, the child reads, and the other way round. */
		ask(link->fd, "/echo/across", BY_SEND);
		pid = fork();
		if (pid == 0) {
			told(link, "/echo/across");
			ask(link->fd, "/echo/back", BY_SEND);
			_exit(0);
		}
		collect(pid);
		told(link, "/echo/back");
	}
}

/* A vfork child has our memory and a table of its own. */
static void vforks(void)
{
	struct link *link = warm();

	for (int i = 0; i < 5; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			char text[512];
			size_t len = ask_text(text, sizeof(text), "/echo/vfork");

			_exit(write(link->fd, text, len) != (ssize_t)len);
		}
		collect(pid);
		told(link, "/echo/vfork");
		trip(link, "/echo/parent");
	}
}

/* ---- bodies ------------------------------------------------------------------------------ */

/* GETs and POSTs of NUMBER bytes a call. */
static void bodies(void)
{
	struct link *link = warm();
	size_t big = number == 1 ? 300000 : 5000000, n, len;
	char *body = malloc(big), text[256], wanted[128];

	for (size_t i = 0; i < big; i++)
		body[i] = pattern(i);
	link->room = number;
	for (int round = 0; round < 2; round++) {
		snprintf(text, sizeof(text), round ? "/chunked/%zu" : "/size/%zu", big);
		ask(link->fd, text, BY_SEND);
		if (number > 100000) {
			usleep(50000); /* a slow reader */
			link_fill(link);
			usleep(50000);
		}
		len = link_answer(link);
		if (link->status != 200 || len != big)
			die("status %d, %zu bytes", link->status, len);
		n = (size_t)snprintf(text, sizeof(text),
				     "POST /echo/%d HTTP/1.1\r\nHost: webserver\r\n"
				     "Content-Length: %zu\r\n\r\n",
				     round, big);
		put_all(link->fd, text, n, BY_SEND);
		size_t piece = number >= 100 ? number : 4096;
		for (size_t done = 0; done < big; done += piece)
			put_all(link->fd, body + done, big - done < piece ? big - done : piece,
				BY_WRITE);
		link_answer(link);
		snprintf(wanted, sizeof(wanted), "POST /echo/%d %zu %08x\n", round, big,
			 adler(body, big));
		if (link->status != 200 || strcmp(link->text, wanted) != 0)
			die("status %d, \"%s\", not \"%s\"", link->status, link->text, wanted);
	}
	free(body);
}

/* ---- readiness --------------------------------------------------------------------------- */

static void await(int fd, int way, int set)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	struct epoll_event event;
	fd_set fds;
	int n;

	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	switch (way) {
	case 0:
		n = poll(&item, 1, 10000);
		break;
	case 1:
		n = select(fd + 1, &fds, NULL, NULL, &(struct timeval){10, 0});
		break;
	default:
		n = epoll_wait(set, &event, 1, 10000);
		break;
	}
	if (n != 1)
		die("not ready by way %d: %d", way, n);
}

static void polls(void)
{
	struct link *link = warm();
	int set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(set, EPOLL_CTL_ADD, link->fd, &event) < 0)
		die("epoll_ctl");
	for (int i = 0; i < 30; i++) {
		ask(link->fd, "/echo/polled", BY_SEND);
		await(link->fd, i % 3, set);
		told(link, "/echo/polled");
	}
	for (int way = 0; way < 3; way++) {
		/* In the middle of an answer, and one that is not there yet. */
		struct link *fresh = warm();

		event.data.fd = fresh->fd;
		epoll_ctl(set, EPOLL_CTL_DEL, link->fd, NULL);
		epoll_ctl(set, EPOLL_CTL_ADD, fresh->fd, &event);
		ask(fresh->fd, "/size/300000", BY_SEND);
		if (recv(fresh->fd, fresh->data, 5, 0) != 5)
			die("no answer");
		fresh->at = 0;
		fresh->len = 5;
		await(fresh->fd, way, set);
		if (link_answer(fresh) != 300000)
			die("an answer too short");
		ask(fresh->fd, "/wait/200", BY_SEND);
		await(fresh->fd, way, set);
		link_answer(fresh);
		epoll_ctl(set, EPOLL_CTL_DEL, fresh->fd, NULL);
		epoll_ctl(set, EPOLL_CTL_ADD, link->fd, &event);
	}
}

/* Who was told that there is something to read asks how much, and what, before it reads. */
static void foretold(void)
{
	struct link *link = warm();
	int set = epoll_create1(0), unread = 0;
	struct epoll_event event = {.events = EPOLLIN};
	char byte;

	for (int i = 0; i < 60; i++) {
		if (i == 30 && epoll_ctl(set, EPOLL_CTL_ADD, link->fd, &event) < 0)
			die("epoll_ctl");
		ask(link->fd, i % 5 ? "/echo/foretold" : "/wait/20", BY_SEND);
		await(link->fd, i < 30 ? i % 2 : 2, set);
		if (i % 3 != 1 && (ioctl(link->fd, FIONREAD, &unread) < 0 || unread <= 0))
			die("%d: %d bytes to be read", i, unread);
		if (i % 3 != 0 && recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
			die("%d: nothing to peek at", i);
		link_answer(link);
		if (ioctl(link->fd, FIONREAD, &unread) < 0 || unread)
			die("%d: %d bytes to be read afterwards", i, unread);
	}
}

/* Whether it blocks, told in each way that there is. */
static void block(int fd, bool blocks, int way)
{
	int flags = (fcntl(fd, F_GETFL) & ~O_NONBLOCK) | (blocks ? 0 : O_NONBLOCK), on = !blocks;

	if (way == 0)
		fcntl(fd, F_SETFL, flags);
	else if (way == 1)
		ioctl(fd, FIONBIO, &on);
	else if (way == 2)
		syscall(SYS_fcntl, fd, F_SETFL, flags);
	else
		syscall(SYS_ioctl, fd, FIONBIO, &on);
}

/* O_NONBLOCK comes and goes, between requests and within. */
static void nonblocking_by(struct link *link, int fd)
{
	ssize_t n;

	for (int i = 0; i < 12; i++) {
		if (i % 3 == 0)
			block(fd, false, i / 3);
		ask(link->fd, "/wait/50", BY_SEND);
		if (i % 3 == 1)
			block(fd, false, i / 3);
		if (i % 3 != 2) {
			n = recv(link->fd, link->data, 4096, 0);
			if (n >= 0 || errno != EAGAIN)
				die("%zd bytes before the answer", n);
			await(link->fd, i % 2, -1);
			block(fd, true, i / 3);
		} else if (recv(link->fd, link->data, 4096, MSG_DONTWAIT) >= 0 || errno != EAGAIN) {
			die("bytes before the answer");
		}
		link_answer(link);
		if (strcmp(link->text, "GET /wait/50 0 00000001\n") != 0)
			die("the wrong answer: %s", link->text);
	}
}

static void nonblocking(void)
{
	struct link *link = warm();

	nonblocking_by(link, link->fd);
	/* By a copy, of which the socket's own number knows nothing. */
	nonblocking_by(link, dup(link->fd));

	/* By one that is older than the connection. */
	struct addrinfo *to = resolve(host, port);
	int fd = socket(to->ai_family, SOCK_STREAM, 0), copy = dup(fd);

	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		die("connect");
	freeaddrinfo(to);
	nonblocking_by(link_over(fd, BY_RECV, 4096), copy);
}

static void dups(void)
{
	struct link *link = warm();
	int second = dup(link->fd), numbers[2] = {link->fd, second};

	for (int i = 0; i < 16; i++) {
		ask(numbers[i & 1], "/echo/dup", BY_SEND);
		link->fd = numbers[i >> 1 & 1];
		told(link, "/echo/dup");
	}
	/* The first number goes, the second stays, whoever is in the middle of what. */
	ask(numbers[0], "/echo/dup", BY_SEND);
	close(numbers[0]);
	link->fd = second;
	told(link, "/echo/dup");
	for (int i = 0; i < 5; i++)
		trip(link, "/echo/second");
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"taken", taken},
	    {"mix", mix},
	    {"reuse-own", reuse_own},
	    {"reuse-upstream", reuse_upstream},
	    {"stdio", stdio},
	    {"fork", forks},
	    {"vfork", vforks},
	    {"bodies", bodies},
	    {"polls", polls},
	    {"foretold", foretold},
	    {"nonblocking", nonblocking},
	    {"dup", dups},
	};

	if (argc < 4)
		die("usage: fast MODE HOST PORT [NUMBER]");
	host = argv[2];
	port = argv[3];
	number = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	alarm(120);
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
