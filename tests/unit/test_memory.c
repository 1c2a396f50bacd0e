/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/memory.h"
#include "shim/signals.h"

Suite *memory_suite(void);

/* All of it can be written, and nobody else has it. */
static void *taken(size_t size)
{
	char *memory = memory_take(size);

	ck_assert_ptr_nonnull(memory);
	ck_assert_uint_eq((uintptr_t)memory % 16, 0);
	ck_assert_uint_ge(memory_size(memory), size);
	ck_assert(memory_is_ours(memory));
	memset(memory, (int)size & 0xff, memory_size(memory));
	return memory;
}

static void given(void *memory, size_t size)
{
	const unsigned char *bytes = memory;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != (size & 0xff))
			ck_abort_msg("byte %zu of %zu was written by another", i, size);
	memory_give(memory);
}

START_TEST(every_size)
{
	static void *blocks[3000];

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3000; i++)
			blocks[i] = taken(i);
		for (size_t i = 0; i < 3000; i++)
			given(blocks[i], i);
	}
	for (size_t size = 3000; size < 300000; size += size / 5) {
		void *memory = taken(size), *other = taken(size);

		/* A quarter more at most, or a page. */
		ck_assert_uint_le(memory_size(memory), size + size / 4 + 4096);
		given(other, size);
		given(memory, size);
	}
}
END_TEST

START_TEST(too_much)
{
	errno = 0;
	ck_assert_ptr_null(memory_take(SIZE_MAX));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_null(memory_take(SIZE_MAX / 2 + 1));
	ck_assert_ptr_null(memory_take((size_t)1 << 48));
	memory_give(NULL);
}
END_TEST

START_TEST(not_ours)
{
	int here;
	void *other = malloc(100);

	ck_assert(!memory_is_ours(NULL));
	ck_assert(!memory_is_ours(&here));
	ck_assert(!memory_is_ours(other));
	ck_assert(!memory_is_ours((void *)UINTPTR_MAX));
	free(other);
	void *large = taken(1 << 20);

	memory_give(large);
	ck_assert(!memory_is_ours(large));
}
END_TEST

/* What is given back goes back to the system, five spans of some 128 blocks aside. */
START_TEST(shrinks)
{
	static void *blocks[20000];
	size_t left = 0;

	for (size_t i = 0; i < 20000; i++)
		blocks[i] = taken(2000);
	for (size_t i = 0; i < 20000; i++)
		given(blocks[i], 2000);
	for (size_t i = 0; i < 20000; i++)
		left += memory_is_ours(blocks[i]);
	ck_assert_uint_le(left, 5 * 128);
}
END_TEST

static unsigned next(unsigned *state)
{
	return *state = *state * 1664525 + 1013904223;
}

static size_t any_size(unsigned *state)
{
	unsigned random = next(state) >> 8;

	return random % 64 ? random % (random % 8 ? 300 : 20000) : random % 200000;
}

static void *churn(void *seed)
{
	unsigned state = (unsigned)(uintptr_t)seed;
	void *blocks[64] = {0};
	size_t sizes[64] = {0};

	for (int i = 0; i < 20000; i++) {
		unsigned at = next(&state) >> 16 & 63;

		if (blocks[at])
			given(blocks[at], sizes[at]);
		sizes[at] = any_size(&state);
		blocks[at] = taken(sizes[at]);
	}
	for (int i = 0; i < 64; i++)
		if (blocks[i])
			given(blocks[i], sizes[i]);
	return NULL;
}

static void in_threads(void *(*run)(void *))
{
	pthread_t thread[4];

	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, run, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

START_TEST(threads)
{
	in_threads(churn);
}
END_TEST

static volatile sig_atomic_t n_handled;

static void handler(int number)
{
	(void)number;
	void *memory = memory_take(100), *large = memory_take(100000);

	memory_give(large);
	memory_give(memory);
	n_handled++;
}

/* Wherever the handler comes, it gets memory. */
START_TEST(in_a_handler)
{
	struct sigaction action = {.sa_handler = handler};
	struct itimerval every = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};

	signals_expect_handler(SIGALRM); /* no hooks in here */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	while (n_handled < 300)
		churn((void *)(uintptr_t)(n_handled + 1));
	setitimer(ITIMER_REAL, &never, NULL);
}
END_TEST

/* Blocks come from and go to where a single thread has them, for as long as it says. */
START_TEST(at_hand)
{
	static void *blocks[300];
	void *kept = taken(5000);

	memory_hold();
	given(kept, 5000);
	ck_assert_ptr_eq(taken(5000), kept);
	given(kept, 5000);
	memory_let_go();
	ck_assert_ptr_ne(taken(5000), kept);
	memory_hold();
	ck_assert_ptr_eq(taken(5000), kept);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 300; i++)
			blocks[i] = taken(i * 100);
		for (size_t i = 0; i < 300; i++)
			given(blocks[i], i * 100);
		if (round == 1)
			memory_let_go();
	}
}
END_TEST

static void *hold_and_churn(void *seed)
{
	for (int i = 0; i < 4; i++) {
		memory_hold();
		churn(seed);
		memory_let_go();
	}
	return NULL;
}

/* All at once: one has them, the others go without. */
START_TEST(at_hand_of_one)
{
	in_threads(hold_and_churn);
}
END_TEST

/* A child may be made while another thread is in there: what the parent took stays readable and can be
 * given back, new memory is its own. */
START_TEST(forked_child)
{
	char *kept = memory_take(100), *large = memory_take(1 << 20);
	int status;

	strcpy(kept, "kept");
	strcpy(large, "large");
	pid_t pid = fork();

	if (pid == 0) {
		memory_fork_child();
		char *fresh = memory_take(100);

		if (!fresh || fresh == kept || memory_size(kept) < 100 || !memory_is_ours(kept))
			_exit(1);
		memory_give(kept);
		memory_give(large);
		if (strcmp(kept, "kept") != 0 || strcmp(large, "large") != 0)
			_exit(2);
		memory_give(fresh);
		_exit(memory_take(100) == fresh ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	memory_give(kept);
	memory_give(large);
}
END_TEST

Suite *memory_suite(void)
{
	Suite *suite = suite_create("memory");
	TCase *tcase = tcase_create("memory");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, every_size);
	tcase_add_test(tcase, too_much);
	tcase_add_test(tcase, not_ours);
	tcase_add_test(tcase, shrinks);
	tcase_add_test(tcase, threads);
	tcase_add_test(tcase, in_a_handler);
	tcase_add_test(tcase, at_hand);
	tcase_add_test(tcase, at_hand_of_one);
	tcase_add_test(tcase, forked_child);
	suite_add_tcase(suite, tcase);
	return suite;
}
