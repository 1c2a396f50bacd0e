/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/fork.h"
#include "shim/libc.h"
#include "shim/process.h"
#include "shim/thread.h"

static sem_t inside, leave;
static atomic_bool left;

static void setup(void)
{
	libc_bind();
	ck_assert_int_eq(process_own(), 0);
	fork_watch();
	sem_init(&inside, 0, 0);
	sem_init(&leave, 0, 0);
}

static void *hold(void *arg)
{
	struct timespec while_inside = {.tv_nsec = 20000000};

	(void)arg;
	thread_enter();
	fork_hold();
	fork_hold(); /* nested */
	sem_post(&inside);
	nanosleep(&while_inside, NULL);
	fork_release();
	left = true;
	fork_release();
	return NULL;
}

static int status_of(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

START_TEST(waits_for_those_inside)
{
	ck_assert_int_eq(thread_start(hold, NULL), 0);
	while (sem_wait(&inside) < 0)
		continue;
	int64_t before = now_ms();
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	/* On a machine that is too busy, its patience may have run out first. */
	ck_assert(left || now_ms() - before >= FORK_PATIENCE_MS);
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

static void *hold_on(void *arg)
{
	(void)arg;
	thread_enter();
	fork_hold();
	sem_post(&inside);
	while (sem_wait(&leave) < 0)
		continue;
	fork_release();
	left = true;
	sem_post(&inside);
	return NULL;
}

START_TEST(does_not_wait_for_ever)
{
	ck_assert_int_eq(thread_start(hold_on, NULL), 0);
	while (sem_wait(&inside) < 0)
		continue;
	pid_t pid = fork(); /* although nobody leaves */
	if (pid == 0) {
		fork_hold(); /* nobody is inside in the child */
		fork_release();
		pid_t grandchild = fork();
		if (grandchild == 0)
			_exit(0);
		_exit(status_of(grandchild));
	}
	ck_assert(!left);
	ck_assert_int_eq(status_of(pid), 0);
	sem_post(&leave);
	while (sem_wait(&inside) < 0)
		continue;
}
END_TEST

START_TEST(the_child_owns_its_state)
{
	ck_assert_int_eq(process_check(), PROCESS_OWNER);
	pid_t pid = fork();
	if (pid == 0)
		_exit(process_check() == PROCESS_OWNER ? 0 : 1);
	ck_assert_int_eq(status_of(pid), 0);
	pid = _Fork(); /* behind the handlers' back */
	if (pid == 0) {
		bool forked = process_check() == PROCESS_FORKED;

		fork_recover();
		_exit(forked && process_check() == PROCESS_OWNER ? 0 : 1);
	}
	ck_assert_int_eq(status_of(pid), 0);
}
END_TEST

Suite *fork_suite(void);
Suite *fork_suite(void)
{
	Suite *suite = suite_create("fork");
	TCase *all = tcase_create("fork");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, waits_for_those_inside);
	tcase_add_test(all, does_not_wait_for_ever);
	tcase_add_test(all, the_child_owns_its_state);
	suite_add_tcase(suite, all);
	return suite;
}
