/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_scene.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "memory_io.h"
#include "shim/container_of.h"
#include "shim/libc.h"

struct scene scene;

void scene_fail(const char *format, ...)
{
	static char text[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_abort_msg("%s:%d: (limit %zu) %s", scene.script->file, scene.part->line, scene.limit,
		     text);
	abort(); /* not reached */
}

/* ---- what the bridge needs --------------------------------------------------------------- */

static void describe(const struct sockaddr_storage *to, char out[128])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)to;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)to;
	const struct sockaddr_un *un = (const struct sockaddr_un *)to;
	char text[INET6_ADDRSTRLEN];

	if (to->ss_family == AF_UNIX)
		snprintf(out, 128, "unix://%s%.100s", un->sun_path[0] ? "" : "@",
			 un->sun_path + !un->sun_path[0]);
	else if (to->ss_family == AF_INET6)
		snprintf(out, 128, "[%s]:%u",
			 inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
			 ntohs(in6->sin6_port));
	else
		snprintf(out, 128, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
			 ntohs(in->sin_port));
}

static struct connection *open_attempt(struct dial_env *env, const struct sockaddr_storage *to)
{
	struct scene_attempt *a = &scene.attempts[scene.n_attempts++];
	struct io *ends[2];

	ck_assert_uint_le(scene.n_attempts, ATTEMPTS);
	memory_io_pair(ends, 65536);
	a->ours = ends[0];
	a->host = ends[1];
	memory_io_limit(a->ours, scene.limit);
	memory_io_connecting(a->ours, true);
	describe(to, a->address);
	a->connection = connection_over(env->loop, a->ours);
	ck_assert_ptr_nonnull(a->connection);
	return a->connection;
}

static int begin_lookup(struct loop *loop, struct resolving *job)
{
	struct scene_name *name = scene_name(job->name);

	if (!name)
		scene_fail("nothing is said of what %s resolves to", job->name);
	name->asked++;
	job->found = name->found;
	job->gai_error = job->found.n ? 0 : EAI_NONAME;
	loop_defer(loop, &job->done);
	return 0;
}

static uint32_t next_random(struct cluster_env *env)
{
	(void)env;
	return scene.next_random < scene.n_randoms ? scene.randoms[scene.next_random++] : 0;
}

static bool no_descriptor(struct dial_env *env)
{
	(void)env;
	return false;
}

struct scene_name *scene_name(const char *name)
{
	for (size_t i = 0; i < scene.n_names; i++)
		if (!strcmp(scene.names[i].name, name))
			return &scene.names[i];
	return NULL;
}

/* ---- what happens ------------------------------------------------------------------------ */

/* Streams give no events: everybody is asked, until nobody has moved anything. */
static size_t moved(void)
{
	size_t sum = scene.n_attempts;

	for (size_t i = 0; i < scene.n_programs; i++)
		if (scene.programs[i].down)
			sum += memory_io_written(scene.programs[i].down) +
			       memory_io_waiting(scene.programs[i].down) +
			       memory_io_is_closed(scene.programs[i].down);
	for (size_t i = 0; i < scene.n_attempts; i++)
		sum += memory_io_written(scene.attempts[i].ours) +
		       memory_io_waiting(scene.attempts[i].ours) +
		       memory_io_is_closed(scene.attempts[i].ours);
	return sum;
}

void scene_settle(void)
{
	size_t before;
	int calm = 0;

	do {
		before = moved();
		for (size_t i = 0; i < scene.n_attempts; i++)
			if (!memory_io_is_closed(scene.attempts[i].ours))
				scene.attempts[i].connection->ready(scene.attempts[i].connection,
								    EPOLLIN | EPOLLOUT);
		for (size_t i = 0; i < scene.n_programs; i++) {
			struct scene_program *program = &scene.programs[i];

			if (program->down && !memory_io_is_closed(program->down))
				downstream_drive(program->downstream, false);
		}
		loop_run_due(&scene.loop);
		calm = moved() == before && !scene.loop.deferred ? calm + 1 : 0;
	} while (calm < 2);
}

void scene_advance(uint64_t ms)
{
	uint64_t until = scene.loop.now + ms;

	while (scene.loop.timers && scene.loop.timers->at <= until) {
		scene.loop.now = scene.loop.timers->at;
		scene_settle();
	}
	scene.loop.now = until;
	scene_settle();
}

struct scene_program *scene_connect(const char *name, const char *host, uint16_t port)
{
	struct scene_program *p = &scene.programs[scene.n_programs];
	struct claim claim = {.rules = rules_ref(scene.rules), .port = port};
	struct sockaddr_in *dialled = (struct sockaddr_in *)&claim.dialled;
	struct io *ends[2];

