/* SPDX-License-Identifier: Apache-2.0 */
/* Windows and flows, with real sockets on loopback: a "program", a "server", the loop in
 * between. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns_packets.h"
#include "shim/bridge/dialled.h"
#include "shim/bridge/dns.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct dns dns;
static struct sockaddr_in server;
static int server_fd;
static uint16_t window;
static uint8_t packet[600], data[65536];

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int udp(struct sockaddr_in *addr)
{
	struct sockaddr_in any = loopback(0);
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&any, &len), 0);
	if (addr)
		*addr = any;
	return fd;
}

static uint16_t open_window(const struct sockaddr_in *to)
{
	struct err err = {0};
	uint16_t port = dns_open_window(&dns, (const struct sockaddr *)to, &err);

	ck_assert_msg(port != 0, "%s", err.text);
	return port;
}

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	dns_rules_begin();
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	ck_assert_int_eq(dns_init(&dns, &loop, &err), 0);
	pthread_mutex_lock(&owner);
	server_fd = udp(&server);
	window = open_window(&server);
}

static void teardown(void)
{
	dns_release(&dns);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
	close(server_fd);
	dns_rules_end();
}

static void claim_socket(int fd, const struct sockaddr_in *local)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	dns_claim(&dns.claims, AF_INET, (const struct sockaddr *)local, st.st_ino);
}

/* What the hooks do: a socket that is connected to a window, and claimed. */
static int program_socket(uint16_t to, bool claimed)
{
	struct sockaddr_in local, there = loopback(to);
	int fd = udp(&local);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof(there)), 0);
	if (claimed)
		claim_socket(fd, &local);
	return fd;
}

/* The same at a given address, which may be shared. */
static int program_socket_at(struct in_addr ip, in_port_t port)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = ip, .sin_port = port};
	struct sockaddr_in there = loopback(window);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&there, sizeof(there)), 0);
	claim_socket(fd, &local);
	return fd;
}

static void ask(int fd, const char *name)
{
	size_t len = dns_query(packet, name, 1);

	ck_assert_int_eq(send(fd, packet, len, 0), (ssize_t)len);
	loop_turn(&loop, -1);
}

static bool is_silent(int fd)
{
	return recv(fd, data, sizeof(data), MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* What the server is asked, and by whom. */
static struct sockaddr_in server_hears(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(server_fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &len);

	ck_assert_int_gt(n, 0);
	ck_assert_mem_eq(data, packet, (size_t)n);
	return from;
}

static void server_says(const struct sockaddr_in *to, const void *text, size_t len)
{
	ck_assert_int_eq(sendto(server_fd, text, len, 0, (const struct sockaddr *)to, sizeof(*to)),
			 (ssize_t)len);
	loop_turn(&loop, -1);
}

START_TEST(answers_and_forwards)
{
	int fd = program_socket(window, true);

	ask(fd, "alpha.test");
	ck_assert_int_gt(recv(fd, data, sizeof(data), MSG_DONTWAIT), 12);
	ck_assert(is_silent(server_fd));
	ask(fd, "other.test");
	struct sockaddr_in from = server_hears();
	server_says(&from, "answer", 6);
	ck_assert_int_eq(recv(fd, data, sizeof(data), MSG_DONTWAIT), 6);
	ck_assert_mem_eq(data, "answer", 6);
	/* The next one comes from the same socket, and a second answer is let through as well. */
	ask(fd, "more.test");
	struct sockaddr_in again = server_hears();
	ck_assert_mem_eq(&from, &again, sizeof(from));
	server_says(&from, "", 0);
	ck_assert_int_eq(recv(fd, data, sizeof(data), MSG_DONTWAIT), 0);
	close(fd);
}
END_TEST

START_TEST(large_datagrams)
{
	static uint8_t large[65507];
	int fd = program_socket(window, true);

	ask(fd, "other.test");
	struct sockaddr_in from = server_hears();
	memset(large, 7, sizeof(large));
	server_says(&from, large, sizeof(large));
	ck_assert_int_eq(recv(fd, data, sizeof(data), MSG_DONTWAIT), sizeof(large));
	ck_assert_mem_eq(data, large, sizeof(large));
	close(fd);
}
END_TEST

START_TEST(two_programs_two_flows)
{
	int a = program_socket(window, true), b = program_socket(window, true);

	ask(a, "a.test");
	struct sockaddr_in from_a = server_hears();
	ask(b, "b.test");
	struct sockaddr_in from_b = server_hears();
	ck_assert_uint_ne(from_a.sin_port, from_b.sin_port);
	server_says(&from_b, "b", 1);
	ck_assert_int_eq(recv(b, data, sizeof(data), MSG_DONTWAIT), 1);
	ck_assert(is_silent(a));
	server_says(&from_a, "a", 1);
	ck_assert_int_eq(recv(a, data, sizeof(data), MSG_DONTWAIT), 1);
	close(a);
	close(b);
}
END_TEST

/* Promise 8: what no hook has claimed gets no answer and is not forwarded. */
START_TEST(strangers)
{
	int fd = program_socket(window, false);

	ask(fd, "alpha.test");
	ask(fd, "other.test");
	ck_assert(is_silent(fd));
	ck_assert(is_silent(server_fd));
	close(fd);
}
END_TEST

/* The port of a socket that is gone is somebody else's: his is no claim of ours. */
START_TEST(port_changes_hands)
{
	int fd = program_socket(window, true);
	struct sockaddr_in local, to = loopback(window);
	socklen_t len = sizeof(local);

	dns.claims.trust_ms = 0;
	ask(fd, "alpha.test");
	ck_assert_int_gt(recv(fd, data, sizeof(data), MSG_DONTWAIT), 12);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &len), 0);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ask(fd, "alpha.test");
	ck_assert(is_silent(fd));
	close(fd);
}
END_TEST

