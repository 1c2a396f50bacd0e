/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/bridge/loop.h"
#include "shim/container_of.h"
#include "shim/fds.h"
#include "shim/thread.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;

static void setup(void)
{
	struct err err = {0};

	ck_assert_msg(loop_init(&loop, &owner, &err) == 0, "%s", err.text);
	ck_assert_msg(loop_open(&loop, loop.wake_fd, &err) == 0, "%s", err.text);
	pthread_mutex_lock(&owner);
}

static void teardown(void)
{
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
}

/* ---- timers ------------------------------------------------------------------------------ */

#define TIMERS 200

static struct timer timers[TIMERS];
static uint64_t due[TIMERS], last_due;
static int fired;

static void count_fire(struct timer *timer)
{
	uint64_t at = due[timer - timers];

	ck_assert_uint_ge(at, last_due);
	last_due = at;
	fired++;
}

START_TEST(timers_fire_in_order)
{
	int cleared = 0;

	srandom(7);
	for (int i = 0; i < TIMERS; i++) {
		uint64_t ms = (uint64_t)random() % 20;

		timers[i].fire = count_fire;
		timer_set(&loop, &timers[i], ms);
		due[i] = ms;
	}
	for (int i = 0; i < TIMERS; i += 3) { /* from anywhere in the heap */
		timer_clear(&loop, &timers[i]);
		timer_clear(&loop, &timers[i]);
		cleared++;
	}
	for (int i = 1; i < TIMERS; i += 3) { /* set anew */
		due[i] = (uint64_t)random() % 20;
		timer_set(&loop, &timers[i], due[i]);
	}
	while (fired < TIMERS - cleared)
		loop_turn(&loop, -1);
	ck_assert_ptr_null(loop.timers);
}
END_TEST

/* ---- tasks ------------------------------------------------------------------------------- */

static int ran;

static void run_count(struct task *task)
{
	(void)task;
	ran++;
}

static void run_defer_again(struct task *task)
{
	if (++ran < 3)
		loop_defer(&loop, task);
}

START_TEST(deferred_tasks_run_next_turn)
{
	struct task task = {.run = run_defer_again};

	loop_defer(&loop, &task);
	loop_turn(&loop, -1);
	ck_assert_int_eq(ran, 1);
	loop_turn(&loop, -1);
	loop_turn(&loop, -1);
	ck_assert_int_eq(ran, 3);
}
END_TEST

#define POSTS 1000

static struct task posted[POSTS];

static void *post_all(void *arg)
{
	(void)arg;
	thread_enter();
	for (int i = 0; i < POSTS; i++) {
		posted[i].run = run_count;
		loop_post(&loop, &posted[i]);
	}
	return NULL;
}

START_TEST(posted_tasks_all_run)
{
	ck_assert_int_eq(thread_start(post_all, NULL), 0);
	while (ran < POSTS)
		loop_turn(&loop, -1);
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------------- */

struct pipe_watch {
	struct watch watch;
	struct pipe_watch *victim; /* to be unwatched when this one is ready */
	int ready;
};

static void pipe_ready(struct watch *watch, uint32_t events)
{
	struct pipe_watch *p = container_of(watch, struct pipe_watch, watch);

	ck_assert(events & EPOLLIN);
	p->ready++;
	if (p->victim)
		loop_unwatch(&loop, &p->victim->watch);
}

static int open_pipe(struct pipe_watch *p)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	p->watch.ready = pipe_ready;
	ck_assert_int_eq(loop_watch(&loop, &p->watch, fds[0], EPOLLIN), 0);
	return fds[1];
}

START_TEST(unwatching_drops_fetched_events)
{
	static struct pipe_watch a, b; /* the loop knows one of them until the teardown */
	int to_a = open_pipe(&a), to_b = open_pipe(&b);

	a.victim = &b;
	b.victim = &a;
	ck_assert_int_eq(write(to_a, "x", 1), 1);
	ck_assert_int_eq(write(to_b, "x", 1), 1);
	loop_turn(&loop, -1);
	/* Both were ready in one batch; whoever was first has stopped the other. */
	ck_assert_int_eq(a.ready + b.ready, 1);
	ck_assert_int_eq((a.watch.fd < 0) + (b.watch.fd < 0), 1);
}
END_TEST

static bool stop;
static int mailbox_fd;

static void *run_loop(void *arg)
{
	(void)arg;
	thread_enter();
	loop_run(&loop, &stop);
	return NULL;
}

static void run_stop(struct task *task)
{
	(void)task;
	stop = true;
}

START_TEST(wakes_through_a_relocated_descriptor)
{
	struct task tasks[2] = {{.run = run_count}, {.run = run_stop}};
	int other = open("/dev/null", O_RDONLY), old = loop.wake_fd;
	struct err err = {0};
	pthread_t thread;

	/* The loop has a number of its own, as with a table of its own. */
	loop_unwatch(&loop, &loop.mailbox_watch);
	close(loop.epoll_fd);
	mailbox_fd = dup(old);
	ck_assert_int_eq(loop_open(&loop, mailbox_fd, &err), 0);
	pthread_mutex_unlock(&owner);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, NULL), 0);

	ck_assert_int_eq(loop_relocate_wake(&loop, other), 0); /* not ours: nothing to do */
	ck_assert_int_eq(loop.wake_fd, old);
	ck_assert_int_eq(loop_relocate_wake(&loop, old), 0);
	ck_assert_int_ne(loop.wake_fd, old);
	ck_assert(fds_is_ours(loop.wake_fd) && !fds_is_ours(old));
	ck_assert_int_eq(dup2(other, old), old); /* the program takes the number */
	loop_post(&loop, &tasks[0]);
	loop_post(&loop, &tasks[1]);
	pthread_join(thread, NULL);
	ck_assert_int_eq(ran, 1);
	pthread_mutex_lock(&owner);
}
END_TEST

/* The program closed the wake descriptor unseen; the number is a pipe of its own. */
START_TEST(never_writes_to_a_file_of_the_programs)
{
	struct task tasks[3] = {{.run = run_count}, {.run = run_count}, {.run = run_count}};
	int own[2], kept = dup(loop.wake_fd);
	char byte;

	ck_assert_int_eq(pipe2(own, O_NONBLOCK), 0);
	ck_assert_int_eq(dup2(own[1], loop.wake_fd), loop.wake_fd);
	for (int i = 0; i < 3; i++)
		ck_assert(!loop_post(&loop, &tasks[i]));
	ck_assert_int_eq(read(own[0], &byte, 1), -1);
	loop_withdraw(&loop, &tasks[2]);
	loop_withdraw(&loop, &tasks[0]);
	loop_withdraw(&loop, &tasks[0]);
	ck_assert_int_eq(dup2(kept, loop.wake_fd), loop.wake_fd);
	ck_assert(loop_post(&loop, &tasks[0]));
	loop_turn(&loop, -1);
	ck_assert_int_eq(ran, 2);
}
END_TEST

Suite *loop_suite(void);
Suite *loop_suite(void)
{
	Suite *suite = suite_create("loop");
	TCase *all = tcase_create("loop");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, timers_fire_in_order);
	tcase_add_test(all, deferred_tasks_run_next_turn);
	tcase_add_test(all, posted_tasks_all_run);
	tcase_add_test(all, unwatching_drops_fetched_events);
	tcase_add_test(all, wakes_through_a_relocated_descriptor);
	tcase_add_test(all, never_writes_to_a_file_of_the_programs);
	suite_add_tcase(suite, all);
	return suite;
}
