/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor numbers at their limits: descriptors MODE HOST PORT BODY. Prints what the kernel says,
 * which does not depend on who else is in the process.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static const char *host, *port, *body;

static void get(void)
{
	expect(host, port, "/anything?x=1", body);
}

/* ---- close_range(2) ------------------------------------------------------------------------ */

/* Which of 10-29 are open (o), open and close-on-exec (c). */
static void show(const char *what, int rc)
{
	printf("%s: %d%s ", what, rc, rc < 0 ? strerror(errno) : "");
	for (int fd = 10; fd < 30; fd++) {
		int flags = fcntl(fd, F_GETFD);

		putchar(flags < 0 ? '.' : flags & FD_CLOEXEC ? 'c' : 'o');
	}
	putchar('\n');
}

static void open_some(void)
{
	for (int fd = 10; fd < 30; fd++)
		if (dup2(0, fd) != fd)
			die("dup2");
}

static void close_ranges(void)
{
	static const struct {
		const char *what;
		unsigned first, last;
		int flags;
	} calls[] = {
	    {"plain", 15, 20, 0},
	    {"all", 3, ~0U, 0},
	    {"cloexec", 12, 14, CLOSE_RANGE_CLOEXEC},
	    {"all cloexec", 3, ~0U, CLOSE_RANGE_CLOEXEC},
	    {"unshare", 11, 12, CLOSE_RANGE_UNSHARE},
	    {"all unshare", 3, ~0U, CLOSE_RANGE_UNSHARE},
	    {"unshare cloexec", 20, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC},
	    {"unknown flag", 3, ~0U, 8},
	    {"backwards", 20, 10, 0},
	    {"nothing there", 70000, 80000, 0},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int by_syscall = 0; by_syscall < 2; by_syscall++) {
			open_some();
			get();
			int rc = by_syscall ? (int)syscall(SYS_close_range, calls[i].first,
							   calls[i].last, calls[i].flags)
					    : close_range(calls[i].first, calls[i].last,
							  calls[i].flags);
			show(calls[i].what, rc);
			get();
		}
}

/* ---- numbers that are not the program's ------------------------------------------------------ */

/* The ones above 2 that are open and that the program did not open. Returns how many. */
static int strangers(int *numbers, int max)
{
	int n = 0;

	for (int fd = 3; fd < 4096 && n < max; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			numbers[n++] = fd;
	return n;
}

static void check_file(int fd, const char *path)
{
	struct stat wanted, seen;

	if (stat(path, &wanted) < 0 || fstat(fd, &seen) < 0 || wanted.st_ino != seen.st_ino)
		die("number %d is not %s", fd, path);
}

/* Put a file of the program's own on them, use it, take it away, and go on; 1000 is taken if there
 * are none. */
static void dup_onto(void)
{
	int numbers[64];

	for (int round = 0; round < 3; round++) {
		get();
		int n = strangers(numbers, 64);

		if (n == 0)
			numbers[n++] = 1000;
		for (int i = 0; i < n; i++) {
			int file = open("own", O_RDWR | O_CREAT, 0600);
			int rc = round % 2 ? dup3(file, numbers[i], O_CLOEXEC)
					   : dup2(file, numbers[i]);

			if (rc != numbers[i])
				die("dup2 onto %d", numbers[i]);
			close(file);
			get();
			check_file(numbers[i], "own");
			if ((fcntl(numbers[i], F_GETFD) & FD_CLOEXEC) != round % 2)
				die("close-on-exec of %d", numbers[i]);
			if (dup2(numbers[i], 700) != 700 || close(700) < 0)
				die("dup2 of %d", numbers[i]);
			if (close(numbers[i]) < 0 || fcntl(numbers[i], F_GETFD) != -1)
				die("close of %d", numbers[i]);
		}
	}
	get();
}

/* libc's own syscall(2), which no preloaded library sees. */
static long (*unseen)(long, ...);

/* A connection's number is closed where nobody sees it, and is another socket's then. */
static void reused_number(void)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in peer;
	socklen_t len = sizeof(own), peer_len;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	unseen = (long (*)(long, ...))dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD),
					     "syscall");
	if (!unseen || bind(listener, (struct sockaddr *)&own, len) < 0 ||
	    listen(listener, 50) < 0 || getsockname(listener, (struct sockaddr *)&own, &len) < 0)
		die("the listener");
	for (int round = 0; round < 20; round++) {
		int fd = dial(host, port);

		if (round % 2)
			unseen(SYS_close, fd);
		else
			unseen(SYS_close_range, fd, fd, 0);
		int again = socket(AF_INET, SOCK_STREAM, 0);

		if (again != fd)
			die("the number %d is not given again", fd);
		peer_len = sizeof(peer);
		if (getpeername(again, (struct sockaddr *)&peer, &peer_len) != -1 ||
		    errno != ENOTCONN)
			die("a fresh socket has a peer");
		if (connect(again, (struct sockaddr *)&own, sizeof(own)) < 0)
			die("connect");
		peer_len = sizeof(peer);
		if (getpeername(again, (struct sockaddr *)&peer, &peer_len) < 0 ||
		    peer.sin_port != own.sin_port || peer.sin_addr.s_addr != own.sin_addr.s_addr)
			die("the peer is not the one that was dialled");
		if (close(again) < 0)
			die("close");
		get();
	}
}

