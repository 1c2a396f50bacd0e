/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forks, signals and requests at the same time: storm SECONDS HOST PORT BODY. Two threads make
 * requests, a third forks children that make one too, and a timer interrupts whoever runs. All
 * have to succeed, and the whole has to end.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/preload/guest.h"

/* AddressSanitizer's allocator stays locked in a child that was forked while another thread
 * allocated, so there children only come and go. */
#ifdef __SANITIZE_ADDRESS__
#define CHILDREN_FETCH 0
#else
#define CHILDREN_FETCH 1
#endif

static const char *host, *port, *body;
static atomic_int over, signals, requests, forks;

static void on_alarm(int number)
{
	int error = errno;

	(void)number;
	atomic_fetch_add(&signals, 1);
	/* What a handler may do, and some do: look at descriptors. */
	close(-1);
	errno = error;
}

static void *request_loop(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		expect(host, port, "/anything?x=1", body);
		atomic_fetch_add(&requests, 1);
	}
	return NULL;
}

static void *fork_loop(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		int status;
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			if (CHILDREN_FETCH && atomic_load(&forks) % 2 == 0)
				expect(host, port, "/anything?x=1", body);
			_exit(0);
		}
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				die("waitpid");
		if (status != 0)
			die("a child ended with status %x", status);
		atomic_fetch_add(&forks, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
	void *(*const loops[])(void *) = {request_loop, request_loop, fork_loop};
	pthread_t threads[3];
	struct timespec now;

	if (argc != 5)
		die("usage: storm SECONDS HOST PORT BODY");
	host = argv[2];
	port = argv[3];
	body = argv[4];
	if (sigaction(SIGALRM, &action, NULL) < 0)
		die("sigaction");
	for (int i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, loops[i], NULL))
			die("pthread_create");
	setitimer(ITIMER_REAL, &every, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	time_t end = now.tv_sec + 1 + atoi(argv[1]); /* as long, or up to a second longer */

	while (now.tv_sec < end || !signals || !requests || !forks) {
		usleep(10000);
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	atomic_store(&over, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("survived\n");
	return 0;
}
