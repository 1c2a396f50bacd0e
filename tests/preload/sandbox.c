/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that takes rights, limits and surroundings away from itself: sandbox MODE HOST PORT BODY
 * [ARG...]. Exit status 77, with a reason on stderr: this machine does not allow it.
 */
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/preload/guest.h"

static const char *host, *port, *body;
static char **args;

static void get(void)
{
	expect(host, port, "/anything?x=1", body);
}

static void not_here(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(77);
}

/* A whole request: the status of the answer, or -errno of what failed. 10 s are waited for it. */
static int try(const struct addrinfo *to)
{
	struct timeval patience = {.tv_sec = 10};
	char request[1024], data[4096];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	int fd = socket(to->ai_family, SOCK_STREAM, 0), status = 0;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	errno = 0;
	ssize_t n = connect(fd, to->ai_addr, to->ai_addrlen);
	if (n == 0 && (n = write(fd, request, len)) > 0 &&
	    (n = read(fd, data, sizeof(data) - 1)) > 0) {
		data[n] = '\0';
		sscanf(data, "HTTP/1.1 %d", &status);
	}
	int error = errno;
	close(fd);
	if (status)
		return status;
	return error ? -error : -ECONNRESET;
}

static const char *outcome(int result)
{
	static char text[64];

	if (result > 0)
		snprintf(text, sizeof(text), "%d", result);
	else
		snprintf(text, sizeof(text), "%s", strerrorname_np(-result));
	return text;
}

static void say(const char *when, int result)
{
	printf("%s: %s\n", when, outcome(result));
	fflush(stdout);
}

/* ---- users ----------------------------------------------------------------------------------- */

static atomic_bool over;

static void *requests(void *arg)
{
	(void)arg;
	while (!atomic_load(&over))
		get();
	return NULL;
}

/* setuid(2) and its kin reach every thread of the process by a signal of libc's own. */
static void ids(void)
{
	pthread_t threads[3];

	get();
	for (int i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, requests, NULL))
			die("pthread_create");
	for (int i = 0; i < 100; i++)
		if (setgid(getgid()) < 0 || setuid(getuid()) < 0 ||
		    setresuid(-1, getuid(), -1) < 0 || setregid(-1, getgid()) < 0)
			die("setuid");
	atomic_store(&over, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	get();
	printf("same\n");
}

/* The way of a server: privileges for the start, nobody's for the rest. */
static void become_nobody(void)
{
	if (getuid() != 0) {
		errno = EPERM;
		not_here("setuid to another user");
	}
	get();
	if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
		die("setuid");
	if (setuid(0) == 0)
		die("still root");
	for (int i = 0; i < 3; i++)
		get();
	printf("nobody\n");
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static void user_before(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		not_here("unshare");
	for (int i = 0; i < 2; i++)
		get();
	printf("a namespace of its own\n");
}

/* The kernel refuses it where there is more than one thread, and the program goes on. */
static void user_after(void)
{
	get();
	if (unshare(CLONE_NEWUSER) < 0 && errno != EINVAL)
		not_here("unshare");
	get();
	printf("survived\n");
}

static void loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		die("loopback");
	close(fd);
}

/* Without a network, then with one that has nobody in it. */
static void net_before(void)
{
	struct addrinfo *to = resolve(host, port);

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		not_here("unshare");
	say("no network", try(to));
	loopback_up();
	say("an empty network", try(to));
	say("once more", try(to));
}

static void net_after(void)
{
	struct addrinfo *to = resolve(host, port);

	get();
	if (unshare(CLONE_NEWNET) < 0)
		not_here("unshare");
	say("no network", try(to));
	loopback_up();
	say("an empty network", try(to));
}

/* Thread by thread: descriptors, and what the working directory belongs to. */
static void files(void)
{
	for (int i = 0; i < 2; i++) {
		get();
		if (unshare(CLONE_FILES | CLONE_FS) < 0)
			not_here("unshare");
		get();
		closefrom(3);
		get();
	}
	printf("files of its own\n");
}

/* ---- chroot(2) --------------------------------------------------------------------------------- */

static void enter(const char *directory)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		not_here("unshare");
	if (chroot(directory) < 0)
		not_here("chroot");
	if (chdir("/") < 0)
		die("chdir");
}

/* Into a directory without rules, certificates and libraries; they are looked for after a second. */
static void chroot_after(void)
{
	if (geteuid() != 0) {
		errno = EPERM;
		not_here("chroot with a second thread");
	}
	get();
	enter(args[0]);
	get();
	usleep(1200000);
	for (int i = 0; i < 3; i++)
		get();
	printf("served\n");
}

/* The rules have been read, nothing was connected so far. */
static void chroot_early(void)
{
	struct addrinfo *to = resolve(host, port);

	enter(args[0]);
	say("early", try(to));
	say("again", try(to));
}

