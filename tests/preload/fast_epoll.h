/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guests of test_fast_epoll.py share: connections that an event loop serves. It insists on
 * what every program may: at most one event of each registration in a batch, none of one that is
 * over, none that says that a connection is broken, and not many more events than there is
 * something to do.
 */
#ifndef TESTS_PRELOAD_FAST_EPOLL_H
#define TESTS_PRELOAD_FAST_EPOLL_H

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <time.h>

#include "tests/preload/fast.h"

enum { ALIVE = 0x600d600d, DEAD = 0x0bad0bad, BATCH = 64 };

/* How its program treats a connection. */
struct manner {
	uint32_t idle,
	    out; /* what it is registered for, when there is nothing to send and when there is */
	bool short_read; /* edges: a read that fills less than its buffer is the last one */
	bool short_send; /* likewise, a count that is short is the last one for now */
	bool eager;	 /* sends before it waits for EPOLLOUT */
	bool any_way;	 /* by all kinds of system calls, hooked or not */
	size_t room;	 /* of one call */
};

struct conn {
	unsigned magic;
	int fd, set;
	const struct manner *manner;
	struct conn *again; /* what the data of its registration became */
	uint32_t registered;
	unsigned batch, seed;
	/* the request */
	char out[256];
	size_t out_len, out_at, body_len;
	/* its answer */
	bool busy;
	char head[1024];
	size_t head_len, len, done;
	bool has_head, is_pattern;
	char wanted[128];
};

static char blob[8 << 20];	       /* the pattern; more than sockets hold */
static __thread unsigned long returns; /* of epoll_wait(2) */
static __thread unsigned batches;

static inline void blob_init(void)
{
	for (size_t i = 0; i < sizeof(blob); i++)
		blob[i] = pattern(i);
}

static inline void pause_ms(long ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) < 0)
		;
}

static inline void control(const struct conn *c, int op, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = (void *)c};

	if (epoll_ctl(c->set, op, c->fd, &event) < 0)
		die("epoll_ctl %d of %d in %d", op, c->fd, c->set);
}

static inline void set_events(struct conn *c, uint32_t events)
{
	if (c->registered == events && !(events & EPOLLONESHOT))
		return;
	control(c, EPOLL_CTL_MOD, events);
	c->registered = events;
}

/* Connected, not yet in the set. */
static inline struct conn *conn_new(const char *host, const char *port, int set,
				    const struct manner *manner)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		die("calloc");
	c->magic = ALIVE;
	c->fd = dial(host, port);
	c->set = set;
	c->manner = manner;
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	return c;
}

static inline void conn_add(struct conn *c)
{
	c->registered = c->manner->idle;
	control(c, EPOLL_CTL_ADD, c->registered);
}

static inline struct conn *conn_open(const char *host, const char *port, int set,
				     const struct manner *manner)
{
	struct conn *c = conn_new(host, port, set, manner);

	conn_add(c);
	return c;
}

/* Its memory is never used anew, so that whoever still points to it is found out. */
static inline void conn_bury(struct conn *c)
{
	c->magic = DEAD;
	c->fd = -1;
}

static inline void conn_close(struct conn *c)
{
	close(c->fd);
	conn_bury(c);
}

static inline void conn_request(struct conn *c, const char *path, size_t body)
{
	const char *method = body ? "POST" : "GET";

	c->out_len = (size_t)snprintf(
	    c->out, sizeof(c->out),
	    "%s %s HTTP/1.1\r\nHost: webserver\r\nContent-Length: %zu\r\n\r\n", method, path, body);
	c->body_len = body;
	c->out_at = c->head_len = c->len = c->done = 0;
	c->has_head = false;
	c->is_pattern = strncmp(path, "/size/", 6) == 0;
	snprintf(c->wanted, sizeof(c->wanted), "%s %s %zu %08x\n", method, path, body,
		 adler(blob, body));
	c->busy = true;
}

static inline bool conn_unsent(const struct conn *c)
{
	return c->busy && c->out_at < c->out_len + c->body_len;
}

/* All that can be sent. */
static inline void conn_send(struct conn *c)
{
	while (conn_unsent(c)) {
		bool in_body = c->out_at >= c->out_len;
		const char *data = in_body ? blob + (c->out_at - c->out_len) : c->out + c->out_at;
		size_t len =
		    in_body ? c->out_len + c->body_len - c->out_at : c->out_len - c->out_at;
		int way = BY_SEND;

		if (c->manner->any_way) {
			way = (int)(draw(&c->seed) % SEND_WAYS);
			if (draw(&c->seed) % 4 == 0)
				len = 1 + draw(&c->seed) % len;
		}
		ssize_t n = put(c->fd, data, len, way);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			die("sending %zu bytes by way %d: %zd", len, way, n);
		c->out_at += (size_t)n;
		if (c->manner->short_send && (size_t)n < len)
			return;
	}
}

