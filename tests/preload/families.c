/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and their children, as servers and shells make them: families MODE HOST PORT BODY. Each
 * of them fetches by itself, and each has to get BODY.
 */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static const char *host, *port, *body;
static char *program;

static void get(void)
{
	expect(host, port, "/anything?x=1", body);
}

static void collect(pid_t pid, const char *which)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("%s ended with status %x", which, status);
}

/* ---- a server that forks its workers before it serves ------------------------------------- */

enum { WORKERS = 4, CLIENTS = 12 };

static void worker(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char word[16];

		if (fd < 0)
			die("accept");
		ssize_t n = read(fd, word, sizeof(word));

		if (n < 1)
			die("a client without a word");
		if (word[0] == 'q') {
			close(fd);
			_exit(0);
		}
		get();
		if (write(fd, "done", 4) != 4)
			die("write to a client");
		close(fd);
	}
}

static int ask(const struct sockaddr_in *server, const char *word)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)) < 0 ||
	    write(fd, word, strlen(word)) < 0)
		die("a client");
	return fd;
}

/* Half of the workers are forked before the first request of the parent, half of them after it. */
static void prefork(void)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(server);
	int listener = socket(AF_INET, SOCK_STREAM, 0), clients[CLIENTS];
	pid_t workers[WORKERS];
	char answer[8];

	if (bind(listener, (struct sockaddr *)&server, len) < 0 || listen(listener, CLIENTS) < 0 ||
	    getsockname(listener, (struct sockaddr *)&server, &len) < 0)
		die("the listener");
	for (int i = 0; i < WORKERS; i++) {
		if (i == WORKERS / 2)
			get();
		workers[i] = fork();
		if (workers[i] == 0)
			worker(listener);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < CLIENTS; i++)
			clients[i] = ask(&server, "get");
		for (int i = 0; i < CLIENTS; i++) {
			if (read(clients[i], answer, sizeof(answer)) != 4)
				die("no answer from the worker");
			close(clients[i]);
		}
		get();
	}
	for (int i = 0; i < WORKERS; i++)
		close(ask(&server, "quit"));
	for (int i = 0; i < WORKERS; i++)
		collect(workers[i], "a worker");
}

/* ---- daemon(3) ----------------------------------------------------------------------------- */

/* The daemon's word comes through a pipe, since it has neither a parent nor a terminal. */
static void become_daemon(int times_before)
{
	int ends[2];
	char word[8];
	pid_t pid;

	if (pipe(ends) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		for (int i = 0; i < times_before; i++)
			get();
		if (daemon(0, 0) < 0)
			die("daemon");
		for (int i = 0; i < 2; i++)
			get();
		_exit(write(ends[1], "done", 4) != 4);
	}
	close(ends[1]);
	collect(pid, "the process that becomes a daemon");
	if (read(ends[0], word, sizeof(word)) != 4)
		die("the daemon failed");
}

static void daemon_before(void)
{
	become_daemon(0);
}

static void daemon_after(void)
{
	become_daemon(2);
}

/* ---- other programs ------------------------------------------------------------------------ */

static void spawn(void)
{
	char *child[] = {program, (char *)"child", (char *)host, (char *)port, (char *)body, NULL};
	char command[4096];
	pid_t pid;

	snprintf(command, sizeof(command), "'%s' child '%s' '%s' '%s'", program, host, port, body);
	for (int round = 0; round < 2; round++) {
		if (posix_spawn(&pid, program, NULL, NULL, child, environ) != 0)
			die("posix_spawn");
		collect(pid, "a spawned program");
		if (posix_spawnp(&pid, program, NULL, NULL, child, environ) != 0)
			die("posix_spawnp");
		get();
		collect(pid, "a spawned program");
		pid = vfork();
		if (pid == 0) {
			execv(program, child);
			_exit(99);
		}
		collect(pid, "a program after vfork");
		if (system(command) != 0)
			die("system");
		FILE *stream = popen(command, "r");
		if (!stream || pclose(stream) != 0)
			die("popen");
	}
}

/* The process stays, its program changes; then once more with the engine's thread at work. */
static void replace(void)
{
	char *child[] = {program, (char *)"child", (char *)host, (char *)port, (char *)body, NULL};

	for (int i = 0; i < 2; i++)
		close(dial(host, port));
	get();
	execv(program, child);
	die("execv");
}

