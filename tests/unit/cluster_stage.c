/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_stage.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_io.h"
#include "shim/bridge/cluster_state.h"
#include "shim/libc.h"

struct loop stage_loop;
struct rules *stage_rules;
struct clusters stage_clusters;
struct stage_dialing stage_dialings[DIALINGS];
size_t stage_n_dialings;
struct io *stage_peers[DIALINGS];
unsigned stage_questions;
bool stage_old;

static struct endpoint endpoints[8];
static char endpoint_names[8][32];
static uint32_t draws;

/* Questions under way: the name stands beside the query. */
static struct {
	char name[64];
	struct query *query;
} questions[16];

static struct dialing *fake_dial(struct cluster_env *env, const struct dial_wish *wish)
{
	struct stage_dialing *d = &stage_dialings[stage_n_dialings];

	(void)env;
	ck_assert_uint_lt(stage_n_dialings, DIALINGS);
	ck_assert_uint_gt(wish->n, 0);
	stage_n_dialings++;
	d->wish = *wish;
	memcpy(d->addresses, wish->addresses, wish->n * sizeof(d->addresses[0]));
	snprintf(d->server_name, sizeof(d->server_name), "%s", wish->server_name);
	d->over = d->cancelled = false;
	return (struct dialing *)d;
}

static void fake_cancel(struct dialing *dialing)
{
	struct stage_dialing *d = (struct stage_dialing *)dialing;

	ck_assert(!d->over);
	d->over = d->cancelled = true;
}

static bool fake_ask(struct cluster_env *env, const char *name, struct query *query)
{
	(void)env;
	stage_questions++;
	query->link = NULL;
	query->more = false;
	for (size_t i = 0; i < 16; i++) {
		if (questions[i].query)
			continue;
		snprintf(questions[i].name, sizeof(questions[i].name), "%s", name);
		questions[i].query = query;
		return false;
	}
	ck_abort_msg("too many questions");
}

static uint32_t fake_random(struct cluster_env *env)
{
	(void)env;
	return draws += 0x40000001; /* every quarter in turn */
}

static struct cluster_env env = {&stage_loop, fake_dial, fake_cancel, fake_ask, fake_random};

void stage_open(void)
{
	libc_bind();
	memset(&stage_loop, 0, sizeof(stage_loop));
	stage_loop.deferred_tail = &stage_loop.deferred;
	stage_loop.now = 1000000;
	stage_rules = NULL;
	stage_n_dialings = 0;
	stage_questions = 0;
	stage_old = false;
	draws = 0;
	memset(questions, 0, sizeof(questions));
	memset(stage_peers, 0, sizeof(stage_peers));
	clusters_init(&stage_clusters, &env);
}

void stage_close(void)
{
	/* Some may be under way for the next asker. */
	for (size_t i = 0; i < stage_n_dialings; i++)
		if (!stage_dialings[i].over)
			stage_refuse(i);
	clusters_release(&stage_clusters);
	stage_advance(0);
	ck_assert_ptr_null(stage_clusters.table);
	ck_assert_ptr_null(stage_loop.timers);
	for (size_t i = 0; i < DIALINGS; i++) {
		if (!stage_peers[i])
			continue;
		ck_assert_msg(memory_io_is_closed(stage_peers[i]) ||
				  io_read(stage_peers[i], &(char){0}, 1) != IO_WANT_READ,
			      "the connection of dialing %zu is open", i);
		io_close(stage_peers[i], false);
	}
}

size_t stage_n_clusters(void)
{
	return HASH_COUNT(stage_clusters.table);
}

void stage_policy_init(struct stage_policy *p, size_t n)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < n; i++) {
		snprintf(endpoint_names[i], sizeof(endpoint_names[i]), "192.0.2.%zu", i + 1);
		endpoints[i] = (struct endpoint){endpoint_names[i], 80, 1};
	}
	p->pool.tcp = &p->tcp;
	p->pool.http = &p->http;
	p->cluster = (struct cluster){
	    .host = "a.test",
	    .port = 80,
	    .endpoints = endpoints,
	    .n_endpoints = n,
	    .load_balancer = &p->balancer,
	    .connection_pool = &p->pool,
	    .connect_timeout = 10000,
	    .tls = {.mode = TLS_MODE_SIMPLE},
	    .id = "a.test:80",
	};
	p->balancer.simple.value = LB_ROUND_ROBIN;
}

