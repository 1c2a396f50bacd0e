/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/sock.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/libc.h"

static struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int listener(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = loopback();
	ck_assert_int_eq(bind(fd, (struct sockaddr *)addr, len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static int dial(const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	int result = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	ck_assert(result == 0 || errno == EINPROGRESS);
	return fd;
}

/* A stream and the blocking descriptor at its other end. */
static struct io *connected(int *peer)
{
	struct sockaddr_in addr;
	int listening = listener(&addr);
	struct io *io = sock_io(dial(&addr), true);

	ck_assert_ptr_nonnull(io);
	*peer = accept(listening, NULL, NULL);
	ck_assert_int_ge(*peer, 0);
	close(listening);
	ck_assert_int_eq(io_handshake(io), 0);
	return io;
}

static void wait_readable(const struct io *io)
{
	struct pollfd poll_fd = {.fd = sock_fd(io), .events = POLLIN};

	ck_assert_int_eq(poll(&poll_fd, 1, 5000), 1);
}

START_TEST(a_connection_comes_up)
{
	int peer;
	struct io *io = connected(&peer);

	ck_assert_int_eq(io_handshake(io), 0);
	ck_assert(!io_pending(io));
	close(peer);
	io_close(io, false);
}
END_TEST

/* With the backlog full the kernel drops the SYN, and the connection stays in progress. */
START_TEST(a_connection_in_progress_waits)
{
	struct sockaddr_in addr;
	int listening = listener(&addr);
	int fillers[64];
	size_t n = 0;
	struct io *io = NULL;

	ck_assert_int_eq(listen(listening, 0), 0);
	while (n < 64) {
		io = sock_io(dial(&addr), true);
		usleep(1000);
		if (io_handshake(io) == IO_WANT_WRITE)
			break;
		fillers[n++] = dup(sock_fd(io));
		io_close(io, false);
		io = NULL;
	}
	ck_assert_ptr_nonnull(io);
	ck_assert_int_eq(io_write(io, "x", 1), IO_WANT_WRITE);
	ck_assert_int_eq(io_read(io, &(char){0}, 1), IO_WANT_READ);
	io_close(io, true);
	while (n > 0)
		close(fillers[--n]);
	close(listening);
}
END_TEST

START_TEST(a_refused_connection_says_so)
{
	struct sockaddr_in addr;
	int listening = listener(&addr);

	close(listening);
	struct io *io = sock_io(dial(&addr), true);
	for (int i = 0; i < 5000 && io_handshake(io) == IO_WANT_WRITE; i++)
		usleep(1000);
	ck_assert_int_eq(io_handshake(io), IO_ERR);
	ck_assert_str_eq(io_error(io), "connect: Connection refused");
	ck_assert_int_eq(io->err.code, ECONNREFUSED);
	ck_assert_int_eq(io_read(io, &(char){0}, 1), IO_ERR);
	ck_assert_int_eq(io_write(io, "x", 1), IO_ERR);
	ck_assert_int_eq(io_shutdown(io), IO_ERR);
	io_close(io, false);
}
END_TEST

START_TEST(bytes_go_both_ways_until_the_end)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);

	ck_assert_int_eq(io_write(io, "ping", 4), 4);
	ck_assert_int_eq(read(peer, data, sizeof(data)), 4);
	ck_assert_int_eq(io_shutdown(io), 0);
	ck_assert_int_eq(io_shutdown(io), 0);
	ck_assert_int_eq(read(peer, data, sizeof(data)), 0);
	ck_assert_int_eq(write(peer, "pong", 4), 4);
	close(peer);
	wait_readable(io);
	sock_ready(io, EPOLLIN | EPOLLRDHUP);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), 4);
	/* the end is behind the last bytes and has no edge of its own */
	while (io_read(io, data, sizeof(data)) == IO_WANT_READ)
		sock_ready(io, EPOLLIN | EPOLLRDHUP);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_EOF);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_EOF);
	io_close(io, false);
}
END_TEST

