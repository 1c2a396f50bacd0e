/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GET whose bytes go through io_uring: uring HOST PORT. Prints the status and the body; exits
 * with 77 where the kernel forbids io_uring. guest-ldflags: -luring
 */
#include <liburing.h>

#include "tests/preload/guest.h"

static struct answer answer;

static int complete(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int result;

	if (io_uring_submit(ring) < 0 || io_uring_wait_cqe(ring, &cqe) < 0)
		die("io_uring");
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

int main(int argc, char **argv)
{
	struct io_uring ring;
	char request[1024], data[512];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	int fd, n;

	if (argc != 3)
		die("usage: uring HOST PORT");
	n = io_uring_queue_init(4, &ring, 0);
	if (n < 0) {
		printf("io_uring_setup: %s\n", strerror(-n));
		return 77;
	}
	fd = dial(argv[1], argv[2]);
	io_uring_prep_send(io_uring_get_sqe(&ring), fd, request, len, 0);
	n = complete(&ring);
	if (n != (int)len)
		die("send: %s", n < 0 ? strerror(-n) : "short");
	do {
		io_uring_prep_recv(io_uring_get_sqe(&ring), fd, data, sizeof(data), 0);
		n = complete(&ring);
		if (n < 0)
			die("recv: %s", strerror(-n));
		answer_add(&answer, data, (size_t)n);
	} while (n > 0);
	io_uring_queue_exit(&ring);
	answer_parse(&answer);
	printf("%d %s\n", answer.status, answer.body);
	return 0;
}