static void answered(struct acquiring *acquiring, struct connection *connection,
		     enum upstream_failure failure, const char *reason)
{
	struct program *program = (struct program *)acquiring;

	ck_assert_ptr_null(program->connection);
	program->answers++;
	program->connection = connection;
	program->failure = failure;
	snprintf(program->reason, sizeof(program->reason), "%s", connection ? "" : reason);
}

void program_wish(struct program *program, const struct acquisition *wish)
{
	program->acquiring.done = answered;
	program->answers = 0;
	program->reason[0] = '\0';
	cluster_acquire(&stage_clusters, &program->acquiring, wish, stage_rules);
}

void program_ask(struct program *program, const struct cluster *cluster)
{
	const struct acquisition wish = {.cluster = cluster, .server_name = "a.test", .http = true};

	program_wish(program, &wish);
}

void program_give_back(struct program *program, bool reusable)
{
	struct connection *connection = program->connection;

	ck_assert_ptr_nonnull(connection);
	program->connection = NULL;
	cluster_release(&program->acquiring, connection, reusable, !reusable);
	stage_advance(0);
}

void stage_advance(uint64_t ms)
{
	stage_loop.now += ms;
	for (int i = 0; i < 8; i++)
		loop_run_due(&stage_loop);
}

void stage_connect(size_t i, size_t which)
{
	struct stage_dialing *d = &stage_dialings[i];
	struct io *ends[2];

	ck_assert_uint_lt(i, stage_n_dialings);
	ck_assert(!d->over);
	ck_assert_uint_lt(which, d->wish.n);
	d->over = true;
	memory_io_pair(ends, 4096);
	stage_peers[i] = ends[1];
	d->wish.done(d->wish.arg, connection_over(&stage_loop, ends[0]), which, UPSTREAM_CONNECT,
		     NULL);
	stage_advance(0);
}

void stage_refuse(size_t i)
{
	struct stage_dialing *d = &stage_dialings[i];
	const struct err err = {.text = "connect: Connection refused"};

	ck_assert_uint_lt(i, stage_n_dialings);
	ck_assert(!d->over);
	for (size_t which = 0; which < d->wish.n; which++)
		d->wish.failed(d->wish.arg, which, UPSTREAM_CONNECT);
	d->over = true;
	d->wish.done(d->wish.arg, NULL, 0, UPSTREAM_CONNECT, &err);
	stage_advance(0);
}

unsigned stage_dialled(size_t i)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)stage_dialings[i].addresses;

	ck_assert_uint_lt(i, stage_n_dialings);
	ck_assert_int_eq(in->sin_family, AF_INET);
	return ntohl(in->sin_addr.s_addr) & 255;
}

void stage_resolve(const char *name, size_t n, const unsigned char *bytes)
{
	struct addresses found = {.n = n};
	const struct err err = {.text = "cannot resolve it"};
	bool asked = false;

	for (size_t i = 0; i < n; i++) {
		struct sockaddr_in *in = (struct sockaddr_in *)&found.list[i];

		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(0xc0000200 + bytes[i]);
	}
	for (size_t i = 0; i < 16; i++) {
		struct query *query = questions[i].query;

		if (!query || strcmp(questions[i].name, name) != 0)
			continue;
		asked = true;
		if (!stage_old)
			questions[i].query = NULL;
		query->more = stage_old;
		query->answer(query, n ? &found : NULL, n ? NULL : &err);
	}
	ck_assert_msg(asked, "nobody asked for %s", name);
	stage_advance(0);
}

void program_leave(struct program *program)
{
	if (program->connection)
		program_give_back(program, true);
	cluster_cancel(&program->acquiring);
	cluster_leave(&program->acquiring);
}

void number_set(struct number *number, long long value)
{
	number->value = value;
	number->set = true;
}

void duration_set_ms(struct duration *duration, int64_t ms)
{
	duration->ns = ms * 1000000;
	duration->set = true;
}

void program_failed_with(const struct program *program, enum upstream_failure failure,
			 const char *reason)
{
	ck_assert_int_eq(program->answers, 1);
	ck_assert_ptr_null(program->connection);
	ck_assert_int_eq(program->failure, failure);
	ck_assert_str_eq(program->reason, reason);
}
