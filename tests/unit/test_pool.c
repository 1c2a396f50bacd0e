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
static struct pool pool;
static struct connection *list, *other;
static uint16_t port;
static int listener, closings;

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	pthread_mutex_lock(&owner);
	pool = (struct pool){.loop = &loop};
	list = other = NULL;
	closings = 0;
	listener = loopback_listen(&port);
}

static void teardown(void)
{
	while (pool_evict(&pool))
		continue;
	ck_assert_uint_eq(pool.n, 0);
	ck_assert_ptr_null(list);
	ck_assert_ptr_null(other);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	close(listener);
}

static void closing(struct connection *connection)
{
	(void)connection;
	closings++;
}

/* A connection with its origin's end. */
static struct connection *connection(int *peer)
{
	int fd = loopback_connect(port, NULL);

	*peer = accept(listener, NULL, NULL);
	ck_assert_int_ge(*peer, 0);
	struct connection *c = connection_new(&loop, fd);
	ck_assert_ptr_nonnull(c);
	c->closing = closing;
	ck_assert_int_eq(io_handshake(c->upstream.io), 0);
	return c;
}

static void put(struct connection **to, struct connection *c)
{
	pool_put(&pool, to, c, UINT64_MAX);
}

START_TEST(newest_first_of_a_list)
{
	int peer[3];
	struct connection *a = connection(&peer[0]);
	struct connection *b = connection(&peer[1]);
	struct connection *c = connection(&peer[2]);

	put(&list, a);
	put(&list, b);
	put(&other, c);
	ck_assert_ptr_eq(pool_take(&pool, &list), b);
	ck_assert(b->upstream.reused);
	ck_assert_ptr_eq(pool_take(&pool, &list), a);
	ck_assert_ptr_null(pool_take(&pool, &list));
	ck_assert_int_eq(closings, 0);
	connection_free(a, false);
	connection_free(b, false);
	ck_assert_int_eq(closings, 2);
}
END_TEST

START_TEST(closed_by_the_peer_leaves)
{
	int peer[2];

	put(&list, connection(&peer[0]));
	put(&list, connection(&peer[1]));
	close(peer[0]);
	close(peer[1]);
	/* not even the loop has heard of it yet */
	ck_assert_ptr_null(pool_take(&pool, &list));
	ck_assert_int_eq(closings, 2);

	put(&list, connection(&peer[0]));
	close(peer[0]);
	loop_turn(&loop, -1);
	ck_assert_int_eq(closings, 3);
}
END_TEST

START_TEST(unasked_bytes_end_it)
{
	int peer;

	put(&list, connection(&peer));
	ck_assert_int_eq(write(peer, "?", 1), 1);
	ck_assert_ptr_null(pool_take(&pool, &list));
	close(peer);
}
END_TEST

START_TEST(evicts_the_oldest)
{
	int peer[3];
	struct connection *c[3];

	for (int i = 0; i < 3; i++)
		c[i] = connection(&peer[i]);
	put(&list, c[0]);
	put(&other, c[1]);
	put(&list, c[2]);
	ck_assert(pool_evict(&pool));
	ck_assert_ptr_eq(pool.oldest, c[1]);
	ck_assert_ptr_eq(pool_take(&pool, &list), c[2]);
	ck_assert_ptr_null(pool_take(&pool, &list));
	connection_free(c[2], false);
}
END_TEST

START_TEST(idle_time_ends)
{
	int peer;
	struct connection *c = connection(&peer);

	pool_put(&pool, &list, c, 5000);
	ck_assert_uint_eq(c->idle.at, loop.now + 5000);
	loop.now += 5000;
	loop_run_due(&loop);
	ck_assert_int_eq(closings, 1);
	ck_assert(!pool_evict(&pool));

	/* without such a time, it stays */
	c = connection(&peer);
	put(&list, c);
	ck_assert_uint_eq(c->idle.at, 0);
}
END_TEST

START_TEST(size_is_bounded)
{
	int peer[POOL_MAX + 1];

	for (int i = 0; i <= POOL_MAX; i++)
		put(&list, connection(&peer[i]));
	ck_assert_uint_eq(pool.n, POOL_MAX);
	ck_assert_int_eq(closings, 1);
	for (int i = 0; i <= POOL_MAX; i++)
		close(peer[i]);
}
END_TEST

START_TEST(drops_a_list)
{
	int peer[3];

	put(&list, connection(&peer[0]));
	put(&other, connection(&peer[1]));
	put(&list, connection(&peer[2]));
	pool_drop(&pool, &list);
	ck_assert_ptr_null(list);
	ck_assert_uint_eq(pool.n, 1);
	ck_assert_int_eq(closings, 2);
}
END_TEST

Suite *pool_suite(void);
Suite *pool_suite(void)
{
	Suite *suite = suite_create("pool");
	TCase *all = tcase_create("pool");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, newest_first_of_a_list);
	tcase_add_test(all, closed_by_the_peer_leaves);
	tcase_add_test(all, unasked_bytes_end_it);
	tcase_add_test(all, evicts_the_oldest);
	tcase_add_test(all, idle_time_ends);
	tcase_add_test(all, size_is_bounded);
	tcase_add_test(all, drops_a_list);
	suite_add_tcase(suite, all);
	return suite;
}
