/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays of the cluster layer: several programs' exchanges, over hosts that the script plays. See
 * tests/replay/README.md. Every file is played in one piece, one byte and seven bytes at a time.
 */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster_scene.h"
#include "memory_io.h"
#include "rules/diag.h"

#define REPLAYS "tests/replay/cluster"

static const char *word(int i)
{
	return i < scene.part->n_words ? scene.part->words[i] : "";
}

/* ---- rules and names --------------------------------------------------------------------- */

static void do_rules(void)
{
	char dir[] = "/tmp/replay-XXXXXX", file[64], text[512] = "";
	struct diags diags;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/rules.cfg", dir);
	FILE *out = fopen(file, "w");
	ck_assert_ptr_nonnull(out);
	fwrite(scene.part->text, 1, scene.part->len, out);
	fclose(out);
	diags_init(&diags);
	rules_unref(scene.rules);
	scene.rules = rules_load(file, &diags);
	unlink(file);
	rmdir(dir);
	if (diags.first)
		diag_format(diags.first, text, sizeof(text));
	diags_release(&diags);
	if (!scene.rules)
		scene_fail("%s", text);
}

/* resolve NAME ADDRESS...|fails */
static void do_resolve(void)
{
	struct scene_name *name = scene_name(word(1));

	if (!name) {
		ck_assert_uint_lt(scene.n_names, NAMES);
		name = &scene.names[scene.n_names++];
		snprintf(name->name, sizeof(name->name), "%s", word(1));
	}
	memset(&name->found, 0, sizeof(name->found));
	for (int i = 2; i < scene.part->n_words && strcmp(word(i), "fails"); i++) {
		struct sockaddr_storage *to = &name->found.list[name->found.n++];

		to->ss_family = strchr(word(i), ':') ? AF_INET6 : AF_INET;
		void *bytes = to->ss_family == AF_INET
				      ? (void *)&((struct sockaddr_in *)to)->sin_addr
				      : (void *)&((struct sockaddr_in6 *)to)->sin6_addr;
		ck_assert_int_eq(inet_pton(to->ss_family, word(i), bytes), 1);
	}
}

/* random N...|P%...: of 2^32 */
static void do_random(void)
{
	scene.n_randoms = scene.next_random = 0;
	for (int i = 1; i < scene.part->n_words; i++) {
		double value = strtod(word(i), NULL);

		if (strchr(word(i), '%'))
			value = value * 42949672.96 - 1;
		scene.randoms[scene.n_randoms++] = value <= 0 ? 0 : (uint32_t)value;
	}
}

/* ---- connections ------------------------------------------------------------------------- */

static struct scene_attempt *connection(const char *name)
{
	for (size_t i = scene.n_attempts; i--;)
		if (!strcmp(scene.attempts[i].name, name))
			return &scene.attempts[i];
	scene_fail("there is no connection %s", name);
}

static void establish(struct scene_attempt *a)
{
	if (memory_io_is_closed(a->ours))
		scene_fail("the bridge has given up to dial %s", a->address);
	memory_io_connecting(a->ours, false);
	scene_settle();
}

static void refuse(struct scene_attempt *a)
{
	memory_io_break(a->ours, "connect: Connection refused");
	scene_settle();
}

/* dials|connects|refuses ADDRESS:PORT [CONNECTION] */
static void do_dials(void)
{
	struct scene_attempt *a = scene_next_attempt();

	if (!a || strcmp(a->address, word(1)))
		scene_fail("%s is dialled", a ? a->address : "nobody");
	a->spoken_of = true;
	snprintf(a->name, sizeof(a->name), "%.31s", word(2));
	if (!strcmp(word(0), "connects"))
		establish(a);
	else if (!strcmp(word(0), "refuses"))
		refuse(a);
}

static void do_nothing_dialled(void)
{
	struct scene_attempt *a = scene_next_attempt();

	if (a)
		scene_fail("%s is dialled", a->address);
}

/* ---- programs ---------------------------------------------------------------------------- */

static struct scene_program *program(const char *name)
{
	for (size_t i = scene.n_programs; i--;)
		if (!strcmp(scene.programs[i].name, name))
			return &scene.programs[i];
	return NULL;
}

/* program NAME [HOST PORT]: it says the text, having connected if HOST is named */
static void do_program(void)
{
	struct scene_program *p = scene.part->n_words > 2
					  ? scene_connect(word(1), word(2), (uint16_t)atoi(word(3)))
					  : program(word(1));

	if (!p)
		scene_fail("there is no program %s", word(1));
	scene_say(p->end, scene.part->text, scene.part->len);
	scene_settle();
}

static void must_end(struct io *end, struct io *ours, const char *what)
{
	char byte;

	scene_settle();
	if (!memory_io_is_closed(ours) && io_read(end, &byte, 1) != IO_EOF)
		scene_fail("%s is open", what);
}

/* ---- whole exchanges --------------------------------------------------------------------- */

/* Where a request of a new program arrives: at the host dialled for it, or over an idle connection. */
static struct scene_attempt *arrival(const char *address)
{
	struct scene_attempt *a = scene_next_attempt();

	if (a) {
		a->spoken_of = true;
		if (strcmp(a->address, address))
			scene_fail("%s is dialled, not %s", a->address, address);
		establish(a);
	}
	for (size_t i = 0; i < scene.n_attempts; i++) {
		a = &scene.attempts[i];
		if (!a->name[0] && memory_io_waiting(a->host)) {
			if (strcmp(a->address, address))
				scene_fail("it goes to %s, not %s", a->address, address);
			return a;
		}
	}
	scene_fail("no request arrives anywhere, for %s", address);
}

