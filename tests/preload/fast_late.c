/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose connections are young when they take the fast lane, so that the bridge has not been
 * given them yet: fast_late MODE HOST PORT. Each mode says nothing and ends with 0 where all is as it is
 * without the library.
 */
#include <poll.h>
#include <sys/wait.h>

#include "tests/preload/fast.h"

static const char *host, *port;

static struct link *fresh(void)
{
	return link_over(dial(host, port), BY_RECV, 4096);
}

static void done(struct link *link)
{
	close(link->fd);
	free(link);
}

/* Upstream connections that the ones to come can have. */
static void warm(void)
{
	struct link *links[3];

	for (int i = 0; i < 3; i++) {
		links[i] = fresh();
		ask(links[i]->fd, "/echo/warm", BY_SEND);
	}
	for (int i = 0; i < 3; i++) {
		told(links[i], "/echo/warm");
		trip(links[i], "/echo/warm");
		done(links[i]);
	}
}

/* The first request and its answer, the second and its answer, each by any way. */
static void all_ways(void)
{
	for (int i = 0; i < SEND_WAYS * RECV_WAYS * 2; i++) {
		struct link *link = fresh();

		link->way = i % RECV_WAYS;
		ask(link->fd, "/echo/first", i % 2 ? BY_SEND : i % SEND_WAYS);
		told(link, "/echo/first");
		link->way = i / 2 % RECV_WAYS;
		ask(link->fd, "/echo/second", i / 3 % SEND_WAYS);
		told(link, "/echo/second");
		done(link);
	}
}

/* Until the kernel hands it over by itself. */
static void idle(void)
{
	struct link *links[20];

	for (int i = 0; i < 20; i++) {
		links[i] = fresh();
		if (i % 2)
			trip(links[i], "/echo/early");
	}
	poll(NULL, 0, 1500);
	for (int i = 0; i < 20; i++) {
		ask(links[i]->fd, "/echo/afterwards", i % SEND_WAYS);
		told(links[i], "/echo/afterwards");
		trip(links[i], "/echo/again");
	}
	poll(NULL, 0, 2500);
	for (int i = 0; i < 20; i++) {
		trip(links[i], "/echo/late");
		done(links[i]);
	}
}

static void ends(const struct link *link, const char *how)
{
	char byte;
	ssize_t n = recv(link->fd, &byte, 1, 0);

	if (n != 0)
		die("%s ends with %zd", how, n);
}

/* The other side ends it, in order. */
static void last(void)
{
	static const char text[] = "GET /echo/last HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n";

	for (int i = 0; i < 50; i++) {
		struct link *link = fresh();

		if (i % 3 == 0)
			trip(link, "/echo/first");
		put_all(link->fd, text, sizeof(text) - 1, i % SEND_WAYS);
		told(link, "/echo/last");
		ends(link, "the last answer");
		done(link);
	}
}

/* What the program does when it is done, or before it began. */
static void leaves(void)
{
	const struct linger drop = {.l_onoff = 1};

	for (int i = 0; i < 100; i++) {
		struct link *link = fresh();

		if (i % 4)
			trip(link, "/echo/first");
		if (i % 3 == 0)
			setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
		if (i % 3 == 1) {
			shutdown(link->fd, SHUT_WR);
			ends(link, "a half-closed connection");
		}
		done(link);
	}
	trip(fresh(), "/echo/afterwards");
}

/* By another number, in another process. */
static void copies(void)
{
	for (int i = 0; i < 20; i++) {
		struct link *link = fresh();
		int status = 0, fd = link->fd;

		trip(link, "/echo/first");
		if (i % 2) {
			link->fd = dup(fd);
			close(fd);
			ask(link->fd, "/echo/dup", i % SEND_WAYS);
			told(link, "/echo/dup");
		}
		pid_t pid = fork();
		if (pid == 0) {
			ask(link->fd, "/echo/child", i % SEND_WAYS);
			told(link, "/echo/child");
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			die("the child ended with %x", status);
		trip(link, "/echo/parent");
		done(link);
	}
}

/* More than there are upstream connections, and than a queue of the kernel's need hold. */
static void crowd(void)
{
	enum { MANY = 300 };
	static struct link *links[MANY];

	for (int i = 0; i < MANY; i++) {
		links[i] = fresh();
		trip(links[i], "/echo/first");
	}
	for (int i = 0; i < MANY; i++)
		ask(links[i]->fd, "/echo/at-once", i % 7 ? BY_SEND : BY_BARE);
	for (int i = 0; i < MANY; i++)
		told(links[i], "/echo/at-once");
	for (int i = 0; i < MANY; i++)
		done(links[i]);
}

int main(int argc, char **argv)
{
	static const struct guest_mode modes[] = {
	    {"ways", all_ways}, {"idle", idle},	    {"last", last},
	    {"leaves", leaves}, {"copies", copies}, {"crowd", crowd},
	};

	if (argc < 4)
		die("usage: fast_late MODE HOST PORT");
	host = argv[2];
	port = argv[3];
	alarm(120);
	warm();
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
