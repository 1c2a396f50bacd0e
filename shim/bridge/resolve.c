/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One `struct lookup` per name: in the table while anybody wants something of it, and as long as
 * there is room. A look-up thread owns nothing but a pointer to the lookup's `job`, which nobody
 * else touches while `running`; a running lookup is never freed.
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

#define NAMES_MAX 1024 /* kept; above, the table is emptied of idle ones */

struct lookup {
	struct resolver *resolver;
	char *name;
	bool queued, running;
	unsigned pins;		/* callbacks that are under way: not to be freed */
	struct addresses known; /* n of 0: none */
	uint64_t known_at;
	unsigned failures; /* since it was known last */
	uint64_t failed_at;
	struct query *queries;
	struct lookup *next; /* in resolver->queue */
	struct resolving job;
	UT_hash_handle hh;
};

struct resolver {
	struct loop *loop;
	int (*begin)(struct loop *loop, struct resolving *job);
	struct lookup *table;
	struct lookup *queue; /* waiting for a thread */
	int threads;
};

/* ---- what is known ----------------------------------------------------------------------- */

static bool is_known(const struct lookup *lookup)
{
	return lookup->known.n > 0 &&
	       loop_now(lookup->resolver->loop) - lookup->known_at < RESOLVE_KEEP_MS;
}

static bool is_fresh(const struct lookup *lookup)
{
	return is_known(lookup) &&
	       loop_now(lookup->resolver->loop) - lookup->known_at < RESOLVE_FRESH_MS;
}

/* How long to wait yet after failures; 0: not at all. */
static uint64_t pause_left(const struct lookup *lookup)
{
	uint64_t pause = RESOLVE_RETRY_MS;
	uint64_t waited = loop_now(lookup->resolver->loop) - lookup->failed_at;

	if (lookup->failures == 0)
		return 0;
	for (unsigned i = 1; i < lookup->failures && pause < RESOLVE_RETRY_MAX_MS; i++)
		pause *= 2;
	if (pause > RESOLVE_RETRY_MAX_MS)
		pause = RESOLVE_RETRY_MAX_MS;
	return pause > waited ? pause - waited : 0;
}

static void answer_all(struct lookup *lookup, const struct addresses *found, const struct err *err)
{
	/* Off the list: who asks again at once, in vain, is to wait for another answer. */
	struct query *list = lookup->queries;

	if (list)
		list->link = &list;
	lookup->queries = NULL;
	while (list) {
		struct query *query = list;

		query_cancel(query);
		query->more = false;
		query->answer(query, found, err);
	}
}

static void lookup_free(struct resolver *resolver, struct lookup *lookup)
{
	HASH_DEL(resolver->table, lookup);
	free(lookup->name);
	free(lookup);
}

static void forget_idle(struct resolver *resolver)
{
	struct lookup *lookup, *tmp;

	HASH_ITER (hh, resolver->table, lookup, tmp)
		if (!lookup->queued && !lookup->running && !lookup->pins)
			lookup_free(resolver, lookup);
}

/* ---- the look-up thread ------------------------------------------------------------------ */

static void *lookup_thread(void *arg)
{
	struct lookup *lookup = arg;
	struct resolving *job = &lookup->job;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;

	thread_enter();
	fork_hold();
	job->gai_error = real.getaddrinfo(job->name, NULL, &hints, &list);
	job->sys_error = errno;
	fork_release();
	for (struct addrinfo *ai = list; ai && job->found.n < RESOLVE_MAX; ai = ai->ai_next)
		if (ai->ai_addrlen <= sizeof(job->found.list[0]))
			memcpy(&job->found.list[job->found.n++], ai->ai_addr, ai->ai_addrlen);
	if (list)
		freeaddrinfo(list);
	loop_post(lookup->resolver->loop, &job->done);
	return NULL;
}

static int begin_thread(struct loop *loop, struct resolving *job)
{
	(void)loop;
	return thread_start(lookup_thread, container_of(job, struct lookup, job));
}

/* ---- looking up -------------------------------------------------------------------------- */

