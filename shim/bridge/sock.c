/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/sock.h"

#include <errno.h>
#include <linux/tcp.h> /* libc's tcp_info is shorter */
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shim/libc.h"

struct sock {
	struct io io; /* first: a struct io * of this kind is a struct sock * */
	int fd;
	bool connecting;
	bool readable, writable; /* false: an event must come first */
	bool hung_up;		 /* the end or an error was reported: no further edges */
	bool read_failed, write_failed;
	bool ended; /* the peer's FIN came, and before it no reset */
	bool reset; /* one came, or was to be feared */
	bool shut;
	bool urgent; /* one byte is */
	uint64_t written; /* bytes */
	bool woken; /* the kernel says 0 where there is nothing to read */
};

/* SO_ERROR is read first: a connection that fails between the two calls brings a further event. */
static int sock_handshake(struct io *io)
{
	struct sock *sock = (struct sock *)io;
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	int error = 0;
	socklen_t len = sizeof(error);

	if (!sock->connecting)
		return sock->read_failed ? IO_ERR : 0;
	if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && real.getpeername(sock->fd, (struct sockaddr *)&peer, &peer_len) < 0) {
		if (errno == ENOTCONN)
			return IO_WANT_WRITE;
		error = errno;
	}
	sock->connecting = false;
	if (error != 0) {
		sock->read_failed = sock->write_failed = true;
		err_set_errno(&io->err, error, "connect");
		return IO_ERR;
	}
	return 0;
}

/* <netinet/tcp.h> has them, but cannot stand beside <linux/tcp.h> */
enum { ESTABLISHED = 1, FIN_WAIT1 = 4, FIN_WAIT2 = 5 };

/* Of a TCP socket whose reading side we have shut ourselves: whether the peer has ended, too. */
static bool has_ended(const struct sock *sock)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(sock->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	       (info.tcpi_state != ESTABLISHED && info.tcpi_state != FIN_WAIT1 &&
		info.tcpi_state != FIN_WAIT2);
}

/* Nothing is read past an urgent byte as long as a signal is pending (one that cannot be blocked: libc's, for
 * setuid(2) in all threads), not even that byte. */
static bool is_at_urgent(const struct sock *sock)
{
	int at = 0;

	return sock->urgent && real.ioctl(sock->fd, SIOCATMARK, &at) == 0 && at;
}

static ssize_t sock_read(struct io *io, void *data, size_t size)
{
	struct sock *sock = (struct sock *)io;
	ssize_t n;

	if (sock->read_failed)
		return IO_ERR;
	if (!sock->readable || size == 0)
		return IO_WANT_READ;
	/* Asked first: what comes in between is an edge. */
	bool goes_on = sock->woken && !has_ended(sock);
	do
		n = real.recv(sock->fd, data, size, MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || (errno == EAGAIN && is_at_urgent(sock))));
	if ((n == 0 && goes_on) || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) {
		sock->readable = false;
		return IO_WANT_READ;
	}
	if (n < 0) {
		sock->read_failed = sock->reset = true;
		err_set_errno(&io->err, errno, "read");
		return IO_ERR;
	}
	/* Behind a reset that a write was told of, reading gives an end too. */
	if (n == 0 && !sock->reset)
		sock->ended = true;
	if (n > 0 && (size_t)n < size && !sock->hung_up && !is_at_urgent(sock))
		sock->readable = false;
	return n;
}

static bool sock_dry(const struct io *io)
{
	const struct sock *sock = (const struct sock *)io;

	return !sock->readable && !sock->read_failed;
}

