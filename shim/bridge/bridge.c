/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bridge's life: started once per process, dropped in forked children, never stopped.
 *
 * `lock` is the owner lock of the loop: held by the bridge's thread while it works and by program
 * threads that start it or relocate its wake descriptor. What the hooks need on every connection
 * (the ports of the doors) is published in atomics, so that they do not wait for a busy bridge.
 */
#include "shim/fork.h"
#include "shim/bridge/bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "shim/bridge/dialled.h"
#include "shim/bridge/dns.h"
#include "shim/bridge/dns_stream.h"
#include "shim/bridge/door.h"
#include "shim/bridge/downstream.h"
#include "shim/bridge/fast_lane.h"
#include "shim/container_of.h"
#include "shim/deferred.h"
#include "shim/fds.h"
#include "shim/libc.h"
#include "shim/log.h"
#include "shim/memory.h"
#include "shim/mesh.h"
#include "shim/process.h"
#include "shim/sockets.h"
#include "shim/signals.h"
#include "shim/thread.h"

struct bridge {
	struct loop loop;
	struct door door;
	struct downstreams downstreams;
	struct dns dns;
	struct dns_streams dns_streams;
	bool failed; /* its thread could not start, or ended */
	struct err err;
	unsigned users; /* its thread, and those who wait for a listener */
	bool has_channel; /* the near end of its channel (twin.h) is in the program's table still */
};

/* A listener or a window that somebody waits for; on the waiting thread's stack. */
struct request {
	struct task task;
	struct bridge *bridge;
	int family;
	bool late;
	const struct sockaddr *server; /* NULL: a listener */
	bool done;
	uint16_t port;
	struct err err;
};

/* Held for some microseconds as a rule: less than it takes to sleep and be woken. */
static pthread_mutex_t lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER; /* with lock: a request, or a failure */
static struct bridge *bridge; /* under lock; once its thread ran it stays, but in a forked child */
static _Atomic uint16_t door_ports[2][2]; /* late or not; AF_INET, AF_INET6; 0: not open */
static atomic_bool has_windows;         /* one was opened: bridge->dns can be asked */
static _Atomic uint64_t network;        /* the namespace of the bridge's thread; 0: not known */

static void close_doors(void)
{
	for (int i = 0; i < 4; i++)
		atomic_store(&door_ports[i / 2][i % 2], 0);
}

static void admit(struct door *door, int fd, const struct claim *claim)
{
	struct bridge *b = container_of(door, struct bridge, door);

	if (claim->early)
		downstream_attach(claim->early, fd);
	else if (claim->dns)
		dns_stream_start(&b->dns_streams, fd, claim);
	else
		downstream_start(&b->downstreams, fd, claim);
}

static bool door_free_descriptor(struct door *door)
{
	return clusters_evict(&container_of(door, struct bridge, door)->downstreams.clusters);
}

static bool dial_free_descriptor(struct dial_env *env)
{
	return clusters_evict(&container_of(env, struct bridge, downstreams.dial)->downstreams.clusters);
}

static bool dns_free_descriptor(struct dns *dns)
{
	return clusters_evict(&container_of(dns, struct bridge, dns)->downstreams.clusters);
}

static uint64_t seed(void)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random) || !random)
		random = (uintptr_t)&random | 1;
	return random;
}

/* ---- the network ------------------------------------------------------------------------- */

/* A number for the network namespace of a socket, no other has it as long as the machine runs; 0: the
 * kernel does not tell. */
static uint64_t network_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static void note_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	atomic_store(&network, network_of(fd));
	if (fd >= 0)
		real.close(fd);
}

bool bridge_shares_network(int fd)
{
	uint64_t here = atomic_load(&network);
	uint64_t there = here ? network_of(fd) : 0;

	return !there || there == here;
}

/* ---- start ------------------------------------------------------------------------------- */

