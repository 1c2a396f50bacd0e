/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many of the program's threads at the bridge at once: they dial, ask, look up whom they dialled,
 * move the wake descriptor, and leave, gently and not. For ThreadSanitizer (make check-threads),
 * which cannot look at the library in other programs.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "rules/diag.h"
#include "shim/bridge/bridge.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/log.h"

enum { THREADS = 6, DIALS = 25, REQUESTS = 3 };

static const char ask[] = "GET /x HTTP/1.1\r\nHost: o.example\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

static int listener;
static struct rules *rules;
static atomic_uint answered, failed;
static atomic_bool over;

static struct rules *load(uint16_t port)
{
	char file[] = "/tmp/meshshim-test-XXXXXX", text[512] = "";
	struct diags diags;
	int fd = mkstemp(file);

	/* by name, so that there are resolver threads as well */
	dprintf(fd,
		"serviceEntries = ( { name = \"o\"; hosts = [ \"o.example\" ]; resolution = \"DNS\";\n"
		"  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; targetPort = %d; } );\n"
		"  endpoints = ( { address = \"localhost\"; } ); } );\n",
		port);
	close(fd);
	diags_init(&diags);
	struct rules *loaded = rules_load(file, &diags);
	unlink(file);
	if (diags.first)
		diag_format(diags.first, text, sizeof(text));
	ck_assert_msg(loaded != NULL, "%s", text);
	diags_release(&diags);
	return loaded;
}

/* ---- the origin: one thread for each connection ------------------------------------------- */

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[sizeof(ask)];
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, text + n, sizeof(ask) - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (n < sizeof(ask) - 1)
			continue;
		n = 0;
		if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_t thread;
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
			close(fd);
		else
			pthread_detach(thread);
	}
}

/* ---- the program's threads ---------------------------------------------------------------- */

/* What the hook on connect(2) does. */
static int dial(int family, uint16_t *local_port)
{
	struct sockaddr_storage door, local;
	struct sockaddr_in dialled = {.sin_family = AF_INET, .sin_port = htons(80)};
	socklen_t len, local_len = sizeof(local);
	struct err err = {0};
	bool late = false;
	struct dial to = {.kind = RULES_HTTP, .name = "o.example", .port = 80,
			  .dialled = (struct sockaddr *)&dialled, .dialled_len = sizeof(dialled)};

	inet_pton(AF_INET, "240.240.7.7", &dialled.sin_addr);
	if (bridge_door(family, &late, &door, &len, &err) < 0)
		return -1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.rules = rules_ref(rules);
	if (fd < 0 || connect(fd, (struct sockaddr *)&door, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&local, &local_len) < 0) {
		rules_unref(to.rules);
		close(fd);
		return -1;
	}
	*local_port = ntohs(((struct sockaddr_in *)&local)->sin_port); /* where IPv6 has it, too */
	if (bridge_expect(family, (struct sockaddr *)&local, &to) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool answers(int fd)
{
	char text[sizeof(answer)];
	size_t n = 0;

	if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0)
		return false;
	while (n < sizeof(answer) - 1) {
		ssize_t got = recv(fd, text + n, sizeof(answer) - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return !memcmp(text, answer, n);
}

static void *work(void *arg)
{
	int family = (intptr_t)arg % 2 ? AF_INET6 : AF_INET;

	for (int i = 0; i < DIALS; i++) {
		struct sockaddr_storage peer, dialled;
		socklen_t len = sizeof(peer);
		uint16_t local;
		int fd = dial(family, &local);

		if (fd < 0) {
			atomic_fetch_add(&failed, 1);
			continue;
		}
		if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 ||
		    !bridge_dialled((struct sockaddr *)&peer, local, &dialled, &len))
			atomic_fetch_add(&failed, 1);
		for (int j = 0; j < REQUESTS; j++)
			atomic_fetch_add(answers(fd) ? &answered : &failed, 1);
		log_debug("thread %d, dial %d", (int)(intptr_t)arg, i);
		if (i % 3 == 0 && send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0)
			atomic_fetch_add(&failed, 1);
		if (i % 3 == 1) {
			const struct linger hard = {.l_onoff = 1};

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		}
		close(fd);
	}
	return NULL;
}

/* What the hook on dup2(2) does, over and over. */
static void *disturb(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		for (int fd = 3; fd < 1024; fd++)
			if (fds_is_ours(fd))
				bridge_relocate(fd);
		usleep(1000);
	}
	return NULL;
}

START_TEST(serves_many_threads)
{
	pthread_t threads[THREADS], origin, other;
	uint16_t port;

	libc_bind();
	listener = loopback_listen(&port);
	rules = load(port);
	ck_assert_int_eq(pthread_create(&origin, NULL, accept_all, NULL), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, disturb, NULL), 0);
	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(other, NULL);
	ck_assert_uint_eq(atomic_load(&failed), 0);
	ck_assert_uint_eq(atomic_load(&answered), THREADS * DIALS * REQUESTS);
	shutdown(listener, SHUT_RDWR);
	pthread_join(origin, NULL);
	rules_unref(rules);
	close(listener);
}
END_TEST

Suite *crowd_suite(void);
Suite *crowd_suite(void)
{
	Suite *suite = suite_create("crowd");
	TCase *all = tcase_create("crowd");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, serves_many_threads);
	suite_add_tcase(suite, all);
	return suite;
}
