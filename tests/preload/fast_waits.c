/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that wait for an answer in recv(2), and what becomes of them: fast_waits MODE HOST PORT.
 * Each mode says nothing and ends with 0 where all is as it is without the library.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/preload/fast.h"

int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
__sighandler_t bsd_signal(int number, __sighandler_t handler);

static const char *host, *port;

static struct link *warm(void)
{
	struct link *link = link_over(dial(host, port), BY_RECV, 4096);

	for (int i = 0; i < 5; i++)
		trip(link, "/echo/warm");
	return link;
}

static void begin(pthread_t *thread, void *(*run)(void *), void *arg)
{
	if (pthread_create(thread, NULL, run, arg) != 0)
		die("pthread_create");
}

static void await_end(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 15;
	if (pthread_timedjoin_np(thread, NULL, &until) != 0)
		die("a thread does not end");
}

static void pause_ms(long ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) < 0)
		;
}

/* ---- shutdown ---------------------------------------------------------------------------- */

static ssize_t received;

static void *receive(void *arg)
{
	struct link *link = arg;

	received = recv(link->fd, link->data, 4096, 0);
	return NULL;
}

static void shut_down(int number_of_link, bool is_bare)
{
	struct link *link = warm();
	pthread_t thread;
	int other = number_of_link ? dup(link->fd) : link->fd;

	ask(link->fd, "/wait/20000", BY_SEND);
	begin(&thread, receive, link);
	pause_ms(100);
	received = -2;
	if (is_bare)
		bare(SYS_shutdown, other, SHUT_RDWR, 0, 0, 0, 0);
	else
		shutdown(other, SHUT_RDWR);
	await_end(thread);
	if (received != 0)
		die("recv gave %zd", received);
	trip(warm(), "/echo/afterwards");
}

static void shutdown_both(void)
{
	shut_down(0, false);
}

static void shutdown_copy(void)
{
	shut_down(1, false);
}

static void shutdown_bare(void)
{
	shut_down(0, true);
}

/* The sending side alone, before the answer and while somebody waits for it. */
static void shutdown_write(void)
{
	for (int waits = 0; waits < 2; waits++) {
		struct link *link = warm();
		pthread_t thread;

		ask(link->fd, "/wait/300", BY_SEND);
		if (waits) {
			begin(&thread, receive, link);
			pause_ms(100);
		}
		if (shutdown(link->fd, SHUT_WR) < 0)
			die("shutdown");
		if (waits) {
			await_end(thread);
			if (received < 12)
				die("recv gave %zd", received);
			link->at = 0;
			link->len = (size_t)received;
		}
		told(link, "/wait/300");
		if (recv(link->fd, link->data, 4096, 0) != 0)
			die("no end");
	}
}

/* ---- signals and timeouts ---------------------------------------------------------------- */

static volatile sig_atomic_t caught;

static void catch (int number)
{
	(void)number;
	caught++;
}

static void alarm_in(int flags, long ms)
{
	struct sigaction action = {.sa_handler = catch, .sa_flags = flags};
	struct itimerval soon = {.it_value = {0, ms * 1000}};

	sigaction(SIGALRM, &action, NULL);
	caught = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
}

static void signals(void)
{
	struct link *link = warm();

	for (int round = 0; round < 3; round++) {
		alarm_in(0, 100);
		ask(link->fd, "/wait/400", BY_SEND);
		if (recv(link->fd, link->data, 4096, 0) >= 0 || errno != EINTR || !caught)
			die("no EINTR");
		told(link, "/wait/400");

		alarm_in(SA_RESTART, 100);
		ask(link->fd, "/wait/400", BY_SEND);
		told(link, "/wait/400");
		if (!caught)
			die("no signal");
		trip(link, "/echo/between");
	}
}

