/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>

#include "shim/thread.h"

static sem_t done;
static bool ours_before, ours_after;
static char name[16];
static sigset_t mask;

static void *look(void *arg)
{
	ours_before = thread_is_ours;
	thread_enter();
	ours_after = thread_is_ours;
	prctl(PR_GET_NAME, name);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	sem_post(arg);
	return NULL;
}

START_TEST(is_named_deaf_and_ours)
{
	sigset_t mine;

	sem_init(&done, 0, 0);
	errno = 77;
	ck_assert_int_eq(thread_start(look, &done), 0);
	ck_assert_int_eq(errno, 77);
	while (sem_wait(&done) < 0)
		continue;
	ck_assert(!ours_before && ours_after && !thread_is_ours);
	ck_assert_str_eq(name, "meshshim");
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			ck_assert_int_eq(sigismember(&mask, sig), 1);
	pthread_sigmask(SIG_BLOCK, NULL, &mine);
	ck_assert_int_eq(sigismember(&mine, SIGUSR1), 0);
}
END_TEST

START_TEST(signals_are_blocked_and_restored)
{
	sigset_t old, now;

	thread_block_signals(&old);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	ck_assert_int_eq(sigismember(&now, SIGTERM), 1);
	thread_restore_signals(&old);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	ck_assert_int_eq(sigismember(&now, SIGTERM), 0);
}
END_TEST

Suite *thread_suite(void);
Suite *thread_suite(void)
{
	Suite *suite = suite_create("thread");
	TCase *all = tcase_create("thread");

	tcase_add_test(all, is_named_deaf_and_ours);
	tcase_add_test(all, signals_are_blocked_and_restored);
	suite_add_tcase(suite, all);
	return suite;
}