START_TEST(a_short_read_waits_for_an_event)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);

	ck_assert_int_eq(io_read(io, data, 0), IO_WANT_READ);
	ck_assert_int_eq(write(peer, "abc", 3), 3);
	wait_readable(io);
	ck_assert_int_eq(io_read(io, data, 2), 2);
	ck_assert_int_eq(io_read(io, data, 2), 1);
	ck_assert_int_eq(write(peer, "d", 1), 1);
	wait_readable(io);
	ck_assert_int_eq(io_read(io, data, 2), IO_WANT_READ);
	sock_ready(io, EPOLLOUT);
	ck_assert_int_eq(io_read(io, data, 2), IO_WANT_READ);
	sock_ready(io, EPOLLIN);
	ck_assert_int_eq(io_read(io, data, 2), 1);
	close(peer);
	io_close(io, false);
}
END_TEST

START_TEST(asked_it_needs_no_event)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);

	sock_ask(io);
	ck_assert(io_dry(io));
	ck_assert_int_eq(write(peer, "abc", 3), 3);
	wait_readable(io);
	sock_ask(io);
	ck_assert(!io_dry(io));
	ck_assert_int_eq(io_read(io, data, sizeof(data)), 3);
	ck_assert(io_dry(io));
	close(peer);
	wait_readable(io);
	sock_ask(io);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_EOF);
	io_close(io, false);
}
END_TEST

START_TEST(after_a_hang_up_a_short_read_is_not_the_last)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);

	sock_ready(io, EPOLLIN | EPOLLRDHUP);
	ck_assert_int_eq(write(peer, "abc", 3), 3);
	close(peer);
	wait_readable(io);
	usleep(10000);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), 3);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_EOF);
	io_close(io, false);
}
END_TEST

START_TEST(a_full_socket_waits_for_an_event)
{
	static char data[1 << 20];
	int peer;
	struct io *io = connected(&peer);
	ssize_t n, sent = 0;

	while ((n = io_write(io, data, sizeof(data))) > 0)
		sent += n;
	ck_assert_int_eq(n, IO_WANT_WRITE);
	while (sent > 0) {
		n = read(peer, data, sizeof(data));
		ck_assert_int_gt(n, 0);
		sent -= n;
	}
	ck_assert_int_eq(io_write(io, data, 1), IO_WANT_WRITE);
	sock_ready(io, EPOLLIN);
	ck_assert_int_eq(io_write(io, data, 1), IO_WANT_WRITE);
	sock_ready(io, EPOLLOUT);
	ck_assert_int_eq(io_write(io, data, 1), 1);
	close(peer);
	io_close(io, false);
}
END_TEST

START_TEST(a_reset_is_an_error_and_not_an_end)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);
	const struct linger drop = {.l_onoff = 1};

	setsockopt(peer, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
	close(peer);
	wait_readable(io);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_ERR);
	ck_assert_str_eq(io_error(io), "read: Connection reset by peer");
	/* the kernel has forgotten by now; the stream has not */
	ck_assert_int_eq(io_read(io, data, sizeof(data)), IO_ERR);
	io_close(io, false);
}
END_TEST