static void timeouts(void)
{
	struct link *link = warm();
	struct timeval patience = {0, 100000};

	for (int round = 0; round < 3; round++) {
		setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		ask(link->fd, "/wait/500", BY_SEND);
		for (int i = 0; i < 2; i++)
			if (recv(link->fd, link->data, 4096, 0) >= 0 || errno != EAGAIN)
				die("no EAGAIN");
		setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 0},
			   sizeof(patience));
		told(link, "/wait/500");
		trip(link, "/echo/between");
	}
	/* What the one waited for with a limit, another does without. */
	link = warm();
	ask(link->fd, "/wait/1000", BY_SEND);
	told(link, "/wait/1000");
}

/* ---- threads that do not come back ------------------------------------------------------- */

static void *receive_for_ever(void *arg)
{
	struct link *link = arg;

	for (;;)
		recv(link->fd, link->data, 4096, 0);
	return NULL;
}

static void cancel(void)
{
	pthread_t thread;
	struct link *links[8];

	for (int i = 0; i < 8; i++) {
		links[i] = warm();
		ask(links[i]->fd, "/wait/500", BY_SEND);
		begin(&thread, receive_for_ever, links[i]);
		pause_ms(50);
		pthread_cancel(thread);
		await_end(thread);
	}
	for (int i = 0; i < 8; i++) {
		told(links[i], "/wait/500");
		trip(links[i], "/echo/afterwards");
		/* The answer comes by other means, too. */
		ask(links[i]->fd, "/echo/polled", BY_SEND);
		struct pollfd item = {.fd = links[i]->fd, .events = POLLIN};
		if (poll(&item, 1, 5000) != 1)
			die("nobody brought the answer");
		told(links[i], "/echo/polled");
		close(links[i]->fd);
	}
}

static sigjmp_buf outside;

static void jump(int number)
{
	(void)number;
	siglongjmp(outside, 1);
}

/* Out of recv(2) by way of the handler, as old programs limit their patience. */
static void jumps(void)
{
	struct link *volatile link = warm();
	struct itimerval soon = {.it_value = {0, 100000}};

	for (volatile int i = 0; i < 4; i++) {
		ask(link->fd, "/wait/300", BY_SEND);
		if (sigsetjmp(outside, 1) == 0) {
			signal(SIGALRM, jump);
			setitimer(ITIMER_REAL, &soon, NULL);
			recv(link->fd, link->data, 4096, 0);
			die("recv came back");
		}
		if (i % 2) {
			struct pollfd item = {.fd = link->fd, .events = POLLIN};

			if (poll(&item, 1, 5000) != 1)
				die("nobody brought the answer");
		}
		told(link, "/wait/300");
		trip(link, "/echo/afterwards");
	}
}

/* ---- handlers, of which there were none before ------------------------------------------- */

static struct link *mine; /* the handler's */
static volatile int n_handled;

static void trip_in_handler(int number)
{
	(void)number;
	trip(mine, "/echo/handled");
	n_handled++;
}

static void by_sigaction(void)
{
	struct sigaction action = {.sa_handler = trip_in_handler, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &action, NULL);
}

static void by_its_other_name(void)
{
	struct sigaction action = {.sa_handler = trip_in_handler, .sa_flags = SA_RESTART};

	__sigaction(SIGUSR1, &action, NULL);
}

