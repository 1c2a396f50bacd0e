/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/fast_lane.h"

#include <linux/tcp.h> /* libc's tcp_info is shorter */
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <utlist.h>

#include "shim/bridge/door.h"
#include "shim/bridge/downstream_state.h"
#include "shim/bridge/port.h"
#include "shim/bridge/sock.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/signals.h"
#include "shim/sockets.h"
#include "shim/thread.h"

/* ---- whose turn it is -------------------------------------------------------------------- */

static struct connection *upstream_of(const struct downstream *d)
{
	struct upstream *upstream = exchange_relays(d->exchange);

	return upstream ? downstream_connection(upstream) : NULL;
}

/* The entry of its program's end. NULL: the number is another socket's by now. */
static struct mesh_socket *socket_of(const struct downstream *d)
{
	struct mesh_socket *table = atomic_load(&sockets_table);

	return table && atomic_load(&table[d->claim.number].cookie) == d->claim.cookie
		   ? &table[d->claim.number]
		   : NULL;
}

static void set_fast(struct downstream *d, bool fast)
{
	struct mesh_socket *socket = socket_of(d);
	struct downstreams *all = d->all;

	d->touched = true;
	if (socket) {
		atomic_store(&socket->holds, fast && exchange_has_unread(d->exchange));
		atomic_store(&socket->upstream, fast	   ? upstream_of(d)->twin.far
						: d->doubt ? SOCKETS_DOUBT
							   : 0);
	}
	d->ripe = false;
	if (d->fast == fast)
		return;
	d->fast = fast;
	if (!fast) {
		DL_DELETE2(all->fast, d, fast_prev, fast_next);
		return;
	}
	DL_APPEND2(all->fast, d, fast_prev, fast_next);
	all->was_fast = true;
	if (!all->look.at)
		timer_set(all->loop, &all->look, FAST_LOOK_MS);
}

int fast_lane_borrow_own(const struct downstream *d)
{
	if (!thread_is_ours)
		return d->claim.number;
	int fd = (int)real.syscall(SYS_pidfd_getfd, d->all->self, d->claim.number, 0);

	if (fd >= 0 && socket_cookie(fd) == d->claim.cookie)
		return fd;
	if (fd >= 0)
		real.close(fd);
	return -1;
}

/* Have the kernel hand over what it keeps from us: for anything that the program's end sends, if only an urgent
 * byte, which is not part of the stream. Otherwise it takes about a second. */