/* With the bridge's own descriptor table in place. */
static int set_up(struct bridge *b, int mailbox_fd, struct err *err)
{
	struct downstreams *all = &b->downstreams;

	if (loop_open(&b->loop, mailbox_fd, err) < 0 || door_init(&b->door, &b->loop, err) < 0 ||
	    dns_init(&b->dns, &b->loop, err) < 0)
		return -1;
	note_network();
	b->dns.free_descriptor = dns_free_descriptor;
	b->dns_streams.loop = &b->loop;
	b->door.admit = admit;
	all->door = &b->door;
	all->self = (int)real.syscall(SYS_pidfd_open, getpid(), 0);
	b->door.free_descriptor = door_free_descriptor;
	all->dial.free_descriptor = dial_free_descriptor;
	return downstreams_init(all, &b->loop, seed(), err);
}

/* Called with `lock`. A bridge that never ran is given up by the last who knows it. */
static void put_bridge(struct bridge *b)
{
	if (--b->users || !b->failed)
		return;
	fds_close(b->loop.wake_fd);
	if (b->downstreams.twins.loop)
		twins_release(&b->downstreams.twins);
	free(b);
}

/*
 * The program has forbidden the loop what it needs. With the thread goes its descriptor table: every
 * connection is closed, and so are the doors. Whatever comes from now on is told why; a bridge that
 * ran is never freed, since hooks may be looking at it.
 */
static void give_up(struct bridge *b)
{
	pthread_mutex_lock(&lock);
	err_set_errno(&b->err, b->loop.broken, "the bridge cannot go on");
	b->failed = true;
	close_doors();
	atomic_store(&has_windows, false);
	pthread_cond_broadcast(&answered);
	pthread_mutex_unlock(&lock);
	log_error("%s", b->err.text);
}

/* The end of the channel to program threads that its thread takes along. */
static int channel_of(const struct bridge *b)
{
	return b->downstreams.twins.loop ? b->downstreams.twins.near : -1;
}

/* Called with `lock`, once the thread has its own. */
static void drop_channel(struct bridge *b)
{
	if (b->has_channel)
		fds_close(b->downstreams.twins.near);
	b->has_channel = false;
}

static void *bridge_thread(void *arg)
{
	struct bridge *b = arg;

	thread_enter();
	/* Under the lock, so that the wake descriptor is not relocated while its table is
	 * copied. */
	pthread_mutex_lock(&lock);
	int mailbox_fd = thread_own_descriptors(b->loop.wake_fd, channel_of(b));

	deferred_relocate();
	if (mailbox_fd < 0)
		err_set_errno(&b->err, errno, "cannot have a descriptor table of its own");
	if (mailbox_fd < 0 || set_up(b, mailbox_fd, &b->err) < 0) {
		/* What was opened in this table goes with the thread. */
		b->failed = true;
		bridge = NULL;
		pthread_cond_broadcast(&answered);
		put_bridge(b);
		pthread_mutex_unlock(&lock);
		return NULL;
	}
	pthread_mutex_unlock(&lock);
	loop_run(&b->loop, NULL);
	give_up(b);
	return NULL;
}

/* Make the bridge and start its thread. Called with `lock`. */
static int start(struct err *err)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (!b || process_own() < 0) {
		err_set_errno(err, ENOMEM, "cannot start the bridge");
		free(b);
		return -1;
	}
	signals_look();
	if (loop_init(&b->loop, &lock, err) < 0) {
		free(b);
		return -1;
	}
	b->users = 1;
	if (mesh_fast_lane()) {
		fast_lane_init(&b->downstreams, &b->loop);
		b->has_channel = true;
	}
	int error = thread_start(bridge_thread, b);
	if (error) {
		err_set_errno(err, error, "cannot start the bridge's thread");
		if (b->has_channel)
			twins_release(&b->downstreams.twins);
		loop_release(&b->loop);
		free(b);
		return -1;
	}
	bridge = b;
	return 0;
}

static void run_request(struct task *task)
{
	struct request *request = container_of(task, struct request, task);

	if (request->server)
		request->port = dns_open_window(&request->bridge->dns, request->server,
						&request->err);
	else
		request->port =
		    door_listen(&request->bridge->door, request->family, request->late, &request->err);
	request->done = true;
	pthread_cond_broadcast(&answered);
}