/* By the old meaning it is one for a single signal. */
#define BY(name)                                                                                   \
	static void by_##name(void)                                                                \
	{                                                                                          \
		name(SIGUSR1, trip_in_handler);                                                    \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
BY(signal)
BY(bsd_signal)
BY(ssignal)
BY(sysv_signal)
BY(__sysv_signal)
BY(sigset)
#pragma GCC diagnostic pop

static void by_syscall(void)
{
	struct sigaction action = {.sa_handler = trip_in_handler, .sa_flags = SA_RESTART};
	uint64_t kernels[4]; /* struct kernel_sigaction: handler, flags, restorer, mask */

	/* What libc has made of one that does not count: it knows how to come back. */
	sigaction(SIGFPE, &action, NULL);
	syscall(SYS_rt_sigaction, SIGFPE, NULL, kernels, 8);
	syscall(SYS_rt_sigaction, SIGUSR1, kernels, NULL, 8);
}

/* Nobody sees it, but somebody looks now and then, as long as there are requests. */
static void by_bare(void)
{
	struct sigaction action = {.sa_handler = trip_in_handler, .sa_flags = SA_RESTART};
	uint64_t kernels[4];

	if (n_handled)
		return;
	sigaction(SIGFPE, &action, NULL); /* which does not count */
	bare(SYS_rt_sigaction, SIGFPE, 0, (long)kernels, 8, 0, 0);
	bare(SYS_rt_sigaction, SIGUSR1, (long)kernels, 0, 8, 0, 0);
	pause_ms(3000);
}

static atomic_bool over;

static void *hammer(void *arg)
{
	while (!over)
		trip(arg, "/echo/hammer");
	return NULL;
}

/* The thread that is hit is in the middle of anything. */
static void hit(void (*install)(void))
{
	struct link *link = warm();
	pthread_t thread;

	mine = warm();
	begin(&thread, hammer, link);
	pause_ms(20);
	for (int i = 0; i < 100; i++) {
		install();
		pthread_kill(thread, SIGUSR1);
		for (int ms = 0; n_handled <= i; ms++) {
			if (ms > 10000)
				die("handler %d does not come back", i);
			pause_ms(1);
		}
	}
	over = true;
	await_end(thread);
	exit(0);
}

static void handlers(void)
{
	static void (*const ways[])(void) = {
	    by_sigaction, by_its_other_name, by_signal, by_bsd_signal,	  by_ssignal,
	    by_sysv_signal, by___sysv_signal, by_sigset, by_syscall,  by_bare,
	};
	int status;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		pid_t child = fork();

		if (child == 0)
			hit(ways[i]);
		if (waitpid(child, &status, 0) != child || status)
			die("way %zu: status %d", i, status);
	}
	/* What is none, the kernel judges. */
	if (syscall(SYS_rt_sigaction, SIGUSR1, 4096L, NULL, 8) == 0 || errno != EFAULT)
		die("an action in no memory");
	if (sigaction(SIGUSR1, NULL, NULL) < 0 || sigaction(-1, NULL, NULL) == 0 || errno != EINVAL)
		die("no action");
}

static atomic_bool looked_up;

static void look_up_in_handler(int number)
{
	(void)number;
	freeaddrinfo(resolve(host, port));
	looked_up = true;
}

static void *look_up(void *arg)
{
	freeaddrinfo(resolve(host, port));
	while (!looked_up)
		pause_ms(1);
	return arg;
}

/* The thread that is hit reads the rules, which takes long. */
static void loading(void)
{
	pthread_t thread;

	begin(&thread, look_up, NULL);
	pause_ms(30);
	signal(SIGUSR1, look_up_in_handler);
	pthread_kill(thread, SIGUSR1);
	await_end(thread);
}

/* ---- many ------------------------------------------------------------------------------- */

static void *visitor(void *arg)
{
	struct link *link = arg;
	char path[64];

	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "/echo/%d-%d", link->fd, i);
		trip(link, path);
		if (i % 100 == 99) {
			close(link->fd);
			link->fd = dial(host, port);
		}
	}
	return NULL;
}

static void threads(void)
{
	pthread_t all[8];

	for (int i = 0; i < 8; i++)
		begin(&all[i], visitor, link_over(dial(host, port), BY_RECV, 4096));
	for (int i = 0; i < 8; i++)
		await_end(all[i]);
}

enum { REQUESTS = 500 };

struct writer {
	int fd, head_way, body_way;
	int ahead; /* of the reader, at most */
};

static volatile int answered;

