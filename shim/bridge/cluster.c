/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of clusters, the choice of a host, and their health. See cluster_state.h for who holds
 * what.
 *
 * A cluster keeps the rules that it was made of; those in force later say the same of it (that is
 * what an id means), so it only changes over to them, to let the old ones go, when nothing of it is
 * in use.
 */
#include "shim/bridge/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "rules/destination_rule.h"
#include "shim/bridge/cluster_state.h"
#include "shim/bridge/outlier.h"
#include "shim/container_of.h"
#include "shim/log.h"

/* ---- the table --------------------------------------------------------------------------- */

/* Whether the program says where to: then there is one cluster for each such place. */
static bool is_dynamic(const struct acquisition *wish)
{
	const struct cluster *cluster = wish->cluster;

	if (cluster->resolution == RESOLUTION_NONE || cluster->resolution == RESOLUTION_DYNAMIC_DNS)
		return true;
	return wish->dynamic && cluster->load_balancer &&
	       cluster->load_balancer->simple.value == LB_PASSTHROUGH;
}

static struct live_host *take_owed(struct live_cluster *c);

static void cluster_free(struct live_cluster *c)
{
	timer_clear(c->all->env->loop, &c->health);
	take_owed(c);
	hosts_release(c);
	balancer_free(c->balancer);
	rules_unref(c->rules);
	free((char *)c->cluster.host);
	free((char *)c->cluster.id);
	free((char *)c->dynamic.address);
	free(c);
}

static void serve_task(struct task *task)
{
	struct live_cluster *c = container_of(task, struct live_cluster, serve);

	c->serving = false;
	if (c->dropped)
		cluster_free(c);
	else
		lanes_serve(c);
}

static void cluster_drop(struct live_cluster *c)
{
	HASH_DEL(c->all->table, c);
	c->dropped = true;
	if (!c->serving)
		cluster_free(c);
}

static bool has_unhealthy(const struct live_cluster *c)
{
	for (size_t i = 0; i < c->n_members; i++)
		if (c->members[i]->ejected || c->members[i]->outlier.ejections)
			return true;
	return false;
}

static void check_health(struct timer *timer)
{
	struct live_cluster *c = container_of(timer, struct live_cluster, health);
	struct loop *loop = c->all->env->loop;
	const struct outlier_detection *settings = c->cluster.outlier_detection;

	if (outlier_sweep(settings, c->members, c->n_members, loop_now(loop)))
		c->unbalanced = true;
	if (has_unhealthy(c))
		timer_set(loop, &c->health, outlier_interval(settings));
}

static struct live_cluster *cluster_new(struct clusters *all, const struct acquisition *wish,
					const char *key, struct rules *rules)
{
	struct live_cluster *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->all = all;
	c->source = wish->cluster;
	c->cluster = *wish->cluster;
	c->cluster.host = strdup(wish->cluster->host ?: "");
	c->cluster.id = strdup(key);
	if (is_dynamic(wish)) {
		c->dynamic.address = strdup(wish->dynamic ?: "");
		c->dynamic.port = c->cluster.target_port ?: c->cluster.port;
		c->dynamic.weight = 1;
	}
	c->rules = rules ? rules_ref(rules) : NULL;
	c->health.fire = check_health;
	c->serve.run = serve_task;
	c->balancer = balancer_new(c->cluster.load_balancer);
	limits_of(c->cluster.connection_pool, &c->limits);
	if (!c->cluster.host || !c->cluster.id || !c->balancer ||
	    (is_dynamic(wish) && !c->dynamic.address) || hosts_init(c) < 0) {
		cluster_free(c);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, all->table, c->cluster.id, strlen(c->cluster.id), c);
	if (!c->hh.tbl) { /* HASH_NONFATAL_OOM: it was not added */
		cluster_free(c);
		return NULL;
	}
	return c;
}

