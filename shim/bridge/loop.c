/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll, a skew heap of timers, a mailbox.
 *
 * A callback may unwatch any other descriptor, also one whose event was fetched in the same batch;
 * loop_unwatch() therefore strikes it out of the batch. That is the whole protection against stale
 * pointers: whoever frees a watch has unwatched it first.
 */
#include "shim/bridge/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/fork.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/thread.h"

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- tasks ------------------------------------------------------------------------------ */

static void run_tasks(struct task *task)
{
	while (task) {
		struct task *next = task->next; /* task may be gone after it ran */

		task->run(task);
		task = next;
	}
}

static void mailbox_ready(struct watch *watch, uint32_t events)
{
	struct loop *loop = container_of(watch, struct loop, mailbox_watch);
	uint64_t count;

	(void)events;
	/* Empty the counter before the list: a task posted in between wakes us once more. */
	if (real.read(watch->fd, &count, sizeof(count)) < 0) {
		/* EAGAIN: another wake-up took it */
	}
	pthread_mutex_lock(&loop->mailbox_lock);
	struct task *tasks = loop->mailbox;
	loop->woken = false;
	loop->mailbox = NULL;
	loop->mailbox_tail = &loop->mailbox;
	pthread_mutex_unlock(&loop->mailbox_lock);
	run_tasks(tasks);
}

/* Make the mailbox readable. The loop's thread, and those that it started, know it by the number in
 * their own table. */
