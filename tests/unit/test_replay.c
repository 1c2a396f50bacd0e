/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays: whole conversations through an exchange, over memory, without sockets or a clock. The
 * format is described in tests/replay/README.md. Every file is played many times: in one piece,
 * split at every offset, and one byte at a time; the outcome must always be the same.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_io.h"
#include "rules/diag.h"
#include "shim/bridge/exchange.h"

#define REPLAYS   "tests/replay"
#define SPLIT_MAX 600 /* longer messages are split at their first bytes only */

/* ---- the script -------------------------------------------------------------------------- */

struct part {
	char words[8][128];
	int n_words;
	int line;
	char *text;
	size_t len;
};

struct script {
	const char *file;
	struct part parts[64];
	int n;
	size_t longest; /* message */
};

/* Add a line to a part's text: \xNN, \r, \n, \\ are what they are in C; a backslash at the end of
 * a line means that no CRLF follows; \*N at the end repeats the line's text N times. */
static void add_line(struct part *part, char *line)
{
	size_t start = part->len, n = strlen(line);
	unsigned long repeat = 1;
	int crlf = 1;
	char *star = strstr(line, "\\*");

	if (star) {
		repeat = strtoul(star + 2, NULL, 10);
		*star = '\0';
		crlf = 0;
	}
	part->text = realloc(part->text, part->len + n * repeat + 3);
	for (char *p = line; *p; p++) {
		char c = *p;

		if (c == '\\') {
			p++;
			if (!*p) {
				crlf = 0;
				break;
			}
			if (*p == 'x') {
				char hex[3] = {p[1], p[2], 0};

				c = (char)strtoul(hex, NULL, 16);
				p += 2;
			} else {
				c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p;
			}
		}
		part->text[part->len++] = c;
	}
	size_t once = part->len - start;
	for (unsigned long i = 1; i < repeat; i++, part->len += once)
		memcpy(part->text + part->len, part->text + start, once);
	if (crlf) {
		memcpy(part->text + part->len, "\r\n", 2);
		part->len += 2;
	}
}

