/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "shim/libc.h"

_Atomic(struct mesh_socket *) sockets_table;

static atomic_uint forks;
static atomic_int top; /* no number above was ever noted */

static void note_top(int fd)
{
	int before = atomic_load(&top);

	while (before < fd && !atomic_compare_exchange_weak(&top, &before, fd))
		;
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static struct mesh_socket *table_get(void)
{
	struct mesh_socket *table = atomic_load(&sockets_table), *none = NULL;
	size_t size = SOCKETS_MAX * sizeof(*table);

	if (table)
		return table;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return NULL;
	if (madvise(table, size, MADV_WIPEONFORK) == 0 &&
	    atomic_compare_exchange_strong(&sockets_table, &none, table))
		return table;
	munmap(table, size);
	return atomic_load(&sockets_table);
}

uint64_t sockets_enter(int fd, bool late)
{
	struct mesh_socket *table = table_get();
	uint64_t cookie = table && (unsigned)fd < SOCKETS_MAX ? socket_cookie(fd) : 0;

	if (!cookie)
		return 0;
	note_top(fd);
	atomic_store(&table[fd].cookie, 0);
	atomic_store(&table[fd].late, late);
	atomic_store(&table[fd].shared, false);
	atomic_store(&table[fd].forks, atomic_load(&forks));
	atomic_store(&table[fd].downstream, NULL);
	atomic_store(&table[fd].upstream, 0);
	atomic_store(&table[fd].holds, false);
	atomic_store(&table[fd].polling, 0);
	atomic_store(&table[fd].receivers, 0);
	atomic_store(&table[fd].told, false);
	atomic_fetch_add(&table[fd].changes, 1);
	atomic_store(&table[fd].cookie, cookie);
	return cookie;
}

void sockets_note_epoll(int set, int op, int fd, const struct epoll_event *event)
{
	struct mesh_socket *table = table_get();

	if (!table || (unsigned)fd >= SOCKETS_MAX)
		return;
	struct mesh_socket *entry = &table[fd];
	int before = atomic_load(&entry->set);

	note_top(set > fd ? set : fd);
	if (op == EPOLL_CTL_ADD) {
		atomic_store(&entry->set_cookie, socket_cookie(fd));
		atomic_store(&entry->sheds, false);
		atomic_store(&entry->set, before && before != set + 1 ? SOCKETS_SETS : set + 1);
		if ((unsigned)set < SOCKETS_MAX)
			atomic_store(&table[set].is_set, true);
	}
	if (op == EPOLL_CTL_DEL) {
		if (before == set + 1)
			atomic_store(&entry->set, 0);
		return;
	}
	if (op == EPOLL_CTL_MOD && !(event->events & SOCKETS_TO_WRITE) &&
	    atomic_load(&entry->events) & SOCKETS_TO_WRITE)
		atomic_store(&entry->sheds, true);
	atomic_store(&entry->told, false);
	atomic_store(&entry->events, event->events);
	atomic_store(&entry->data, event->data.u64);
}

void sockets_share(int fd)
{
	struct mesh_socket *socket = sockets_find(fd);

	if (socket)
		atomic_store(&socket->shared, true);
}

void sockets_share_all(void)
{
	atomic_fetch_add(&forks, 1);
}

bool sockets_is_shared(const struct mesh_socket *socket)
{
	return atomic_load(&socket->shared) || atomic_load(&socket->forks) != atomic_load(&forks);
}

/* Behind the count of the changes, which takes the place of a lock: */
enum { BLOCKS = 1, DOES_NOT = 2, KNOWN_BITS = 2 };

bool sockets_is_blocking(struct mesh_socket *socket, int fd)
{
	unsigned changes = atomic_load(&socket->changes) << KNOWN_BITS;
	unsigned known = atomic_load(&socket->known);

	if (!sockets_is_shared(socket)) {
		if (known == (changes | BLOCKS))
			return true;
		if (known == (changes | DOES_NOT))
			return false;
	}
	bool blocks = !(real.fcntl(fd, F_GETFL) & O_NONBLOCK);

	atomic_store(&socket->known, changes | (blocks ? BLOCKS : DOES_NOT));
	return blocks;
}

void sockets_flags_changed(int fd)
{
	struct mesh_socket *socket = sockets_find(fd);

	if (socket)
		atomic_fetch_add(&socket->changes, 1);
}

int sockets_next(int fd, unsigned last)
{
	int highest = atomic_load(&top);

	for (; fd <= highest && (unsigned)fd <= last; fd++)
		if (sockets_know(fd))
			return fd;
	return -1;
}

bool sockets_in_epoll(const struct mesh_socket *socket)
{
	return atomic_load(&socket->set) > 0 &&
	       atomic_load(&socket->set_cookie) == atomic_load(&socket->cookie) &&
	       !(atomic_load(&socket->events) & (EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)) &&
	       (!(atomic_load(&socket->events) & SOCKETS_TO_WRITE) || atomic_load(&socket->sheds) ||
		atomic_load(&socket->told));
}

void sockets_settle(struct mesh_socket *socket)
{
	uint32_t events = atomic_load(&socket->events);
	struct pollfd item = {.fd = atomic_load(&socket->set) - 1, .events = POLLIN};
	int saved = errno;

	if (events & EPOLLET && events & SOCKETS_TO_WRITE && item.fd >= 0 && !atomic_load(&socket->told) &&
	    real.poll(&item, 1, 0) == 0)
		atomic_store(&socket->told, true);
	errno = saved;
}

void sockets_leave(int fd)
{
	struct mesh_socket *table = atomic_load(&sockets_table);

	if (!table || (unsigned)fd >= SOCKETS_MAX)
		return;
	if (atomic_load(&table[fd].cookie))
		atomic_store(&table[fd].cookie, 0);
	if (atomic_load(&table[fd].set))
		atomic_store(&table[fd].set, 0);
	if (atomic_load(&table[fd].is_set))
		atomic_store(&table[fd].is_set, false);
}
