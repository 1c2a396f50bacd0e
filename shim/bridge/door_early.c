/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are served before they are accepted, at the doors that accept late. */
#include <utlist.h>

#include "shim/bridge/door_state.h"
#include "shim/container_of.h"

enum { ENDED_MAX = 256 }; /* of which it is remembered where they would have gone */

bool door_has_room(const struct door *door)
{
	return atomic_load(&door->n_late) < door->late_max;
}

/* A claim that nothing has come in for, with the lock held. */
static struct door_entry *find_late(struct door *door, int family, const struct sockaddr *local)
{
	struct door_key key = door_key_of(door_index(family, true), local);
	struct door_entry *entry = door_find(door, &key);

	return entry && entry->claimed && entry->watch.fd < 0 ? entry : NULL;
}

struct door_entry *door_take_early(struct door *door, int family, const struct sockaddr *local,
				   uint64_t cookie, struct claim *claim)
{
	pthread_mutex_lock(&door->lock);
	struct door_entry *entry = find_late(door, family, local);

	if (entry && (entry->claim.cookie != cookie || !entry->claim.rules))
		entry = NULL;
	if (entry) {
		*claim = entry->claim;
		entry->claim.rules = NULL;
	}
	pthread_mutex_unlock(&door->lock);
	return entry;
}

void door_serve_early(struct door *door, struct door_entry *entry, struct downstream *early)
{
	pthread_mutex_lock(&door->lock);
	entry->claim.early = early;
	pthread_mutex_unlock(&door->lock);
}

void door_forget_early(struct door *door, struct door_entry *entry, struct downstream *early)
{
	pthread_mutex_lock(&door->lock);
	if (entry->claim.early == early) /* else it is somebody else's by now */
		door_remove(entry, NULL);
	pthread_mutex_unlock(&door->lock);
}

void door_forget_ended(struct timer *timer)
{
	struct door *door = container_of(timer, struct door, forget);

	pthread_mutex_lock(&door->lock);
	while (door->ended && door_coarse_ms() - door->ended->claimed_at >= door->claim_ms)
		door_remove(door->ended, NULL);
	if (door->ended)
		timer_set(door->loop, timer, door->claim_ms);
	pthread_mutex_unlock(&door->lock);
}

void door_end_early(struct door *door, struct door_entry *entry, struct downstream *early,
		    struct rules *rules)
{
	pthread_mutex_lock(&door->lock);
	if (entry->claim.early == early) { /* else it is somebody else's by now */
		rules_ref(rules);
		entry->claim.rules = rules;
		entry->claim.early = NULL;
		entry->claimed_at = door_coarse_ms();
		entry->ended = true;
		atomic_fetch_sub(&door->n_late, 1);
		DL_APPEND(door->ended, entry);
		if (++door->n_ended > ENDED_MAX)
			door_remove(door->ended, NULL);
		if (!door->forget.at)
			timer_set(door->loop, &door->forget, door->claim_ms);
	}
	pthread_mutex_unlock(&door->lock);
}
