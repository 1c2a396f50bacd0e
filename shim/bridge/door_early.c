/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are served before they are accepted, at the doors that accept late. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "shim/bridge/door_state.h"
#include "shim/container_of.h"
#include "shim/libc.h"

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

	return entry && entry->claimed && !entry->ended && entry->watch.fd < 0 ? entry : NULL;
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
		entry->counted = false;
		atomic_fetch_sub(&door->n_late, 1);
		DL_APPEND(door->ended, entry);
		if (++door->n_ended > ENDED_MAX)
			door_remove(door->ended, NULL);
		if (!door->forget.at)
			timer_set(door->loop, &door->forget, door->claim_ms);
	}
	pthread_mutex_unlock(&door->lock);
}

static void put_end(const struct sockaddr_storage *end, __be16 *port, __be32 *address)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)end;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)end;

	*port = end->ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port;
	if (end->ss_family == AF_INET6)
		memcpy(address, &v6->sin6_addr, sizeof(v6->sin6_addr));
	else
		memcpy(address, &v4->sin_addr, sizeof(v4->sin_addr));
}

int door_is_from(int fd, uint64_t cookie)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} ask = {
	    .head = {.nlmsg_len = sizeof(ask), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
	    .body = {.sdiag_protocol = IPPROTO_TCP,
		     .idiag_states = ~0U,
		     .id.idiag_cookie = {(uint32_t)cookie, (uint32_t)(cookie >> 32)}},
	};
	struct sockaddr_storage from = {0}, to = {0};
	socklen_t from_len = sizeof(from), to_len = sizeof(to);
	union {
		struct {
			struct nlmsghdr head;
			struct nlmsgerr error;
		};
		char bytes[1024];
	} said;

	if (real.getpeername(fd, (struct sockaddr *)&from, &from_len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&to, &to_len) < 0)
		return -1;
	ask.body.sdiag_family = (uint8_t)from.ss_family;
	put_end(&from, &ask.body.id.idiag_sport, ask.body.id.idiag_src);
	put_end(&to, &ask.body.id.idiag_dport, ask.body.id.idiag_dst);
	int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	if (diag < 0)
		return -1;
	/* The kernel answers within send(2). */
	ssize_t n = real.send(diag, &ask, sizeof(ask), 0) == sizeof(ask)
			? real.recv(diag, &said, sizeof(said), 0)
			: -1;
	real.close(diag);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(said.error)))
		return -1;
	if (said.head.nlmsg_type == NLMSG_ERROR)
		/* no such socket, or one of another cookie */
		return said.error.error == -ENOENT || said.error.error == -ESTALE ? 0 : -1;
	return said.head.nlmsg_type == SOCK_DIAG_BY_FAMILY ? 1 : -1;
}
