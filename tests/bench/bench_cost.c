/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_cost: what the library costs where it is not needed: bench_cost LIBMESHSHIM.SO. The same
 * program runs without and with it, by turns; printed are the medians of both and the median of
 * what a run with it took more than the run before without it.
 *
 *   process start   posix_spawn(3) of true(1) until it is gone
 *   connect         to an address that is no registry host's, where nobody listens
 *   getaddrinfo     of a name that is no registry host's, and is found in /etc/hosts
 *   send ... poll   on descriptors that are none of the library's, calls that come back at once
 *   ..., bridge on  the same with the bridge running: its thread makes the process one of several
 *                   threads, and libc itself does more in each call then
 *   memory          of a process: at its start, when rules have been read, when the bridge runs
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS	41
#define STARTS	301
#define BATCH	500 /* calls */
#define BATCHES 21

static const char rules[] =
    "serviceEntries = ( { name = \"origin\"; hosts = [ \"origin.test\" ]; resolution = \"STATIC\";\n"
    "  endpoints = ( { address = \"127.0.0.1\"; } );\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n"
    "virtualServices = ( { name = \"webserver\"; hosts = [ \"webserver\" ];\n"
    "  http = ( { route = ( { destination = { host = \"origin.test\"; }; } ); } ); } );\n";

static char *library, rules_path[] = "/tmp/bench_cost.XXXXXX";

static void fail(const char *what)
{
	perror(what);
	if (*rules_path)
		unlink(rules_path);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

/* ---- in the program that is measured ---------------------------------------------------- */

static void one_connect(const char *address)
{
	static int fd = -1;
	static struct sockaddr_in to = {.sin_family = AF_INET};

	if (fd < 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		to.sin_port = htons(1);
		inet_pton(AF_INET, address, &to.sin_addr);
	}
	/* A socket that was refused may try again. */
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno != ECONNREFUSED)
		fail("connect");
}

static void one_lookup(const char *name)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;

	if (getaddrinfo(name, "80", &hints, &found) != 0)
		fail("getaddrinfo");
	freeaddrinfo(found);
}

static int pair_end(void)
{
	static int ends[2] = {-1, -1};

	if (ends[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		fail("socketpair");
	return ends[0];
}

static int device(const char *path)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(path, O_RDWR | O_CLOEXEC);
	return fd;
}

static void one_send(const char *unused)
{
	(void)unused;
	if (send(-1, "x", 1, 0) >= 0)
		fail("send");
}

static void one_recv(const char *unused)
{
	char byte;

	(void)unused;
	if (recv(pair_end(), &byte, 1, MSG_DONTWAIT) >= 0)
		fail("recv");
}

static void one_write(const char *unused)
{
	(void)unused;
	if (write(device("/dev/null"), "x", 1) != 1)
		fail("write");
}

static void one_read(const char *unused)
{
	char byte;

	(void)unused;
	if (read(device("/dev/zero"), &byte, 1) != 1)
		fail("read");
}

static void one_poll(const char *unused)
{
	struct pollfd fd = {.fd = pair_end(), .events = POLLIN};

	(void)unused;
	if (poll(&fd, 1, 0) != 0)
		fail("poll");
}

static const struct call {
	const char *name;
	void (*once)(const char *);
} calls[] = {
    {"connect", one_connect}, {"lookup", one_lookup}, {"send", one_send}, {"recv", one_recv},
    {"write", one_write},     {"read", one_read},     {"poll", one_poll},
};
#define CALLS	   (sizeof(calls) / sizeof(calls[0]))
#define FIRST_DATA 2 /* of calls: from here on those of the data path */

/* The median of what one call takes, in ns. */
static void measure_calls(void (*call)(const char *), const char *argument)
{
	double each[BATCHES];

	call(argument);
	for (size_t i = 0; i < BATCHES; i++) {
		double start = now();

		for (int n = 0; n < BATCH; n++)
			call(argument);
		each[i] = (now() - start) / BATCH;
	}
	printf("%f\n", median(each, BATCHES));
}

/* Resident memory, and what of it is this process's own, in KiB. */
static void print_memory(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	unsigned long rss = 0, own = 0, value;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Rss: %lu", &value) == 1)
			rss = value;
		if (sscanf(line, "Private_Dirty: %lu", &value) == 1)
			own = value;
	}
	if (file)
		fclose(file);
	printf("%lu %lu\n", rss, own);
}

/* Connect to a registry host: the bridge runs from then on. */
static void start_bridge(void)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (getaddrinfo("webserver", "80", &hints, &found) != 0 ||
	    connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		fail("the bridge");
}

static void measure_memory(const char *stage)
{
	if (strcmp(stage, "rules") == 0)
		one_lookup("localhost");
	if (strcmp(stage, "bridge") == 0)
		start_bridge();
	print_memory();
}

static int run_child(const char *what, const char *argument)
{
	if (strcmp(what, "memory") == 0) {
		measure_memory(argument);
		return 0;
	}
	if (strcmp(argument, "bridge") == 0 && getenv("LD_PRELOAD"))
		start_bridge();
	for (size_t i = 0; i < CALLS; i++)
		if (strcmp(what, calls[i].name) == 0)
			measure_calls(calls[i].once, argument);
	return 0;
}

/* ---- around it -------------------------------------------------------------------------- */

