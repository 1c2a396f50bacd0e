/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that an event loop serves in every manner: fast_epoll MODE HOST PORT [ARG...]. Each
 * mode ends with 0 where all is as it is without the library.
 */
#include <inttypes.h>

#include "tests/preload/fast_epoll.h"

static const char *host, *port;
static char **args;

#define IN  EPOLLIN
#define OUT EPOLLOUT
#define ET  EPOLLET

static const struct named_manner {
	const char *name;
	struct manner manner;
} manners[] = {
    {"level", {IN, IN | OUT, .eager = true, .room = 4096}},
    {"edge", {IN | ET, IN | OUT | ET, .eager = true, .room = 4096}},
    {"edge-short", {IN | ET, IN | OUT | ET, .eager = true, .short_read = true, .room = 65536}},
    {"edge-both", {IN | OUT | ET, IN | OUT | ET, .eager = true, .room = 4096}},
    {"edge-both-count", {IN | OUT | ET, IN | OUT | ET, .eager = true, .short_send = true, .room = 4096}},
    {"edge-count", {IN | ET, IN | OUT | ET, .eager = true, .short_send = true, .room = 4096}},
    {"edge-all",
     {IN | OUT | EPOLLRDHUP | EPOLLPRI | ET, IN | OUT | EPOLLRDHUP | EPOLLPRI | ET, .eager = true,
      .room = 4096}},
    {"level-both", {IN | OUT, IN | OUT, .eager = true, .room = 4096}},
    {"wait-both", {IN | OUT, IN | OUT, .room = 4096}},
    {"oneshot", {IN | EPOLLONESHOT, IN | OUT | EPOLLONESHOT, .eager = true, .room = 4096}},
    {"hangup", {IN | EPOLLRDHUP, IN | OUT | EPOLLRDHUP, .eager = true, .room = 4096}},
    {"to-out", {IN, OUT, .room = 4096}},
    {"to-out-edge", {IN | ET, OUT | ET, .room = 4096}},
    {"any-way", {IN, IN | OUT, .eager = true, .any_way = true, .room = 4096}},
    {"any-way-edge", {IN | ET, IN | OUT | ET, .eager = true, .any_way = true, .room = 4096}},
    {"any-way-both", {IN | OUT, IN | OUT, .eager = true, .any_way = true, .room = 4096}},
};

static struct manner *manner_named(const char *name)
{
	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		if (strcmp(manners[i].name, name) != 0)
			continue;
		struct manner *manner = malloc(sizeof(*manner));

		*manner = manners[i].manner;
		return manner;
	}
	die("no manner %s", name);
}

/* ---- manners ----------------------------------------------------------------------------- */

static void trips(struct conn *c)
{
	for (int i = 0; i < 5; i++) {
		conn_trip(c, "/echo/a", 0);
		conn_trip(c, "/echo/b", 1000);
		conn_trip(c, "/size/3", 0);
		conn_trip(c, "/size/100000", 0);
		if (i % 4 == 0) {
			conn_trip(c, "/wait/30", 0);
			conn_trip(c, "/wait/100", 0);
			conn_trip(c, "/echo/c", 300000);
		}
	}
}

/* MANNER. Says what the kernel carried of requests, the least of several connections: one whose
 * thread was kept from running leaves the fast lane for a while. */
static void manner(void)
{
	const struct manner *manner = manner_named(args[0]);
	uint64_t least = UINT64_MAX, bytes;
	int set = epoll_create1(0);
	bool spins = !(manner->idle & ET) && manner->idle & OUT;

	for (int i = 0; i < 5; i++) {
		struct conn *c = conn_open(host, port, set, manner);

		conn_warm(c);
		returns = 0;
		if (!i)
			trips(c);
		/* A call or two for each request, and for each piece of what is long. */
		if (!spins && returns > 3000)
			die("%lu times around", returns);
		bytes = conn_carried(c);
		least = bytes < least ? bytes : least;
		conn_close(c);
	}
	printf("%" PRIu64 "\n", least);
}

