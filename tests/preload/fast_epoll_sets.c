/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epoll sets that are copied, closed, moved between, nested, shared by processes and threads:
 * fast_epoll_sets MODE HOST PORT [ARG...]. Each mode ends with 0 where all is as it is without the
 * library.
 */
#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include <sys/wait.h>

#include "tests/preload/fast_epoll.h"

static const char *host, *port;
static char **args;

static const struct manner level = {EPOLLIN, EPOLLIN | EPOLLOUT, .eager = true, .room = 4096};
static const struct manner edge = {EPOLLIN | EPOLLET, EPOLLIN | EPOLLOUT | EPOLLET, .eager = true,
				   .room = 4096};

static struct conn *warm(int set)
{
	struct conn *c = conn_open(host, port, set, &level);

	conn_warm(c);
	return c;
}

static void silent(int set, const char *what)
{
	struct epoll_event events[BATCH];
	int n;

	if ((n = epoll_wait(set, events, BATCH, 40)))
		die("%d events (%x) of %s", n, events[0].events, what);
}

static void collect(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("a child ended with status %x", status);
}

/* The child uses the set, or takes things out of it, while the parent has a request under way, or
 * none. */
static void forks(void)
{
	int set = epoll_create1(0);
	struct conn *c = warm(set), *other = warm(set);

	for (int i = 0; i < 8; i++) {
		conn_trip(other, "/echo/other", 0);
		conn_start(c, i & 1 ? "/size/200000" : "/wait/20", 0);
		pid_t pid = fork();

		if (pid == 0) {
			alarm(20);
			if (i & 2) {
				conn_finish(c);
				conn_trip(c, "/echo/child", 0);
			} else {
				int own = epoll_create1(0);

				conn_trip(warm(own), "/echo/own", 0);
			}
			_exit(0);
		}
		collect(pid);
		if (i & 2)
			c->busy = false;
		conn_finish(c);
		conn_trip(c, "/echo/parent", 0);
	}
}

/* A set by two numbers. */
static void copies(void)
{
	for (int i = 0; i < 6; i++) {
		int set = epoll_create1(0), copy = dup(set);
		struct conn *c = warm(set);

		c->set = copy;
		conn_warm(c);
		conn_start(c, i & 1 ? "/wait/10" : "/echo/x", 0);
		/* Out by the other number: in the middle, and between requests. */
		if (i & 2)
			conn_finish(c);
		control(c, EPOLL_CTL_DEL, 0);
		silent(set, "what was taken out by a copy's number");
		control(c, EPOLL_CTL_ADD, c->registered);
		conn_finish(c);
		conn_warm(c);
		if (i >= 4)
			conn_start(c, "/wait/10", 0);
		close(set);
		conn_finish(c);
		conn_warm(c);
		/* The number is another set's. */
		int fresh = epoll_create1(0);
		if (fresh != set)
			die("the number %d is not used anew", set);
		conn_start(c, "/echo/fresh", 0);
		silent(fresh, "what is in another set");
		conn_finish(c);
		conn_warm(c);
		conn_close(c);
		close(fresh);
		close(copy);
	}
}

/* Closed, and its number another one's, with connections in it, in the middle or between requests.
 */
static void reuse(void)
{
	for (int i = 0; i < 8; i++) {
		int set = epoll_create1(0), ends[2];
		struct conn *c = warm(set);

		if (i & 1)
			conn_start(c, "/wait/20", 0);
		if (i & 2)
			bare(SYS_close, set, 0, 0, 0, 0, 0);
		else
			close(set);
		if (i & 4 && pipe(ends) == 0) { /* not even a set */
			close(ends[0]);
			close(ends[1]);
		}
		int fresh = epoll_create1(0);
		if (fresh != set)
			die("the number %d is not used anew", set);
		silent(fresh, "an empty set");
		control(c, EPOLL_CTL_ADD, c->registered);
		conn_finish(c);
		conn_warm(c);
		conn_close(c);
		close(fresh);
	}
}

/* From one set to another, within a request and between. Says what the kernel carried in the end.
 */
static void moves(void)
{
	uint64_t least = UINT64_MAX, bytes;

	for (int round = 0; round < 5; round++) {
		int set = epoll_create1(0), to = epoll_create1(0);
		struct conn *c = warm(set);

		for (int i = 0; i < 6; i++) {
			if (i & 1)
				conn_start(c, i & 2 ? "/wait/5" : "/size/100000", 0);
			control(c, EPOLL_CTL_DEL, 0);
			c->set = c->set == set ? to : set;
			control(c, EPOLL_CTL_ADD, c->registered);
			if (round == 0 && i & 1)
				silent(c->set == set ? to : set, "a set that it has left");
			conn_finish(c);
			conn_trip(c, "/echo/moved", 0);
		}
		conn_warm(c);
		bytes = conn_carried(c);
		least = bytes < least ? bytes : least;
		conn_close(c);
		close(set);
		close(to);
	}
	printf("%" PRIu64 "\n", least);
}