/* A socket that has the port of an earlier one is not told what that one has asked. */
START_TEST(late_answers)
{
	int fd = program_socket(window, true);
	struct sockaddr_in local, to = loopback(window);
	socklen_t len = sizeof(local);

	ask(fd, "first.test");
	struct sockaddr_in first = server_hears();
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &len), 0);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	claim_socket(fd, &local);
	ask(fd, "second.test");
	struct sockaddr_in second = server_hears();
	ck_assert_uint_ne(first.sin_port, second.sin_port);
	server_says(&second, "second", 6);
	ck_assert_int_eq(recv(fd, data, sizeof(data), MSG_DONTWAIT), 6);
	close(fd);
}
END_TEST

static void check_answered(int fd)
{
	ask(fd, "alpha.test");
	ck_assert_int_gt(recv(fd, data, sizeof(data), MSG_DONTWAIT), 12);
}

/* A port of several addresses, however many sockets come and go at one of them. */
START_TEST(one_port_of_several_addresses)
{
	struct in_addr here = {htonl(INADDR_LOOPBACK)}, there = {htonl(INADDR_LOOPBACK + 1)};
	struct sockaddr_in free_port;

	close(udp(&free_port));
	int fd = program_socket_at(here, free_port.sin_port);
	for (int i = 0; i < 10; i++) {
		int other = program_socket_at(there, free_port.sin_port);

		check_answered(other);
		check_answered(fd);
		dns.claims.trust_ms = i % 2 ? DNS_TRUST_MS : 0;
		check_answered(other);
		check_answered(fd);
		close(other);
	}
	close(fd);
}
END_TEST

/* The port stays the program's when one of the sockets that share it is closed. */
START_TEST(a_shared_port)
{
	struct in_addr here = {htonl(INADDR_LOOPBACK)};
	struct sockaddr_in free_port;

	close(udp(&free_port));
	int fd = program_socket_at(here, free_port.sin_port);
	close(program_socket_at((struct in_addr){htonl(INADDR_ANY)}, free_port.sin_port));
	dns.claims.trust_ms = 0;
	check_answered(fd);
	close(fd);
}
END_TEST

START_TEST(window_of_a_server)
{
	struct sockaddr_in to = server, peer = loopback(window);
	struct sockaddr_storage found;
	socklen_t len;

	ck_assert_uint_eq(open_window(&to), window);
	ck_assert_uint_eq(dns_find_window(&dns, (struct sockaddr *)&to), window);
	ck_assert(dialled_find_server((struct sockaddr *)&peer, &found, &len));
	ck_assert_uint_eq(len, sizeof(to));
	ck_assert_mem_eq(&found, &to, len);
	peer.sin_port = htons((uint16_t)(window ^ 1));
	ck_assert(!dialled_find_server((struct sockaddr *)&peer, &found, &len));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 7);
	ck_assert_uint_eq(dns_find_window(&dns, (struct sockaddr *)&to), 0);
	ck_assert_uint_ne(open_window(&to), window);
}
END_TEST

