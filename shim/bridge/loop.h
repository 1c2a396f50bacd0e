/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: descriptors (epoll, edge-triggered), timers, and a mailbox for other threads. It
 * knows nothing of HTTP or TLS.
 *
 * Threads and locks: a loop has one owner lock, given at start, held by the loop's thread whenever
 * it runs callbacks and released while it waits. Every function here wants that lock held, but for
 * loop_init(), loop_post(), loop_withdraw() and loop_relocate_wake(), which are for other threads
 * (the mailbox's own lock is a leaf).
 *
 * Descriptors: the loop's thread may have a descriptor table of its own (thread.h). The one thing that
 * other threads need is the wake descriptor, which exists in both tables; see `wake_fd`.
 */
#ifndef SHIM_BRIDGE_LOOP_H
#define SHIM_BRIDGE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/err.h"

#define LOOP_BATCH 64

/* A descriptor under watch. Embedded in its owner. */
struct watch {
	int fd; /* -1: not watched */
	/* `events` are epoll's. May free the watch after loop_unwatch(). */
	void (*ready)(struct watch *watch, uint32_t events);
	uint32_t events;
	struct watch *next, *prev;
};

/* A timer. Embedded in its owner; all zero: not set. */
struct timer {
	void (*fire)(struct timer *timer); /* the timer is cleared before the call */
	uint64_t at; /* loop time, ms; 0: not set */
	struct timer *left, *right, *parent; /* a skew heap: no memory to run out of */
};

/* Something to run once on the loop's thread. Embedded in its owner; must stay until it ran. */
struct task {
	void (*run)(struct task *task);
	struct task *next;
};

struct loop {
	int epoll_fd;
	struct watch mailbox_watch; /* an eventfd */
	struct watch *watches;
	struct timer *timers; /* root */
	struct task *deferred, **deferred_tail;
	uint64_t now;
	uint64_t asleep_until; /* ms: when it wakes by itself; 0: it is awake */
	int broken; /* an errno value: why loop_run() has to end */
	struct epoll_event batch[LOOP_BATCH];
	int batch_n, batch_i;

	pthread_mutex_t *owner;

	pthread_mutex_t mailbox_lock; /* leaf; for the rest */
	struct task *mailbox, **mailbox_tail;
	bool woken;  /* the eventfd was written to and not read since */
	int wake_fd; /* the mailbox's eventfd in the table of those who post; one of fds.h */
};

/* Make the mailbox: tasks can be posted from now on. Returns 0, or -1 with `err` set and nothing to
 * release. */
int loop_init(struct loop *loop, pthread_mutex_t *owner, struct err *err);

/* On the thread that is to run the loop: make the epoll set. `mailbox_fd` is the wake descriptor
 * in this thread's table, taken over if it is another number. Returns 0, or -1 with `err` set. */
int loop_open(struct loop *loop, int mailbox_fd, struct err *err);

/* Undo loop_open(), if it was done, and loop_init(). Both from threads that share a table: for
 * starts that failed, and for tests. */
void loop_release(struct loop *loop);

/* Run for ever. Called without the owner lock. Returns only when the loop is broken, or when `*stop`
 * (may be NULL) is true after a turn; tests use that. */
void loop_run(struct loop *loop, const bool *stop);

/* The loop cannot do its work any more, for this errno value: loop_run() returns after this turn. */
void loop_break(struct loop *loop, int error);

/* One turn: wait at most `max_ms` (-1: as long as it takes) and run what is due. Called with the
 * lock; gives it up while waiting. */
void loop_turn(struct loop *loop, int max_ms);

/*
 * The second half of a turn: run timers that are due at `loop->now`, and deferred tasks. For tests whose
 * clock is their own: `now` and `deferred_tail` of a zeroed loop are all that timers and tasks need.
 */
void loop_run_due(struct loop *loop);

/* Watch `fd` for EPOLL* events; edge-triggered with EPOLLET among them. Returns 0 or -1 with
 * errno. */
int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events);

/* Stop watching; the descriptor stays open. Events that are already fetched are dropped.
 * Idempotent. */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* Monotonic time in ms, as of the last wake-up. */
uint64_t loop_now(const struct loop *loop);

/* Fire in `ms` from now; a timer that is set is set anew. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t ms);

/* Idempotent. */
void timer_clear(struct loop *loop, struct timer *timer);

/* Run the task on this thread in the next turn. It must not be queued already. */
void loop_defer(struct loop *loop, struct task *task);

/*
 * For other threads that hold the owner lock and call what is here or uses it: loop_visit() first, since
 * the loop's time may be that of long ago; loop_leave() last, which wakes the loop if there is anything
 * to do for it sooner than it meant to wake. errno is preserved.
 */
void loop_visit(struct loop *loop);
void loop_leave(struct loop *loop);

/* Run the task on the loop's thread soon. Any thread, no lock needed. Returns false where the loop
 * cannot be woken, because the program closed the wake descriptor by a way that no hook sees: the
 * task is queued all the same, and runs if something else ever wakes the mailbox. */
bool loop_post(struct loop *loop, struct task *task);

/* Take back a task that did not run so far. Any thread, no lock needed. */
void loop_withdraw(struct loop *loop, struct task *task);

/* Another thread is about to dup2(2) onto the wake descriptor in its table: move it away. Nothing to
 * do if `fd` is another one. Returns 0, or -1 with errno. */
int loop_relocate_wake(struct loop *loop, int fd);

#endif