/* Have the bridge listen, or open a window, and wait until it does. Called with `lock`. */
static uint16_t ask(int family, bool late, const struct sockaddr *server, struct err *err)
{
	struct bridge *b = bridge;
	struct request request = {.task = {.run = run_request},
				  .bridge = b,
				  .family = family,
				  .late = late,
				  .server = server};

	b->users++;
	bool posted = !b->failed && loop_post(&b->loop, &request.task);

	while (posted && !request.done && !b->failed)
		pthread_cond_wait(&answered, &lock);
	if (!request.done)
		loop_withdraw(&b->loop, &request.task);
	if (request.done)
		drop_channel(b);
	if (b->failed) {
		request.port = 0; /* of a listener that is closed by now */
		request.err = b->err;
	} else if (!posted) {
		err_set(&request.err, ECONNREFUSED,
			"the program has closed a descriptor of the bridge's");
	}
	if (!request.port)
		err_set(err, request.err.code, "%s", request.err.text);
	put_bridge(b);
	return request.port;
}

/* The same from any thread, starting the bridge if need be. */
static uint16_t request_port(int family, bool late, const struct sockaddr *server, struct err *err)
{
	uint16_t port = 0;
	sigset_t old;

	signals_keep_off(&old);
	signals_block();
	pthread_mutex_lock(&lock);
	if (bridge || start(err) == 0)
		port = ask(family, late, server, err);
	if (!server)
		atomic_store(&door_ports[late][family == AF_INET6], port);
	else if (port)
		atomic_store(&has_windows, true);
	pthread_mutex_unlock(&lock);
	signals_let_in(&old);
	return port;
}

static void loopback(int family, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
	memset(out, 0, sizeof(*out));
	out->ss_family = (sa_family_t)family;
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)out)->sin6_addr = in6addr_loopback;
		((struct sockaddr_in6 *)out)->sin6_port = htons(port);
		*len = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)out)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		((struct sockaddr_in *)out)->sin_port = htons(port);
		*len = sizeof(struct sockaddr_in);
	}
}

/* What bridge_door() has opened, and what a window was opened in, stays as long as this process:
 * only in a child that was forked since, by a signal handler, is there none. */
static bool is_here(void)
{
	return process_check() == PROCESS_OWNER && bridge;
}

int bridge_door(int family, bool *late, struct sockaddr_storage *door, socklen_t *len, struct err *err)
{
	uint16_t port = atomic_load(&door_ports[*late][family == AF_INET6]);

	if (port && *late && is_here() && !door_has_room(&bridge->door)) {
		*late = false;
		port = atomic_load(&door_ports[false][family == AF_INET6]);
	}
	if (!port)
		port = request_port(family, *late, NULL, err);
	if (!port)
		return -1;
	loopback(family, port, door, len);
	return 0;
}

/* ---- windows ----------------------------------------------------------------------------- */

/* Without waiting for a busy bridge. 0: it is to be opened first. */
static uint16_t known_window(const struct sockaddr *server)
{
	uint16_t port = 0;
	sigset_t old;

	signals_keep_off(&old);
	if (atomic_load(&has_windows) && is_here())
		port = dns_find_window(&bridge->dns, server);
	signals_let_in(&old);
	return port;
}

int bridge_dns_window(const struct sockaddr *server, struct sockaddr_storage *window,
		      socklen_t *len, struct err *err)
{
	uint16_t port = known_window(server);

	if (!port)
		port = request_port(server->sa_family, false, server, err);
	if (!port)
		return -1;
	loopback(server->sa_family, port, window, len);
	return 0;
}

void bridge_dns_claim(int family, const struct sockaddr *local, ino_t inode)
{
	sigset_t old;

	signals_keep_off(&old);
	if (is_here())
		dns_claim(&bridge->dns.claims, family, local, inode);
	signals_let_in(&old);
}

bool bridge_dns_server(const struct sockaddr *peer, struct sockaddr_storage *server, socklen_t *len)
{
	return dialled_find_server(peer, server, len);
}

/* ---- connections ------------------------------------------------------------------------- */

