/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters in a storm: askers, origins and names that do at random (with fixed seeds) what they do,
 * in any order, from within answers too. Whatever happens, each wish is answered once, every counter
 * says what is there, nobody waits without cause, and in the end nothing is left.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "memory_io.h"
#include "rules/destination_rule.h"
#include "shim/bridge/cluster_state.h"
#include "shim/libc.h"

#define SEEDS	 8
#define STEPS	 1500
#define ASKERS	 24
#define CLUSTERS 6

struct asker {
	struct acquiring acquiring; /* first */
	bool waiting;
	struct connection *connection;
	unsigned retry; /* attempts at the request so far */
};

struct making {
	struct dial_wish wish;
	struct making *next, *prev;
};

struct peer {
	struct io *io;
	struct peer *next;
};

static uint64_t seed;
static struct loop loop;
static struct clusters clusters;
static struct asker askers[ASKERS];
static struct making *makings;
static struct query *questions;
static struct peer *peers;
static unsigned depth; /* of answers that run each other */
static bool calm;      /* askers begin nothing any more */

static unsigned draw(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % n;
}

/* ---- the outside ------------------------------------------------------------------------- */

static struct dialing *start_making(struct cluster_env *env, const struct dial_wish *wish)
{
	struct making *m = calloc(1, sizeof(*m));

	(void)env;
	ck_assert_ptr_nonnull(m);
	ck_assert_uint_gt(wish->n, 0);
	m->wish = *wish;
	DL_APPEND(makings, m);
	return (struct dialing *)m;
}

static void cancel_making(struct dialing *dialing)
{
	struct making *m = (struct making *)dialing;

	DL_DELETE(makings, m);
	free(m);
}

static void invent(struct addresses *found)
{
	memset(found, 0, sizeof(*found));
	found->n = 1 + draw(4);
	for (size_t i = 0; i < found->n; i++) {
		struct sockaddr_in *in = (struct sockaddr_in *)&found->list[i];

		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(0xc0000201 + draw(6));
	}
}

static void answer(struct query *query)
{
	const struct err err = {.text = "no such name"};
	struct addresses found;

	invent(&found);
	if (draw(4))
		query->answer(query, &found, NULL);
	else
		query->answer(query, NULL, &err);
}

static bool ask(struct cluster_env *env, const char *name, struct query *query)
{
	struct addresses found;

	(void)env;
	(void)name;
	query->next = NULL;
	query->link = NULL;
	query->more = false;
	if (!draw(3)) {
		answer(query);
		return true;
	}
	query->next = questions;
	if (questions)
		questions->link = &query->next;
	query->link = &questions;
	questions = query;
	if (draw(4))
		return false;
	/* an old answer, and another one to come */
	invent(&found);
	query->more = true;
	query->answer(query, &found, NULL);
	return true;
}

static uint32_t bits(struct cluster_env *env)
{
	(void)env;
	return draw(1u << 31);
}

static struct cluster_env env = {&loop, start_making, cancel_making, ask, bits};

/* ---- what the rules say ------------------------------------------------------------------ */

static const struct endpoint fixed[] = {
    {"192.0.2.1", 80, 1}, {"192.0.2.2", 80, 3}, {"unix:///run/three", 0, 1}};
static const struct endpoint named[] = {{"one.test", 80, 1}, {"two.test", 80, 2}};
static struct tcp_settings tcp;
static struct http_settings http;
static struct connection_pool pool = {.tcp = &tcp, .http = &http};
static struct load_balancer in_turn, random_choice;
static struct outlier_detection outlier;
static struct cluster rules[CLUSTERS];

static void set(struct number *number, long long value)
{
	number->value = value;
	number->set = true;
}

