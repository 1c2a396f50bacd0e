/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/signals.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/process.h"

/* Each test is a process of its own, and so begins without handlers. */

static void handler(int number)
{
	(void)number;
}

static bool is_blocked(int number)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, number);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	const struct timespec ts = {.tv_nsec = ms * 1000000};

	nanosleep(&ts, NULL);
}

START_TEST(nothing_is_blocked_without_handlers)
{
	sigset_t old;

	signals_expect_handler(SIGFPE);
	signals_expect_handler(SIGSYS);
	signals_keep_off(&old);
	ck_assert(!is_blocked(SIGTERM));
	signals_let_in(&old);
	ck_assert(!is_blocked(SIGTERM));
}
END_TEST

START_TEST(handlers_are_kept_off)
{
	sigset_t old, inner;

	signals_expect_handler(SIGTERM);
	signals_keep_off(&old);
	ck_assert(is_blocked(SIGTERM));
	signals_keep_off(&inner);
	signals_let_in(&inner);
	ck_assert(is_blocked(SIGTERM));
	signals_let_in(&old);
	ck_assert(!is_blocked(SIGTERM));
}
END_TEST

START_TEST(a_mask_of_before_comes_back)
{
	sigset_t usr1, old;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	signals_expect_handler(SIGTERM);
	signals_keep_off(&old);
	signals_let_in(&old);
	ck_assert(is_blocked(SIGUSR1));
	ck_assert(!is_blocked(SIGTERM));
}
END_TEST

static sem_t inside;
static atomic_bool left;

static void *stay(void *arg)
{
	sigset_t old, inner;

	(void)arg;
	signals_keep_off(&old);
	signals_keep_off(&inner);
	sem_post(&inside);
	signals_let_in(&inner);
	pause_ms(SIGNALS_PATIENCE_MS / 4);
	left = true;
	signals_let_in(&old);
	return NULL;
}

/* A thread that is in one, and will be for a while. */
static pthread_t in_section(void)
{
	pthread_t thread;

	sem_init(&inside, 0, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, stay, NULL), 0);
	while (sem_wait(&inside) < 0)
		continue;
	return thread;
}

START_TEST(a_section_that_goes_on_is_waited_for)
{
	pthread_t thread = in_section();

	signals_expect_handler(SIGTERM);
	ck_assert(left);
	pthread_join(thread, NULL);
}
END_TEST

static void *note_another(void *arg)
{
	signals_expect_handler(SIGINT);
	*(bool *)arg = left;
	return NULL;
}

/* It is not enough that somebody else waits. */
START_TEST(by_all_who_install_one)
{
	pthread_t section, other;
	bool waited = false;

	section = in_section();
	ck_assert_int_eq(pthread_create(&other, NULL, note_another, &waited), 0);
	signals_expect_handler(SIGTERM);
	pthread_join(other, NULL);
	ck_assert(left);
	ck_assert(waited);
	pthread_join(section, NULL);
}
END_TEST

/* As fork handlers of the program's do. */
START_TEST(from_within_a_section)
{
	sigset_t old;

	signals_keep_off(&old);
	int64_t start = now_ms();

	signals_expect_handler(SIGTERM);
	/* It waits for others, not for itself. */
	ck_assert_int_lt(now_ms() - start, SIGNALS_PATIENCE_MS);
	ck_assert(is_blocked(SIGTERM));
	signals_let_in(&old);
	ck_assert(!is_blocked(SIGTERM));
}
END_TEST

START_TEST(a_long_one_blocks_after_all)
{
	sigset_t old, inner;

	signals_block(); /* outside of any: nothing */
	ck_assert(!is_blocked(SIGTERM));
	signals_keep_off(&old);
	signals_keep_off(&inner);
	ck_assert(!is_blocked(SIGTERM));
	signals_block();
	ck_assert(is_blocked(SIGTERM));
	signals_let_in(&inner);
	ck_assert(is_blocked(SIGTERM));
	int64_t start = now_ms();

	signals_expect_handler(SIGINT);
	ck_assert_int_lt(now_ms() - start, SIGNALS_PATIENCE_MS);
	signals_let_in(&old);
	ck_assert(!is_blocked(SIGTERM));
}
END_TEST

/* Of a parent that has another thread in a section. Returns the child's exit status, which is 0 if it waited for
 * nobody. */
static int install_in_child(bool fork_handler)
{
	pthread_t thread = in_section();
	int status;

	pid_t child = fork();

	if (child == 0) {
		int64_t start = now_ms();

		if (fork_handler)
			signals_fork_child();
		signals_expect_handler(SIGTERM);
		_exit(now_ms() - start >= SIGNALS_PATIENCE_MS);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	pthread_join(thread, NULL);
	return status;
}

START_TEST(a_forked_child_waits_for_no_thread_of_its_parents)
{
	ck_assert_int_eq(install_in_child(true), 0);
}
END_TEST

/* However it was made, once there is a page for that. */
START_TEST(nor_one_without_fork_handlers)
{
	ck_assert_int_eq(process_own(), 0);
	ck_assert_int_eq(install_in_child(false), 0);
}
END_TEST

/* The forking thread's own section goes on in the child. */
START_TEST(a_section_over_a_fork)
{
	sigset_t old;
	int status;

	ck_assert_int_eq(process_own(), 0);
	signals_keep_off(&old);
	pid_t child = fork();

	if (child == 0) {
		signals_fork_child();
		bool one = *process_counter() == 1;

		signals_let_in(&old);
		_exit(!one || *process_counter() != 0);
	}
	signals_let_in(&old);
	ck_assert_int_eq(*process_counter(), 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(what_no_hook_has_seen_is_found)
{
	sigset_t old;

	/* The test framework has some. */
	for (int number = 1; number < 32; number++)
		signal(number, SIG_DFL);
	signal(SIGTERM, SIG_IGN);
	signals_look();
	signals_keep_off(&old);
	ck_assert(!is_blocked(SIGTERM));
	signals_let_in(&old);
	signal(SIGUSR2, handler); /* no hooks in here */
	signals_look();
	signals_keep_off(&old);
	ck_assert(is_blocked(SIGUSR2));
	signals_let_in(&old);
}
END_TEST

Suite *signals_suite(void);
Suite *signals_suite(void)
{
	Suite *suite = suite_create("signals");
	TCase *all = tcase_create("signals");

	tcase_add_test(all, nothing_is_blocked_without_handlers);
	tcase_add_test(all, handlers_are_kept_off);
	tcase_add_test(all, a_mask_of_before_comes_back);
	tcase_add_test(all, a_section_that_goes_on_is_waited_for);
	tcase_add_test(all, by_all_who_install_one);
	tcase_add_test(all, from_within_a_section);
	tcase_add_test(all, a_forked_child_waits_for_no_thread_of_its_parents);
	tcase_add_test(all, nor_one_without_fork_handlers);
	tcase_add_test(all, a_section_over_a_fork);
	tcase_add_test(all, a_long_one_blocks_after_all);
	tcase_add_test(all, what_no_hook_has_seen_is_found);
	suite_add_tcase(suite, all);
	return suite;
}
