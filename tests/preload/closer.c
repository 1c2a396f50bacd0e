/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that closes every descriptor that it does not know, before and after its first request:
 * closer MODE HOST PORT BODY. Each request has to get 200 and BODY.
 */
#include <dirent.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/preload/guest.h"

static int limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		die("getrlimit");
	return files.rlim_cur < 65536 ? (int)files.rlim_cur : 65536;
}

static void by_closefrom(void)
{
	closefrom(3);
}

static void by_close_range(void)
{
	if (close_range(3, ~0U, 0) < 0)
		die("close_range");
}

static void by_close_range_cloexec(void)
{
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		die("close_range CLOEXEC");
}

static void by_syscall(void)
{
	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		die("syscall close_range");
}

/* The numbers that were not open must go on saying EBADF, or loops over them would not end. */
static void by_loop(void)
{
	for (int fd = limit() - 1; fd >= 3; fd--)
		if (close(fd) < 0 && errno != EBADF)
			die("close %d", fd);
}

static void by_syscall_loop(void)
{
	for (int fd = limit() - 1; fd >= 3; fd--)
		if (syscall(SYS_close, fd) < 0 && errno != EBADF)
			die("syscall close %d", fd);
}

/* Only what /proc says is open, as daemons do. */
static void by_proc(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int open_fds[1024], n = 0;

	if (!dir)
		die("/proc/self/fd");
	while ((entry = readdir(dir)) && n < 1024)
		if (atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(dir))
			open_fds[n++] = atoi(entry->d_name);
	closedir(dir);
	for (int i = 0; i < n; i++)
		if (close(open_fds[i]) < 0 && errno != EBADF)
			die("close %d", open_fds[i]);
}

/* Take every number but a few for the program's own use, then give it back. */
static void by_dup2(void)
{
	for (int fd = 3; fd < limit() - 64; fd++)
		if (dup2(0, fd) != fd)
			die("dup2 onto %d", fd);
	for (int fd = 3; fd < limit() - 64; fd++)
		if (close(fd) < 0)
			die("close of a descriptor of my own, %d", fd);
}

static const struct {
	const char *name;
	void (*close_all)(void);
} modes[] = {
    {"closefrom", by_closefrom},
    {"close_range", by_close_range},
    {"close_range-cloexec", by_close_range_cloexec},
    {"syscall", by_syscall},
    {"loop", by_loop},
    {"syscall-loop", by_syscall_loop},
    {"proc", by_proc},
    {"dup2", by_dup2},
};

int main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: closer MODE HOST PORT BODY");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) != 0)
			continue;
		for (int round = 0; round < 3; round++) {
			modes[i].close_all();
			expect(argv[2], argv[3], "/anything?x=1", argv[4]);
		}
		printf("three requests\n");
		return 0;
	}
	die("no mode %s", argv[1]);
}