/* In two sets: both hear of it. */
static void two(void)
{
	struct epoll_event events[BATCH];
	int set = epoll_create1(0), second = epoll_create1(0);
	struct conn *c = warm(set);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	for (int i = 0; i < 6; i++) {
		if (i & 1)
			conn_start(c, "/wait/10", 0);
		if (epoll_ctl(second, EPOLL_CTL_ADD, c->fd, &event) < 0)
			die("epoll_ctl");
		if (!(i & 1))
			conn_start(c, "/wait/10", 0);
		if (wait_events(second, events, 5000) != 1 || wait_events(set, events, 5000) != 1)
			die("a set that did not hear of it");
		conn_finish(c);
		conn_trip(c, "/echo/two", 0);
		if (epoll_ctl(second, EPOLL_CTL_DEL, c->fd, NULL) < 0)
			die("epoll_ctl");
		conn_trip(c, "/echo/one", 0);
	}
}

/* A set in a set, and poll(2) for a set. */
static void nested(void)
{
	struct epoll_event events[BATCH], event = {.events = EPOLLIN};
	int outer = epoll_create1(0);

	for (int i = 0; i < 12; i++) {
		int set = epoll_create1(0);
		struct conn *c = warm(set);
		struct pollfd item = {.fd = set, .events = POLLIN};

		epoll_ctl(outer, EPOLL_CTL_ADD, set, &event);
		for (int k = 0; k < 3; k++) {
			conn_start(c, "/wait/10", 0);
			if (epoll_wait(outer, events, BATCH, 5000) != 1)
				die("nothing from the set inside");
			if (poll(&item, 1, 5000) != 1)
				die("nothing from poll(2)");
			conn_finish(c);
			silent(outer, "a set that has nothing");
		}
		/* The set goes, its connection stays, or the other way round. */
		if (i & 1)
			conn_start(c, "/wait/5", 0);
		if (i & 2)
			pause_ms(10);
		if (i & 4)
			conn_close(c);
		close(set);
		silent(outer, "a set that is closed");
		if (!(i & 4))
			conn_close(c);
	}
}

/* COUNT of sets, one after the other. Says what the kernel carried in the last of them. */
static void many(void)
{
	int n = atoi(args[0]);
	uint64_t least = UINT64_MAX, bytes;
	int first = epoll_create1(0);
	struct conn *c = warm(first);

	control(c, EPOLL_CTL_DEL, 0);
	for (int i = 0; i < n; i++) {
		c->set = epoll_create1(0);
		control(c, EPOLL_CTL_ADD, c->registered);
		conn_trip(c, "/echo/x", 0);
		if (i & 1)
			control(c, EPOLL_CTL_DEL, 0);
		close(c->set);
	}
	for (int i = 0; i < 5; i++) {
		c = warm(first);
		bytes = conn_carried(c);
		least = bytes < least ? bytes : least;
	}
	printf("%" PRIu64 "\n", least);
}

static int own_numbers(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Numbers of all tables, before and after many sets and connections. */
static int all_numbers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int n = own_numbers();
	char path[300];

	for (struct dirent *entry; (entry = readdir(tasks));) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/fd", entry->d_name);
		DIR *dir = entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()
			       ? opendir(path)
			       : NULL;

		while (dir && readdir(dir))
			n++;
		if (dir)
			closedir(dir);
	}
	closedir(tasks);
	return n;
}

/* By the bare instruction: the library's own number of the set, which tells itself from its relays by its flags. */
static void close_its_number(int set)
{
	int closed = 0;

	for (int fd = set + 1; fd < 2000; fd++) {
		char link[64], target[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof(target) - 1) > 0 && strstr(target, "[eventpoll]") &&
		    !(fcntl(fd, F_GETFL) & O_APPEND)) {
			bare(SYS_close, fd, 0, 0, 0, 0, 0);
			closed++;
		}
	}
	if (closed > 1)
		die("%d numbers of the set", closed);
}

/* What cannot be taken out of the set by that number is silent all the same. */
static void gone(void)
{
	for (int i = 0; i < 4; i++) {
		int set = epoll_create1(0);
		struct conn *c = warm(set);

		conn_start(c, "/wait/10", 0);
		close_its_number(set);
		control(c, EPOLL_CTL_DEL, 0);
		silent(set, "what was taken out");
		control(c, EPOLL_CTL_ADD, c->registered);
		conn_finish(c);
		conn_warm(c);
		conn_close(c);
		close(set);
	}
}

static void numbers(void)
{
	int before = 0;

	for (int round = 0; round < 60; round++) {
		int set = epoll_create1(0);
		struct conn *c[8];

		for (int i = 0; i < 8; i++)
			c[i] = warm(set);
		for (int i = 0; i < 8; i++)
			conn_start(c[i], i & 1 ? "/size/10000" : "/wait/2", 0);
		for (int i = 0; i < 4; i++)
			conn_finish(c[i]);
		if (round & 1)
			close(set);
		for (int i = 0; i < 8; i++)
			conn_close(c[i]);
		if (!(round & 1))
			close(set);
		if (round == 20) {
			pause_ms(200);
			before = all_numbers();
		}
	}
	pause_ms(200);
	if (all_numbers() > before + 8)
		die("%d descriptors became %d", before, all_numbers());
}