/* Even what is not the program's is closed where nobody sees it, and the numbers are files of the
 * program's then: nothing may be written to them, and they can be closed. */
static void reused_strangers(void)
{
	int numbers[64], n;

	unseen = (long (*)(long, ...))dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD),
					     "syscall");
	get();
	n = strangers(numbers, 64);
	if (n == 0)
		numbers[n++] = 1000;
	int file = open("own", O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (int i = 0; i < n; i++) {
		unseen(SYS_close, numbers[i]);
		if (fcntl(file, F_DUPFD, numbers[i]) != numbers[i])
			die("the number %d is not free", numbers[i]);
	}
	/* Requests and whatever comes of them: what matters is the file. A listener that is not
	 * there yet is refused, since nobody can be asked for it. */
	struct addrinfo hints = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM}, *six;

	if (getaddrinfo(host, port, &hints, &six) == 0) {
		int fd6 = socket(AF_INET6, SOCK_STREAM, 0), only = 1;

		setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
		if (fd6 >= 0 && (connect(fd6, six->ai_addr, six->ai_addrlen) == 0 ||
				 errno != ECONNREFUSED))
			die("connect over IPv6");
		close(fd6);
	}
	for (int i = 0; i < 5; i++) {
		char request[1024], data[4096];
		size_t len = request_text(request, sizeof(request), "/anything?x=1");
		int fd = dial(host, port);

		if (write(fd, request, len) == (ssize_t)len)
			while (read(fd, data, sizeof(data)) > 0)
				;
		close(fd);
	}
	if (lseek(file, 0, SEEK_END) != 0)
		die("%ld bytes in the file", (long)lseek(file, 0, SEEK_END));
	for (int i = 0; i < n; i++)
		if (close(numbers[i]) < 0 || fcntl(numbers[i], F_GETFD) != -1)
			die("close of %d", numbers[i]);
	printf("untouched\n");
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void limit_to(rlim_t files)
{
	struct rlimit few = {files, files};

	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		die("setrlimit");
}

/* Open all that there is, but for `spare`. Returns the lowest number that was taken. */
static int exhaust(int spare)
{
	int first = -1, fd, last = -1;

	while ((fd = dup(0)) >= 0) {
		if (first < 0)
			first = fd;
		last = fd;
	}
	if (errno != EMFILE)
		die("dup");
	while (spare--)
		close(last--);
	return first;
}

static struct addrinfo *to;