/* ---- signals ------------------------------------------------------------------------------- */

static struct sockaddr_in to;
static char request[1024];
static size_t request_len;
static volatile sig_atomic_t answered, failed;

/* With nothing but what POSIX calls async-signal-safe. */
static void fetch_in_handler(int number)
{
	int error = errno, fd = socket(AF_INET, SOCK_STREAM, 0);
	char data[1024], first[1024];
	ssize_t n, got = 0;

	(void)number;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    write(fd, request, request_len) != (ssize_t)request_len)
		failed++;
	while ((n = read(fd, data, sizeof(data))) > 0) {
		if (!got)
			memcpy(first, data, (size_t)n);
		got += n;
	}
	if (got > 12 && memcmp(first, "HTTP/1.1 200", 12) == 0)
		answered++;
	else
		failed++;
	close(fd);
	errno = error;
}

static void resolve_once(void)
{
	struct addrinfo *found = resolve(host, port);

	memcpy(&to, found->ai_addr, sizeof(to));
	freeaddrinfo(found);
	request_len = request_text(request, sizeof(request), "/anything?x=1");
}

/* The handler comes in the middle of the program's own look-ups and connections. */
static void in_handlers(void)
{
	struct sigaction action = {.sa_handler = fetch_in_handler, .sa_flags = SA_RESTART};
	struct itimerval soon = {.it_value = {0, 1}}, never = {{0, 0}, {0, 0}};

	resolve_once();
	get();
	sigaction(SIGALRM, &action, NULL);
	for (int i = 0; i < 100 || answered + failed < 100; i++) {
		soon.it_value.tv_usec = 1 + i % 150 * 7;
		setitimer(ITIMER_REAL, &soon, NULL);
		get();
	}
	setitimer(ITIMER_REAL, &never, NULL);
	if (failed)
		die("%d answers in handlers, %d failures", (int)answered, (int)failed);
}

/* The handler comes in the middle of the program's own malloc(3), whose locks it then holds: nothing
 * that the handler needs may wait for them. */
static void in_allocator(void)
{
	struct sigaction action = {.sa_handler = fetch_in_handler, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
	static void *blocks[64];

	resolve_once();
	get(); /* to start a thread and to read certificates takes libc's memory (README.md, Limits) */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (unsigned i = 0; answered + failed < 300; i++) {
		free(blocks[i % 64]);
		blocks[i % 64] = malloc(1000 + i * 7919 % 60000);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	if (failed)
		die("%d answers in handlers, %d failures", (int)answered, (int)failed);
}

static void nothing(int number)
{
	(void)number;
}

/* A program that knows of EINTR, and gets it as often as the kernel likes. */
static void get_interrupted(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), error;
	socklen_t len = sizeof(error);
	char data[4096];
	size_t sent = 0, got = 0;
	ssize_t n;

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		struct pollfd ready = {.fd = fd, .events = POLLOUT};

		if (errno != EINTR)
			die("connect");
		while (poll(&ready, 1, -1) != 1)
			;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
			die("SO_ERROR %d", error);
	}
	while (sent < request_len) {
		n = write(fd, request + sent, request_len - sent);
		if (n < 0 && errno != EINTR)
			die("write");
		sent += n > 0 ? (size_t)n : 0;
	}
	while ((n = read(fd, data + got, sizeof(data) - got)) != 0) {
		if (n < 0 && errno != EINTR)
			die("read");
		got += n > 0 ? (size_t)n : 0;
	}
	if (got < 12 || memcmp(data, "HTTP/1.1 200", 12) != 0)
		die("%zu bytes of an answer", got);
	close(fd);
}

static void interrupted(void)
{
	struct sigaction action = {.sa_handler = nothing};
	struct itimerval every = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};

	resolve_once();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 200; i++)
		get_interrupted();
	setitimer(ITIMER_REAL, &never, NULL);
}

static const struct guest_mode modes[] = {
    {"prefork", prefork}, {"daemon-before", daemon_before}, {"daemon-after", daemon_after},
    {"spawn", spawn},     {"child", get},                   {"replace", replace},
    {"handlers", in_handlers}, {"allocator", in_allocator},
    {"interrupted", interrupted},
};

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: families MODE HOST PORT BODY");
	program = argv[0];
	host = argv[2];
	port = argv[3];
	body = argv[4];
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