static void script_load(struct script *script, const char *file)
{
	FILE *in = fopen(file, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	struct part *part = NULL;

	ck_assert_msg(in != NULL, "%s", file);
	memset(script, 0, sizeof(*script));
	script->file = file;
	for (int number = 1; (n = getline(&line, &size, in)) >= 0; number++) {
		if (n && line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (strncmp(line, "--- ", 4) == 0) {
			part = &script->parts[script->n++];
			ck_assert_int_lt(script->n, 64);
			part->line = number;
			for (char *save, *w = strtok_r(line + 4, " ", &save); w;
			     w = strtok_r(NULL, " ", &save))
				snprintf(part->words[part->n_words++], 128, "%s", w);
		} else if (part && line[0] != '#') {
			add_line(part, line);
			if (part->len > script->longest)
				script->longest = part->len;
		}
	}
	free(line);
	fclose(in);
}

static void script_free(struct script *script)
{
	for (int i = 0; i < script->n; i++)
		free(script->parts[i].text);
}

/* ---- the stage --------------------------------------------------------------------------- */

struct stage {
	const struct script *script;
	const struct part *part;
	size_t split, limit;
	struct rules *rules;
	struct exchange *exchange;
	struct io *program, *down;
	struct io *server; /* the origin's end of the present upstream connection */
	struct io *up;
	struct upstream upstream;
	bool acquiring, fresh, released, reusable, timer;
	const struct cluster *cluster;
	char server_name[256];
	enum exchange_result result;
};

#define stage_fail(s, ...)                                                                         \
	do {                                                                                       \
		char what[512];                                                                    \
		snprintf(what, sizeof(what), __VA_ARGS__);                                         \
		ck_abort_msg("%s:%d: (split %zu, limit %zu) %s", (s)->script->file,                \
			     (s)->part->line, (s)->split, (s)->limit, what);                       \
	} while (0)

static void op_acquire(struct exchange *exchange, const struct cluster *cluster,
		       const char *server_name, bool http, bool fresh)
{
	struct stage *s = exchange_env(exchange);

	(void)http;
	s->acquiring = true;
	s->fresh = fresh;
	s->cluster = cluster;
	snprintf(s->server_name, sizeof(s->server_name), "%s", server_name);
}

static void op_cancel(struct exchange *exchange)
{
	((struct stage *)exchange_env(exchange))->acquiring = false;
}

static void op_release(struct exchange *exchange, struct upstream *upstream, bool reusable,
		       bool reset)
{
	struct stage *s = exchange_env(exchange);

	s->released = true;
	s->reusable = reusable;
	io_close(upstream->io, reset);
	s->up = NULL;
}

static uint32_t op_random(struct exchange *exchange)
{
	(void)exchange;
	return 0;
}

static void op_timer(struct exchange *exchange, unsigned ms)
{
	((struct stage *)exchange_env(exchange))->timer = ms != 0;
}

static const struct exchange_ops ops = {op_acquire, op_cancel, op_release, op_random, op_timer};

static void drive(struct stage *s)
{
	if (s->result == EXCHANGE_DONE)
		return;
	/* With a limit on what one call moves, one event is not enough: whatever moved calls for
	 * another look, as the loop's edges would. */
	for (int calm = 0; calm < 2;) {
		size_t before = memory_io_written(s->down) + memory_io_waiting(s->down) +
				(s->up ? memory_io_written(s->up) + memory_io_waiting(s->up) : 0);

		s->result = exchange_drive(s->exchange);
		if (s->result == EXCHANGE_DONE) {
			exchange_free(s->exchange);
			s->exchange = NULL;
			return;
		}
		size_t after = memory_io_written(s->down) + memory_io_waiting(s->down) +
			       (s->up ? memory_io_written(s->up) + memory_io_waiting(s->up) : 0);
		calm = before == after && s->result == EXCHANGE_WAIT ? calm + 1 : 0;
	}
}

/* Write a message, in pieces as the present run says. */
static void feed(struct stage *s, struct io *to, const char *text, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len - done;

		if (s->split && done < s->split % len)
			piece = s->split % len - done;
		ssize_t n = io_write(to, text + done, piece);
		if (n == IO_ERR)
			return; /* the other end is closed: what follows tells whether it may be */
		if (n > 0)
			done += (size_t)n;
		drive(s);
		if (n < 0 && s->result == EXCHANGE_DONE)
			return;
	}
	drive(s);
}

static void expect(struct stage *s, struct io *from, const char *text, size_t len)
{
	char *got = malloc(len + 65536);
	size_t n_got = 0;

	for (int idle = 0; idle < 2;) {
		ssize_t n = io_read(from, got + n_got, len + 65536 - n_got);

		if (n > 0)
			n_got += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		drive(s);
	}
	if (n_got != len || memcmp(got, text, len))
		stage_fail(s, "expected %zu bytes:\n%.*s\ngot %zu bytes:\n%.*s", len,
			   (int)(len > 180 ? 180 : len), text, n_got,
			   (int)(n_got > 180 ? 180 : n_got), got);
	free(got);
}

static void expect_end(struct stage *s, struct io *from)
{
	char byte;
	ssize_t n = io_read(from, &byte, 1);

	if (n != IO_EOF)
		stage_fail(s, "expected the end of the stream, got %zd", n);
}

/* ---- what a script can say ---------------------------------------------------------------- */

static const char *word(const struct stage *s, int i)
{
	return i < s->part->n_words ? s->part->words[i] : "";
}

static struct rules *load(struct stage *s, const char *name)
{
	struct diags diags;
	char file[256], text[512] = "";

	snprintf(file, sizeof(file), REPLAYS "/%s.cfg", name);
	diags_init(&diags);
	struct rules *rules = rules_load(file, &diags);
	if (diags.first)
		diag_format(diags.first, text, sizeof(text));
	if (!rules)
		stage_fail(s, "%s", text);
	diags_release(&diags);
	return rules;
}

/* dial NAME PORT: the program connects */
static void do_dial(struct stage *s)
{
	struct io *ends[2];
	uint16_t port = (uint16_t)atoi(word(s, 2));
	struct exchange_target target = {.name = word(s, 1), .port = port};

	if (!s->rules)
		s->rules = load(s, "mesh");
	target.rules = rules_ref(s->rules);
	target.kind = rules_connect(s->rules, target.name, port, &target.cluster);
	if (target.kind == RULES_BLOCKED || target.kind == RULES_PASSTHROUGH)
		stage_fail(s, "not a registry port");
	memory_io_pair(ends, 65536);
	s->program = ends[0];
	s->down = ends[1];
	memory_io_limit(s->down, s->limit);
	s->exchange = exchange_new(&ops, s, s->down, &target);
	ck_assert_ptr_nonnull(s->exchange);
	drive(s);
}

/* connect HOST PORT NAME [reused] [fresh]: the exchange has asked for this connection; it gets it */
static void do_connect(struct stage *s)
{
	struct io *ends[2];
	bool reused = false, fresh = false;

	for (int i = 4; i < s->part->n_words; i++) {
		reused |= !strcmp(word(s, i), "reused");
		fresh |= !strcmp(word(s, i), "fresh");
	}
	if (!s->acquiring)
		stage_fail(s, "no connection was asked for, in step %s",
			   s->exchange ? exchange_step(s->exchange) : "closed");
	if (strcmp(s->cluster->host, word(s, 1)) || s->cluster->port != atoi(word(s, 2)) ||
	    strcmp(s->server_name, word(s, 3)) || fresh != s->fresh)
		stage_fail(s, "asked for %s %d %s%s", s->cluster->host, s->cluster->port,
			   s->server_name, s->fresh ? " fresh" : "");
	s->acquiring = s->released = false;
	io_close(s->server, false);
	memory_io_pair(ends, 65536);
	s->server = ends[0];
	s->up = ends[1];
	memory_io_limit(s->up, s->limit);
	s->upstream.io = s->up;
	s->upstream.reused = reused;
	exchange_connected(s->exchange, &s->upstream);
	drive(s);
}

/* fail host|connect|timeout|tls REASON...: there is no connection */
static void do_fail(struct stage *s)
{
	static const char *const kinds[] = {"host", "connect", "timeout", "tls"};
	char reason[256] = "";

	if (!s->acquiring)
		stage_fail(s, "no connection was asked for");
	for (int i = 2; i < s->part->n_words; i++) {
		strncat(reason, i > 2 ? " " : "", sizeof(reason) - strlen(reason) - 1);
		strncat(reason, word(s, i), sizeof(reason) - strlen(reason) - 1);
	}
	s->acquiring = false;
	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(kinds[i], word(s, 1)))
			exchange_failed(s->exchange, (enum upstream_failure)i, reason);
	drive(s);
}