/* Registered before it is connected, and for all the time. */
static void before(void)
{
	struct addrinfo *to = resolve(host, port);
	int set = epoll_create1(0);

	for (int round = 0; round < 6; round++) {
		const struct manner *manner = manner_named(round % 2 ? "edge-both" : "wait-both");
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event events[BATCH];

		*c = (struct conn){.magic = ALIVE, .set = set, .manner = manner};
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		conn_add(c);
		if (connect(c->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)
			die("connect");
		do
			if (epoll_wait(set, events, 1, 10000) != 1)
				die("no connection");
		while (events[0].events & EPOLLHUP); /* before connect(2), as ever */
		conn_request(c, "/echo/first", 0);
		conn_send(c);
		conn_finish(c);
		trips(c);
		/* In the middle: the number is the next one's. */
		conn_start(c, "/size/1000000", 0);
		while (!c->done)
			if (wait_events(set, events, 10000) == 1)
				conn_ready(c, events[0].events);
		conn_close(c);
	}
}

/* Registered when its request is under way, or its answer there, already. */
static void late(void)
{
	static const char *const names[] = {"level", "edge-both", "edge-all", "level-both", "edge"};
	int set = epoll_create1(0);

	for (int i = 0; i < 40; i++) {
		struct conn *c = conn_open(host, port, set, manner_named(names[i % 5]));

		conn_warm(c);
		control(c, EPOLL_CTL_DEL, 0);
		conn_request(c, i & 1 ? "/size/60000" : "/echo/late", 0);
		conn_send(c);
		conn_add(c);
		pause_ms(i % 4 * 3);
		conn_finish(c);
		/* MOD sets all edges anew. */
		conn_request(c, "/echo/modified", 0);
		conn_send(c);
		control(c, EPOLL_CTL_MOD, c->registered);
		pause_ms(i % 4 * 3);
		conn_finish(c);
		conn_close(c);
	}
}

/* Nothing is to be heard for a while. */
static void nothing(void)
{
	int set = epoll_create1(0);
	struct conn *c = conn_open(host, port, set, manner_named("level"));
	struct epoll_event events[BATCH];
	int n;

	conn_warm(c);
	for (int i = 0; i < 12; i++) {
		uint32_t edge = i % 3 == 2 ? ET : 0;

		conn_start(c, i & 1 ? "/size/300000" : "/echo/nothing", 0);
		if (i & 1 && wait_events(set, events, 10000) == 1)
			conn_ready(c, events[0].events);
		set_events(c, edge);
		if ((n = wait_events(set, events, i % 4 * 20)))
			die("%d events of nothing", n);
		set_events(c, IN | edge);
		conn_finish(c);
	}
	for (int i = 0; i < 12; i++) {
		conn_start(c, "/size/200000", 0);
		while (c->busy && c->done < 50000)
			if (wait_events(set, events, 10000) == 1)
				conn_ready(c, events[0].events);
		control(c, EPOLL_CTL_DEL, 0);
		if ((n = wait_events(set, events, i % 4 * 20)))
			die("%d events of what is not there", n);
		conn_add(c);
		conn_finish(c);
	}
}

/* Another object stands for it from now on, and the old one is gone: between requests, or within.
 */
static struct conn *moved(struct conn *old)
{
	struct conn *c = malloc(sizeof(*c));

	*c = *old;
	control(c, EPOLL_CTL_MOD, c->registered);
	conn_bury(old);
	return c;
}

/* A while with nothing to do. Returns how many times around. */
static unsigned long linger(int set, long ms)
{
	struct epoll_event events[BATCH];
	long until = now_ms() + ms;

	returns = 0;
	while (now_ms() < until) {
		int n = wait_events(set, events, 50);

		for (int i = 0; i < n; i++)
			conn_ready(events[i].data.ptr, events[i].events);
	}
	return returns;
}

/* All at once, so that each has an upstream connection of its own. */
static void all_trip(struct conn **all, int n, const char *path)
{
	for (int i = 0; i < n; i++)
		conn_start(all[i], path, 0);
	for (int i = 0; i < n; i++)
		conn_finish(all[i]);
}

static void data(void)
{
	int set = epoll_create1(0);
	struct conn *c[8];

	for (int k = 0; k < 8; k++)
		c[k] = conn_open(host, port, set, manner_named(k & 1 ? "edge" : "level"));
	for (int round = 0; round < 2; round++) {
		all_trip(c, 8, "/wait/10");
		all_trip(c, 8, "/wait/10");
		for (int k = 0; k < 8; k++) {
			conn_start(c[k], k & 2 ? "/size/100000" : "/wait/20", 0);
			c[k] = moved(c[k]);
		}
		for (int k = 0; k < 8; k++)
			conn_finish(c[k]);
		all_trip(c, 8, "/wait/10");
		for (int k = 0; k < 8; k++)
			c[k] = moved(c[k]);
		linger(set, 250); /* their upstream connections end */
	}
}

/* ---- bodies ------------------------------------------------------------------------------ */

/* MANNER ROOM: both ways; the origin reads slowly what is POSTed to /slow. */
static void bodies(void)
{
	struct manner *manner = manner_named(args[0]);
	int set = epoll_create1(0);
	size_t room = strtoul(args[1], NULL, 10), big = room == 1 ? 100000 : 1000000;
	struct conn *c;
	char path[64];

	manner->room = room;
	manner->short_read = manner->short_read && room > 1;
	c = conn_open(host, port, set, manner);
	conn_warm(c);
	snprintf(path, sizeof(path), "/size/%zu", big);
	for (int i = 0; i < 3; i++) {
		returns = 0;
		conn_trip(c, path, 0);
		if (returns > 2 * big / room + 500)
			die("%lu times around for an answer", returns);
		returns = 0;
		conn_trip(c, i ? "/slow/x" : "/echo/x", 1000000);
		if (returns > 1000)
			die("%lu times around for a request", returns);
		conn_trip(c, "/echo/between", 0);
	}
}

/* ---- many -------------------------------------------------------------------------------- */

/* MANNER COUNT: a loop with many, one request each at a time, at random. */
static void mixed(void)
{
	const struct manner *manner = manner_named(args[0]);
	unsigned count = (unsigned)atoi(args[1]), seed = 7, left = count;
	int set = epoll_create1(0), open = 0;
	struct conn *all[16];
	struct epoll_event events[BATCH];

	for (int i = 0; i < 16; i++) {
		all[i] = conn_open(host, port, set, manner);
		all[i]->seed = (unsigned)i;
	}
	do {
		open = 0;
		for (int i = 0; i < 16; i++) {
			char path[64];

			if (!all[i]->busy && left) {
				left--;
				if (draw(&seed) % 8 == 0)
					snprintf(path, sizeof(path), "/size/%u",
						 draw(&seed) % 100000);
				else
					snprintf(path, sizeof(path), "/echo/%u", left);
				conn_start(all[i], path, draw(&seed) % 3 ? 0 : draw(&seed) % 20000);
			}
			open += all[i]->busy;
		}
		int n = open ? wait_events(set, events, 10000) : 0;
		if (open && !n)
			die("%d requests without an answer", open);
		for (int i = 0; i < n; i++)
			conn_ready(events[i].data.ptr, events[i].events);
	} while (open);
}

static int spare; /* what a number is overwritten with */

static void go(struct conn *c, int how)
{
	switch (how) {
	case 0:
		close(c->fd);
		break;
	case 1:
		close_range((unsigned)c->fd, (unsigned)c->fd, 0);
		break;
	case 2:
		dup2(spare, c->fd);
		close(c->fd);
		break;
	case 3:
		shutdown(c->fd, SHUT_RDWR);
		close(c->fd);
		break;
	case 4:
		control(c, EPOLL_CTL_DEL, 0);
		close(c->fd);
		break;
	case 5:
		bare(SYS_close, c->fd, 0, 0, 0, 0, 0);
		break;
	default: {
		int end = dup3(spare, c->fd, O_CLOEXEC);

		bare(SYS_close, end, 0, 0, 0, 0, 0);
		break;
	}
	}
	conn_bury(c);
}

/* MANNER HOW ROUNDS: connections that end before, in, and after an answer, by whatever call, and
 * others that take their numbers and their upstream connections. */
static void crowd(void)
{
	const struct manner *manner = manner_named(args[0]);
	int how = atoi(args[1]), rounds = atoi(args[2]), set = epoll_create1(0);
	static struct conn *all[64];
	struct epoll_event events[BATCH];
	unsigned seed = 3;

	spare = open("/dev/null", O_RDWR);
	for (int round = 0; round < rounds; round++) {
		int i = (int)(draw(&seed) % 64);

		if (!all[i]) {
			all[i] = conn_open(host, port, set, manner);
		} else if (!all[i]->busy) {
			static const char *const paths[] = {"/echo/1", "/size/100000", "/wait/5",
							    "/size/10"};
			conn_start(all[i], paths[draw(&seed) % 4], draw(&seed) % 4 ? 0 : 30000);
		}
		/* Of what no hook sees, the library learns a moment later. */
		if (draw(&seed) % 20 == 0 && (how != 5 || !all[i]->busy)) {
			go(all[i], how);
			all[i] = NULL;
		}
		int n = wait_events(set, events, (int)(draw(&seed) % 2));
		for (int k = 0; k < n; k++)
			conn_ready(events[k].data.ptr, events[k].events);
	}
	for (int i = 0; i < 64; i++) {
		if (!all[i])
			continue;
		conn_finish(all[i]);
		conn_trip(all[i], "/echo/last", 0);
	}
}

/* MANNER: nothing to do, while their upstream connections end, one way or another. */
static void idle(void)
{
	const struct manner *manner = manner_named(args[0]);
	int set = epoll_create1(0);
	struct conn *all[8];

	for (int i = 0; i < 8; i++)
		all[i] = conn_open(host, port, set, manner);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5; i++)
			all_trip(all, 8, "/wait/5");
		if (linger(set, 300) > 60)
			die("%lu times around with nothing to do", returns);
		for (int i = 0; i < 8; i++)
			conn_trip(all[i], "/echo/x", 0);
	}
	/* Nor while nothing is to be heard. */
	all_trip(all, 8, "/wait/5");
	for (int i = 0; i < 8; i++)
		set_events(all[i], 0);
	if (linger(set, 300) > 20)
		die("%lu times around with nothing to hear", returns);
	for (int i = 0; i < 8; i++)
		conn_trip(all[i], "/echo/x", 0);
}

