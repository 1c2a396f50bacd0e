/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `struct lookup` per name: in the table while it runs and as long as its answer is fresh. A
 * look-up thread owns nothing but a pointer to the lookup's `name` and `result`, which nobody else
 * touches while `running`; a running lookup is never freed.
 */
#include "shim/bridge/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "shim/container_of.h"
#include "shim/fork.h"
#include "shim/libc.h"
#include "shim/thread.h"

#define NAMES_MAX 1024 /* fresh answers kept; above, the table is emptied of idle ones */

struct lookup {
	struct resolver *resolver;
	char *name;
	bool queued, running;
	bool pinned; /* its answer is being told: not to be freed */
	uint64_t fresh_until; /* 0: no answer */
	struct query *queries;
	struct lookup *next; /* in resolver->queue */
	struct task done;
	/* written by the thread while running: */
	struct addresses result;
	int gai_error;
	int sys_error;
	UT_hash_handle hh;
};

struct resolver {
	struct loop *loop;
	struct lookup *table;
	struct lookup *queue; /* waiting for a thread */
	int threads;
};

static void answer_all(struct lookup *lookup, const struct addresses *found, const struct err *err)
{
	lookup->pinned = true;
	while (lookup->queries) {
		struct query *query = lookup->queries;

		query_cancel(query);
		query->answer(query, found, err);
	}
	lookup->pinned = false;
}

static void lookup_free(struct resolver *resolver, struct lookup *lookup)
{
	HASH_DEL(resolver->table, lookup);
	free(lookup->name);
	free(lookup);
}

static void forget_stale(struct resolver *resolver)
{
	struct lookup *lookup, *tmp;

	HASH_ITER (hh, resolver->table, lookup, tmp)
		if (!lookup->queued && !lookup->running && !lookup->pinned)
			lookup_free(resolver, lookup);
}

/* ---- the look-up thread ------------------------------------------------------------------ */

static void *lookup_thread(void *arg)
{
	struct lookup *lookup = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;

	thread_enter();
	lookup->result.n = 0;
	fork_hold();
	lookup->gai_error = real.getaddrinfo(lookup->name, NULL, &hints, &list);
	lookup->sys_error = errno;
	fork_release();
	for (struct addrinfo *ai = list; ai && lookup->result.n < RESOLVE_MAX; ai = ai->ai_next)
		if (ai->ai_addrlen <= sizeof(lookup->result.list[0]))
			memcpy(&lookup->result.list[lookup->result.n++], ai->ai_addr,
			       ai->ai_addrlen);
	if (list)
		freeaddrinfo(list);
	loop_post(lookup->resolver->loop, &lookup->done);
	return NULL;
}

static void start_queued(struct resolver *resolver);

static void lookup_answer(struct lookup *lookup)
{
	struct err err = {0};

	if (lookup->result.n) {
		lookup->fresh_until = loop_now(lookup->resolver->loop) + RESOLVE_FRESH_MS;
		answer_all(lookup, &lookup->result, NULL);
		return;
	}
	lookup->fresh_until = 0;
	err_set(&err, EHOSTUNREACH, "cannot resolve %s: %s", lookup->name,
		lookup->gai_error == EAI_SYSTEM ? strerror(lookup->sys_error) :
		lookup->gai_error	        ? gai_strerror(lookup->gai_error) :
						  "no address");
	answer_all(lookup, NULL, &err);
}

static void lookup_done(struct task *task)
{
	struct lookup *lookup = container_of(task, struct lookup, done);
	struct resolver *resolver = lookup->resolver;

	lookup->running = false;
	resolver->threads--;
	lookup_answer(lookup);
	start_queued(resolver);
}

static void start_queued(struct resolver *resolver)
{
	while (resolver->queue && resolver->threads < RESOLVE_THREADS) {
		struct lookup *lookup = resolver->queue;

		LL_DELETE(resolver->queue, lookup);
		lookup->queued = false;
		lookup->running = true;
		resolver->threads++;
		int error = thread_start(lookup_thread, lookup);
		if (error) {
			/* Reported through the loop, as every other outcome is. */
			lookup->result.n = 0;
			lookup->gai_error = EAI_SYSTEM;
			lookup->sys_error = error;
			loop_defer(resolver->loop, &lookup->done);
		}
	}
}

/* ---- asking ------------------------------------------------------------------------------ */

static bool literal(const char *name, struct addresses *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->list[0];
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->list[0];

	memset(&out->list[0], 0, sizeof(out->list[0]));
	out->n = 1;
	if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		return true;
	}
	return false;
}

static struct lookup *lookup_get(struct resolver *resolver, const char *name)
{
	struct lookup *lookup;
	unsigned before = HASH_COUNT(resolver->table);

	HASH_FIND_STR(resolver->table, name, lookup);
	if (lookup)
		return lookup;
	if (before >= NAMES_MAX)
		forget_stale(resolver);
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return NULL;
	lookup->resolver = resolver;
	lookup->done.run = lookup_done;
	lookup->name = strdup(name);
	if (!lookup->name) {
		free(lookup);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, resolver->table, lookup->name, strlen(lookup->name), lookup);
	if (!lookup->hh.tbl) { /* HASH_NONFATAL_OOM: it was not added */
		free(lookup->name);
		free(lookup);
		return NULL;
	}
	return lookup;
}

bool resolver_ask(struct resolver *resolver, const char *name, struct query *query)
{
	struct addresses one;

	query->next = NULL;
	query->link = NULL;
	if (literal(name, &one)) {
		query->answer(query, &one, NULL);
		return true;
	}
	struct lookup *lookup = lookup_get(resolver, name);
	if (!lookup) {
		struct err err = {0};

		err_set_errno(&err, ENOMEM, "cannot resolve %s", name);
		query->answer(query, NULL, &err);
		return true;
	}
	if (!lookup->running && !lookup->queued &&
	    lookup->fresh_until > loop_now(resolver->loop)) {
		lookup->pinned = true;
		query->answer(query, &lookup->result, NULL);
		lookup->pinned = false;
		return true;
	}
	query->next = lookup->queries;
	if (query->next)
		query->next->link = &query->next;
	query->link = &lookup->queries;
	lookup->queries = query;
	if (!lookup->running && !lookup->queued) {
		lookup->queued = true;
		LL_APPEND(resolver->queue, lookup);
		start_queued(resolver);
	}
	return false;
}

void query_cancel(struct query *query)
{
	if (!query->link)
		return;
	*query->link = query->next;
	if (query->next)
		query->next->link = query->link;
	query->link = NULL;
	query->next = NULL;
}

struct resolver *resolver_new(struct loop *loop, struct err *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver) {
		err_set_errno(err, ENOMEM, "cannot start the resolver");
		return NULL;
	}
	resolver->loop = loop;
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	struct lookup *lookup, *tmp;

	if (!resolver)
		return;
	resolver->queue = NULL;
	while (resolver->threads)
		loop_turn(resolver->loop, -1);
	HASH_ITER (hh, resolver->table, lookup, tmp)
		lookup_free(resolver, lookup);
	free(resolver);
}
