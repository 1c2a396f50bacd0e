/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts that may be picked stand in an array of slots, anew with every balancer_set_hosts().
 * What a policy keeps per host is in its slot; the tables of consistent hashing are made of the
 * slots, in the order of the hosts' names, so that they depend on nothing else.
 *
 * Weights are Envoy's earliest deadline first: a host of weight w is due every 1/w, the next to be
 * due is picked. LEAST_REQUEST makes w smaller the more requests a host has. The next one is looked
 * for along the array: clusters are small, and hosts to be avoided are passed over without ado.
 */
#include "shim/bridge/balance.h"

#include <stdlib.h>
#include <string.h>

#include "rules/destination_rule.h"
#include "shim/bridge/hash.h"
#include "shim/bridge/maglev.h"
#include "shim/bridge/ring_hash.h"

/* How many places of a ring or table are tried for a host that is not to be avoided: the
 * hostSelectionRetryMaxAttempts of Istio's routes. */
#define HASH_ATTEMPTS 5

enum policy {
	POLICY_LEAST_REQUEST,
	POLICY_ROUND_ROBIN,
	POLICY_RANDOM,
	POLICY_RING_HASH,
	POLICY_MAGLEV,
};

struct slot {
	struct host *host;
	double due;
	uint64_t order; /* of two that are due at once, the one that came first */
	bool avoided;	/* by this pick */
};

struct balancer {
	enum policy policy;
	uint64_t table_size; /* of the ring or the table */
	struct slot *slots;
	size_t n;
	bool weighted;	/* they differ */
	bool scheduled; /* `due` and `order` are set */
	uint64_t order; /* the last one given */
	bool started;	/* `turn` is set */
	size_t turn;	/* ROUND_ROBIN without weights: whose it is, modulo n */
	struct ring *ring;
	struct maglev_table *table;
};

uint64_t balance_hash(const void *text, size_t len)
{
	return hash64(text, len, 0);
}

/* ---- settings ---------------------------------------------------------------------------- */

static uint64_t size_or(const struct number *number, uint64_t otherwise)
{
	return number->value > 0 ? (uint64_t)number->value : otherwise;
}

static void read_consistent_hash(struct balancer *balancer, const struct consistent_hash *hash)
{
	if (hash->maglev) {
		balancer->policy = POLICY_MAGLEV;
		balancer->table_size = size_or(&hash->maglev->table_size, MAGLEV_SIZE);
		return;
	}
	balancer->policy = POLICY_RING_HASH;
	balancer->table_size = size_or(hash->ring_hash ? &hash->ring_hash->minimum_ring_size
						       : &hash->minimum_ring_size,
				       RING_SIZE);
}

struct balancer *balancer_new(const struct load_balancer *settings)
{
	struct balancer *balancer = calloc(1, sizeof(*balancer));

	if (!balancer || !settings)
		return balancer;
	if (settings->consistent_hash)
		read_consistent_hash(balancer, settings->consistent_hash);
	else if (settings->simple.value == LB_ROUND_ROBIN)
		balancer->policy = POLICY_ROUND_ROBIN;
	else if (settings->simple.value == LB_RANDOM)
		balancer->policy = POLICY_RANDOM;
	return balancer;
}

/* ---- hosts ------------------------------------------------------------------------------- */

static void forget_hosts(struct balancer *balancer)
{
	ring_free(balancer->ring);
	maglev_free(balancer->table);
	free(balancer->slots);
	balancer->ring = NULL;
	balancer->table = NULL;
	balancer->slots = NULL;
	balancer->n = 0;
}

void balancer_free(struct balancer *balancer)
{
	if (!balancer)
		return;
	forget_hosts(balancer);
	free(balancer);
}

static int compare_names(const void *a, const void *b)
{
	const struct host *const *p = a, *const *q = b;

	return strcmp((*p)->name, (*q)->name);
}

/* Returns -1: no memory. */
static int make_table(struct balancer *balancer, struct host **hosts)
{
	if (balancer->policy == POLICY_RING_HASH)
		balancer->ring = ring_new(hosts, balancer->n, balancer->table_size);
	else
		balancer->table = maglev_new(hosts, balancer->n, balancer->table_size);
	return balancer->ring || balancer->table ? 0 : -1;
}

static bool is_hashing(const struct balancer *balancer)
{
	return balancer->policy == POLICY_RING_HASH || balancer->policy == POLICY_MAGLEV;
}

/* Put the n > 0 hosts into slots. `hosts` is sorted on the way. */
static int take_hosts(struct balancer *balancer, struct host **hosts, size_t n)
{
	balancer->slots = calloc(n, sizeof(*balancer->slots));
	if (!balancer->slots)
		return -1;
	balancer->n = n;
	balancer->weighted = balancer->scheduled = false;
	if (is_hashing(balancer))
		qsort(hosts, n, sizeof(hosts[0]), compare_names);
	for (size_t i = 0; i < n; i++) {
		balancer->slots[i].host = hosts[i];
		if (hosts[i]->weight != hosts[0]->weight)
			balancer->weighted = true;
	}
	/* One host needs no table. */
	return is_hashing(balancer) && n > 1 ? make_table(balancer, hosts) : 0;
}

int balancer_set_hosts(struct balancer *balancer, struct host *const *hosts, size_t n, bool panic)
{
	struct host **healthy;
	size_t n_healthy = 0;
	int result = 0;

	forget_hosts(balancer);
	if (n == 0)
		return 0;
	healthy = calloc(n, sizeof(healthy[0]));
	if (!healthy)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (panic || !hosts[i]->ejected)
			healthy[n_healthy++] = hosts[i];
	if (n_healthy > 0)
		result = take_hosts(balancer, healthy, n_healthy);
	if (result < 0)
		forget_hosts(balancer);
	free(healthy);
	return result;
}