static void start_queued(struct resolver *resolver)
{
	while (resolver->queue && resolver->threads < RESOLVE_THREADS) {
		struct lookup *lookup = resolver->queue;
		struct resolving *job = &lookup->job;

		LL_DELETE(resolver->queue, lookup);
		lookup->queued = false;
		lookup->running = true;
		resolver->threads++;
		memset(&job->found, 0, sizeof(job->found));
		int error = resolver->begin(resolver->loop, job);
		if (error) {
			/* Reported through the loop, as every other outcome is. */
			job->gai_error = EAI_SYSTEM;
			job->sys_error = error;
			loop_defer(resolver->loop, &job->done);
		}
	}
}

/* Unless it is on its way already. */
static void look_up(struct lookup *lookup)
{
	struct resolver *resolver = lookup->resolver;

	if (lookup->running || lookup->queued)
		return;
	lookup->queued = true;
	LL_APPEND(resolver->queue, lookup);
	start_queued(resolver);
}

static void lookup_found(struct lookup *lookup)
{
	lookup->known = lookup->job.found;
	lookup->known_at = loop_now(lookup->resolver->loop);
	lookup->failures = 0;
	answer_all(lookup, &lookup->known, NULL);
}

static void lookup_failed(struct lookup *lookup)
{
	const struct resolving *job = &lookup->job;
	struct err err = {0};

	lookup->failures++;
	lookup->failed_at = loop_now(lookup->resolver->loop);
	err_set(&err, EHOSTUNREACH, "cannot resolve %s: %s", lookup->name,
		job->gai_error == EAI_SYSTEM ? strerror(job->sys_error)
		: job->gai_error	     ? gai_strerror(job->gai_error)
					     : "no address");
	answer_all(lookup, NULL, &err);
}

static void lookup_done(struct task *task)
{
	struct lookup *lookup = container_of(task, struct lookup, job.done);
	struct resolver *resolver = lookup->resolver;

	lookup->running = false;
	resolver->threads--;
	lookup->pins++;
	if (lookup->job.found.n)
		lookup_found(lookup);
	else
		lookup_failed(lookup);
	lookup->pins--;
	start_queued(resolver);
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
		forget_idle(resolver);
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return NULL;
	lookup->resolver = resolver;
	lookup->job.done.run = lookup_done;
	lookup->name = strdup(name);
	if (!lookup->name) {
		free(lookup);
		return NULL;
	}
	lookup->job.name = lookup->name;
	HASH_ADD_KEYPTR(hh, resolver->table, lookup->name, strlen(lookup->name), lookup);
	if (!lookup->hh.tbl) { /* HASH_NONFATAL_OOM: it was not added */
		free(lookup->name);
		free(lookup);
		return NULL;
	}
	return lookup;
}

/* It will be answered by the look-up, which is on its way. */
static void await(struct lookup *lookup, struct query *query)
{
	query->next = lookup->queries;
	if (query->next)
		query->next->link = &query->next;
	query->link = &lookup->queries;
	lookup->queries = query;
}

/* Answer it with what is known. Where that is old, a look-up follows, but not in a pause. */
static void answer_known(struct lookup *lookup, struct query *query)
{
	if (!is_fresh(lookup) && pause_left(lookup) == 0)
		look_up(lookup);
	query->more = lookup->running || lookup->queued;
	if (query->more)
		await(lookup, query);
	lookup->pins++;
	query->answer(query, &lookup->known, NULL);
	lookup->pins--;
}

bool resolver_ask(struct resolver *resolver, const char *name, struct query *query)
{
	struct addresses one;

	query->next = NULL;
	query->link = NULL;
	query->more = false;
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
	if (is_known(lookup)) {
		answer_known(lookup, query);
		return true;
	}
	await(lookup, query);
	look_up(lookup);
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

/* ---- its life --------------------------------------------------------------------------- */

void resolver_replace(struct resolver *resolver,
		      int (*begin)(struct loop *loop, struct resolving *job))
{
	resolver->begin = begin;
}

struct resolver *resolver_new(struct loop *loop, struct err *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver) {
		err_set_errno(err, ENOMEM, "cannot start the resolver");
		return NULL;
	}
	resolver->loop = loop;
	resolver->begin = begin_thread;
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