	ck_assert_uint_lt(scene.n_programs, PROGRAMS);
	snprintf(claim.name, sizeof(claim.name), "%s", host);
	claim.kind = rules_connect(scene.rules, host, port, &claim.cluster);
	if (claim.kind == RULES_BLOCKED)
		scene_fail("not a registry port");
	dialled->sin_family = AF_INET;
	dialled->sin_port = htons(port);
	inet_pton(AF_INET, "240.240.0.1", &dialled->sin_addr);
	memory_io_pair(ends, 65536);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->end = ends[0];
	p->down = ends[1];
	memory_io_limit(p->down, scene.limit);
	p->downstream = downstream_over(&scene.all, p->down, &claim);
	ck_assert_ptr_nonnull(p->downstream);
	scene.n_programs++;
	return p;
}

void scene_gone(struct scene_program *program)
{
	bool closed = memory_io_is_closed(program->down);

	/* With both ends closed the stream is freed: at once, before anybody else can find it out. */
	io_close(program->end, true);
	program->end = program->down = NULL;
	if (!closed)
		downstream_drive(program->downstream, true);
}

void scene_say(struct io *end, const char *text, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = io_write(end, text + done,
				     scene.limit && scene.limit < len - done ? scene.limit
									     : len - done);

		if (n == IO_ERR)
			return; /* the other end is closed: what follows tells whether it may be */
		if (n > 0)
			done += (size_t)n;
		scene_settle();
	}
}

void scene_hear(struct io *end, const char *text, size_t len)
{
	char got[8192];
	size_t n_got = 0;
	ssize_t n;

	scene_settle();
	while ((n = io_read(end, got + n_got, sizeof(got) - n_got)) > 0) {
		n_got += (size_t)n;
		scene_settle();
	}
	if (n_got != len || (len && memcmp(got, text, len)))
		scene_fail("expected %zu bytes:\n%.*s\ngot %zu bytes:\n%.*s", len, (int)len,
			   len ? text : "", n_got, (int)(n_got > 1500 ? 1500 : n_got), got);
}

struct scene_attempt *scene_next_attempt(void)
{
	scene_settle();
	for (size_t i = 0; i < scene.n_attempts; i++)
		if (!scene.attempts[i].spoken_of)
			return &scene.attempts[i];
	return NULL;
}

/* ---- begin and end ----------------------------------------------------------------------- */

void scene_open(const struct script *script, size_t limit)
{
	struct err err = {0};

	libc_bind();
	memset(&scene, 0, sizeof(scene));
	scene.script = script;
	scene.part = script->parts;
	scene.limit = limit;
	scene.loop.deferred_tail = &scene.loop.deferred;
	scene.loop.now = 1000000;
	ck_assert_int_eq(downstreams_init(&scene.all, &scene.loop, 1, &err), 0);
	scene.all.env.random = next_random;
	scene.all.dial.open = open_attempt;
	scene.all.dial.free_descriptor = no_descriptor;
	resolver_replace(scene.all.resolver, begin_lookup);
}

/* Some may be under way for the next asker. */
static void refuse_all(void)
{
	for (size_t i = 0; i < scene.n_attempts; i++)
		if (!memory_io_is_closed(scene.attempts[i].ours) &&
		    io_handshake(scene.attempts[i].ours) == IO_WANT_WRITE)
			memory_io_break(scene.attempts[i].ours, "connect: Connection refused");
	scene_settle();
}

void scene_close(void)
{
	if (scene_next_attempt())
		scene_fail("%s was dialled, and nothing said of it", scene_next_attempt()->address);
	for (size_t i = 0; i < scene.n_programs; i++)
		if (scene.programs[i].name[0] && scene.programs[i].end)
			scene_hear(scene.programs[i].end, NULL, 0);
	for (size_t i = 0; i < scene.n_attempts; i++)
		if (scene.attempts[i].name[0])
			scene_hear(scene.attempts[i].host, NULL, 0);
	downstreams_close(&scene.all);
	loop_run_due(&scene.loop);
	for (size_t n = SIZE_MAX; n != scene.n_attempts;) { /* a refusal may be followed by another try */
		n = scene.n_attempts;
		refuse_all();
	}
	clusters_release(&scene.all.clusters);
	loop_run_due(&scene.loop);
	ck_assert_ptr_null(scene.all.clusters.table);
	resolver_free(scene.all.resolver);
	ck_assert_ptr_null(scene.loop.timers);
	for (size_t i = 0; i < scene.n_programs; i++)
		io_close(scene.programs[i].end, false);
	for (size_t i = 0; i < scene.n_attempts; i++) {
		ck_assert_msg(memory_io_is_closed(scene.attempts[i].ours),
			      "%s: a connection to %s is open", scene.script->file,
			      scene.attempts[i].address);
		io_close(scene.attempts[i].host, false);
	}
	rules_unref(scene.rules);
}
