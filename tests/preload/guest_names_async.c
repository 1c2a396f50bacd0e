/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getaddrinfo_a(3) and its family: guest_names_async NAME...
 *
 * Asks for the names, for an address and for a name that nobody has, waiting and not, with every
 * kind of notification, and prints what came of each. Two runs are the same where they print the
 * same.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "tests/preload/guest.h"

#define MANY 100 /* requests at once */

static const struct addrinfo stream = {
    .ai_flags = AI_CANONNAME, .ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
static const struct addrinfo v6 = {.ai_family = AF_INET6, .ai_socktype = SOCK_DGRAM};
static const struct addrinfo wrong = {.ai_family = AF_UNIX};

static struct gaicb requests[MANY];
static struct gaicb *list[MANY];
static int n_names;
static char **names;

static void set(int i, const char *name, const char *service, const struct addrinfo *hints)
{
	requests[i] = (struct gaicb){.ar_name = name, .ar_service = service, .ar_request = hints};
	list[i] = &requests[i];
}

/* Fill the list: each name in three ways, NULL between them, an address, nobody. Returns how
 * many. */
static int prepare(void)
{
	int n = 0;

	for (int i = 0; i < n_names; i++) {
		set(n++, names[i], "http", &stream);
		list[n++] = NULL;
		set(n++, names[i], NULL, &v6);
		set(n++, names[i], "80", &wrong);
		set(n++, names[i], "no-such-service", NULL);
	}
	set(n++, "192.0.2.1", "80", &stream);
	set(n++, "no.such.name", "80", &stream);
	set(n++, NULL, "80", &stream);
	return n;
}

static void put(const struct gaicb *request)
{
	char text[INET6_ADDRSTRLEN];

	printf(" %s: %d", request->ar_name ? request->ar_name : "NULL",
	       gai_error((struct gaicb *)request));
	for (struct addrinfo *entry = request->ar_result; entry; entry = entry->ai_next) {
		struct sockaddr_in *in = (void *)entry->ai_addr;
		struct sockaddr_in6 *in6 = (void *)entry->ai_addr;
		bool is4 = entry->ai_family == AF_INET;
		const void *bytes = is4 ? (void *)&in->sin_addr : (void *)&in6->sin6_addr;

		printf(" (%x %d %s %d%s%s)", (unsigned)entry->ai_flags, entry->ai_socktype,
		       inet_ntop(entry->ai_family, bytes, text, sizeof(text)), ntohs(in->sin_port),
		       entry->ai_canonname ? " " : "",
		       entry->ai_canonname ? entry->ai_canonname : "");
	}
	printf("\n");
	freeaddrinfo(request->ar_result);
}

static void put_all(const char *title, int n)
{
	printf("%s\n", title);
	for (int i = 0; i < n; i++)
		if (list[i])
			put(list[i]);
}

/*
 * Wait for each by gai_suspend(3). One at a time: when one of several ends, glibc forgets to take its
 * list, which is on the stack, back from another that has its answer and has not told of it yet
 * (gai_suspend.c looks at __return, which handle_requests() in gai_misc.c sets before it locks).
 */
static void suspend(int n)
{
	for (int i = 0; i < n; i++) {
		const struct gaicb *one = list[i];
		int rc;

		if (!one)
			continue;
		do
			rc = gai_suspend(&one, 1, NULL);
		while (rc == 0 || rc == EAI_INTR);
		if (rc != EAI_ALLDONE)
			die("gai_suspend: %s", gai_strerror(rc));
		if (gai_error(list[i]) == EAI_INPROGRESS)
			die("request %d is still in progress", i);
	}
}

static void waiting(void)
{
	int n = prepare();
	int rc = getaddrinfo_a(GAI_WAIT, list, n, NULL);

	printf("GAI_WAIT %d\n", rc);
	put_all("answers", n);
	/* What is done can be neither waited for nor cancelled. */
	for (int i = 0; i < n; i++)
		if (list[i] && gai_cancel(list[i]) != EAI_ALLDONE)
			die("a request that is done was cancelled");
	printf("gai_suspend %d\n", gai_suspend((const struct gaicb *const *)list, n, NULL));
}

static void polling(void)
{
	int n = prepare();

	printf("GAI_NOWAIT %d\n", getaddrinfo_a(GAI_NOWAIT, list, n, NULL));
	suspend(n);
	put_all("answers", n);
}

/* ---- notifications ------------------------------------------------------------------------ */

static sem_t notified;
static sigset_t waited;

static void by_thread(union sigval value)
{
	if (value.sival_int != 42)
		_exit(3);
	sem_post(&notified);
}

static void wait_notified(void)
{
	while (sem_wait(&notified) < 0)
		if (errno != EINTR)
			die("sem_wait");
}

static void notify_by_thread(int n)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value = {.sival_int = 42}};

	event.sigev_notify_function = by_thread;
	printf("SIGEV_THREAD %d\n", getaddrinfo_a(GAI_NOWAIT, list, n, &event));
	wait_notified();
	put_all("answers", n);
}