/* ---- seccomp(2) -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned number;
} calls[] = {
#define CALL(name) {#name, SYS_##name}
    CALL(openat), CALL(newfstatat), CALL(getdents64), CALL(clone3), CALL(clone), CALL(eventfd2),
    CALL(close_range), CALL(epoll_create1), CALL(epoll_ctl), CALL(bind),
    CALL(listen), CALL(accept4), CALL(getsockname), CALL(getsockopt), CALL(setsockopt),
    CALL(getrandom), CALL(madvise), CALL(prctl), CALL(fcntl), CALL(rt_sigprocmask),
    CALL(nanosleep), CALL(clock_nanosleep), CALL(pidfd_open), CALL(pidfd_getfd), CALL(ioctl),
    CALL(shutdown), CALL(sendto), CALL(recvfrom), CALL(recvmsg), CALL(sendmsg), CALL(mmap),
    CALL(mprotect), CALL(unshare),
#undef CALL
#ifdef SYS_epoll_wait
    {"epoll_wait", SYS_epoll_wait},
#else
    {"epoll_wait", SYS_epoll_pwait},
#endif
};

static unsigned number_of(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	die("no system call %s", name);
}

/* args: an errno value and names of system calls, which fail with it from here on. */
static void forbid(void)
{
	struct sock_filter filter[64];
	unsigned short n = 0;
	unsigned error = (unsigned)atoi(args[0]);

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						   offsetof(struct seccomp_data, nr));
	for (char **name = args + 1; *name && n < 60; name++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							   number_of(*name), 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							   SECCOMP_RET_ERRNO | error);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {.len = n, .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		not_here("seccomp");
}

static void seccomp_before(void)
{
	struct addrinfo *to = resolve(host, port);

	forbid();
	for (int i = 0; i < 3; i++)
		say("before", try(to));
}

static void seccomp_after(void)
{
	struct addrinfo *to = resolve(host, port);

	get();
	forbid();
	for (int i = 0; i < 3; i++)
		say("after", try(to));
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A question to a DNS server, then one more when what reads it is forbidden: it may be lost, and
 * nothing turns in circles over it. */
static void seccomp_dns(void)
{
	static const char question[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\x09webserver\0\0\1\0\1";
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_port = htons(53),
				     .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char data[512];

	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0 ||
	    write(fd, question, sizeof(question) - 1) < 0)
		die("the first question");
	ssize_t n = read(fd, data, sizeof(data));

	if (strcmp(host, "webserver") == 0 && n < 12)
		die("no answer");
	forbid();
	double before = cpu_seconds();

	if (write(fd, question, sizeof(question) - 1) < 0 && errno != ECONNREFUSED)
		die("the second question");
	usleep(500000);
	printf("%s\n", cpu_seconds() - before < 0.1 ? "idle" : "in circles");
}

/* ---- limits ------------------------------------------------------------------------------------ */

static void set(__rlimit_resource_t which, rlim_t soft)
{
	struct rlimit limit;

	getrlimit(which, &limit);
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	if (setrlimit(which, &limit) < 0)
		die("setrlimit");
}

/* No further thread can be made; then it can. The rules are read as nobody too. */
static void few_processes(void)
{
	struct addrinfo *to = resolve(host, port);

	if (getuid() == 0 && (setgid(65533) < 0 || setuid(65533) < 0))
		die("setuid");
	struct rlimit before;
	getrlimit(RLIMIT_NPROC, &before);
	set(RLIMIT_NPROC, 0);
	say("none", try(to));
	say("none", try(to));
	set(RLIMIT_NPROC, before.rlim_max);
	say("many", try(to));
}

static size_t mapped(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	if (!file || fscanf(file, "%zu", &pages) != 1)
		die("statm");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Hardly more memory than there is already, in steps, with no bridge so far; then enough. A
 * connection that came as far as TLS may have left OpenSSL with less than it needs for good. */
static void little_memory(void)
{
	struct addrinfo *to = resolve(host, port);

	for (size_t more = 0; more <= 40 << 20; more += 1 << 20) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			set(RLIMIT_AS, mapped() + more);
			int first = try(to), second = try(to);

			set(RLIMIT_AS, RLIM_INFINITY);
			int third = try(to);

			_exit(first == 200 && second == 200 && third == 200 ? 0
			      : third != 200 && first < 0 && second < 0	    ? 3
									    : 2);
		}
		if (waitpid(pid, &status, 0) != pid || (status != 0 && status != 2 << 8))
			die("status %x with %zu bytes more", status, more);
		if (more == 0 || more == 40 << 20)
			printf("%s\n", status ? "error" : "answer");
		fflush(stdout);
	}
}

static const struct guest_mode modes[] = {
    {"ids", ids},
    {"nobody", become_nobody},
    {"user-before", user_before},
    {"user-after", user_after},
    {"net-before", net_before},
    {"net-after", net_after},
    {"files", files},
    {"chroot-after", chroot_after},
    {"chroot-early", chroot_early},
    {"seccomp-before", seccomp_before},
    {"seccomp-after", seccomp_after},
    {"seccomp-dns", seccomp_dns},
    {"few-processes", few_processes},
    {"little-memory", little_memory},
};

int main(int argc, char **argv)
{
	if (argc < 5)
		die("usage: sandbox MODE HOST PORT BODY [ARG...]");
	host = argv[2];
	port = argv[3];
	body = argv[4];
	args = argv + 5;
	run_mode(modes, sizeof(modes) / sizeof(modes[0]), argv[1]);
	return 0;
}
