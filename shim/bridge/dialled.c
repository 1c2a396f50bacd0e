/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/dialled.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

/* One per family and port: of the connections at the doors, of the windows, and of the connections at the
 * doors that accept late, where the same port may be in use at the same time; 15 MiB of address space, of which only the pages that are used become memory. `door` is written last and read
 * first. */
struct dialled {
	_Atomic uint32_t door; /* port of the door, of the window itself; 0: empty */
	_Atomic uint32_t family_port; /* of what was dialled: family << 16 | port, network order */
	_Atomic uint32_t scope;
	_Atomic uint64_t address[2];
};

#define WINDOWS 2 /* index of their first part */
#define LATE    4 /* of the doors that accept late */
#define PARTS   6

static struct dialled *_Atomic dialled_table;

static struct dialled *dialled_entry(size_t index, uint16_t local_port)
{
	struct dialled *table = atomic_load_explicit(&dialled_table, memory_order_acquire);

	return table ? &table[index << 16 | local_port] : NULL;
}

int dialled_init(void)
{
	if (atomic_load(&dialled_table))
		return 0;
	void *table = mmap(NULL, PARTS * sizeof(struct dialled) << 16, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return -1;
	atomic_store_explicit(&dialled_table, table, memory_order_release);
	return 0;
}

static void remember(struct dialled *e, uint16_t door, const struct sockaddr *to)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)to;
	uint64_t address[2] = {0, 0};

	if (to->sa_family == AF_INET)
		memcpy(address, &v4->sin_addr, sizeof(v4->sin_addr));
	else
		memcpy(address, &v6->sin6_addr, sizeof(v6->sin6_addr));
	atomic_store(&e->door, 0);
	atomic_store(&e->family_port, (uint32_t)to->sa_family << 16 | v4->sin_port);
	atomic_store(&e->scope, to->sa_family == AF_INET6 ? v6->sin6_scope_id : 0);
	atomic_store(&e->address[0], address[0]);
	atomic_store(&e->address[1], address[1]);
	atomic_store(&e->door, door);
}

void dialled_remember(int family, bool late, uint16_t local_port, uint16_t door,
		      const struct sockaddr *to)
{
	remember(dialled_entry((late ? LATE : 0) + (family == AF_INET6), local_port), door, to);
}

void dialled_open_window(int family, uint16_t window, const struct sockaddr *server)
{
	remember(dialled_entry(WINDOWS + (family == AF_INET6), window), window, server);
}

void dialled_close_window(int family, uint16_t window)
{
	atomic_store(&dialled_entry(WINDOWS + (family == AF_INET6), window)->door, 0);
}

/* The loopback address that doors of a family listen on. A v4-mapped one counts as IPv4. */
static bool is_door_address(const struct sockaddr *peer, size_t *index, uint16_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;

	if (peer->sa_family == AF_INET) {
		*index = 0;
		*port = ntohs(v4->sin_port);
		return v4->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
	}
	if (peer->sa_family != AF_INET6)
		return false;
	*port = ntohs(v6->sin6_port);
	if (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) {
		*index = 1;
		return true;
	}
	*index = 0;
	return IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) &&
	       v6->sin6_addr.s6_addr32[3] == htonl(INADDR_LOOPBACK);
}

static bool recall(const struct dialled *e, uint16_t door, struct sockaddr_storage *out,
		   socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	if (!e || atomic_load(&e->door) != door)
		return false;
	uint32_t family_port = atomic_load(&e->family_port);
	uint64_t address[2] = {atomic_load(&e->address[0]), atomic_load(&e->address[1])};

	memset(out, 0, sizeof(*out));
	out->ss_family = (sa_family_t)(family_port >> 16);
	v4->sin_port = (in_port_t)family_port;
	if (out->ss_family == AF_INET) {
		memcpy(&v4->sin_addr, address, sizeof(v4->sin_addr));
		*len = sizeof(*v4);
	} else {
		memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
		v6->sin6_scope_id = atomic_load(&e->scope);
		*len = sizeof(*v6);
	}
	return true;
}

bool dialled_find(const struct sockaddr *peer, uint16_t local_port, struct sockaddr_storage *out,
		  socklen_t *len)
{
	size_t index;
	uint16_t port;

	return is_door_address(peer, &index, &port) &&
	       (recall(dialled_entry(LATE + index, local_port), port, out, len) ||
		recall(dialled_entry(index, local_port), port, out, len));
}

bool dialled_find_server(const struct sockaddr *peer, struct sockaddr_storage *out, socklen_t *len)
{
	size_t index;
	uint16_t port;

	return is_door_address(peer, &index, &port) && port &&
	       recall(dialled_entry(WINDOWS + index, port), port, out, len);
}