/* Small limits, so that they are reached; `draw` decides which there are. */
static void make_rules(void)
{
	memset(&tcp, 0, sizeof(tcp));
	memset(&http, 0, sizeof(http));
	set(&tcp.max_connections, 1 + draw(5));
	if (draw(2))
		tcp.max_connection_duration = (struct duration){.set = true, .ns = 3000000000};
	set(&http.http1_max_pending_requests, draw(6));
	set(&http.http2_max_requests, draw(10));
	set(&http.max_retries, 1 + draw(3));
	set(&http.max_requests_per_connection, draw(4));
	http.idle_timeout = (struct duration){.set = true, .ns = 2000000000};
	in_turn.simple.value = LB_ROUND_ROBIN;
	random_choice.simple.value = LB_RANDOM;
	set(&outlier.consecutive_5xx_errors, 2);
	set(&outlier.max_ejection_percent, 100);
	for (int i = 0; i < CLUSTERS; i++)
		rules[i] = (struct cluster){.host = "a.test", .port = 80, .connect_timeout = 1000};
	rules[0].tls.mode = rules[2].tls.mode = rules[5].tls.mode = TLS_MODE_SIMPLE;
	rules[0].id = "fixed";
	rules[1].id = "fixed, bounded";
	rules[0].endpoints = rules[1].endpoints = fixed;
	rules[0].n_endpoints = rules[1].n_endpoints = 3;
	rules[2].id = "named, bounded";
	rules[3].id = "named, healthy";
	rules[2].endpoints = rules[3].endpoints = rules[4].endpoints = named;
	rules[2].n_endpoints = rules[3].n_endpoints = rules[4].n_endpoints = 2;
	rules[2].resolution = rules[3].resolution = RESOLUTION_DNS;
	rules[4].id = "logical";
	rules[4].n_endpoints = 1;
	rules[4].resolution = RESOLUTION_DNS_ROUND_ROBIN;
	rules[5].id = "dynamic";
	rules[5].resolution = RESOLUTION_DYNAMIC_DNS;
	rules[1].connection_pool = rules[2].connection_pool = rules[4].connection_pool = &pool;
	rules[1].load_balancer = &in_turn;
	rules[3].load_balancer = &random_choice;
	rules[1].outlier_detection = rules[3].outlier_detection = &outlier;
}

/* ---- askers ------------------------------------------------------------------------------ */

static void wish(struct asker *asker)
{
	static const char *const names[] = {"a.test", "b.test", "c.test"};
	static const char *const dynamic[] = {"d.test", "e.test", "192.0.2.9", ""};
	struct acquisition wish = {.server_name = names[draw(3)]};

	wish.cluster = asker->retry && draw(4) ? NULL : &rules[draw(CLUSTERS)];
	if (!wish.cluster) /* once more the same */
		wish.cluster = &asker->acquiring.cluster->cluster;
	if (asker->retry && asker->acquiring.cluster->dynamic.address) {
		wish.cluster = &rules[5];
		wish.dynamic = dynamic[draw(4)];
	} else if (wish.cluster == &rules[5]) {
		wish.dynamic = dynamic[draw(4)];
	}
	wish.http = draw(4);
	wish.encrypted = !wish.http && draw(2);
	wish.fresh = !draw(5);
	wish.attempt = asker->retry;
	wish.other_host = asker->retry && draw(2);
	wish.hashed = draw(2);
	wish.hash = draw(100);
	asker->waiting = true;
	cluster_acquire(&clusters, &asker->acquiring, &wish, NULL);
}

static void give_back(struct asker *asker)
{
	struct connection *connection = asker->connection;

	if (!draw(3))
		cluster_report(&asker->acquiring, connection, draw(3) ? 503 : (int)draw(2) - 1);
	asker->connection = NULL;
	cluster_release(&asker->acquiring, connection, draw(4), draw(2));
}

