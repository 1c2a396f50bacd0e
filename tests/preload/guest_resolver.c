/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resolver of its own, in every way in which programs talk to a DNS server:
 *
 *     guest_resolver SERVER MODE NAME TYPE ...
 *
 * asks for each name and type and prints one line each: what came back, without the id. As real
 * resolvers do, it takes nothing from any address but the server's; what is wrong there ends it.
 *
 *     guest_resolver SERVER raw HEX ...
 *
 * sends what is no query, from a connected socket and from one that is not, and prints the answers.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "guest.h"

#define WAIT_MS 20000

static struct sockaddr_storage server;
static socklen_t server_len;
static uint16_t next_id = 0x1234;

static void parse_server(const char *text)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&server;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&server;

	server_len = sizeof(*v4);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(53);
		return;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		die("%s is no address", text);
	server_len = sizeof(*v6);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(53);
}

static void check_server(const void *from, socklen_t len, const char *what)
{
	if (len != server_len || memcmp(from, &server, len) != 0)
		die("%s is not the server", what);
}

static int udp(void)
{
	int fd = socket(server.ss_family, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int connected(int type)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = socket(server.ss_family, type, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&server, server_len) < 0)
		die("connect");
	memset(&peer, 0, sizeof(peer));
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		die("getpeername");
	check_server(&peer, len, "the peer");
	return fd;
}

/* A socket's own address, which a program shows to others. */
static void show_local(int fd)
{
	struct sockaddr_storage local = {0};
	socklen_t len = sizeof(local);
	char text[INET6_ADDRSTRLEN];

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		die("getsockname");
	const void *address = local.ss_family == AF_INET ?
				  (const void *)&((struct sockaddr_in *)&local)->sin_addr :
				  (const void *)&((struct sockaddr_in6 *)&local)->sin6_addr;

	printf("local %s\n", inet_ntop(local.ss_family, address, text, sizeof(text)));
}

/* A query with EDNS. Returns its length. */
static size_t query(uint8_t *out, const char *name, unsigned type)
{
	static const uint8_t opt[] = {0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0};
	uint8_t *end = out + 12;
	uint16_t id = next_id++;

	memset(out, 0, 12);
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[2] = 1; /* RD */
	out[5] = out[11] = 1;
	while (*name) {
		size_t len = strcspn(name, ".");

		*end++ = (uint8_t)len;
		memcpy(end, name, len);
		end += len;
		name += len + (name[len] == '.');
	}
	*end++ = 0;
	*end++ = (uint8_t)(type >> 8);
	*end++ = (uint8_t)type;
	*end++ = 0;
	*end++ = 1;
	memcpy(end, opt, sizeof(opt));
	return (size_t)(end - out) + sizeof(opt);
}

static void show(const uint8_t *data, ssize_t len, const uint8_t *asked)
{
	if (len < 0)
		die("no answer");
	if (len < 2 || memcmp(data, asked, 2) != 0)
		die("the answer has another id");
	for (ssize_t i = 2; i < len; i++)
		printf("%02x", data[i]);
	printf("\n");
}

static void wait_for(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (poll(&poll_fd, 1, WAIT_MS) != 1)
		die("nothing came");
}

/* ---- the ways --------------------------------------------------------------------------- */

static ssize_t by_sendto(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	struct sockaddr_storage from = {0};
	socklen_t from_len = sizeof(from);

	if (sendto(fd, q, len, 0, (struct sockaddr *)&server, server_len) != (ssize_t)len)
		die("sendto");
	wait_for(fd);
	ssize_t n = recvfrom(fd, out, size, 0, (struct sockaddr *)&from, &from_len);
	check_server(&from, from_len, "who answers");
	return n;
}

static ssize_t by_send(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	struct sockaddr_storage from = {0};
	socklen_t from_len = sizeof(from);

	if (send(fd, q, len, 0) != (ssize_t)len)
		die("send");
	wait_for(fd);
	ssize_t n = recvfrom(fd, out, size, 0, (struct sockaddr *)&from, &from_len);
	check_server(&from, from_len, "who answers");
	return n;
}

static ssize_t by_write(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	if (write(fd, q, len) != (ssize_t)len)
		die("write");
	wait_for(fd);
	return read(fd, out, size);
}

