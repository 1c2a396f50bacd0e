/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways to end, each with an answer read or awaited to its last byte: exits MODE HOST PORT BODY. What
 * was got is on stdout, the exit status is the mode's own.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "tests/preload/guest.h"

static const char *host, *port, *body;

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(90);
}

static void get(void)
{
	expect(host, port, "/anything?x=1", body);
	say("answered\n");
}

static void by_exit(void)
{
	get();
	exit(3);
}

static void by__exit(void)
{
	get();
	_exit(4);
}

/* The request ends with the program's half of the connection, the answer with the other. */
static void half_close(void)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	char request[1024];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	int fd = dial(host, port);
	ssize_t n;

	if (!answer || write(fd, request, len) != (ssize_t)len || shutdown(fd, SHUT_WR) < 0)
		die("half of the connection");
	while ((n = read(fd, answer->text + answer->len, 1)) > 0)
		answer->len++;
	if (n < 0)
		die("read");
	answer_parse(answer);
	say(answer->body);
	_exit(answer->status == 200 ? 5 : 91);
}

static void at_end(void)
{
	say("at the end: ");
	get();
}

static void by_atexit(void)
{
	atexit(at_end);
	get();
	exit(6);
}

/* The first request of all. */
static void by_atexit_only(void)
{
	atexit(at_end);
	exit(7);
}

static void by_quick_exit(void)
{
	at_quick_exit(at_end);
	get();
	quick_exit(8);
}

static void *exiting_thread(void *arg)
{
	(void)arg;
	get();
	exit(9);
}

static void start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		die("pthread_create");
}

static void in_thread(void)
{
	start_thread(exiting_thread, NULL);
	for (;;)
		pause();
}

/* The first thread ends, and what the process is asked by its number finds it dead. */
static void *late_thread(void *arg)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	while (state != 'Z') {
		FILE *file = fopen(path, "r");

		if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
			die("%s", path);
		fclose(file);
	}
	for (int i = 0; i < 3; i++)
		get();
	exit(arg ? 10 : 11);
}

static void first_thread_ends(void)
{
	start_thread(late_thread, NULL);
	pthread_exit(NULL);
}

static void first_thread_ends_after(void)
{
	get();
	start_thread(late_thread, (void *)"after");
	pthread_exit(NULL);
}

/* ---- in the middle of other threads' requests ---------------------------------------------- */

static atomic_int done;

static void *busy_thread(void *arg)
{
	struct sockaddr_in *to = arg;
	char request[1024], data[4096];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");

	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)to, sizeof(*to)) == 0 &&
		    write(fd, request, len) == (ssize_t)len)
			while (read(fd, data, sizeof(data)) > 0)
				;
		close(fd);
		atomic_fetch_add(&done, 1);
	}
	return NULL;
}

static void be_busy(void)
{
	struct addrinfo *to = resolve(host, port);

	for (int i = 0; i < 4; i++)
		start_thread(busy_thread, to->ai_addr);
	while (atomic_load(&done) < 8)
		usleep(1000);
}

static void exit_when_busy(void)
{
	be_busy();
	get();
	exit(12);
}

static void quick_exit_when_busy(void)
{
	be_busy();
	get();
	quick_exit(13);
}

static void return_when_busy(void)
{
	be_busy();
	get();
}

static void die_when_busy(void)
{
	be_busy();
	get();
	raise(SIGTERM);
}

static const struct guest_mode modes[] = {
    {"exit", by_exit},
    {"_exit", by__exit},
    {"half-close", half_close},
    {"atexit", by_atexit},
    {"atexit-only", by_atexit_only},
    {"quick_exit", by_quick_exit},
    {"thread", in_thread},
    {"first-thread", first_thread_ends},
    {"first-thread-after", first_thread_ends_after},
    {"busy-exit", exit_when_busy},
    {"busy-quick_exit", quick_exit_when_busy},
    {"busy-return", return_when_busy},
    {"busy-signal", die_when_busy},
};

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: exits MODE HOST PORT BODY");
	host = argv[2];
	port = argv[3];
	body = argv[4];
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