START_TEST(too_many_servers)
{
	struct sockaddr_in to = server, peer = loopback(window);
	struct sockaddr_storage found;
	socklen_t len;
	int fd = program_socket(window, true);

	for (uint32_t i = 1; i <= DNS_WINDOWS; i++) {
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 256 + i);
		open_window(&to);
	}
	/* The first one was unused for longest; who is still there learns it. */
	ck_assert_uint_eq(dns_find_window(&dns, (struct sockaddr *)&server), 0);
	ck_assert(!dialled_find_server((struct sockaddr *)&peer, &found, &len));
	ck_assert_int_eq(send(fd, "x", 1, 0), 1);
	ck_assert_int_eq(recv(fd, data, sizeof(data), 0), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	close(fd);
}
END_TEST

START_TEST(too_many_flows)
{
	static int fds[DNS_FLOWS + 8];

	for (size_t i = 0; i < DNS_FLOWS + 8; i++) {
		fds[i] = program_socket(window, true);
		ask(fds[i], "other.test");
		server_hears();
	}
	ck_assert_uint_eq(dns.n_flows, DNS_FLOWS);
	for (size_t i = 0; i < DNS_FLOWS + 8; i++)
		close(fds[i]);
}
END_TEST

/* Without a descriptor for another, the oldest flow has to leave. */
START_TEST(out_of_descriptors)
{
	int a = program_socket(window, true), b = program_socket(window, true);
	struct rlimit limit = {.rlim_cur = 0};

	ask(a, "a.test");
	server_hears();
	limit.rlim_cur = limit.rlim_max = (rlim_t)dup(0);
	close((int)limit.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ask(b, "b.test");
	server_hears();
	ck_assert_uint_eq(dns.n_flows, 1);
	close(a);
	close(b);
}
END_TEST

START_TEST(ipv6)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct sockaddr_in6 local = to;
	socklen_t len = sizeof(to);
	struct err err = {0};
	struct stat st;
	int there = socket(AF_INET6, SOCK_DGRAM, 0), fd = socket(AF_INET6, SOCK_DGRAM, 0);

	ck_assert_int_eq(bind(there, (struct sockaddr *)&to, len), 0);
	ck_assert_int_eq(getsockname(there, (struct sockaddr *)&to, &len), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&local, &len), 0);
	struct sockaddr_in6 at = to;
	at.sin6_port = htons(dns_open_window(&dns, (struct sockaddr *)&to, &err));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	fstat(fd, &st);
	dns_claim(&dns.claims, AF_INET6, (struct sockaddr *)&local, st.st_ino);
	dns.claims.trust_ms = 0;
	ask(fd, "alpha.test");
	ck_assert_int_gt(recv(fd, data, sizeof(data), MSG_DONTWAIT), 12);
	ask(fd, "other.test");
	ck_assert_int_gt(recv(there, data, sizeof(data), MSG_DONTWAIT), 12);
	close(fd);
	close(there);
}
END_TEST

Suite *dns_suite(void);
Suite *dns_suite(void)
{
	Suite *suite = suite_create("dns");
	TCase *tcase = tcase_create("dns");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, answers_and_forwards);
	tcase_add_test(tcase, large_datagrams);
	tcase_add_test(tcase, two_programs_two_flows);
	tcase_add_test(tcase, strangers);
	tcase_add_test(tcase, port_changes_hands);
	tcase_add_test(tcase, late_answers);
	tcase_add_test(tcase, one_port_of_several_addresses);
	tcase_add_test(tcase, a_shared_port);
	tcase_add_test(tcase, window_of_a_server);
	tcase_add_test(tcase, too_many_servers);
	tcase_add_test(tcase, too_many_flows);
	tcase_add_test(tcase, out_of_descriptors);
	tcase_add_test(tcase, ipv6);
	suite_add_tcase(suite, tcase);
	return suite;
}