/* Anything that an exchange may do, to any of them. */
static void act(struct asker *asker)
{
	if (asker->connection) {
		give_back(asker);
		asker->retry = draw(3) ? 0 : asker->retry + 1;
		if (asker->retry && draw(2))
			cluster_retry(&asker->acquiring);
	} else if (asker->waiting) {
		if (draw(3) && !calm)
			return;
		cluster_cancel(&asker->acquiring);
		asker->waiting = false;
	} else if (calm || !draw(6)) {
		cluster_cancel(&asker->acquiring);
		cluster_leave(&asker->acquiring);
		asker->retry = 0;
	} else {
		if (!asker->acquiring.cluster)
			asker->retry = 0;
		wish(asker);
	}
}

static void done(struct acquiring *acquiring, struct connection *connection,
		 enum upstream_failure failure, const char *reason)
{
	struct asker *asker = (struct asker *)acquiring;

	ck_assert(asker->waiting);
	ck_assert_ptr_null(asker->connection);
	ck_assert(connection || (reason && *reason && failure <= UPSTREAM_OVERFLOW));
	asker->waiting = false;
	asker->connection = connection;
	if (!connection)
		asker->retry = cluster_may_retry(acquiring) ? asker->retry + 1 : 0;
	if (depth > 4)
		return;
	depth++;
	for (unsigned n = draw(3); n; n--)
		act(draw(2) ? asker : &askers[draw(ASKERS)]);
	depth--;
}

/* ---- origins and names ------------------------------------------------------------------- */

static void end_making(bool connect)
{
	const struct err err = {.text = "refused"};
	struct making *m = makings;
	struct io *ends[2];

	for (unsigned n = draw(6); n && m->next; n--)
		m = m->next;
	struct dial_wish w = m->wish;
	for (size_t i = 0; i < w.n; i++)
		if (!connect || !draw(3))
			w.failed(w.arg, i, draw(2) ? UPSTREAM_CONNECT : UPSTREAM_TIMEOUT);
	DL_DELETE(makings, m);
	free(m);
	if (!connect) {
		w.done(w.arg, NULL, 0, draw(2) ? UPSTREAM_CONNECT : UPSTREAM_TIMEOUT, &err);
		return;
	}
	struct peer *peer = calloc(1, sizeof(*peer));
	ck_assert_ptr_nonnull(peer);
	memory_io_pair(ends, 64);
	peer->io = ends[1];
	LL_PREPEND(peers, peer);
	w.done(w.arg, connection_over(&loop, ends[0]), draw((unsigned)w.n), UPSTREAM_CONNECT, NULL);
}

static void answer_one(void)
{
	struct query *query = questions;

	for (unsigned n = draw(3); n && query->next; n--)
		query = query->next;
	query_cancel(query);
	query->more = false;
	answer(query);
}

static void peer_leaves(void)
{
	struct peer *peer = peers;

	for (unsigned n = draw(12); n && peer->next; n--)
		peer = peer->next;
	if (!draw(4)) {
		io_write(peer->io, "?", 1);
		return;
	}
	LL_DELETE(peers, peer);
	io_close(peer->io, draw(2));
	free(peer);
}

static void pass_time(uint64_t ms)
{
	loop.now += ms;
	for (int i = 0; i < 4; i++)
		loop_run_due(&loop);
}

static void step(void)
{
	unsigned what = draw(20);

	if (what < 10)
		act(&askers[draw(ASKERS)]);
	else if (what < 14 && makings)
		end_making(draw(4));
	else if (what < 16 && questions)
		answer_one();
	else if (what < 17 && peers)
		peer_leaves();
	else if (what < 18)
		pass_time(draw(30) ? draw(700) : CLUSTER_IDLE_MS);
	else if (!draw(8))
		clusters_evict(&clusters);
	pass_time(0);
}

/* ---- what must hold ---------------------------------------------------------------------- */