static ssize_t sock_write(struct io *io, const void *data, size_t size)
{
	struct sock *sock = (struct sock *)io;
	ssize_t n;

	if (sock->write_failed)
		return IO_ERR;
	if (!sock->writable)
		return IO_WANT_WRITE;
	do
		n = real.send(sock->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		sock->writable = false;
		return IO_WANT_WRITE;
	}
	if (n < 0) {
		sock->write_failed = true;
		/* EPIPE: the reset came behind a FIN. */
		sock->reset = sock->reset || errno != EPIPE;
		/* What the peer has sent before it went is worth reading; where the kernel or a
		 * filter refuses, the peer knows nothing of it and may wait for ever. */
		sock->read_failed = errno != EPIPE && errno != ECONNRESET;
		err_set_errno(&io->err, errno, "write");
		return IO_ERR;
	}
	sock->written += (uint64_t)n;
	if ((size_t)n < size && !sock->hung_up)
		sock->writable = false;
	return n;
}

static int sock_shutdown(struct io *io)
{
	struct sock *sock = (struct sock *)io;

	if (sock->write_failed)
		return IO_ERR;
	if (!sock->shut && real.shutdown(sock->fd, SHUT_WR) < 0) {
		sock->write_failed = true;
		err_set_errno(&io->err, errno, "shutdown");
		return IO_ERR;
	}
	sock->shut = true;
	return 0;
}

static void sock_close(struct io *io, bool reset)
{
	struct sock *sock = (struct sock *)io;
	const struct linger drop = {.l_onoff = 1, .l_linger = 0};
	char byte;

	if (reset)
		setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
	/* The kernel would take it for data that nobody has read, and reset the connection. */
	while (!reset && is_at_urgent(sock))
		real.recv(sock->fd, &byte, 1, MSG_DONTWAIT);
	real.close(sock->fd);
	free(sock);
}

static const struct io_ops sock_ops = {
    .name = "socket",
    .handshake = sock_handshake,
    .read = sock_read,
    .write = sock_write,
    .shutdown = sock_shutdown,
    .close = sock_close,
};

struct io *sock_io(int fd, bool connecting)
{
	struct sock *sock = calloc(1, sizeof(*sock));

	if (!sock)
		return NULL;
	sock->io.ops = &sock_ops;
	sock->io.dry = sock_dry;
	sock->fd = fd;
	sock->connecting = connecting;
	sock->readable = sock->writable = true;
	return &sock->io;
}

void sock_ready(struct io *io, uint32_t epoll_events)
{
	struct sock *sock = (struct sock *)io;

	if (epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		sock->hung_up = true;
	if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		sock->readable = true;
	if (epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		sock->writable = true;
}

void sock_ask(struct io *io)
{
	struct sock *sock = (struct sock *)io;
	char byte;
	ssize_t n;

	do
		n = real.recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	sock->readable = n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

void sock_expect_urgent(struct io *io)
{
	((struct sock *)io)->urgent = true;
}

int sock_fd(const struct io *io)
{
	return ((const struct sock *)io)->fd;
}

void sock_move(struct io *io, int fd)
{
	((struct sock *)io)->fd = fd;
}

void sock_wake_readers(struct io *io)
{
	struct sock *sock = (struct sock *)io;

	/* From now on there is no telling whether the last edge was that of the end. */
	sock->woken = sock->hung_up = true;
	real.shutdown(sock->fd, SHUT_RD);
}

bool sock_is_woken(const struct io *io)
{
	return ((const struct sock *)io)->woken;
}

/* 0: not known. */
static uint64_t acked(const struct io *io)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(sock_fd(io), IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return 0;
	/* Linux has counted the SYN. Kernels that do not count (gVisor) say 0 for ever. */
	return info.tcpi_bytes_acked;
}

bool sock_tells_acked(const struct io *io)
{
	return acked(io) != 0;
}

uint64_t sock_written(const struct io *io)
{
	return ((const struct sock *)io)->written;
}

bool sock_unacked(const struct io *io, uint64_t before)
{
	uint64_t now = acked(io);

	return now && now <= before + 1;
}

bool sock_unseen(const struct io *io, uint64_t before)
{
	return ((const struct sock *)io)->ended && sock_unacked(io, before);
}