/* A whole request with one descriptor. Returns 0, or what connect(2) said. */
static int try_one(void)
{
	errno = 0;

	char request[1024], data[4096];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t n;

	if (fd < 0)
		die("socket");
	int error = connect(fd, to->ai_addr, to->ai_addrlen) < 0 ? errno : 0;

	if (!error) {
		if (write(fd, request, len) != (ssize_t)len ||
		    (n = read(fd, data, sizeof(data))) < 12)
			error = errno ? errno : EPROTO;
		else if (memcmp(data, "HTTP/1.1 200", 12) != 0)
			error = EPROTO;
	}
	close(fd);
	return error;
}

/* Nothing is left when the first connection is made: it may fail with EMFILE, and nothing else
 * happens; as soon as there is room, all is well. */
static void exhausted_before(void)
{
	to = resolve(host, port);
	limit_to(64);
	int first = exhaust(1);

	for (int i = 0; i < 3; i++) {
		int error = try_one();

		if (error && error != EMFILE)
			die("connect says %s", strerror(error));
	}
	if (fcntl(63, F_GETFD) != -1 || dup(0) != 63 || dup(0) != -1 || errno != EMFILE)
		die("the last number is not the program's");
	for (int fd = first; fd < 64; fd++)
		if (close(fd) < 0)
			die("close of %d", fd);
	get();
	printf("survived\n");
}

/* Nothing is left when the rules are to be read: they are, once there is room. */
static void exhausted_unread(void)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	int tries = 0;

	limit_to(64);
	int first = exhaust(0);

	if (getaddrinfo(host, port, &hints, &to) == 0)
		die("%s is known", host);
	for (int fd = first; fd < 64; fd++)
		close(fd);
	/* The files are looked at once a second. */
	while (getaddrinfo(host, port, &hints, &to) != 0)
		if (usleep(100000) < 0 || ++tries == 200)
			die("%s stays unknown", host);
	get();
	printf("survived\n");
}

/* The program has one number left, and needs no more. */
static void exhausted_after(void)
{
	to = resolve(host, port);
	get();
	limit_to(64);
	exhaust(1);
	for (int i = 0; i < 20; i++)
		if (try_one() != 0)
			die("connect");
	printf("survived\n");
}

/* A table with room for the program's socket alone. */
static void tiny(void)
{
	to = resolve(host, port);
	for (rlim_t files = 4; files <= 16; files++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			limit_to(files);
			int error = try_one();

			fflush(stdout);
			if (error && error != EMFILE && error != ECONNRESET && error != EPROTO)
				die("%s with %d files", strerror(error), (int)files);
			_exit(error ? 50 : 0);
		}
		if (waitpid(pid, &status, 0) != pid || (status != 0 && status != 50 << 8))
			die("status %x with %d files", status, (int)files);
		printf("%d: %s\n", (int)files, status ? "error" : "answer");
	}
}

/* ---- 0-2 --------------------------------------------------------------------------------------- */

/* Closed in the middle of everything: the program's next files get these numbers, and nothing that
 * was meant for a terminal is written to them. */
static void closed_late(void)
{
	get();
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	get();
	for (int fd = 0; fd < 3; fd++)
		if (open("own", O_RDWR | O_CREAT | O_TRUNC, 0600) != fd)
			_exit(20 + fd);
	for (int i = 0; i < 3; i++)
		get();
	struct stat own;
	_exit(fstat(2, &own) < 0 || own.st_size != 0 ? 30 : 40);
}

static const struct guest_mode modes[] = {
    {"close_range", close_ranges},
    {"dup-onto", dup_onto},
    {"reused-number", reused_number},
    {"reused-strangers", reused_strangers},
    {"exhausted-before", exhausted_before},
    {"exhausted-unread", exhausted_unread},
    {"exhausted-after", exhausted_after},
    {"tiny", tiny},
    {"closed-late", closed_late},
};

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: descriptors MODE HOST PORT BODY");
	host = argv[2];
	port = argv[3];
	body = argv[4];
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