static void summon(struct downstream *d)
{
	int own = fast_lane_borrow_own(d);

	d->queued = d->homeless = true;
	if (own < 0)
		return;
	d->urgent = real.send(own, "!", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
	if (thread_is_ours)
		real.close(own);
}

/* Its own socket will have something to say, of which it may be told late. */
static void goes_by_kernel(const struct downstream *d)
{
	struct mesh_socket *socket = socket_of(d);

	if (socket)
		atomic_store(&socket->told, false);
}

/* The bridge's thread goes on with it, as soon as it can. */
void fast_lane_leave(struct downstream *d)
{
	goes_by_kernel(d);
	set_fast(d, false);
	if (d->queued)
		return;
	if (d->late) {
		summon(d);
		return;
	}
	d->queued = true;
	loop_defer(d->all->loop, &d->again);
}

bool fast_lane_ignores(struct downstream *d, uint32_t events)
{
	return d->fast && !(events & ~(uint32_t)EPOLLOUT);
}

/* They find out by themselves where to wait next. Some may be gone for good: cancelled, or by
 * longjmp(3). */
static void wake_all(struct downstream *d, struct connection *connection)
{
	const struct twin *twin = &connection->twin;

	if (!d->waiting)
		return;
	d->waiting = d->writers = 0;
	d->turn++;
	d->kernel_only = true; /* each time would cost an upstream connection */
	if (!twin->all || (!thread_is_ours && !twin_is_sound(twin)))
		return;
	sock_move(connection->sock, thread_is_ours ? twin->near : twin->far);
	sock_wake_readers(connection->sock);
}

bool fast_lane_parts(struct downstream *d, struct connection *connection)
{
	if (!d->port || !connection->sock)
		return true;
	wake_all(d, connection);
	return !sock_is_woken(connection->sock);
}

void fast_lane_come_home(struct downstream *d)
{
	struct upstream *upstream = d->port ? exchange_upstream(d->exchange) : NULL;

	if (!d->port)
		return;
	goes_by_kernel(d);
	set_fast(d, false);
	if (!upstream)
		return;
	if (connection_come_home(downstream_connection(upstream)) < 0)
		exchange_abandon(d->exchange);
	wake_all(d, downstream_connection(upstream));
}

void fast_lane_admit(struct downstream *d)
{
	struct mesh_socket *socket = d->port ? socket_of(d) : NULL;

	if (socket)
		atomic_store(&socket->downstream, d);
}

void fast_lane_forget(struct downstream *d)
{
	struct mesh_socket *table = atomic_load(&sockets_table);
	struct downstream *mine = d;

	if (!d->port)
		return;
	set_fast(d, false);
	if (!table)
		return;
	/* Also when the number is another socket's by now. */
	struct twin *twin = atomic_load(&table[d->claim.number].bound);

	if (twin && twin->binding.cookie == d->claim.cookie)
		epoll_set_unbind(twin);
	atomic_compare_exchange_strong(&table[d->claim.number].downstream, &mine, NULL);
}

static bool is_ready(int fd, short events)
{
	struct pollfd item = {.fd = fd, .events = events};

	return real.poll(&item, 1, 0) > 0;
}

/* ---- epoll sets -------------------------------------------------------------------------- */

/* What the upstream socket reports of what the program has asked for. As long as the program is to be told
 * when there is room, its own socket alone says so, which has room at any time: most ask for that only until a
 * request is sent. Who does not take it back has its requests in the kernel lane. */
static uint32_t events_of(const struct mesh_socket *socket)
{
	return atomic_load(&socket->events) & (EPOLLIN | EPOLLRDNORM | EPOLLET);
}

static bool waits_to_write(const struct mesh_socket *socket)
{
	return socket && atomic_load(&socket->set) &&
	       atomic_load(&socket->events) & SOCKETS_TO_WRITE && !atomic_load(&socket->told);
}

static int watch(struct downstream *d, struct mesh_socket *socket, struct twin *twin)
{
	if (!sockets_in_epoll(socket) || waits_to_write(socket))
		return -1;
	return epoll_set_bind(twin, socket, d->claim.number, events_of(socket));
}

/* Program: its own socket has the say. Between requests the upstream socket stays where it is, for the next
 * one. */
static void watch_own(struct downstream *d, struct mesh_socket *socket)
{
	struct twin *twin = atomic_load(&socket->bound);

	if (twin && (!exchange_is_idle(d->exchange) || d->queued || watch(d, socket, twin) < 0))
		epoll_set_unbind(twin);
}

/* Program, after a call: whoever has the say now, its epoll set knows. */
static void tell_epoll(struct downstream *d)
{
	struct mesh_socket *socket = socket_of(d);

	if (!socket || !atomic_load(&socket->set))
		return;
	if (d->fast && watch(d, socket, &upstream_of(d)->twin) == 0)
		return;
	bool soon = waits_to_write(socket) && sockets_in_epoll(socket) && !exchange_has_unsent(d->exchange);

	if (d->fast && !soon) {
		d->kernel_only = d->kernel_only || !waits_to_write(socket);
		fast_lane_leave(d);
	}
	watch_own(d, socket);
}

int fast_lane_epoll_ctl(struct downstream *d, int set, int op, struct epoll_event *event)
{
	struct mesh_socket *socket = socket_of(d);

	if (op == EPOLL_CTL_DEL && atomic_load(&socket->set) == set + 1 && socket->bound)
		epoll_set_unbind(socket->bound);
	if (real.epoll_ctl(set, op, d->claim.number, event) < 0)
		return -1;
	sockets_note_epoll(set, op, d->claim.number, event);
	/* By a copy's number: out of the set that we know, or of one that we do not. */
	if (op == EPOLL_CTL_DEL && atomic_load(&socket->set) > 0) {
		atomic_store(&socket->set, SOCKETS_SETS);
		if (socket->bound)
			epoll_set_unbind(socket->bound);
	}
	tell_epoll(d);
	return 0;
}

void fast_lane_in_vain(struct downstream *d)
{
	struct mesh_socket *socket = socket_of(d);
	struct twin *twin = socket ? atomic_load(&socket->bound) : NULL;

	if (!d->fast && twin && is_ready(twin->far, POLLIN))
		epoll_set_unbind(twin);
}

enum { DOUBTS_MAX = 5, LOOKS_FOR_HANDLERS = 64 };

/* ---- the watchdog ------------------------------------------------------------------------ */

/* Nobody comes for the answer, or for what is left of the request: the program waits by other means. A
 * thread that waits here comes in the time from one look to the next, or was kept from running. */
static bool is_stuck(struct downstream *d)
{
	const struct connection *connection = upstream_of(d);
	const struct mesh_socket *socket = socket_of(d);
	bool was_ripe = d->ripe;

	if (d->touched)
		return false;
	bool polled = socket && atomic_load(&socket->polling);

	/* Who polls comes for what is to be read, but need not for what is to be sent. */
	d->ripe = !connection || (!d->writers && exchange_has_unsent(d->exchange)) ||
		  (!polled && !d->writers && exchange_has_unread(d->exchange)) ||
		  (!polled && is_ready(connection->twin.near, d->writers ? POLLIN | POLLOUT : POLLIN));
	return d->ripe && was_ripe;
}

static void look(struct timer *timer)
{
	struct downstreams *all = container_of(timer, struct downstreams, look);
	struct downstream *d, *next;

	DL_FOREACH_SAFE2(all->fast, d, next, fast_next) {
		if (is_stuck(d)) {
			/* Unless its program turns out to receive by hooked calls: it was busy, then. */
			d->kernel_only = d->doubt = true;
			fast_lane_leave(d);
			if (waits_to_write(socket_of(d)))
				atomic_store(&socket_of(d)->sheds, false);
		}
		d->touched = false;
	}
	if (++all->looks % LOOKS_FOR_HANDLERS == 0)
		signals_look();
	if (all->fast || all->was_fast)
		timer_set(all->loop, timer, FAST_LOOK_MS);
	all->was_fast = all->fast != NULL;
}

void fast_lane_init(struct downstreams *all, struct loop *loop)
{
	all->look.fire = look;
	twins_init(&all->twins, loop);
}

/* ---- the program's calls ----------------------------------------------------------------- */

enum { ESTABLISHED = 1 }; /* <netinet/tcp.h> has it, but cannot stand beside <linux/tcp.h> */

/* All that the program has ever sent has been read here. */
static bool is_in_order(const struct downstream *d, const struct tcp_info *info)
{
	return info->tcpi_bytes_sent - info->tcpi_bytes_retrans + info->tcpi_notsent_bytes ==
	       port_received(d->down) + d->urgent;
}

/* And the program has read all that was sent to it. */
static bool is_read(struct downstream *d, int fd, const struct tcp_info *info)
{
	uint64_t sent = port_sent(d->down);
	int unread = 0;

	if (sent == d->read)
		return true;
	if (info->tcpi_bytes_received != sent || real.ioctl(fd, FIONREAD, &unread) < 0 || unread)
		return false;
	d->read = sent;
	return true;
}

static bool is_awaited_in_kernel(const struct downstream *d)
{
	const struct mesh_socket *socket = socket_of(d);

	return socket && atomic_load(&socket->receivers);
}

static bool may_send(struct downstream *d, int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (d->kernel_only || d->queued || d->driving || is_awaited_in_kernel(d) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(info.tcpi_bytes_retrans) ||
	    info.tcpi_state != ESTABLISHED || !is_in_order(d, &info))
		return false;
	return d->fast || (exchange_is_idle(d->exchange) && is_read(d, fd, &info));
}

/* Nothing has ever gone by the kernel, and nothing is under way: nobody but the program knows of it, by this
 * number alone. */
static bool may_reset(const struct downstream *d, const struct mesh_socket *socket, int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return d->late && !d->queued && !d->driving && !d->fast && !d->waiting && !d->urgent &&
	       exchange_is_idle(d->exchange) && !sockets_is_shared(socket) &&
	       getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == ESTABLISHED &&
	       is_in_order(d, &info);
}

void fast_lane_close(struct downstream *d, int fd)
{
	const struct linger reset = {.l_onoff = 1};
	struct mesh_socket *socket = socket_of(d);

	if (!socket)
		return;
	if (socket->bound)
		epoll_set_unbind(socket->bound);
	/* In order, the bridge's thread would be woken to be told. */
	if (!may_reset(d, socket, fd) ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
		return;
	door_end_early(d->all->door, d->late, d, d->claim.rules);
	d->late = NULL;
	downstream_free(d);
}

/* The number of its upstream socket is what it was. Else the program has closed it. */
static bool is_sound(const struct downstream *d)
{
	const struct connection *connection = upstream_of(d);

	return connection && twin_is_sound(&connection->twin);
}

static void drive(struct downstream *d)
{
	enum exchange_result result;

	d->driving = true;
	do
		result = exchange_drive(d->exchange);
	while (result == EXCHANGE_MORE);
	d->driving = false;
	d->over = result == EXCHANGE_DONE;
}

/* After a call: on, at its end, or beyond what program threads do. */
static void settle(struct downstream *d)
{
	if (d->over)
		fast_lane_leave(d);
	else if (exchange_is_idle(d->exchange))
		set_fast(d, false);
	else if (d->waiting && (exchange_has_unsent(d->exchange) || exchange_has_unread(d->exchange)))
		fast_lane_leave(d); /* what others wait for at the socket has left it */
	else if (exchange_relays(d->exchange))
		set_fast(d, true);
	else
		fast_lane_leave(d);
}

/* For tests (make SWITCH=1): in any call, at random, the bridge's thread takes over, or goes on. */
static bool switches(struct downstream *d)
{
#ifdef SWITCH_LANES
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	if (state >> 24 < SWITCH_LANES) {
		if (d->fast)
			fast_lane_leave(d);
		return true;
	}
#endif
	(void)d;
	return false;
}

static enum fast_result send_some(struct downstream *d, int fd, const void *data, size_t len, size_t *n)
{
	uint64_t random = d->all->random;
	bool begins = !d->fast;

	if (!len || !may_send(d, fd) || switches(d))
		return FAST_KERNEL;
	if (!begins) {
		if (!is_sound(d)) {
			fast_lane_leave(d);
			return FAST_KERNEL;
		}
		sock_ready(upstream_of(d)->sock, EPOLLOUT);
	}
	d->answered = false;
	port_lend(d->down, data, len, NULL, 0);
	drive(d);
	*n = port_taken(d->down);
	port_give_back(d->down);
	if (begins && !d->over && exchange_hand_back(d->exchange)) {
		/* Drawn again, lots would favour the ones that are ready. */
		d->all->random = random;
		return FAST_KERNEL;
	}
	settle(d);
	/* The next request: there would be nothing to wait for. And somebody may have begun to wait for the
	 * answer to this one before it could be told where that comes. */
	if (d->fast &&
	    ((!*n && exchange_has_sent_all(d->exchange)) || is_awaited_in_kernel(d)))
		fast_lane_leave(d);
	return *n ? FAST_DONE : d->fast ? FAST_WAIT : FAST_KERNEL;
}

enum fast_result fast_lane_send(struct downstream *d, int fd, const void *data, size_t len, size_t *n)
{
	enum fast_result result = send_some(d, fd, data, len, n);

	if (result != FAST_DONE)
		goes_by_kernel(d);
	/* It would be told at once, and over and over, that there is room. */
	if (result == FAST_WAIT && waits_to_write(socket_of(d))) {
		fast_lane_leave(d);
		result = FAST_KERNEL;
	}
	tell_epoll(d);
	return result;
}

static bool holds_unseen(const struct downstream *d)
{
	const struct mesh_socket *socket = socket_of(d);

	return socket && atomic_load(&socket->set) && !(atomic_load(&socket->events) & EPOLLET) &&
	       exchange_has_unread(d->exchange);
}

static enum fast_result receive_some(struct downstream *d, enum fast_try try, void *data, size_t room,
				     size_t *n)
{
	if (!d->fast || d->driving || !room || switches(d))
		return FAST_KERNEL;
	/* A number that somebody waited at was held meanwhile. */
	if (try != FAST_WAITED && !is_sound(d)) {
		fast_lane_leave(d);
		return FAST_KERNEL;
	}
	if (try == FAST_MAY_WAIT && !d->answered && exchange_has_sent_all(d->exchange) &&
	    !exchange_has_unread(d->exchange))
		return FAST_WAIT;
	sock_ready(upstream_of(d)->sock, EPOLLIN | EPOLLOUT);
	port_lend(d->down, NULL, 0, data, room);
	drive(d);
	*n = port_filled(d->down);
	port_give_back(d->down);
	d->answered = true;
	settle(d);
	/* Who waits here does nothing but wait for the answer; and a set that tells levels cannot tell what is
	 * not in a socket. */
	if (d->fast && ((!*n && !exchange_has_sent_all(d->exchange)) || holds_unseen(d)))
		fast_lane_leave(d);
	return *n ? FAST_DONE : d->fast ? FAST_WAIT : FAST_KERNEL;
}

enum fast_result fast_lane_receive(struct downstream *d, enum fast_try try, void *data, size_t room,
				   size_t *n)
{
	if (d->doubt) {
		d->doubt = false;
		/* But one that does so now and then only is not worth the wait each time. */
		d->kernel_only = ++d->doubts > DOUBTS_MAX;
		set_fast(d, d->fast);
	}
	enum fast_result result = receive_some(d, try, data, room, n);

	tell_epoll(d);
	return result;
}

bool fast_lane_give_up(struct downstream *d, bool for_good)
{
	bool coming = d->fast && (exchange_has_unread(d->exchange) ||
				  is_ready(upstream_of(d)->twin.far, POLLIN));

	d->kernel_only |= for_good;
	if (d->fast)
		fast_lane_leave(d);
	tell_epoll(d);
	struct twin *twin = for_good && socket_of(d) ? atomic_load(&socket_of(d)->bound) : NULL;

	if (twin)
		epoll_set_unbind(twin);
	return coming;
}

void fast_lane_break_off(struct downstream *d)
{
	if (!d->fast)
		return;
	exchange_abandon(d->exchange);
	fast_lane_leave(d);
	tell_epoll(d);
}

struct fast_wait fast_lane_wait(struct downstream *d, bool to_write)
{
	struct fast_wait wait = {
	    .fd = upstream_of(d)->twin.far, .turn = d->turn, .to_write = to_write};

	d->waiting++;
	d->writers += to_write;
	twin_pin(wait.fd);
	return wait;
}

void fast_lane_waited(struct downstream *d, const struct fast_wait *wait)
{
	if (wait->turn == d->turn) {
		d->waiting--;
		d->writers -= wait->to_write;
	}
	d->touched = true;
}