/* ---- shutdown ---------------------------------------------------------------------------- */

/* HOW: its own sending side, or both, in the middle; then the end is to be heard. */
static void shuts(void)
{
	int how = strcmp(args[0], "write") == 0 ? SHUT_WR : SHUT_RDWR;
	struct epoll_event events[BATCH];
	static char data[65536];
	int set = epoll_create1(0);

	for (int i = 0; i < 12; i++) {
		struct conn *c = conn_open(host, port, set, i & 1 ? &edge : &level);
		size_t got = 0, want = 0;

		conn_warm(c);
		conn_start(c, i & 2 ? "/size/300000" : "/wait/20", 0);
		if (i & 4 && wait_events(set, events, 5000) == 1) {
			if (!conn_receive(c, &got))
				got = 0;
			got = 0;
		}
		want = c->has_head ? c->len - c->done : 1;
		if (shutdown(c->fd, how) < 0)
			die("shutdown");
		for (;;) {
			if (epoll_wait(set, events, BATCH, 5000) != 1)
				die("the end is not to be heard");
			if (events[0].data.ptr != c)
				die("another connection's event");
			ssize_t n = 1;
			while (n > 0) {
				n = recv(c->fd, data, sizeof(data), 0);
				got += n > 0 ? (size_t)n : 0;
			}
			/* What comes for a socket that is shut is answered by a reset. */
			if (n == 0 || (how == SHUT_RDWR && errno == ECONNRESET))
				break;
			if (errno != EAGAIN)
				die("recv");
		}
		if (how == SHUT_WR && got < want)
			die("%zu bytes, not %zu", got, want);
		conn_close(c);
	}
	warm(set);
}

/* ---- threads ----------------------------------------------------------------------------- */

enum { THREADS = 4, PER_SET = 12, TRIPS = 40 };

struct shared {
	pthread_mutex_t lock;
	struct conn *c;
	int left;
};

static struct shared all[PER_SET];
static atomic_int open_ones;
static bool once;

static void turn(struct shared *s, uint32_t events)
{
	struct conn *c = s->c;

	pthread_mutex_lock(&s->lock);
	if (events & ~(uint32_t)(EPOLLIN | EPOLLOUT))
		die("event %x", events);
	if (events & EPOLLIN) {
		size_t got;

		while (c->busy && conn_receive(c, &got))
			;
	}
	if (events & EPOLLOUT)
		conn_send(c);
	if (!c->busy && s->left > 0) {
		conn_request(c, s->left % 10 ? "/echo/shared" : "/size/50000",
			     s->left % 7 ? 0 : 5000);
		conn_send(c);
		if (--s->left == 0)
			atomic_fetch_sub(&open_ones, 1);
	}
	struct epoll_event event = {.events = EPOLLIN | (once ? EPOLLONESHOT : 0) |
					      (conn_unsent(c) ? EPOLLOUT : 0),
				    .data.ptr = s};
	if ((once || event.events != c->registered) &&
	    epoll_ctl(c->set, EPOLL_CTL_MOD, c->fd, &event) < 0)
		die("epoll_ctl");
	c->registered = event.events;
	pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg)
{
	int set = *(int *)arg;
	struct epoll_event events[4];
	long until = now_ms() + 20000;

	while (atomic_load(&open_ones) > 0) {
		int n = epoll_wait(set, events, 4, 100);

		if (now_ms() > until)
			die("%d do not come to an end", atomic_load(&open_ones));
		for (int i = 0; i < n; i++)
			turn(events[i].data.ptr, events[i].events);
	}
	return NULL;
}

/* HOW: one set for all threads, of levels or of ONESHOT; or a set for each. */
static void threads(void)
{
	int sets[THREADS];
	pthread_t ids[THREADS];
	bool own = strcmp(args[0], "own") == 0;

	once = strcmp(args[0], "oneshot") == 0;
	for (int i = 0; i < THREADS; i++)
		sets[i] = own || !i ? epoll_create1(0) : sets[0];
	atomic_store(&open_ones, PER_SET);
	for (int i = 0; i < PER_SET; i++) {
		all[i] = (struct shared){PTHREAD_MUTEX_INITIALIZER, warm(sets[i % THREADS]), TRIPS};
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};

		epoll_ctl(all[i].c->set, EPOLL_CTL_MOD, all[i].c->fd, &event);
	}
	for (int i = 0; i < PER_SET; i++)
		turn(&all[i], 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&ids[i], NULL, serve, &sets[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"fork", forks},  {"copies", copies},   {"reuse", reuse}, {"moves", moves},
	    {"two", two},     {"nested", nested},   {"many", many},   {"numbers", numbers}, {"gone", gone},
	    {"shuts", shuts}, {"threads", threads},
	};

	if (argc < 4)
		die("usage: fast_epoll_sets MODE HOST PORT [ARG...]");
	host = argv[2];
	port = argv[3];
	args = argv + 4;
	blob_init();
	alarm(60);
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
