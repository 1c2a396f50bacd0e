/* SPDX-License-Identifier: Apache-2.0 */
#include "loopback.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int bound(uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

int loopback_listen(uint16_t *port)
{
	int fd = bound(port);

	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

uint16_t loopback_closed_port(void)
{
	uint16_t port;

	bound(&port);
	return port;
}

int loopback_connect(uint16_t port, uint16_t *local)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(port)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, len), 0);
	if (local) {
		ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
		*local = ntohs(addr.sin_port);
	}
	return fd;
}