START_TEST(closing_hard_resets_the_peer)
{
	int peer;
	char data[16];
	struct io *io = connected(&peer);

	io_close(io, true);
	ck_assert_int_eq(read(peer, data, sizeof(data)), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(peer);
}
END_TEST

/* A server that answers early and closes: its answer is read although the request broke off. */
START_TEST(a_failed_write_raises_no_signal_and_leaves_reads_alone)
{
	int pair[2];
	char data[16];

	signal(SIGPIPE, SIG_DFL);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct io *io = sock_io(pair[0], false);
	ck_assert_int_eq(io_handshake(io), 0);
	ck_assert_int_eq(write(pair[1], "413", 3), 3);
	close(pair[1]);
	ck_assert_int_eq(io_write(io, "body", 4), IO_ERR);
	ck_assert_str_eq(io_error(io), "write: Broken pipe");
	ck_assert_int_eq(io_write(io, "body", 4), IO_ERR);
	ck_assert_int_eq(io_shutdown(io), IO_ERR);
	ck_assert_int_eq(io_read(io, data, sizeof(data)), 3);
	io_close(io, false);
}
END_TEST

static void bind_libc(void)
{
	libc_bind();
}

/* Read to the end or an error. */
static void drain(struct io *io)
{
	char data[64];
	ssize_t n;

	do {
		wait_readable(io);
		sock_ready(io, EPOLLIN);
		n = io_read(io, data, sizeof(data));
	} while (n > 0 || n == IO_WANT_READ);
}

static void close_hard(int fd)
{
	const struct linger drop = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
	close(fd);
}

START_TEST(what_came_behind_the_end_is_unseen)
{
	int peer;
	struct io *io = connected(&peer);
	uint64_t before = sock_written(io);

	ck_assert(sock_tells_acked(io));
	close(peer);
	ck_assert_int_eq(io_write(io, "request", 7), 7);
	ck_assert(!sock_unseen(io, before)); /* nothing is known yet */
	drain(io);
	ck_assert(sock_unseen(io, before));
	io_close(io, false);
}
END_TEST

START_TEST(what_came_before_the_end_may_be_seen)
{
	int peer;
	struct io *io = connected(&peer);
	uint64_t before = sock_written(io);
	char data[7];

	ck_assert_int_eq(io_write(io, "request", 7), 7);
	ck_assert_int_eq(recv(peer, data, 7, MSG_WAITALL), 7);
	close(peer);
	drain(io);
	ck_assert(!sock_unseen(io, before));
	io_close(io, false);
}
END_TEST

/* A reset overtakes the acknowledgement of what was read. */
START_TEST(what_was_reset_may_be_seen)
{
	for (int late = 0; late < 2; late++) {
		int peer;
		struct io *io = connected(&peer);
		uint64_t before = sock_written(io);

		if (late)
			close_hard(peer);
		io_write(io, "request", 7);
		if (!late)
			close_hard(peer);
		drain(io);
		ck_assert(!sock_unseen(io, before));
		io_close(io, false);
	}
}
END_TEST

START_TEST(what_is_no_tcp_may_be_seen)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct io *io = sock_io(ends[0], false);
	uint64_t before = sock_written(io);
	close(ends[1]);
	drain(io);
	ck_assert(!sock_unseen(io, before));
	io_close(io, false);
}
END_TEST

/* Where nothing is counted, nothing is known: an unconnected socket is like a kernel that does not. */
START_TEST(what_is_not_counted_may_be_seen)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct io *io = sock_io(fd, false);

	ck_assert(!sock_tells_acked(io));
	io_close(io, false);
}
END_TEST

Suite *sock_suite(void);
Suite *sock_suite(void)
{
	Suite *suite = suite_create("sock");
	TCase *tcase = tcase_create("sock");

	tcase_add_checked_fixture(tcase, bind_libc, NULL);
	tcase_add_test(tcase, a_connection_comes_up);
	tcase_add_test(tcase, a_connection_in_progress_waits);
	tcase_add_test(tcase, a_refused_connection_says_so);
	tcase_add_test(tcase, bytes_go_both_ways_until_the_end);
	tcase_add_test(tcase, a_short_read_waits_for_an_event);
	tcase_add_test(tcase, asked_it_needs_no_event);
	tcase_add_test(tcase, after_a_hang_up_a_short_read_is_not_the_last);
	tcase_add_test(tcase, a_full_socket_waits_for_an_event);
	tcase_add_test(tcase, a_reset_is_an_error_and_not_an_end);
	tcase_add_test(tcase, closing_hard_resets_the_peer);
	tcase_add_test(tcase, what_came_behind_the_end_is_unseen);
	tcase_add_test(tcase, what_came_before_the_end_may_be_seen);
	tcase_add_test(tcase, what_was_reset_may_be_seen);
	tcase_add_test(tcase, what_is_no_tcp_may_be_seen);
	tcase_add_test(tcase, what_is_not_counted_may_be_seen);
	tcase_add_test(tcase, a_failed_write_raises_no_signal_and_leaves_reads_alone);
	suite_add_tcase(suite, tcase);
	return suite;
}
