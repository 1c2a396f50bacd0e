/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage for clusters: no sockets, no resolver, and time that only the test moves. Connections
 * are asked for by programs, dialings and questions wait for the test to answer them.
 */
#ifndef TESTS_UNIT_CLUSTER_STAGE_H
#define TESTS_UNIT_CLUSTER_STAGE_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "rules/destination_rule.h"
#include "shim/bridge/cluster.h"

#define DIALINGS 64

/* A dialing that the cluster began. */
struct stage_dialing {
	struct dial_wish wish;
	struct sockaddr_storage addresses[RESOLVE_MAX];
	char server_name[256];
	bool over, cancelled;
};

struct program {
	struct acquiring acquiring; /* first */
	struct connection *connection;
	int answers;
	enum upstream_failure failure;
	char reason[256];
};

extern struct loop stage_loop;
extern struct rules *stage_rules; /* what wishes come with */
extern struct clusters stage_clusters;
extern struct stage_dialing stage_dialings[DIALINGS];
extern size_t stage_n_dialings;
extern struct io *stage_peers[DIALINGS]; /* the origin's ends, by dialing; close with io_close() */
extern unsigned stage_questions;	 /* asked so far */
extern bool stage_old;			 /* answers are old, and further ones will follow */

/* What the rules may say of a cluster, all linked to each other. */
struct stage_policy {
	struct cluster cluster;
	struct load_balancer balancer;
	struct connection_pool pool;
	struct tcp_settings tcp;
	struct http_settings http;
	struct outlier_detection outlier; /* is in force when the cluster points to it */
};

size_t stage_n_clusters(void);

void stage_open(void);
void stage_close(void); /* everything must have been given back */

/* A STATIC cluster of that many endpoints: 192.0.2.1, .2 ... */
void stage_policy_init(struct stage_policy *policy, size_t endpoints);

/* Ask for a connection. */
void program_ask(struct program *program, const struct cluster *cluster);
void program_wish(struct program *program, const struct acquisition *wish);
void program_give_back(struct program *program, bool reusable);

/* Time passes. */
void stage_advance(uint64_t ms);

/* The i-th dialing ends: at one of its addresses, or nowhere. */
void stage_connect(size_t i, size_t which);
void stage_refuse(size_t i);

/* The last byte of the first address that is dialled. */
unsigned stage_dialled(size_t i);

/* Answer the questions for a name: these last bytes of 192.0.2.x; none: a failure. */
void stage_resolve(const char *name, size_t n, const unsigned char *bytes);

/* Give back what it holds, ask for nothing any more, and go. */
void program_leave(struct program *program);

/* It was answered once, with this failure. */
void program_failed_with(const struct program *program, enum upstream_failure failure,
			 const char *reason);

/* Write a setting. */
void number_set(struct number *number, long long value);
void duration_set_ms(struct duration *duration, int64_t ms);

#endif