static ssize_t by_syscall(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	struct sockaddr_storage from = {0};
	socklen_t from_len = sizeof(from);

	if (syscall(SYS_sendto, fd, q, len, 0, &server, server_len) != (ssize_t)len)
		die("sendto");
	wait_for(fd);
	ssize_t n = syscall(SYS_recvfrom, fd, out, size, 0, &from, &from_len);
	check_server(&from, from_len, "who answers");
	return n;
}

/* In pieces, so that the question lies across them. */
static ssize_t by_sendmsg(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	struct sockaddr_storage from = {0};
	struct iovec parts[] = {{(void *)q, 14}, {NULL, 0}, {(void *)(q + 14), len - 14}};
	struct iovec in = {out, size};
	struct msghdr msg = {
	    .msg_name = &server, .msg_namelen = server_len, .msg_iov = parts, .msg_iovlen = 3};

	if (sendmsg(fd, &msg, 0) != (ssize_t)len)
		die("sendmsg");
	wait_for(fd);
	msg = (struct msghdr){
	    .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &in, .msg_iovlen = 1};
	ssize_t n = recvmsg(fd, &msg, 0);
	check_server(&from, msg.msg_namelen, "who answers");
	return n;
}

static void read_whole(int fd, uint8_t *out, size_t len)
{
	for (size_t have = 0; have < len;) {
		wait_for(fd);
		ssize_t n = read(fd, out + have, len - have);

		if (n <= 0)
			die("the stream ended");
		have += (size_t)n;
	}
}

static ssize_t read_message(int fd, uint8_t *out, size_t size)
{
	uint8_t head[2];

	read_whole(fd, head, 2);
	size_t len = (size_t)head[0] << 8 | head[1];

	if (len > size)
		die("a long message");
	read_whole(fd, out, len);
	return (ssize_t)len;
}

static ssize_t by_tcp(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size)
{
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};

	/* The length alone, then all but a byte. */
	if (write(fd, head, 2) != 2 || write(fd, q, len - 1) != (ssize_t)len - 1 ||
	    write(fd, q + len - 1, 1) != 1)
		die("write");
	return read_message(fd, out, size);
}

/* ---- many at once ----------------------------------------------------------------------- */

#define MANY 16

struct pending {
	uint8_t query[300];
	size_t len;
	uint8_t answer[4096];
	ssize_t answer_len;
};

static struct pending pending[MANY];

/* Answers may come in any order. */
static void file_answer(const uint8_t *data, ssize_t len, int n)
{
	for (int i = 0; i < n; i++)
		if (len >= 2 && !pending[i].answer_len && memcmp(pending[i].query, data, 2) == 0) {
			memcpy(pending[i].answer, data, (size_t)len);
			pending[i].answer_len = len;
			return;
		}
	die("an answer to nothing");
}

static void all_by_mmsg(int n)
{
	static struct mmsghdr msgs[MANY];
	static struct iovec parts[MANY];
	static struct sockaddr_storage from[MANY];
	static uint8_t data[MANY][4096];
	int fd = udp(), have = 0;

	for (int i = 0; i < n; i++) {
		parts[i] = (struct iovec){pending[i].query, pending[i].len};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &server,
						  .msg_namelen = server_len,
						  .msg_iov = &parts[i],
						  .msg_iovlen = 1};
	}
	if (sendmmsg(fd, msgs, (unsigned)n, 0) != n)
		die("sendmmsg");
	while (have < n) {
		for (int i = 0; i < n; i++) {
			parts[i] = (struct iovec){data[i], sizeof(data[i])};
			msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
							  .msg_namelen = sizeof(from[i]),
							  .msg_iov = &parts[i],
							  .msg_iovlen = 1};
		}
		wait_for(fd);
		int got = recvmmsg(fd, msgs, (unsigned)n, MSG_DONTWAIT, NULL);

		if (got < 0)
			die("recvmmsg");
		for (int i = 0; i < got; i++) {
			check_server(&from[i], msgs[i].msg_hdr.msg_namelen, "who answers");
			file_answer(data[i], msgs[i].msg_len, n);
		}
		have += got;
	}
	close(fd);
}