/* released reusable|closed: what became of the upstream connection */
static void do_released(struct stage *s)
{
	if (!s->released)
		stage_fail(s, "the upstream connection is still held");
	if (s->reusable != !strcmp(word(s, 1), "reusable"))
		stage_fail(s, "it was %s", s->reusable ? "reusable" : "closed");
}

/* end: the program sees the end of the stream; end reset: a reset */
static void do_end(struct stage *s)
{
	drive(s);
	if (!strcmp(word(s, 1), "reset")) {
		if (!memory_io_is_reset(s->down))
			stage_fail(s, "the program's connection was not reset");
		return;
	}
	if (memory_io_is_reset(s->down))
		stage_fail(s, "the program's connection was reset");
	expect_end(s, s->program);
}

static void do_part(struct stage *s)
{
	const struct part *p = s->part;
	const char *verb = word(s, 0);

	if (!strcmp(verb, "rules"))
		s->rules = load(s, word(s, 1));
	else if (!strcmp(verb, "dial"))
		do_dial(s);
	else if (!strcmp(verb, "client"))
		feed(s, s->program, p->text, p->len);
	else if (!strcmp(verb, "upstream"))
		expect(s, s->server, p->text, p->len);
	else if (!strcmp(verb, "origin"))
		feed(s, s->server, p->text, p->len);
	else if (!strcmp(verb, "program"))
		expect(s, s->program, p->text, p->len);
	else if (!strcmp(verb, "connect"))
		do_connect(s);
	else if (!strcmp(verb, "fail"))
		do_fail(s);
	else if (!strcmp(verb, "released"))
		do_released(s);
	else if (!strcmp(verb, "client-end"))
		io_shutdown(s->program);
	else if (!strcmp(verb, "client-gone"))
		exchange_abandon(s->exchange);
	else if (!strcmp(verb, "origin-end"))
		io_shutdown(s->server);
	else if (!strcmp(verb, "origin-truncated")) {
		s->up->truncated = true;
		io_shutdown(s->server);
	} else if (!strcmp(verb, "origin-breaks"))
		memory_io_break(s->up, "connection reset by peer");
	else if (!strcmp(verb, "upstream-end"))
		expect_end(s, s->server);
	else if (!strcmp(verb, "timeout"))
		exchange_timeout(s->exchange);
	else if (!strcmp(verb, "end"))
		do_end(s);
	else
		stage_fail(s, "'%s' is not something a replay can say", verb);
	if (s->exchange)
		drive(s);
}

static void play(const struct script *script, size_t split, size_t limit)
{
	struct stage s = {.script = script, .split = split, .limit = limit};

	for (int i = 0; i < script->n; i++) {
		s.part = &script->parts[i];
		if (!s.exchange && s.result == EXCHANGE_DONE && s.part->words[0][0] == 'c' &&
		    strcmp(s.part->words[0], "client"))
			stage_fail(&s, "the exchange is over");
		do_part(&s);
	}
	exchange_free(s.exchange);
	io_close(s.program, false);
	io_close(s.server, false);
	rules_unref(s.rules);
}

static char *files[256];
static int n_files;

START_TEST(replay)
{
	struct script script;

	script_load(&script, files[_i]);
	play(&script, 0, 0);
	play(&script, 0, 1);
	play(&script, 0, 7);
	for (size_t split = 1; split < script.longest && split < SPLIT_MAX; split++)
		play(&script, split, 0);
	script_free(&script);
}
END_TEST

static int is_replay(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && !strcmp(dot, ".replay");
}

Suite *replay_suite(void);
Suite *replay_suite(void)
{
	Suite *suite = suite_create("replay");
	TCase *all = tcase_create("conversations");
	struct dirent **list = NULL;
	int n = scandir(REPLAYS, &list, is_replay, alphasort);

	for (int i = 0; i < n; i++) {
		if (n_files < 256 &&
		    asprintf(&files[n_files], REPLAYS "/%s", list[i]->d_name) > 0)
			n_files++;
		free(list[i]);
	}
	free(list);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, replay, 0, n_files);
	suite_add_tcase(suite, all);
	return suite;
}