/* ADDRESS:PORT[=STATUS|=breaks|=refused]: one request, which is served there */
static void visit(const char *host, uint16_t port, const char *where)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: svc\r\n";
	struct scene_program *p = scene_connect("", host, port);
	char address[128], answer[128], got[8192];
	const char *status = strchr(where, '=');
	ssize_t n;

	snprintf(address, sizeof(address), "%.*s", status ? (int)(status - where) : 127, where);
	status = status ? status + 1 : "200";
	scene_say(p->end, request, sizeof(request) - 1);
	scene_say(p->end, scene.part->text, scene.part->len); /* further headers */
	scene_say(p->end, "\r\n", 2);
	if (!strcmp(status, "refused")) {
		struct scene_attempt *a = scene_next_attempt();

		if (!a || strcmp(a->address, address))
			scene_fail("%s is dialled, not %s", a ? a->address : "nobody", address);
		a->spoken_of = true;
		refuse(a);
	} else if (strcmp(where, "nowhere")) {
		struct scene_attempt *a = arrival(address);

		while (scene_settle(), io_read(a->host, got, sizeof(got)) > 0)
			continue;
		if (!strcmp(status, "breaks")) {
			memory_io_break(a->ours, "read: Connection reset by peer");
		} else {
			snprintf(answer, sizeof(answer),
				 "HTTP/1.1 %s Odd\r\nContent-Length: 0\r\n\r\n", status);
			scene_say(a->host, answer, strlen(answer));
		}
	}
	scene_settle();
	n = io_read(p->end, got, sizeof(got));
	bool own = !atoi(status) || !strcmp(where, "nowhere"); /* the bridge's own answer */
	if (n < 12 || strncmp(got + 9, own ? "503" : status, 3))
		scene_fail("%s: the program gets %.*s", where, n > 0 ? (int)n : 0, got);
	while (scene_settle(), io_read(p->end, got, sizeof(got)) > 0)
		continue;
	io_shutdown(p->end);
	scene_settle();
}

/* visits HOST PORT WHERE...: one program after the other */
static void do_visits(void)
{
	for (int i = 3; i < scene.part->n_words; i++)
		visit(word(1), (uint16_t)atoi(word(2)), word(i));
}

/* ---- the file ---------------------------------------------------------------------------- */

static void do_connection(const char *verb)
{
	const struct part *p = scene.part;
	struct scene_attempt *a = connection(word(1));

	if (!strcmp(verb, "connected"))
		establish(a);
	else if (!strcmp(verb, "refused"))
		refuse(a);
	else if (!strcmp(verb, "upstream"))
		scene_hear(a->host, p->text, p->len);
	else if (!strcmp(verb, "origin"))
		scene_say(a->host, p->text, p->len);
	else if (!strcmp(verb, "origin-end"))
		io_shutdown(a->host);
	else if (!strcmp(verb, "origin-breaks"))
		memory_io_break(a->ours, "read: Connection reset by peer");
	else if (!strcmp(verb, "closed"))
		must_end(a->host, a->ours, word(1));
	else if (!strcmp(verb, "open") && memory_io_is_closed(a->ours))
		scene_fail("it is closed");
	else if (strcmp(verb, "open"))
		scene_fail("'%s' is not something a replay can say", verb);
}

static void do_part(void)
{
	const char *verb = word(0);
	struct scene_program *p = program(word(1));

	if (!strcmp(verb, "rules"))
		do_rules();
	else if (!strcmp(verb, "resolve"))
		do_resolve();
	else if (!strcmp(verb, "random"))
		do_random();
	else if (!strcmp(verb, "advance"))
		scene_advance((uint64_t)atoll(word(1)));
	else if (!strcmp(verb, "program"))
		do_program();
	else if (!strcmp(verb, "visits"))
		do_visits();
	else if (!strcmp(verb, "dials") || !strcmp(verb, "connects") || !strcmp(verb, "refuses"))
		do_dials();
	else if (!strcmp(verb, "nothing-dialled"))
		do_nothing_dialled();
	else if (!strcmp(verb, "program-gets") && p)
		scene_hear(p->end, scene.part->text, scene.part->len);
	else if (!strcmp(verb, "program-end") && p)
		io_shutdown(p->end);
	else if (!strcmp(verb, "program-gone") && p)
		scene_gone(p);
	else if (!strcmp(verb, "program-closed") && p)
		must_end(p->end, p->down, word(1));
	else
		do_connection(verb);
	scene_settle();
}

static void play(const struct script *script, size_t limit)
{
	scene_open(script, limit);
	for (int i = 0; i < script->n; i++) {
		scene.part = &script->parts[i];
		do_part();
	}
	scene_close();
}

static char *files[256];

START_TEST(replay)
{
	struct script script;

	script_load(&script, files[_i]);
	play(&script, 0);
	play(&script, 1);
	play(&script, 7);
	script_free(&script);
}
END_TEST

Suite *cluster_replay_suite(void);
Suite *cluster_replay_suite(void)
{
	Suite *suite = suite_create("cluster_replay");
	TCase *all = tcase_create("conversations");
	int n_files = script_files(REPLAYS, files, 256);

	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, replay, 0, n_files);
	suite_add_tcase(suite, all);
	return suite;
}
