/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"
#include "shim/bridge/pool.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct pool *pool;
static uint16_t port;
static int listener;

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	pthread_mutex_lock(&owner);
	pool = pool_new(&loop, &err);
	ck_assert_ptr_nonnull(pool);
	listener = loopback_listen(&port);
}

static void teardown(void)
{
	pool_free(pool);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	close(listener);
}

/* A connection with its origin's end. */
static struct connection *connection(const char *key, int *peer)
{
	int fd = loopback_connect(port, NULL);

	*peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(*peer, 0);
	struct connection *c = connection_new(&loop, fd);
	ck_assert_ptr_nonnull(c);
	c->key = strdup(key);
	ck_assert_int_eq(io_handshake(c->upstream.io), 0);
	return c;
}

START_TEST(newest_first_by_key)
{
	int peer[3];
	struct connection *a = connection("a", &peer[0]);
	struct connection *b = connection("a", &peer[1]);
	struct connection *c = connection("c", &peer[2]);

	pool_put(pool, a);
	pool_put(pool, b);
	pool_put(pool, c);
	ck_assert_ptr_eq(pool_take(pool, "a"), b);
	ck_assert(b->upstream.reused);
	ck_assert_ptr_eq(pool_take(pool, "a"), a);
	ck_assert_ptr_null(pool_take(pool, "a"));
	ck_assert_ptr_null(pool_take(pool, "nobody"));
	connection_free(a, false);
	connection_free(b, false);
}
END_TEST

START_TEST(closed_by_the_peer_leaves)
{
	int peer[2];

	pool_put(pool, connection("a", &peer[0]));
	pool_put(pool, connection("a", &peer[1]));
	close(peer[0]);
	close(peer[1]);
	/* not even the loop has heard of it yet */
	ck_assert_ptr_null(pool_take(pool, "a"));
	ck_assert(!pool_evict(pool));

	pool_put(pool, connection("a", &peer[0]));
	close(peer[0]);
	loop_turn(&loop, -1);
	ck_assert(!pool_evict(pool));
}
END_TEST

START_TEST(unasked_bytes_end_it)
{
	int peer;

	pool_put(pool, connection("a", &peer));
	ck_assert_int_eq(write(peer, "?", 1), 1);
	ck_assert_ptr_null(pool_take(pool, "a"));
	close(peer);
}
END_TEST

START_TEST(evicts_the_oldest)
{
	int peer[2];
	struct connection *old = connection("old", &peer[0]);
	struct connection *new = connection("new", &peer[1]);

	pool_put(pool, old);
	loop.now += 5;
	pool_put(pool, new);
	ck_assert(pool_evict(pool));
	ck_assert_ptr_null(pool_take(pool, "old"));
	ck_assert_ptr_eq(pool_take(pool, "new"), new);
	connection_free(new, false);
}
END_TEST

START_TEST(idle_time_ends)
{
	int peer;
	struct connection *c = connection("a", &peer);

	pool_put(pool, c);
	ck_assert_uint_eq(c->idle.at, loop.now + POOL_IDLE_MS);
	timer_clear(&loop, &c->idle);
	c->idle.fire(&c->idle);
	ck_assert(!pool_evict(pool));
}
END_TEST

START_TEST(size_is_bounded)
{
	int peer[POOL_MAX + 1];
	int n = 0;

	for (int i = 0; i <= POOL_MAX; i++)
		pool_put(pool, connection("a", &peer[i]));
	while (pool_evict(pool))
		n++;
	ck_assert_int_eq(n, POOL_MAX);
	for (int i = 0; i <= POOL_MAX; i++)
		close(peer[i]);
}
END_TEST

START_TEST(key_is_cluster_and_name)
{
	struct cluster cluster = {.id = "x:443"};
	char *a = pool_key(&cluster, "one.example"), *b = pool_key(&cluster, "two.example");

	ck_assert_str_ne(a, b);
	free(a);
	free(b);
}
END_TEST

Suite *pool_suite(void);
Suite *pool_suite(void)
{
	Suite *suite = suite_create("pool");
	TCase *all = tcase_create("pool");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, newest_first_by_key);
	tcase_add_test(all, closed_by_the_peer_leaves);
	tcase_add_test(all, unasked_bytes_end_it);
	tcase_add_test(all, evicts_the_oldest);
	tcase_add_test(all, idle_time_ends);
	tcase_add_test(all, size_is_bounded);
	tcase_add_test(all, key_is_cluster_and_name);
	suite_add_tcase(suite, all);
	return suite;
}