static inline void conn_take_head(struct conn *c, const char *data, size_t len, size_t *used)
{
	const char *length;

	while (*used < len && !c->has_head) {
		if (c->head_len + 1 >= sizeof(c->head))
			die("a head too long");
		c->head[c->head_len++] = data[(*used)++];
		c->head[c->head_len] = '\0';
		c->has_head =
		    c->head_len >= 4 && memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) == 0;
	}
	if (!c->has_head)
		return;
	length = strcasestr(c->head, "content-length: ");
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length)
		die("no answer to \"%s\" but %s", c->out, c->head);
	c->len = strtoul(length + 16, NULL, 10);
}

static inline void conn_take(struct conn *c, const char *data, size_t len)
{
	size_t used = 0;

	if (!c->busy)
		die("%zu bytes that nobody asked for", len);
	if (!c->has_head)
		conn_take_head(c, data, len, &used);
	if (!c->has_head)
		return;
	const char *wanted = c->is_pattern ? blob : c->wanted;
	if (!c->is_pattern && c->len != strlen(c->wanted))
		die("%zu bytes for \"%s\", not %s", c->len, c->out, c->wanted);
	if (len - used > c->len - c->done || memcmp(wanted + c->done, data + used, len - used) != 0)
		die("the wrong answer at %zu of %zu to \"%s\"", c->done, c->len, c->out);
	c->done += len - used;
	c->busy = c->done < c->len;
}

static inline int conn_way(struct conn *c)
{
	return c->manner->any_way ? (int)(draw(&c->seed) % RECV_WAYS) : BY_RECV;
}

/* One call. Returns false when there is nothing, for now. */
static inline bool conn_receive(struct conn *c, size_t *got)
{
	static __thread char data[65536];
	ssize_t n = get(c->fd, data, c->manner->room, conn_way(c));

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		die("receiving: %zd, after \"%s\"", n, c->out);
	*got = (size_t)n;
	conn_take(c, data, *got);
	return true;
}

/* As its manner is: one call for a level, all there is for an edge. */
static inline void conn_read(struct conn *c)
{
	size_t got;

	while (conn_receive(c, &got)) {
		if (!(c->registered & EPOLLET))
			return;
		if (c->manner->short_read && got < c->manner->room)
			return;
	}
}

/* epoll_wait(2), and what it says looked at. Returns how many. */
static inline int wait_events(int set, struct epoll_event *events, int ms)
{
	int n = epoll_wait(set, events, BATCH, ms);

	if (n < 0)
		die("epoll_wait");
	returns++;
	batches++;
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c->magic != ALIVE)
			die("event %x of a connection that is gone", events[i].events);
		if (c->batch == batches)
			die("two events (the second: %x) of one connection at once",
			    events[i].events);
		c->batch = batches;
		if (events[i].events & ~c->registered & (EPOLLIN | EPOLLOUT))
			die("event %x of one registered for %x", events[i].events, c->registered);
		if (events[i].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
			die("event %x says that a connection is broken", events[i].events);
	}
	return n;
}

/* What an ordinary loop does with an event. */
static inline void conn_ready(struct conn *c, uint32_t events)
{
	if (events & EPOLLIN)
		conn_read(c);
	if (events & EPOLLOUT)
		conn_send(c);
	set_events(c, conn_unsent(c) ? c->manner->out : c->manner->idle);
}

static inline void conn_start(struct conn *c, const char *path, size_t body)
{
	conn_request(c, path, body);
	if (c->manner->eager)
		conn_send(c);
	set_events(c, conn_unsent(c) ? c->manner->out : c->manner->idle);
}

/* Serve the set until the request of `c` has its answer. */
static inline void conn_finish(struct conn *c)
{
	long until = now_ms() + 20000;
	struct epoll_event events[BATCH];

	while (c->busy) {
		int n = wait_events(c->set, events, 10000);

		if (!n || now_ms() > until)
			die("no answer to \"%s\": %zu of %zu bytes sent, %zu of %zu received",
			    c->out, c->out_at, c->out_len + c->body_len, c->done, c->len);
		for (int i = 0; i < n; i++)
			conn_ready(events[i].data.ptr, events[i].events);
	}
}

static inline void conn_trip(struct conn *c, const char *path, size_t body)
{
	conn_start(c, path, body);
	conn_finish(c);
}

/* Requests until one takes the fast lane. Says nothing where there is none: see taken(). */
static inline void conn_warm(struct conn *c)
{
	for (int i = 0; i < 4; i++)
		conn_trip(c, "/echo/warm", 0);
}

/* How many bytes of some requests the kernel carries. */
static inline uint64_t conn_carried(struct conn *c)
{
	uint64_t before = carried(c->fd);

	for (int i = 0; i < 10; i++)
		conn_trip(c, "/echo/lane", 0);
	return carried(c->fd) - before;
}

#endif