int bridge_expect(int family, const struct sockaddr *local, const struct dial *dial)
{
	sigset_t old;
	int result = 0;

	signals_keep_off(&old);
	/* A reference may be the last one, and freeing rules takes a lock of PCRE2's (mesh.h). */
	fork_hold();
	/* Else the connection is the parent's. */
	if (is_here())
		result = door_expect(&bridge->door, family, local, dial);
	else
		rules_unref(dial->rules);
	fork_release();
	signals_let_in(&old);
	return result;
}

static struct downstream *serve_early(int fd, uint64_t cookie)
{
	struct sockaddr_storage local = {0};
	socklen_t len = sizeof(local);
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&local;
	struct claim claim;

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return NULL;
	int family = local.ss_family;

	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		family = AF_INET;
	struct door_entry *entry =
	    door_take_early(&bridge->door, family, (struct sockaddr *)&local, cookie, &claim);

	if (!entry)
		return NULL;
	struct downstream *d = downstream_start_early(&bridge->downstreams, entry,
						      (struct sockaddr *)&local, &claim);

	if (!d)
		door_forget_early(&bridge->door, entry, NULL);
	return d;
}

static struct downstream *enter(const struct mesh_socket *socket, int fd, uint64_t cookie, sigset_t *old)
{
	signals_keep_off(old);
	fork_hold();
	signals_lock(&lock);
	memory_hold();
	struct downstream *downstream = atomic_load(&socket->downstream);

	if (bridge && !bridge->failed && !downstream && fd >= 0 && atomic_load(&socket->late) &&
	    atomic_load(&socket->cookie) == cookie) {
		loop_visit(&bridge->loop);
		downstream = serve_early(fd, cookie);
	}
	if (bridge && !bridge->failed && downstream && atomic_load(&socket->cookie) == cookie) {
		loop_visit(&bridge->loop);
		twins_reap(&bridge->downstreams.twins);
		return downstream;
	}
	memory_let_go();
	pthread_mutex_unlock(&lock);
	fork_release();
	signals_let_in(old);
	return NULL;
}

struct downstream *bridge_visit(const struct mesh_socket *socket, uint64_t cookie, sigset_t *old)
{
	return enter(socket, -1, cookie, old);
}

struct downstream *bridge_visit_early(const struct mesh_socket *socket, int fd, uint64_t cookie,
				      sigset_t *old)
{
	return enter(socket, fd, cookie, old);
}

void bridge_leave(const sigset_t *old)
{
	loop_leave(&bridge->loop);
	memory_let_go();
	pthread_mutex_unlock(&lock);
	fork_release();
	signals_let_in(old);
}

void bridge_forget_epoll_set(int number)
{
	sigset_t old;

	signals_keep_off(&old);
	signals_lock(&lock);
	if (bridge)
		epoll_sets_forget(&bridge->downstreams.twins, number);
	pthread_mutex_unlock(&lock);
	signals_let_in(&old);
}

bool bridge_dialled(const struct sockaddr *peer, uint16_t local_port,
		    struct sockaddr_storage *dialled, socklen_t *len)
{
	return dialled_find(peer, local_port, dialled, len);
}

int bridge_relocate(int fd)
{
	sigset_t old;
	int result = 0;

	signals_keep_off(&old);
	signals_lock(&lock);
	if (bridge)
		result = loop_relocate_wake(&bridge->loop, fd);
	int error = errno;
	pthread_mutex_unlock(&lock);
	signals_let_in(&old);
	if (result < 0)
		errno = error;
	return result;
}

/* ---- fork -------------------------------------------------------------------------------- */

/*
 * The copy of the bridge is left behind, not freed: freeing would have to walk what is no longer
 * ours, the parent's connections among it.
 */
void bridge_fork_child(void)
{
	static const pthread_mutex_t fresh_lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
	static const pthread_cond_t fresh_cond = PTHREAD_COND_INITIALIZER;

	lock = fresh_lock;
	answered = fresh_cond;
	bridge = NULL;
	close_doors();
	atomic_store(&has_windows, false);
	fds_drop_all();
}