static void change_rules(struct live_cluster *c, const struct cluster *cluster, struct rules *rules)
{
	struct balancer *balancer = balancer_new(cluster->load_balancer);
	const char *host = c->cluster.host, *id = c->cluster.id;

	if (!balancer)
		return;
	balancer_free(c->balancer);
	c->balancer = balancer;
	c->unbalanced = true;
	rules_unref(c->rules);
	c->rules = rules_ref(rules);
	c->source = cluster;
	c->cluster = *cluster;
	c->cluster.host = host;
	c->cluster.id = id;
}

/* Drop those without use for `ms`. */
static void drop_idle(struct clusters *all, uint64_t ms)
{
	uint64_t now = loop_now(all->env->loop);
	struct live_cluster *c, *tmp;

	HASH_ITER (hh, all->table, c, tmp) {
		if (c->users || c->n_lanes || c->health.at)
			c->used = now;
		else if (now - c->used >= ms)
			cluster_drop(c);
	}
}

static void sweep(struct timer *timer)
{
	struct clusters *all = container_of(timer, struct clusters, sweep);

	drop_idle(all, CLUSTER_IDLE_MS);
	if (all->table)
		timer_set(all->env->loop, timer, CLUSTER_IDLE_MS);
}

/* Where the program says where to, that is part of the key. The caller frees it. NULL: no
 * memory. */
static char *dynamic_key(const struct acquisition *wish)
{
	const char *dynamic = wish->dynamic ?: "";
	size_t size = strlen(wish->cluster->id) + strlen(dynamic) + 2;
	char *key = malloc(size);

	if (key)
		snprintf(key, size, "%s\n%s", wish->cluster->id, dynamic);
	return key;
}

/* NULL: no memory. */
static struct live_cluster *cluster_get(struct clusters *all, const struct acquisition *wish,
					struct rules *rules)
{
	bool dynamic = is_dynamic(wish);
	char *made = dynamic ? dynamic_key(wish) : NULL;
	const char *key = dynamic ? made : wish->cluster->id;
	struct live_cluster *c;

	if (!key)
		return NULL;
	HASH_FIND_STR(all->table, key, c);
	if (!c) {
		if (HASH_COUNT(all->table) >= CLUSTERS_MAX)
			drop_idle(all, 0);
		c = cluster_new(all, wish, key, rules);
		if (c && !all->sweep.at)
			timer_set(all->env->loop, &all->sweep, CLUSTER_IDLE_MS);
	} else if (rules && c->rules != rules && !c->users && !c->n_lanes) {
		change_rules(c, wish->cluster, rules);
	}
	free(made);
	return c;
}

/* Whether the table would say that it is this one; without asking, as most requests of a connection
 * go where the one before went. */
static bool is_same(const struct live_cluster *c, const struct acquisition *wish,
		    const struct rules *rules)
{
	if (!c || !rules || c->rules != rules || c->source != wish->cluster)
		return false;
	if (!is_dynamic(wish))
		return !c->dynamic.address;
	return c->dynamic.address && !strcmp(c->dynamic.address, wish->dynamic ?: "");
}

void clusters_init(struct clusters *all, struct cluster_env *env)
{
	memset(all, 0, sizeof(*all));
	all->env = env;
	all->pool.loop = env->loop;
	all->sweep.fire = sweep;
}

void clusters_release(struct clusters *all)
{
	struct live_cluster *c, *tmp;

	while (pool_evict(&all->pool))
		continue;
	timer_clear(all->env->loop, &all->sweep);
	HASH_ITER (hh, all->table, c, tmp)
		cluster_drop(c);
}

bool clusters_evict(struct clusters *all)
{
	return pool_evict(&all->pool);
}

/* ---- health ------------------------------------------------------------------------------ */

