/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shim/libc.h"
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

static int keep_fd, also_fd, kept, gone, also, standard;

static void *leave_table(void *arg)
{
	thread_enter();
	kept = thread_own_descriptors(keep_fd, also_fd);
	gone = fcntl(keep_fd + 1, F_GETFD) < 0 && fcntl(keep_fd, F_GETFD) < 0 &&
	       fcntl(keep_fd - 1, F_GETFD) < 0;
	also = also_fd < 0 || fcntl(also_fd, F_GETFD) >= 0;
	for (int fd = 0; fd < 3; fd++)
		standard += fcntl(fd, F_GETFD) >= 0;
	close(open("/dev/null", O_RDONLY));
	if (write(kept, "x", 1) != 1)
		kept = -1;
	sem_post(arg);
	return NULL;
}

/* Without and with a second one to take along, below the first or above it. */
START_TEST(descriptors_of_its_own)
{
	static const int offsets[] = {0, -100, 100};
	int fds[2], pair[2];
	char byte;

	libc_bind();
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(pipe(fds), 0);
	keep_fd = fcntl(pair[1], F_DUPFD, 500);
	ck_assert_int_eq(dup2(fds[1], keep_fd - 1), keep_fd - 1);
	ck_assert_int_eq(dup2(fds[1], keep_fd + 1), keep_fd + 1);
	also_fd = offsets[_i] ? dup2(fds[0], keep_fd + offsets[_i]) : -1;
	sem_init(&done, 0, 0);
	ck_assert_int_eq(thread_start(leave_table, &done), 0);
	while (sem_wait(&done) < 0)
		continue;
	ck_assert_int_eq(kept, 3);
	ck_assert_int_eq(standard, 3);
	ck_assert(gone && also);
	ck_assert_int_eq(read(pair[0], &byte, 1), 1); /* it is the file that was to be kept */
	/* and this table is as it was */
	ck_assert_int_ge(fcntl(keep_fd, F_GETFD), 0);
	ck_assert_int_ge(fcntl(keep_fd + 1, F_GETFD), 0);
}
END_TEST

static __thread volatile char large[1024 * 1024];

START_TEST(large_thread_local_data)
{
	sem_init(&done, 0, 0);
	large[0] = 1;
	ck_assert_int_eq(thread_start(look, &done), 0);
	while (sem_wait(&done) < 0)
		continue;
}
END_TEST

Suite *thread_suite(void);
Suite *thread_suite(void)
{
	Suite *suite = suite_create("thread");
	TCase *all = tcase_create("thread");

	tcase_add_test(all, is_named_deaf_and_ours);
	tcase_add_loop_test(all, descriptors_of_its_own, 0, 3);
	tcase_add_test(all, large_thread_local_data);
	suite_add_tcase(suite, all);
	return suite;
}
