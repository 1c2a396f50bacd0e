/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast lane: a thread of the program's that sends or receives does the exchange itself, from its own
 * buffer to the upstream socket and back, with neither a second thread nor a copy through the loopback
 * connection.
 *
 * Each request takes it anew, or not. It is taken when the exchange is idle, all that the program has ever
 * sent has arrived here and all that was sent to it has been read, the whole head is in one call, and an
 * upstream connection is at hand that program threads can use (twin.h). Else the call is the real one,
 * and the bridge's thread does the rest: the kernel lane. What the program sends or awaits past the hooks
 * is seen by the bridge, which takes the exchange over (fast_lane_come_home()), at worst FAST_LOOK_MS
 * times three late, and then keeps that connection.
 *
 * Threads: the loop's owner lock. fast_lane_send() and fast_lane_receive() are for the program's threads,
 * between loop_visit() and loop_leave().
 */
#ifndef SHIM_BRIDGE_FAST_LANE_H
#define SHIM_BRIDGE_FAST_LANE_H

#include <stdbool.h>
#include <stddef.h>

struct downstream;
struct downstreams;
struct epoll_event;
struct loop;

#define FAST_LOOK_MS 16

/* Before downstreams_init(), on the thread that starts the bridge, in the program's table. Without it,
 * no connection takes the fast lane. */
void fast_lane_init(struct downstreams *all, struct loop *loop);

enum fast_result {
	FAST_DONE,   /* some bytes */
	FAST_WAIT,   /* none so far: see fast_lane_wait() */
	FAST_KERNEL, /* the real call is to be made */
};

/* `fd` is the program's socket, and has been found to be the one of `downstream`. *n is set with
 * FAST_DONE. */
enum fast_result fast_lane_send(struct downstream *downstream, int fd, const void *data, size_t len,
				size_t *n);

/* Whether a receive that finds nothing is going to wait. If so, the first one does not even look: the answer
 * cannot be there yet. */
enum fast_try { FAST_LOOK, FAST_MAY_WAIT, FAST_WAITED };

enum fast_result fast_lane_receive(struct downstream *downstream, enum fast_try try, void *data, size_t room,
				   size_t *n);

/* The request that is under way, if there is one, goes on in the kernel lane: for calls that are not made
 * here. `for_good`: and so do all that come after it. Returns whether its program has been told that there is
 * something to read: that is on its way. */
bool fast_lane_give_up(struct downstream *downstream, bool for_good);

/* Nobody will read the answer to the request that is under way, if there is one. Who waits for it is woken. */
void fast_lane_break_off(struct downstream *downstream);

/* epoll_ctl(2) for the program's socket of `downstream`. */
int fast_lane_epoll_ctl(struct downstream *downstream, int set, int op, struct epoll_event *event);

/* The program is about to close its socket `fd`: no event may point to it any more. `downstream` may be
 * gone afterwards. */
void fast_lane_close(struct downstream *downstream, int fd);

/* There was nothing to receive from its socket: see that no event of the idle upstream connection was why
 * it tried. */
void fast_lane_in_vain(struct downstream *downstream);

/* A thread's wait for the upstream socket, by its number in the program's table. */
struct fast_wait {
	int fd;
	unsigned turn;
	bool to_write;
};

/* After FAST_WAIT; until twin_unpin() of the number, and, if the connection is still there,
 * fast_lane_waited(). Who waits to read is woken when the matter is not the program's threads' any more; who
 * waits to write looks for POLLRDHUP. A thread that never comes back does no harm. */
struct fast_wait fast_lane_wait(struct downstream *downstream, bool to_write);
void fast_lane_waited(struct downstream *downstream, const struct fast_wait *wait);

#endif
