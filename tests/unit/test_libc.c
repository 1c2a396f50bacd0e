/* SPDX-License-Identifier: Apache-2.0 */
/* Each test runs twice: with the raw system calls of the start, and bound to libc. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/libc.h"

static void bind_if(int wanted)
{
	if (wanted)
		libc_bind();
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(binding)
{
	ck_assert_ptr_null(real.getaddrinfo);
	errno = EDOM;
	libc_bind();
	ck_assert_int_eq(errno, EDOM);
#define HOOK(type, name, parameters, arguments) ck_assert_ptr_nonnull(real.name);
#include "shim/hooks.def"
#undef HOOK
	struct libc first = real;

	libc_bind();
	ck_assert_mem_eq(&first, &real, sizeof(real));
}
END_TEST

/* execve(2) and execveat(2) with an environment of one variable; the others are there once bound. */
START_TEST(executing)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"exit $STATUS", NULL};
	char *const env[] = {(char *)"STATUS=7", NULL};
	int status;

	bind_if(_i & 1);
	pid_t pid = vfork();

	if (pid == 0) {
		if (_i & 2)
			real.execveat(AT_FDCWD, "/bin/sh", argv, env, 0);
		else
			real.execve("/bin/sh", argv, env);
		_exit(99);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 7 << 8);
	ck_assert_int_eq(real.execve("/no/such/file", argv, env), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(real.execveat(-1, "no/such/file", argv, env, 0), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(data)
{
	int pair[2];
	char buf[16];
	struct iovec iov = {.iov_base = (char[]){"cd"}, .iov_len = 2};
	struct mmsghdr msgs[2] = {{.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}}};

	bind_if(_i);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(real.send(pair[0], "a", 1, 0), 1);
	ck_assert_int_eq(real.sendto(pair[0], "b", 1, 0, NULL, 0), 1);
	ck_assert_int_eq(real.sendmsg(pair[0], &msgs[0].msg_hdr, 0), 2);
	ck_assert_int_eq(real.sendmmsg(pair[0], msgs, 2, 0), 2);
	ck_assert_uint_eq(msgs[1].msg_len, 2);
	ck_assert_int_eq(real.recv(pair[1], buf, sizeof(buf), 0), 8);
	ck_assert_mem_eq(buf, "abcdcdcd", 8);
	real.close(pair[0]);
	real.close(pair[1]);
	ck_assert_int_eq(real.send(pair[0], "a", 1, 0), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(datagrams)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in from[2];
	socklen_t len = sizeof(addr);
	char buf[2][16];
	struct iovec iov[2] = {{buf[0], 16}, {buf[1], 16}};
	struct mmsghdr msgs[2];

	bind_if(_i);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(real.sendto(fd, "data", 4, 0, (struct sockaddr *)&addr, len), 4);
	ck_assert_int_eq(real.recvfrom(fd, buf, 16, 0, (struct sockaddr *)&from[0], &len), 4);
	ck_assert_mem_eq(&from[0], &addr, sizeof(addr));
	memset(from, 0, sizeof(from));
	ck_assert_int_eq(
	    real.__recvfrom_chk(fd, buf, 2, 16, 0, (struct sockaddr *)&from[0], &len), 2);
	ck_assert_mem_eq(&from[0], &addr, sizeof(addr));
	for (int i = 0; i < 2; i++)
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
						       .msg_namelen = sizeof(from[i]),
						       .msg_iov = &iov[i],
						       .msg_iovlen = 1}};
	ck_assert_int_eq(real.recvmsg(fd, &msgs[0].msg_hdr, 0), 4);
	ck_assert_int_eq(real.recvmmsg(fd, msgs, 2, 0, NULL), 2);
	ck_assert_uint_eq(msgs[1].msg_len, 4);
	ck_assert_mem_eq(&from[1], &addr, sizeof(addr));
	real.close(fd);
}
END_TEST

START_TEST(connecting)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in peer;
	socklen_t len = sizeof(addr);

	bind_if(_i);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	ck_assert_int_eq(real.getpeername(client, (struct sockaddr *)&peer, &len), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	ck_assert_int_eq(real.connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	len = sizeof(peer);
	ck_assert_int_eq(real.getpeername(client, (struct sockaddr *)&peer, &len), 0);
	ck_assert_uint_eq(peer.sin_port, addr.sin_port);
	ck_assert_int_eq(real.connect(client, (struct sockaddr *)&addr, sizeof(addr)), -1);
	ck_assert_int_eq(errno, EISCONN);
}
END_TEST

START_TEST(descriptors)
{
	bind_if(_i);
	int fd = open("/dev/null", O_RDONLY);

	ck_assert_int_eq(real.dup2(fd, 900), 900);
	ck_assert_int_eq(real.dup2(fd, fd), fd);
	ck_assert_int_eq(real.dup3(fd, 901, O_CLOEXEC), 901);
	ck_assert(fcntl(901, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(real.dup3(fd, fd, 0), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(real.close(900), 0);
	ck_assert_int_eq(real.close(900), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(real.dup2(900, 902), -1);
	ck_assert_int_eq(real.close_range(901, 901, 0), 0);
	ck_assert(!is_open(901));
	real.dup2(fd, 901);
	real.closefrom(901);
	ck_assert(!is_open(901));
	ck_assert(is_open(fd));
}
END_TEST

START_TEST(any_system_call)
{
	bind_if(_i);
	ck_assert_int_eq(real.syscall(SYS_getpid), getpid());
	ck_assert_int_eq(real.syscall(SYS_close, -1), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

Suite *libc_suite(void);
Suite *libc_suite(void)
{
	Suite *suite = suite_create("libc");
	TCase *tcase = tcase_create("libc");

	tcase_add_test(tcase, binding);
	tcase_add_loop_test(tcase, executing, 0, 4);
	tcase_add_loop_test(tcase, data, 0, 2);
	tcase_add_loop_test(tcase, datagrams, 0, 2);
	tcase_add_loop_test(tcase, connecting, 0, 2);
	tcase_add_loop_test(tcase, descriptors, 0, 2);
	tcase_add_loop_test(tcase, any_system_call, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