static void notify_by_signal(int n)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
	siginfo_t info;

	event.sigev_value.sival_int = 43;
	printf("SIGEV_SIGNAL %d\n", getaddrinfo_a(GAI_NOWAIT, list, n, &event));
	if (sigwaitinfo(&waited, &info) < 0)
		die("sigwaitinfo");
	printf("value %d, code %d\n", info.si_value.sival_int, info.si_code);
	put_all("answers", n);
}

/* Once with requests of all kinds, once with nothing but the first name, which may be done before
 * the call returns, and once with nothing. Signals first: glibc runs a thread that it makes to notify
 * with no signal blocked, and that thread may still be about. */
static void notifying(void)
{
	static void (*const ways[])(int n) = {notify_by_signal, notify_by_thread};

	sem_init(&notified, 0, 0);
	for (int i = 0; i < 2; i++) {
		ways[i](prepare());
		set(0, names[0], "80", &stream);
		ways[i](1);
		list[0] = NULL;
		ways[i](1);
		ways[i](0);
	}
}

/* ---- the edges ---------------------------------------------------------------------------- */

static void edges(void)
{
	int n = prepare();

	errno = 0;
	printf("mode 77: %d", getaddrinfo_a(77, list, n, NULL));
	printf(" errno %d\n", errno);
	for (int i = 0; i < n; i++)
		if (list[i] && (list[i]->ar_result || gai_error(list[i]) != 0))
			die("mode 77: a request was touched");
	printf("none: %d\n", getaddrinfo_a(GAI_WAIT, list, 0, NULL));
	for (int i = 0; i < MANY; i++)
		set(i, names[i % n_names], "80", &stream);
	printf("%d: %d\n", MANY, getaddrinfo_a(GAI_WAIT, list, MANY, NULL));
	put_all("many", MANY);
}

/* One thread after the other asks; nobody gets anybody else's answers. */
static void *asker(void *unused)
{
	for (int i = 0; i < 50; i++) {
		struct gaicb one = {.ar_name = names[0], .ar_service = "80", .ar_request = &stream};
		struct gaicb other = {.ar_name = "192.0.2.1", .ar_request = &stream};
		struct gaicb *both[] = {&one, &other};

		if (getaddrinfo_a(GAI_WAIT, both, 2, NULL) != 0 || gai_error(&one) != 0 ||
		    gai_error(&other) != 0 || !one.ar_result || !other.ar_result)
			die("a thread got no answer");
		freeaddrinfo(one.ar_result);
		freeaddrinfo(other.ar_result);
	}
	return unused;
}

static void crowd(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, asker, NULL) != 0)
			die("pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		die("usage: guest_names_async NAME...");
	names = argv + 1;
	n_names = argc - 1;
	/* Before there are threads, libc's among them. */
	sigemptyset(&waited);
	sigaddset(&waited, SIGRTMIN + 3);
	pthread_sigmask(SIG_BLOCK, &waited, NULL);
	waiting();
	polling();
	notifying();
	edges();
	crowd();
	return 0;
}