/* Not there for a while: the answer comes late, and the next request takes the fast lane again. */
static void busy(void)
{
	static const char *const names[] = {"level", "edge", "to-out"};
	uint64_t worst = 0;

	for (int i = 0; i < 3; i++) {
		uint64_t least = UINT64_MAX, bytes;

		for (int k = 0; k < 3; k++) {
			int set = epoll_create1(0);
			struct conn *c = conn_open(host, port, set, manner_named(names[i]));

			conn_warm(c);
			conn_start(c, "/echo/busy", 0);
			pause_ms(100);
			conn_finish(c);
			conn_trip(c, "/echo/after", 0);
			bytes = conn_carried(c);
			least = bytes < least ? bytes : least;
			conn_close(c);
			close(set);
		}
		worst = least > worst ? least : worst;
	}
	printf("%" PRIu64 "\n", worst);
}

/* Who takes a short count for a socket that is full hears when there is room again. */
static void short_counts(void)
{
	struct conn *c = conn_open(host, port, epoll_create1(0), manner_named(args[0]));

	conn_warm(c);
	conn_trip(c, "/slow/x", sizeof(blob));
	conn_trip(c, "/echo/afterwards", 0);
}

/* Who waits for EPOLLOUT before it sends hears it, whatever its upstream connection does by now.
 * ARG: what becomes of that: "taken" by another, or "ended". */