static bool wake(const struct loop *loop)
{
	uint64_t one = 1;
	int fd = thread_is_ours ? loop->mailbox_watch.fd : loop->wake_fd;

	/* Or it would be written into a file of the program's. */
	if (!thread_is_ours && !fds_is_ours(fd))
		return false;
	/* A full counter wakes as well. */
	return real.write(fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

bool loop_post(struct loop *loop, struct task *task)
{
	int saved = errno;

	task->next = NULL;
	pthread_mutex_lock(&loop->mailbox_lock);
	*loop->mailbox_tail = task;
	loop->mailbox_tail = &task->next;
	/* Inside the lock, so that the number cannot be relocated between reading and using it. */
	if (!loop->woken)
		loop->woken = wake(loop);
	bool woken = loop->woken;
	pthread_mutex_unlock(&loop->mailbox_lock);
	errno = saved;
	return woken;
}

void loop_withdraw(struct loop *loop, struct task *task)
{
	pthread_mutex_lock(&loop->mailbox_lock);
	for (struct task **link = &loop->mailbox; *link; link = &(*link)->next)
		if (*link == task) {
			*link = task->next;
			if (!*link)
				loop->mailbox_tail = link;
			break;
		}
	pthread_mutex_unlock(&loop->mailbox_lock);
}

void loop_defer(struct loop *loop, struct task *task)
{
	task->next = NULL;
	*loop->deferred_tail = task;
	loop->deferred_tail = &task->next;
}

void loop_visit(struct loop *loop)
{
	loop->now = clock_ms();
}

void loop_leave(struct loop *loop)
{
	uint64_t due = loop->deferred ? 0 : loop->timers ? loop->timers->at : UINT64_MAX;
	int saved = errno;

	if (due >= loop->asleep_until)
		return;
	pthread_mutex_lock(&loop->mailbox_lock);
	if (!loop->woken)
		loop->woken = wake(loop);
	pthread_mutex_unlock(&loop->mailbox_lock);
	errno = saved;
}

/* ---- timers ----------------------------------------------------------------------------- */

/* Join two heaps; the roots' parents are not touched. */
static struct timer *heap_merge(struct timer *a, struct timer *b)
{
	struct timer *root = NULL, *parent = NULL, **slot = &root;

	while (a && b) {
		if (b->at < a->at) {
			struct timer *t = a;
			a = b;
			b = t;
		}
		/* a stays; its children change places, and b is merged with the former right one,
		 * which is what keeps a skew heap balanced in the long run. */
		*slot = a;
		a->parent = parent;
		parent = a;
		struct timer *right = a->right;
		a->right = a->left;
		slot = &a->left;
		a = right;
	}
	*slot = a ? a : b;
	if (*slot)
		(*slot)->parent = parent;
	return root;
}

void timer_clear(struct loop *loop, struct timer *timer)
{
	if (!timer->at)
		return;
	struct timer *parent = timer->parent;
	struct timer *rest = heap_merge(timer->left, timer->right);

	if (rest)
		rest->parent = parent;
	if (!parent)
		loop->timers = rest;
	else if (parent->left == timer)
		parent->left = rest;
	else
		parent->right = rest;
	timer->at = 0;
	timer->left = timer->right = timer->parent = NULL;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t ms)
{
	timer_clear(loop, timer);
	timer->at = loop->now + ms;
	if (!timer->at)
		timer->at = 1;
	loop->timers = heap_merge(loop->timers, timer);
	loop->timers->parent = NULL;
}

static void run_timers(struct loop *loop)
{
	while (loop->timers && loop->timers->at <= loop->now) {
		struct timer *timer = loop->timers;

		timer_clear(loop, timer);
		timer->fire(timer);
	}
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now;
}

/* ---- descriptors ------------------------------------------------------------------------ */

int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (real.epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	watch->fd = fd;
	watch->events = events;
	watch->prev = NULL;
	watch->next = loop->watches;
	if (watch->next)
		watch->next->prev = watch;
	loop->watches = watch;
	return 0;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	real.epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = loop->batch_i; i < loop->batch_n; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
	if (watch->prev)
		watch->prev->next = watch->next;
	else
		loop->watches = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	watch->fd = -1;
}

/* ---- running ---------------------------------------------------------------------------- */

static int wait_ms(const struct loop *loop, int max_ms)
{
	if (loop->deferred)
		return 0;
	if (!loop->timers)
		return max_ms;
	uint64_t left = loop->timers->at > loop->now ? loop->timers->at - loop->now : 0;

	if (left > 60000)
		left = 60000;
	return max_ms >= 0 && (uint64_t)max_ms < left ? max_ms : (int)left;
}

void loop_run_due(struct loop *loop)
{
	run_timers(loop);

	struct task *tasks = loop->deferred;
	loop->deferred = NULL;
	loop->deferred_tail = &loop->deferred;
	run_tasks(tasks);
}

void loop_turn(struct loop *loop, int max_ms)
{
	int timeout = wait_ms(loop, max_ms);

	loop->asleep_until = timeout < 0 ? UINT64_MAX : loop->now + (uint64_t)timeout;
	/* Whatever the callbacks call, a fork finds it done or not begun. */
	memory_let_go();
	pthread_mutex_unlock(loop->owner);
	fork_release();
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout);
	int error = n < 0 ? errno : 0;
	fork_hold();
	pthread_mutex_lock(loop->owner);
	memory_hold();
	loop->asleep_until = 0;

	/* A seccomp filter, which forbids it now and for ever. */
	if (error && error != EINTR)
		loop_break(loop, error);
	loop->batch_n = n < 0 ? 0 : n;
	loop->batch_i = 0;
	loop->now = clock_ms();
	while (loop->batch_i < loop->batch_n) {
		struct epoll_event *event = &loop->batch[loop->batch_i++];
		struct watch *watch = event->data.ptr;

		if (watch)
			watch->ready(watch, event->events);
	}
	loop->batch_n = loop->batch_i = 0;
	loop_run_due(loop);
}

void loop_break(struct loop *loop, int error)
{
	if (!loop->broken)
		loop->broken = error;
}

void loop_run(struct loop *loop, const bool *stop)
{
	fork_hold();
	pthread_mutex_lock(loop->owner);
	do
		loop_turn(loop, -1);
	while (!loop->broken && (!stop || !*stop));
	memory_let_go();
	pthread_mutex_unlock(loop->owner);
	fork_release();
}

int loop_relocate_wake(struct loop *loop, int fd)
{
	int result = 0;

	pthread_mutex_lock(&loop->mailbox_lock);
	if (fd == loop->wake_fd) {
		int new_fd = fds_relocate(fd);

		if (new_fd < 0)
			result = -1;
		else
			loop->wake_fd = new_fd;
	}
	pthread_mutex_unlock(&loop->mailbox_lock);
	return result;
}

int loop_init(struct loop *loop, pthread_mutex_t *owner, struct err *err)
{
	memset(loop, 0, sizeof(*loop));
	loop->owner = owner;
	loop->deferred_tail = &loop->deferred;
	loop->mailbox_tail = &loop->mailbox;
	loop->epoll_fd = loop->mailbox_watch.fd = -1;
	loop->now = clock_ms();
	loop->wake_fd = fds_adopt(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (loop->wake_fd < 0) {
		err_set_errno(err, errno, "cannot make an event descriptor");
		return -1;
	}
	pthread_mutex_init(&loop->mailbox_lock, NULL);
	return 0;
}

int loop_open(struct loop *loop, int mailbox_fd, struct err *err)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->mailbox_watch.ready = mailbox_ready;
	if (loop->epoll_fd < 0 ||
	    loop_watch(loop, &loop->mailbox_watch, mailbox_fd, EPOLLIN) < 0) {
		err_set_errno(err, errno, "cannot make an epoll set");
		return -1;
	}
	return 0;
}

void loop_release(struct loop *loop)
{
	loop_unwatch(loop, &loop->mailbox_watch);
	if (loop->epoll_fd >= 0)
		real.close(loop->epoll_fd);
	fds_close(loop->wake_fd);
	pthread_mutex_destroy(&loop->mailbox_lock);
}