void cluster_note(struct live_host *host, int event, int status)
{
	struct live_cluster *c = host->cluster;
	const struct outlier_detection *settings = c->cluster.outlier_detection;
	struct loop *loop = c->all->env->loop;

	if (!settings || host->gone)
		return;
	if (!outlier_note(settings, c->members, c->n_members, &host->host,
			  (enum outlier_event)event, status, loop_now(loop)))
		return;
	log_info("%s: %s is ejected", c->cluster.host, host->name);
	c->unbalanced = true;
	if (!c->health.at)
		timer_set(loop, &c->health, outlier_interval(settings));
}

void cluster_report(struct acquiring *a, struct connection *connection, int outcome)
{
	(void)connection;
	if (!a->host)
		return;
	if (outcome == OUTCOME_TIMEOUT)
		cluster_note(a->host, OUTLIER_TIMEOUT, 0);
	else if (outcome == OUTCOME_RESET)
		cluster_note(a->host, OUTLIER_RESET, 0);
	else
		cluster_note(a->host, OUTLIER_STATUS, outcome);
}

/* ---- choosing a host --------------------------------------------------------------------- */

static bool visited(void *arg, const struct host *host)
{
	const struct acquiring *a = arg;
	uint64_t serial = ((const struct live_host *)host)->serial;

	for (unsigned i = 0; i < a->n_visits; i++)
		if (a->visits[i] == serial)
			return true;
	return false;
}

void acquiring_visits(struct acquiring *a, const struct live_host *host)
{
	if (a->n_visits < VISITS_MAX && !visited(a, &host->host))
		a->visits[a->n_visits++] = host->serial;
}

static uint32_t random_bits(void *arg)
{
	const struct acquiring *a = arg;
	struct cluster_env *env = a->cluster->all->env;

	return env->random(env);
}

void cluster_owe(struct acquiring *a)
{
	if (a->hashed || a->cluster->owed)
		return;
	a->cluster->owed = a->host;
	host_hold(a->host);
}

/* Returns a member, or NULL. */
static struct live_host *take_owed(struct live_cluster *c)
{
	struct live_host *host = c->owed;

	if (!host)
		return NULL;
	c->owed = NULL;
	bool member = !host->gone;
	host_drop(host); /* as a member, it stays */
	return member && !host->host.ejected ? host : NULL;
}

static struct host *pick_host(struct acquiring *a, bool elsewhere)
{
	const struct pick pick = {
	    .hashed = a->hashed,
	    .hash = a->hash,
	    .avoid = elsewhere ? visited : NULL,
	    .random = random_bits,
	    .arg = a,
	};

	struct live_host *owed = a->hashed || elsewhere ? NULL : take_owed(a->cluster);

	return owed ? &owed->host : balancer_pick(a->cluster->balancer, &pick);
}

static void give_up_host(struct acquiring *a)
{
	struct live_host *host = a->host;

	if (!host)
		return;
	a->host = NULL;
	host->host.active--;
	host_drop(host);
}

/* The request has left its host: of its counters, other than those of connections. */
static void acquiring_settle(struct acquiring *a)
{
	give_up_host(a);
	a->cluster->requests -= a->requesting;
	a->cluster->retries -= a->retrying;
	a->requesting = a->retrying = false;
}

void acquiring_fail(struct acquiring *a, enum upstream_failure failure, const char *reason)
{
	acquiring_settle(a);
	a->done(a, NULL, failure, reason);
}

void cluster_assign(struct acquiring *a, enum upstream_failure failure, const char *reason)
{
	struct live_cluster *c = a->cluster;
	struct host *host = NULL;

	give_up_host(a);
	if (hosts_settle(c) < 0) {
		acquiring_fail(a, UPSTREAM_CONNECT, "out of memory");
		return;
	}
	if (!reason || a->n_visits < VISITS_MAX)
		host = pick_host(a, reason || a->other_host);
	if (reason && (!host || visited(a, host))) {
		acquiring_fail(a, failure, reason);
		return;
	}
	if (!host) {
		acquiring_fail(a, UPSTREAM_NO_HOST,
			       !c->n_members && c->err.text[0] ? c->err.text :
								 "no healthy upstream");
		return;
	}
	acquiring_visits(a, live_host(host));
	a->host = live_host(host);
	host->active++;
	host_hold(a->host);
	lane_acquire(a);
}