static void room(void)
{
	struct manner *manner = manner_named("wait-both");
	int set = epoll_create1(0), other_set = epoll_create1(0);
	struct epoll_event events[BATCH];
	char data[4096];

	for (int i = 0; i < 3; i++) {
		struct conn *c = conn_open(host, port, set, manner);
		struct conn *other = conn_open(host, port, other_set, manner_named("level"));

		conn_warm(c);
		conn_start(c, "/echo/room", 0);
		while (conn_unsent(c))
			if (wait_events(set, events, 10000))
				conn_ready(c, events[0].events);
		pause_ms(100);
		/* The answer, and nothing else that the library might hear of. */
		ssize_t n = bare(SYS_read, c->fd, (long)data, sizeof(data), 0, 0, 0);
		if (n <= 0)
			die("no answer");
		conn_take(c, data, (size_t)n);
		if (strcmp(args[0], "taken") == 0)
			conn_warm(other);
		else
			pause_ms(150);
		/* By select(2) it is known that there is. */
		n = wait_events(set, events, 2000);
		if (n != 1 || !(events[0].events & OUT))
			die("%zd events, %x, where there is room", n, events[0].events);
		conn_trip(c, "/echo/again", 0);
		conn_close(c);
		conn_close(other);
	}
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"manner", manner}, {"before", before}, {"late", late},   {"nothing", nothing},
	    {"data", data},	{"bodies", bodies}, {"mixed", mixed}, {"crowd", crowd},
	    {"idle", idle},	{"busy", busy},	    {"room", room},   {"short-counts", short_counts},
	};

	if (argc < 4)
		die("usage: fast_epoll MODE HOST PORT [ARG...]");
	host = argv[2];
	port = argv[3];
	args = argv + 4;
	blob_init();
	alarm(120);
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