static void *writer(void *arg)
{
	const struct writer *writer = arg;
	char text[512];

	for (int i = 0; i < REQUESTS; i++) {
		size_t n = (size_t)snprintf(text, sizeof(text),
					    "POST /echo/%d HTTP/1.1\r\nHost: webserver\r\n"
					    "Content-Length: 8\r\n\r\n",
					    i);

		while (i - answered > writer->ahead)
			sched_yield();
		put_all(writer->fd, text, n, writer->head_way);
		if (i % 50 == 0)
			pause_ms(5); /* the reader is surely waiting */
		put_all(writer->fd, "12345678", 8, writer->body_way);
	}
	return NULL;
}

/* One thread writes, another reads, by ways that the library sees and by such that it does not. */
static void duplex(void)
{
	static const int ways[][2] = {{BY_SEND, BY_SEND},
				      {BY_SEND, BY_BARE},
				      {BY_BARE, BY_SEND},
				      {BY_SEND, BY_WRITEV},
				      {BY_SEND, BY_SENDMSG}};

	for (int ahead = 0; ahead < 4; ahead += 3) {
		for (size_t k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) {
			struct link *link = warm();
			struct writer how = {link->fd, ways[k][0], ways[k][1], ahead};
			char wanted[128];
			pthread_t thread;

			answered = 0;
			begin(&thread, writer, &how);
			for (int i = 0; i < REQUESTS; i++) {
				link_answer(link);
				snprintf(wanted, sizeof(wanted), "POST /echo/%d 8 %08x\n", i,
					 adler("12345678", 8));
				if (strcmp(link->text, wanted) != 0)
					die("\"%s\", not \"%s\"", link->text, wanted);
				answered = i + 1;
			}
			await_end(thread);
			close(link->fd);
		}
	}
}

enum { WAIT_ANSWER = 63 }; /* bytes of the answer to "GET /wait/20" */

/* Two threads share one socket, and a lock that makes a request and its answer one thing. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *sharer(void *arg)
{
	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&turn);
		trip(arg, "/echo/shared");
		pthread_mutex_unlock(&turn);
	}
	return NULL;
}

static volatile size_t total;

static void *receive_all(void *arg)
{
	struct link *link = arg;
	ssize_t n;

	while ((n = recv(link->fd, link->data, 4096, 0)) > 0)
		__atomic_fetch_add(&total, (size_t)n, __ATOMIC_SEQ_CST);
	if (n < 0)
		die("recv");
	return NULL;
}

static void shared(void)
{
	struct link *link = warm(), *second = link_over(link->fd, BY_RECV, 4096);
	pthread_t all[2];

	for (int i = 0; i < 2; i++)
		begin(&all[i], sharer, link);
	for (int i = 0; i < 2; i++)
		await_end(all[i]);
	/* Two wait at once; who gets which part of what is open. */
	begin(&all[0], receive_all, link);
	begin(&all[1], receive_all, second);
	for (size_t i = 1; i <= 20; i++) {
		ask(link->fd, "/wait/20", BY_SEND);
		if (i % 4 < 2)
			pause_ms(60);
		ask(link->fd, "/wait/20", BY_SEND);
		for (int ms = 0; total < i * 2 * WAIT_ANSWER; ms++) {
			if (ms > 5000)
				die("%zu bytes after %zu rounds", total, i);
			pause_ms(1);
		}
	}
	if (total != 20 * 2 * WAIT_ANSWER)
		die("%zu bytes in all", total);
	shutdown(link->fd, SHUT_RDWR);
	for (int k = 0; k < 2; k++)
		await_end(all[k]);
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"shutdown-both", shutdown_both},
	    {"shutdown-write", shutdown_write},
	    {"shutdown-copy", shutdown_copy},
	    {"shutdown-bare", shutdown_bare},
	    {"signals", signals},
	    {"timeouts", timeouts},
	    {"cancel", cancel},
	    {"jumps", jumps},
	    {"handlers", handlers},
	    {"loading", loading},
	    {"threads", threads},
	    {"duplex", duplex},
	    {"shared", shared},
	};

	if (argc < 4)
		die("usage: fast_waits MODE HOST PORT");
	host = argv[2];
	port = argv[3];
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