/* An answer may bring others to wait: those who wait now are told, and no others. */
void cluster_resolved(struct live_cluster *c)
{
	struct acquiring *waiting = c->waiting, *a;

	if (hosts_settle(c) == 0 && !c->n_members && c->asking)
		return;
	c->waiting = NULL;
	DL_FOREACH(waiting, a)
		a->list = &waiting;
	c->users++;
	while ((a = waiting)) {
		DL_DELETE(waiting, a);
		a->list = NULL;
		cluster_assign(a, UPSTREAM_NO_HOST, NULL);
	}
	c->users--;
}

/* ---- for askers -------------------------------------------------------------------------- */

static void enter_cluster(struct acquiring *a, struct live_cluster *c)
{
	if (a->cluster)
		a->cluster->users--;
	a->cluster = c;
	c->users++;
	c->used = loop_now(c->all->env->loop);
}

/* What does not fit is cut off. */
static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

void cluster_acquire(struct clusters *all, struct acquiring *a, const struct acquisition *wish,
		     struct rules *rules)
{
	struct live_cluster *c;

	if (!wish->attempt)
		a->n_visits = 0;
	if (a->cluster) /* a retry that was announced: now it is here, or is not to be */
		acquiring_settle(a);
	c = is_same(a->cluster, wish, rules) ? a->cluster : cluster_get(all, wish, rules);
	if (!c) {
		a->done(a, NULL, UPSTREAM_CONNECT, "out of memory");
		return;
	}
	enter_cluster(a, c);
	/* Without TLS connections are alike, whatever the name. */
	copy_text(a->server_name, sizeof(a->server_name),
		  c->cluster.tls.mode == TLS_MODE_DISABLE ? "" : wish->server_name);
	a->http = wish->http;
	a->encrypted = wish->encrypted;
	a->fresh = wish->fresh;
	a->abroad = wish->abroad;
	a->other_host = wish->other_host;
	a->hashed = wish->hashed;
	a->hash = wish->hash;
	if (a->abroad && (wish->attempt || hosts_are_old(c))) {
		a->done(a, NULL, UPSTREAM_NOT_READY, "");
		return;
	}
	a->retrying = wish->attempt > 0;
	c->retries += a->retrying;
	c->users++;
	hosts_refresh(c);
	if (c->waiting) /* an answer may have been at hand, for those before too */
		cluster_resolved(c);
	if (hosts_settle(c) == 0 && !c->n_members && c->asking) {
		DL_APPEND(c->waiting, a);
		a->list = &c->waiting;
	} else {
		cluster_assign(a, UPSTREAM_NO_HOST, NULL);
	}
	c->users--;
}

void cluster_cancel(struct acquiring *a)
{
	if (!a->list && (a->host || !a->retrying))
		return;
	if (a->lane) {
		lane_cancel(a);
	} else if (a->list) {
		DL_DELETE(*a->list, a);
		a->list = NULL;
	}
	acquiring_settle(a);
}

void cluster_release(struct acquiring *a, struct connection *connection, bool reusable, bool reset)
{
	acquiring_settle(a);
	lane_release(connection, reusable, reset);
}

bool cluster_may_retry(const struct acquiring *a)
{
	return !a->cluster || a->cluster->retries - a->retrying < a->cluster->limits.retries;
}

void cluster_retry(struct acquiring *a)
{
	if (!a->cluster || a->retrying)
		return;
	a->retrying = true;
	a->cluster->retries++;
}

void cluster_leave(struct acquiring *a)
{
	if (!a->cluster)
		return;
	a->cluster->used = loop_now(a->cluster->all->env->loop);
	a->cluster->users--;
	a->cluster = NULL;
}