/* All queries in one write, none of them waiting for the answer before. */
static void all_by_pipeline(int n)
{
	static uint8_t out[MANY * 302], in[4096];
	size_t len = 0;
	int fd = connected(SOCK_STREAM);

	for (int i = 0; i < n; i++) {
		out[len++] = (uint8_t)(pending[i].len >> 8);
		out[len++] = (uint8_t)pending[i].len;
		memcpy(out + len, pending[i].query, pending[i].len);
		len += pending[i].len;
	}
	if (write(fd, out, len) != (ssize_t)len)
		die("write");
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < n; i++)
		file_answer(in, read_message(fd, in, sizeof(in)), n);
	if (read(fd, in, 1) != 0)
		die("the stream goes on");
	close(fd);
}

static void many(char **arg, void (*all)(int n))
{
	int n = 0;

	for (; arg[0] && arg[1] && n < MANY; arg += 2, n++)
		pending[n].len = query(pending[n].query, arg[0], (unsigned)atoi(arg[1]));
	all(n);
	for (int i = 0; i < n; i++)
		show(pending[i].answer, pending[i].answer_len, pending[i].query);
}

/* ---- main ------------------------------------------------------------------------------- */

static int unconnected_udp(void)
{
	return udp();
}

static int connected_udp(void)
{
	return connected(SOCK_DGRAM);
}

static int tcp(void)
{
	return connected(SOCK_STREAM);
}

static const struct mode {
	const char *name;
	int (*open)(void);
	ssize_t (*ask)(int fd, const uint8_t *q, size_t len, uint8_t *out, size_t size);
} modes[] = {
    {"sendto", unconnected_udp, by_sendto},
    {"syscall", unconnected_udp, by_syscall},
    {"sendmsg", unconnected_udp, by_sendmsg},
    {"send", connected_udp, by_send},
    {"write", connected_udp, by_write},
    {"connect-sendto", connected_udp, by_sendto},
    {"connect-sendmsg", connected_udp, by_sendmsg},
    {"tcp", tcp, by_tcp},
};

static void ask(const struct mode *mode, int fd, const char *name, const char *type)
{
	static uint8_t q[300], out[65536];
	size_t len = query(q, name, (unsigned)atoi(type));

	show(out, mode->ask(fd, q, len, out, sizeof(out)), q);
}

/* One socket for all; for the last of them once more in a child, that asks through it and through
 * one of its own, and then again here. */
static void one_by_one(const struct mode *mode, char **arg)
{
	int fd = mode->open();
	int status;

	if (mode->open == connected_udp)
		show_local(fd);
	for (; arg[0] && arg[1]; arg += 2)
		ask(mode, fd, arg[0], arg[1]);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		ask(mode, fd, arg[-2], arg[-1]);
		ask(mode, mode->open(), arg[-2], arg[-1]);
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		die("the child failed");
	ask(mode, fd, arg[-2], arg[-1]);
	close(fd);
}

static size_t from_hex(const char *text, uint8_t *out)
{
	size_t len = 0;
	unsigned value;

	for (; sscanf(text, "%2x", &value) == 1; text += 2)
		out[len++] = (uint8_t)value;
	return len;
}

static void raw(char **arg)
{
	int unconnected = udp(), other = connected(SOCK_DGRAM);
	static uint8_t packet[70000], out[70000];

	for (; *arg; arg++) {
		size_t len = from_hex(*arg, packet);
		ssize_t n = by_sendto(unconnected, packet, len, out, sizeof(out));

		printf("%zd", n);
		for (ssize_t i = 0; i < n; i++)
			printf("%02x", out[i]);
		n = by_write(other, packet, len, out, sizeof(out));
		printf(" %zd", n);
		for (ssize_t i = 0; i < n; i++)
			printf("%02x", out[i]);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		die("usage");
	parse_server(argv[1]);
	if (strcmp(argv[2], "mmsg") == 0)
		many(argv + 3, all_by_mmsg);
	else if (strcmp(argv[2], "pipeline") == 0)
		many(argv + 3, all_by_pipeline);
	else if (strcmp(argv[2], "raw") == 0)
		raw(argv + 3);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[2], modes[i].name) == 0)
			one_by_one(&modes[i], argv + 3);
	return 0;
}