static void check_cluster(struct live_cluster *c)
{
	unsigned users = 0, pending = 0, queued = 0, requests = 0, retries = 0, busy = 0;
	struct making *m;

	for (int i = 0; i < ASKERS; i++) {
		const struct asker *asker = &askers[i];

		if (asker->acquiring.cluster != c)
			continue;
		users++;
		pending += asker->acquiring.lane != NULL;
		queued += asker->acquiring.lane && asker->acquiring.http;
		requests += asker->connection && asker->acquiring.http;
		retries += asker->acquiring.retrying;
		busy += asker->connection != NULL;
		ck_assert_int_eq(asker->waiting, asker->acquiring.list != NULL);
	}
	DL_FOREACH (makings, m)
		busy += m->wish.cluster == &c->cluster;
	ck_assert_uint_eq(c->users, users);
	ck_assert_uint_eq(c->pending, pending);
	ck_assert_uint_eq(c->requests, requests);
	ck_assert_uint_eq(c->retries, retries);
	ck_assert_uint_le(queued, c->limits.pending);
	ck_assert_uint_le(c->requests, c->limits.requests);
	if (c->connections > c->limits.connections) /* by the first ones of lanes */
		ck_assert_uint_le(c->connections - c->limits.connections, c->n_lanes);
	ck_assert_msg(!c->pending || busy, "%s: %u wait for nothing", c->cluster.id, pending);
	ck_assert_msg(!c->waiting || (c->asking && !c->n_members),
		      "%s: there are hosts, and they are waited for", c->cluster.id);
	for (size_t i = 0; i < c->n_members; i++) {
		unsigned active = 0;

		for (int j = 0; j < ASKERS; j++)
			active += askers[j].acquiring.host == live_host(c->members[i]);
		ck_assert_uint_eq(c->members[i]->active, active);
	}
}

static void check_all(void)
{
	uint64_t connections = 0, there = clusters.pool.n;
	struct live_cluster *c, *tmp;
	struct making *m;

	HASH_ITER (hh, clusters.table, c, tmp) {
		check_cluster(c);
		connections += c->connections;
	}
	DL_FOREACH (makings, m)
		there++;
	for (int i = 0; i < ASKERS; i++)
		there += askers[i].connection != NULL;
	ck_assert_uint_eq(connections, there);
}

/* All is answered that is asked; then all have theirs, or know why not. */
static void calm_down(void)
{
	calm = true;
	for (int i = 0; i < 100; i++) {
		while (questions)
			answer_one();
		while (makings)
			end_making(true);
		pass_time(1);
		for (int j = 0; j < ASKERS; j++)
			if (askers[j].connection)
				give_back(&askers[j]);
		pass_time(1);
		check_all();
	}
	for (int j = 0; j < ASKERS; j++) {
		ck_assert_msg(!askers[j].waiting, "%d still waits", j);
		cluster_cancel(&askers[j].acquiring);
		cluster_leave(&askers[j].acquiring);
	}
}

START_TEST(storm)
{
	libc_bind();
	seed = (uint64_t)_i + 1;
	loop.deferred_tail = &loop.deferred;
	loop.now = 1000000;
	clusters_init(&clusters, &env);
	make_rules();
	for (int i = 0; i < ASKERS; i++)
		askers[i].acquiring.done = done;
	for (int i = 0; i < STEPS; i++) {
		step();
		check_all();
	}
	calm_down();
	/* idle connections time out, then the clusters; of an hour is the default */
	for (int i = 0; i < 70; i++)
		pass_time(CLUSTER_IDLE_MS);
	ck_assert_ptr_null(clusters.table);
	ck_assert_ptr_null(loop.timers);
	ck_assert_uint_eq(clusters.pool.n, 0);
	while (peers) {
		struct peer *peer = peers;

		LL_DELETE(peers, peer);
		ck_assert(io_read(peer->io, &(char){0}, 1) != IO_WANT_READ);
		io_close(peer->io, false);
		free(peer);
	}
	clusters_release(&clusters);
}
END_TEST

Suite *cluster_storm_suite(void);
Suite *cluster_storm_suite(void)
{
	Suite *suite = suite_create("cluster_storm");
	TCase *tcase = tcase_create("cluster_storm");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, storm, 0, SEEDS);
	suite_add_tcase(suite, tcase);
	return suite;
}