static pid_t spawn(const char *path, const char *const argv[], int with, int out)
{
	char preload[4096], variable[4096];
	char *plain[] = {NULL}, *preloaded[] = {preload, variable, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library);
	snprintf(variable, sizeof(variable), "MESHSHIM_RULES=%s", rules_path);
	posix_spawn_file_actions_init(&actions);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	errno =
	    posix_spawn(&pid, path, &actions, NULL, (char *const *)argv, with ? preloaded : plain);
	posix_spawn_file_actions_destroy(&actions);
	if (errno)
		fail(path);
	return pid;
}

static void finish(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "bench_cost: a run failed\n");
		unlink(rules_path);
		exit(1);
	}
}

/* The numbers that a run prints. */
static void run(const char *what, const char *argument, int with, double *a, double *b)
{
	const char *argv[] = {"bench_cost", "--child", what, argument, NULL};
	char text[128] = "";
	int ends[2];

	if (pipe(ends) < 0)
		fail("pipe");
	pid_t pid = spawn("/proc/self/exe", argv, with, ends[1]);

	close(ends[1]);
	if (read(ends[0], text, sizeof(text) - 1) < 0)
		fail("read");
	close(ends[0]);
	finish(pid);
	if (sscanf(text, "%lf %lf", a, b) < 1)
		fail("a run that says nothing");
}

static void report(const char *what, double *without, double *with, size_t n, double unit,
		   const char *name)
{
	double more[STARTS];

	for (size_t i = 0; i < n; i++)
		more[i] = with[i] - without[i];
	printf("%-18s %10.2f %10.2f %10.2f  %s\n", what, median(without, n) / unit,
	       median(with, n) / unit, median(more, n) / unit, name);
}

static void bench_start(void)
{
	const char *argv[] = {"true", NULL};
	double times[2][STARTS];

	for (int i = 0; i < STARTS; i++)
		for (int with = 0; with < 2; with++) {
			double start = now();

			finish(spawn("/bin/true", argv, with, -1));
			times[with][i] = now() - start;
		}
	report("process start", times[0], times[1], STARTS, 1e6, "ms");
}

static void bench_calls(const char *title, const char *what, const char *argument, double unit,
			const char *name)
{
	double times[2][ROUNDS], none;

	for (int i = 0; i < ROUNDS; i++)
		for (int with = 0; with < 2; with++)
			run(what, argument, with, &times[with][i], &none);
	report(title, times[0], times[1], ROUNDS, unit, name);
}

static void bench_data(void)
{
	char title[32];

	for (size_t i = FIRST_DATA; i < CALLS; i++)
		bench_calls(calls[i].name, calls[i].name, "alone", 1, "ns");
	for (size_t i = FIRST_DATA; i < CALLS; i++) {
		snprintf(title, sizeof(title), "%s, bridge on", calls[i].name);
		bench_calls(title, calls[i].name, "bridge", 1, "ns");
	}
}

static void bench_memory(void)
{
	static const char *const stages[] = {"start", "rules", "bridge"};
	double plain[2], rss, own;

	run("memory", "start", 0, &plain[0], &plain[1]);
	printf("\nmemory, KiB    resident  its own (%0.f and %.0f without the library)\n", plain[0],
	       plain[1]);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		run("memory", stages[i], 1, &rss, &own);
		printf("%-14s %+8.0f %+8.0f\n", stages[i], rss - plain[0], own - plain[1]);
	}
}

/* An address of this machine that is not loopback's, in a network of our own if possible: there
 * it is on the loopback device and no firewall is in the way. */
static int find_address(char out[INET_ADDRSTRLEN])
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct ifaddrs *list = NULL;
	int fd, found = 0;

	strcpy(out, "192.0.2.53");
	inet_pton(AF_INET, out, &address.sin_addr);
	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		found = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
		strcpy(request.ifr_name, "lo:1");
		memcpy(&request.ifr_addr, &address, sizeof(address));
		found = found && ioctl(fd, SIOCSIFADDR, &request) == 0;
		close(fd);
		return found;
	}
	if (getifaddrs(&list) < 0)
		return 0;
	for (struct ifaddrs *each = list; each && !found; each = each->ifa_next)
		found = each->ifa_addr && each->ifa_addr->sa_family == AF_INET &&
			!(each->ifa_flags & IFF_LOOPBACK) &&
			inet_ntop(AF_INET, &((struct sockaddr_in *)each->ifa_addr)->sin_addr, out,
				  INET_ADDRSTRLEN);
	freeifaddrs(list);
	return found;
}

/* Everything on one processor: from run to run, the kernel hands loopback's packets to this one or
 * to another, and the difference is ten times what is measured here. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET((size_t)sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

int main(int argc, char **argv)
{
	char address[INET_ADDRSTRLEN];

	if (argc == 4 && strcmp(argv[1], "--child") == 0) {
		*rules_path = '\0';
		return run_child(argv[2], argv[3]);
	}
	library = argc == 2 ? realpath(argv[1], NULL) : NULL;
	if (!library) {
		fprintf(stderr, "usage: bench_cost LIBMESHSHIM.SO\n");
		return 2;
	}
	int fd = mkstemp(rules_path);
	if (fd < 0 || write(fd, rules, sizeof(rules) - 1) != sizeof(rules) - 1)
		fail(rules_path);
	close(fd);
	printf("not needed            without       with       more\n");
	fflush(stdout);
	stay_here();
	bench_start();
	if (find_address(address))
		bench_calls("connect", "connect", address, 1e3, "us");
	else
		printf("connect: this machine has no address to connect to\n");
	bench_calls("getaddrinfo", "lookup", "localhost", 1e3, "us");
	bench_data();
	bench_memory();
	unlink(rules_path);
	return 0;
}
