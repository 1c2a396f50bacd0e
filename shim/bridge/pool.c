/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each list has the newest connection first (it is the least likely to have been closed by its
 * peer); one list of all goes by age, for eviction.
 */
#include "shim/bridge/pool.h"

#include <utlist.h>

#include "shim/container_of.h"

/* Out of the pool; the connection is the caller's then. */
void pool_remove(struct pool *pool, struct connection *connection)
{
	DL_DELETE(*connection->list, connection);
	DL_DELETE2(pool->oldest, connection, older, newer);
	connection->list = NULL;
	timer_clear(pool->loop, &connection->idle);
	pool->n--;
}

static void drop(struct pool *pool, struct connection *connection)
{
	pool_remove(pool, connection);
	connection_free(connection, false);
}

static void idle_ready(struct connection *connection, uint32_t events)
{
	(void)events;
	if (!connection_alive(connection, false))
		drop(connection->owner, connection);
}

static void idle_expired(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, idle);

	drop(connection->owner, connection);
}

struct connection *pool_take(struct pool *pool, struct connection **list)
{
	while (*list) {
		struct connection *connection = *list;

		pool_remove(pool, connection);
		/* A FIN may have come since the last event. */
		if (connection_alive(connection, true)) {
			connection->upstream.reused = true;
			return connection;
		}
		connection_free(connection, false);
	}
	return NULL;
}

bool pool_evict(struct pool *pool)
{
	if (!pool->oldest)
		return false;
	drop(pool, pool->oldest);
	return true;
}

void pool_drop_oldest(struct pool *pool, struct connection **list)
{
	drop(pool, (*list)->prev); /* utlist */
}

void pool_drop(struct pool *pool, struct connection **list)
{
	while (*list)
		drop(pool, *list);
}

void pool_put(struct pool *pool, struct connection **list, struct connection *connection,
	      uint64_t idle_ms)
{
	/* The end may have come together with the response, and will not be announced again. */
	if (!connection_alive(connection, false)) {
		connection_free(connection, false);
		return;
	}
	if (pool->n >= POOL_MAX)
		pool_evict(pool);
	connection->idle.fire = idle_expired;
	connection->ready = idle_ready;
	connection->owner = pool;
	connection->list = list;
	DL_PREPEND(*list, connection);
	DL_APPEND2(pool->oldest, connection, older, newer);
	pool->n++;
	if (idle_ms != UINT64_MAX)
		timer_set(pool->loop, &connection->idle, idle_ms);
}
