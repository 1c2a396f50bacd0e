/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of lists by key, the newest connection first (it is the least likely to have been closed
 * by its peer), and one list of all by age, for eviction. Both are short: at most POOL_MAX.
 */
#include "shim/bridge/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "shim/bridge/sock.h"
#include "shim/container_of.h"

struct bucket {
	char *key;
	struct connection *newest; /* doubly linked */
	UT_hash_handle hh;
};

struct pool {
	struct loop *loop;
	struct bucket *buckets;
	unsigned n;
};

char *pool_key(const struct cluster *cluster, const char *server_name)
{
	size_t a = strlen(cluster->id), b = strlen(server_name);
	char *key = malloc(a + b + 2);

	if (key) {
		memcpy(key, cluster->id, a);
		key[a] = '\n';
		memcpy(key + a + 1, server_name, b + 1);
	}
	return key;
}

static struct bucket *bucket_find(struct pool *pool, const char *key)
{
	struct bucket *bucket;

	HASH_FIND_STR(pool->buckets, key, bucket);
	return bucket;
}

static struct bucket *bucket_get(struct pool *pool, const char *key)
{
	struct bucket *bucket = bucket_find(pool, key);

	if (bucket)
		return bucket;
	bucket = calloc(1, sizeof(*bucket));
	if (!bucket)
		return NULL;
	bucket->key = strdup(key);
	if (!bucket->key) {
		free(bucket);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, pool->buckets, bucket->key, strlen(bucket->key), bucket);
	if (!bucket->hh.tbl) { /* HASH_NONFATAL_OOM: it was not added */
		free(bucket->key);
		free(bucket);
		return NULL;
	}
	return bucket;
}

/* Out of the pool; the connection is the caller's then. */
static void pool_remove(struct pool *pool, struct bucket *bucket, struct connection *connection)
{
	DL_DELETE(bucket->newest, connection);
	timer_clear(pool->loop, &connection->idle);
	pool->n--;
	if (!bucket->newest) {
		HASH_DEL(pool->buckets, bucket);
		free(bucket->key);
		free(bucket);
	}
}

static void pool_drop(struct pool *pool, struct connection *connection)
{
	pool_remove(pool, bucket_find(pool, connection->key), connection);
	connection_free(connection, false);
}

/* Whether an idle connection is good for another request: nothing to read, and not at its end.
 * Reading also lets TLS take in session tickets. */
static bool alive(struct connection *connection)
{
	char byte;

	return io_read(connection->upstream.io, &byte, 1) == IO_WANT_READ;
}

static void idle_ready(struct connection *connection, uint32_t events)
{
	(void)events;
	if (!alive(connection))
		pool_drop(connection->owner, connection);
}

static void idle_expired(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, idle);

	pool_drop(connection->owner, connection);
}

struct connection *pool_take(struct pool *pool, const char *key)
{
	struct bucket *bucket;

	while ((bucket = bucket_find(pool, key))) {
		struct connection *connection = bucket->newest;

		pool_remove(pool, bucket, connection);
		/* Ask the kernel, whatever the last event said: a FIN may have come since. */
		sock_ready(connection->sock, EPOLLIN);
		if (alive(connection)) {
			connection->upstream.reused = true;
			return connection;
		}
		connection_free(connection, false);
	}
	return NULL;
}

bool pool_evict(struct pool *pool)
{
	struct connection *oldest = NULL;

	for (struct bucket *b = pool->buckets; b; b = b->hh.next) {
		struct connection *last = b->newest->prev; /* utlist: the head's prev is the tail */

		if (!oldest || last->idle.at < oldest->idle.at)
			oldest = last;
	}
	if (oldest)
		pool_drop(pool, oldest);
	return oldest != NULL;
}

void pool_put(struct pool *pool, struct connection *connection)
{
	/* The end may have come together with the response, and will not be announced again. */
	if (!alive(connection)) {
		connection_free(connection, false);
		return;
	}
	if (pool->n >= POOL_MAX)
		pool_evict(pool);
	struct bucket *bucket = bucket_get(pool, connection->key);
	if (!bucket) {
		connection_free(connection, false);
		return;
	}
	connection->idle.fire = idle_expired;
	connection->ready = idle_ready;
	connection->owner = pool;
	DL_PREPEND(bucket->newest, connection);
	pool->n++;
	timer_set(pool->loop, &connection->idle, POOL_IDLE_MS);
}

struct pool *pool_new(struct loop *loop, struct err *err)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool) {
		err_set_errno(err, ENOMEM, "cannot make the connection pool");
		return NULL;
	}
	pool->loop = loop;
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	while (pool_evict(pool))
		continue;
	free(pool);
}
