/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load client: what its files share.
 *
 *   client.c          options, the run, the line that it prints
 *   client_stream.c   one connection: a plain socket, or TLS by OpenSSL over it
 *   client_talk.c     one request and its answer, every one of them checked
 *   client_loop.c     a worker: a blocking connection, or many under epoll; the measured window
 *   client_stat.c     a histogram of latencies; what processes have used of the processors
 *   client_idle.c     what idle connections hold of memory
 *
 * Plain or TLS, blocking or epoll: whatever is not the difference that is measured is the same
 * code. Where a function fails it has told why on stderr (for the first failures of a run).
 */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define BUFFER	  65536 /* what a program reads at once */
#define HEAD_MAX  4096
#define WATCH_MAX 4
#define PIDS_MAX  32

/* Other processes whose CPU time is wanted for the same window. */
struct watch {
	char label[16];
	clockid_t clocks[PIDS_MAX];
	int n;
};

/* What to do; constant once the workers run. */
struct settings {
	const char *host, *port, *path, *authority;
	const char *name, *ca; /* TLS: the name to verify and to send as SNI; or NULL: plain */
	bool resume;	       /* TLS sessions */
	bool post, epoll, fresh, idle, in_turn;
	int connections, threads;
	size_t size; /* of the body, of the answer or (post) of the request */
	long warm_ms, run_ms;
	long count; /* > 0: so many requests by each worker, and no warm-up */
	struct watch watches[WATCH_MAX];
	int n_watches;

	struct sockaddr_storage address;
	socklen_t address_len;
	SSL_CTX *tls;
	char *request; /* head and body */
	size_t request_len;
};

/* ---- client_stream.c -------------------------------------------------------------------- */

enum {
	STREAM_WANT_READ = -1,
	STREAM_WANT_WRITE = -2,
	STREAM_FAILED = -3,
};

struct stream {
	int fd; /* -1: closed */
	SSL *ssl;
};

/* The settings' address and TLS context. 0 or -1. */
int stream_prepare(struct settings *settings);
/* Connect. When not blocking, sends and receives bring it up. 0 or -1. */
int stream_open(struct stream *stream, const struct settings *settings, bool blocking);
/* n > 0 bytes, or STREAM_...; the end of the stream is a failure. */
ssize_t stream_send(struct stream *stream, const void *data, size_t size);
ssize_t stream_receive(struct stream *stream, void *data, size_t size);
void stream_close(struct stream *stream);

/* ---- client_talk.c ---------------------------------------------------------------------- */

enum talk_state { TALK_DONE, TALK_READ, TALK_WRITE, TALK_FAILED };

struct talk {
	struct stream stream;
	uint64_t started; /* ns */
	size_t sent;
	char head[HEAD_MAX];
	size_t head_len; /* so far */
	bool in_body;
	size_t body, length; /* bytes of the answer's body: seen, announced */
	unsigned answers;
	unsigned interest; /* client_loop.c: what epoll was told */
};

/* settings->request. 0 or -1. */
int talk_prepare(struct settings *settings);
void talk_begin(struct talk *talk);
/* Go on until the whole answer is here and found right, or until it would block; a blocking stream
 * comes back done or failed. `buffer` has BUFFER bytes. */
enum talk_state talk_step(struct talk *talk, const struct settings *settings, char *buffer);

/* ---- client_stat.c ---------------------------------------------------------------------- */

#define HISTOGRAM_BUCKETS (59 * 64) /* 64 to a power of two */

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
};

struct usage {
	uint64_t now, user, system; /* ns; this process's */
	uint64_t watched[WATCH_MAX];
};

uint64_t stat_now(void);
void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The latency, in ns, that `share` of all do not exceed. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);
void usage_take(struct usage *usage, const struct settings *settings);
/* "label=pid,pid,..." 0 or -1. */
int watch_parse(struct watch *watch, const char *text);

/* ---- client_loop.c ---------------------------------------------------------------------- */

/* The first worker keeps the window: it takes the usage when it is the first time past one of the
 * ends. The others count what ends between them. */
struct window {
	uint64_t begin, end; /* ns */
	struct usage at_begin, at_end;
	bool begun;
	atomic_bool over;
};

struct worker {
	const struct settings *settings;
	struct window *window;
	bool keeper;
	struct histogram histogram;
	uint64_t requests, errors;
	long left; /* of settings->count */
	char *buffer;
};

/* A thread's body; `worker` is a struct worker. */
void *worker_run(void *worker);

/* ---- client_idle.c ---------------------------------------------------------------------- */

/* Prints its own line. An exit status. */
int idle_run(const struct settings *settings);

/* ---- client.c --------------------------------------------------------------------------- */

/* Tell why something failed; from the third time on nothing is printed. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