/* ---- picking ----------------------------------------------------------------------------- */

static size_t random_below(const struct pick *pick, size_t n)
{
	return pick->random(pick->arg) % n;
}

/* Mark the slots that are to be avoided, none if that were all. Returns how many are left. */
static size_t mark_avoided(struct balancer *balancer, const struct pick *pick)
{
	size_t left = 0;

	for (size_t i = 0; i < balancer->n; i++) {
		struct slot *slot = &balancer->slots[i];

		slot->avoided = pick->avoid && pick->avoid(pick->arg, slot->host);
		left += !slot->avoided;
	}
	if (left > 0)
		return left;
	for (size_t i = 0; i < balancer->n; i++)
		balancer->slots[i].avoided = false;
	return balancer->n;
}

/* The first slot from this one on that is not avoided. */
static struct slot *not_avoided(struct balancer *balancer, size_t from)
{
	while (balancer->slots[from % balancer->n].avoided)
		from++;
	return &balancer->slots[from % balancer->n];
}

/* One of the `left` slots that are not avoided, each as likely as the others. */
static struct slot *pick_random(struct balancer *balancer, const struct pick *pick, size_t left)
{
	size_t skip = random_below(pick, left);
	struct slot *slot = not_avoided(balancer, 0);

	while (skip--)
		slot = not_avoided(balancer, (size_t)(slot - balancer->slots) + 1);
	return slot;
}

/* The less busy one of two; with replacement, as Envoy draws them. */
static struct slot *pick_less_busy(struct balancer *balancer, const struct pick *pick, size_t left)
{
	struct slot *one = pick_random(balancer, pick, left);
	struct slot *two = pick_random(balancer, pick, left);

	return two->host->active < one->host->active ? two : one;
}

static struct slot *pick_in_turn(struct balancer *balancer, const struct pick *pick)
{
	if (!balancer->started) {
		balancer->started = true;
		balancer->turn = random_below(pick, balancer->n);
	}
	struct slot *slot = not_avoided(balancer, balancer->turn);
	balancer->turn = (size_t)(slot - balancer->slots) + 1;
	return slot;
}

static double effective_weight(const struct balancer *balancer, const struct slot *slot)
{
	double weight = slot->host->weight;

	return balancer->policy == POLICY_LEAST_REQUEST ? weight / (1.0 + slot->host->active)
							: weight;
}

/*
 * As if the schedule had been followed for a while, so that not every process begins with the same
 * host: weights are whole numbers, so from 0 to 1 there is every state that it has.
 */
static void schedule(struct balancer *balancer, const struct pick *pick)
{
	double now = pick->random(pick->arg) / 4294967296.0;

	balancer->order = 0;
	for (size_t i = 0; i < balancer->n; i++) {
		struct slot *slot = &balancer->slots[i];
		double weight = effective_weight(balancer, slot);

		slot->due = ((double)(uint64_t)(now * weight) + 1) / weight;
		slot->order = ++balancer->order;
	}
	balancer->scheduled = true;
}

/* It is due again in its time from now. */
static void put_off(struct balancer *balancer, struct slot *slot, double now)
{
	slot->due = now + 1 / effective_weight(balancer, slot);
	slot->order = ++balancer->order;
}

static struct slot *pick_due(struct balancer *balancer, const struct pick *pick)
{
	struct slot *first = NULL;

	if (!balancer->scheduled)
		schedule(balancer, pick);
	for (size_t i = 0; i < balancer->n; i++) {
		struct slot *slot = &balancer->slots[i];

		if (slot->avoided)
			continue;
		if (!first || slot->due < first->due ||
		    (slot->due == first->due && slot->order < first->order))
			first = slot;
	}
	/* Who is passed over has lost its turn, and does not make up for it later. */
	for (size_t i = 0; i < balancer->n; i++) {
		struct slot *slot = &balancer->slots[i];

		if (slot->avoided && slot->due <= first->due)
			put_off(balancer, slot, first->due);
	}
	put_off(balancer, first, first->due);
	return first;
}

static struct slot *pick_hashed(struct balancer *balancer, const struct pick *pick)
{
	uint64_t hash = pick->hash;
	size_t number = 0;

	if (balancer->n == 1)
		return &balancer->slots[0];
	if (!pick->hashed)
		hash = (uint64_t)pick->random(pick->arg) << 32 | pick->random(pick->arg);
	for (unsigned attempt = 0; attempt <= HASH_ATTEMPTS; attempt++) {
		number = balancer->ring ? ring_find(balancer->ring, hash, attempt)
					: maglev_find(balancer->table, hash, attempt);
		if (!balancer->slots[number].avoided)
			break;
	}
	return not_avoided(balancer, number);
}

struct host *balancer_pick(struct balancer *balancer, const struct pick *pick)
{
	if (balancer->n == 0)
		return NULL;
	size_t left = mark_avoided(balancer, pick);
	switch (balancer->policy) {
	case POLICY_RING_HASH:
	case POLICY_MAGLEV:
		return pick_hashed(balancer, pick)->host;
	case POLICY_RANDOM:
		return pick_random(balancer, pick, left)->host;
	case POLICY_ROUND_ROBIN:
		return balancer->weighted ? pick_due(balancer, pick)->host
					  : pick_in_turn(balancer, pick)->host;
	case POLICY_LEAST_REQUEST:
		break;
	}
	return balancer->weighted ? pick_due(balancer, pick)->host
				  : pick_less_busy(balancer, pick, left)->host;
}
