/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays: whole conversations through an exchange, over memory, without sockets or a clock. The
 * format is described in tests/replay/README.md. Every file is played many times: in one piece,
 * split at every offset, and one byte at a time; the outcome must always be the same.
 */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_io.h"
#include "replay_stage.h"
#include "rules/diag.h"
#include "shim/bridge/exchange.h"

#define REPLAYS   "tests/replay"
#define SPLIT_MAX 600 /* longer messages are split at their first bytes only */

/* Sanitizers look for other things than offsets, and take ten times as long: a share of the splits,
 * another one for each file. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPLIT_STEP 16
#else
#define SPLIT_STEP 1
#endif

/* ---- what a script can say ---------------------------------------------------------------- */

static const char *word(const struct stage *s, int i)
{
	return i < s->part->n_words ? s->part->words[i] : "";
}

static struct rules *load(struct stage *s, const char *file)
{
	struct diags diags;
	char text[512] = "";

	diags_init(&diags);
	struct rules *rules = rules_load(file, &diags);
	if (diags.first)
		diag_format(diags.first, text, sizeof(text));
	if (!rules)
		stage_fail(s, "%s", text);
	diags_release(&diags);
	return rules;
}

/* Those of the script's parts, and its default, for all of its runs. */
static struct rules *loaded[SCRIPT_PARTS + 1];

static struct rules *load_part(struct stage *s)
{
	char dir[] = "/tmp/replay-XXXXXX", file[64], paths[512];
	bool named = s->part->n_words > 1;

	snprintf(paths, sizeof(paths), REPLAYS "/%s.cfg", word(s, 1));
	if (named && !s->part->len)
		return load(s, paths);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/rules.cfg", dir);
	snprintf(paths + (named ? strlen(paths) : 0), 128, "%s%s", named ? ":" : "", file);
	FILE *out = fopen(file, "w");
	ck_assert_ptr_nonnull(out);
	fwrite(s->part->text, 1, s->part->len, out);
	fclose(out);
	struct rules *rules = load(s, paths);
	unlink(file);
	rmdir(dir);
	return rules;
}

/* rules [NAME]: a file, or the text below, or both */
static void do_rules(struct stage *s)
{
	struct rules **part = &loaded[s->part - s->script->parts];

	if (!*part)
		*part = load_part(s);
	rules_unref(s->rules);
	s->rules = rules_ref(*part);
}

/* dial NAME PORT [ADDRESS]: the program connects; dial-cluster NAME PORT: requests for a mirror's
 * cluster are to come */
static void do_dial(struct stage *s)
{
	struct io *ends[2];
	uint16_t port = (uint16_t)atoi(word(s, 2));
	struct exchange_target target = {.name = word(s, 1),
					 .port = port,
					 .address = &s->address,
					 .direct = &s->direct,
					 .source = "127.0.0.1:40000"};

	if (!loaded[SCRIPT_PARTS])
		loaded[SCRIPT_PARTS] = load(s, REPLAYS "/mesh.cfg");
	if (!s->rules)
		s->rules = rules_ref(loaded[SCRIPT_PARTS]);
	inet_pton(AF_INET6, s->part->n_words > 3 ? word(s, 3) : "::ffff:240.240.0.1", &s->address);
	target.rules = rules_ref(s->rules);
	target.kind = rules_connect(s->rules, target.name, port, &target.cluster);
	s->direct = (struct cluster){.host = "(direct)", .port = port, .id = ""};
	if (target.kind == RULES_PASSTHROUGH)
		target.cluster = &s->direct;
	if (target.kind == RULES_BLOCKED)
		stage_fail(s, "not a registry port");
	if (!strcmp(word(s, 0), "dial-cluster")) {
		struct rules_request request = {.method = "GET", .authority = target.name,
						.path = "/", .port = port};
		struct verdict verdict;

		rules_match(s->rules, &request, &verdict);
		target.cluster = verdict.cluster;
	}
	memory_io_pair(ends, 65536);
	s->program = ends[0];
	s->down = ends[1];
	memory_io_limit(s->down, s->limit);
	s->exchange = exchange_new(&stage_ops, s, s->down, &target);
	ck_assert_ptr_nonnull(s->exchange);
	stage_drive(s);
}

/* What the exchange asks for, in the words of `connect`. */
static void describe_wish(const struct stage *s, char *out, size_t size)
{
	const struct acquisition *wish = &s->wish;
	int n = snprintf(out, size, "%s%s%s %u %s%s%s%s", wish->cluster->host,
			 wish->cluster->subset ? "/" : "",
			 wish->cluster->subset ? wish->cluster->subset : "", wish->cluster->port,
			 s->server_name, wish->fresh ? " fresh" : "", wish->attempt ? " retry" : "",
			 wish->other_host ? " other" : "");

	if (wish->dynamic)
		n += snprintf(out + n, size - (size_t)n, " to=%s", s->dynamic);
	if (wish->hashed)
		n += snprintf(out + n, size - (size_t)n, " hashed");
	if (wish->encrypted)
		snprintf(out + n, size - (size_t)n, " encrypted");
}

/*
 * asks HOST[/SUBSET] PORT NAME [fresh] [retry] [other] [to=NAME] [hashed] [encrypted]: the exchange
 * has asked for this connection. Returns whether there is the word "reused" too.
 */
static bool do_asks(struct stage *s)
{
	bool reused = false;
	char asked[1024], expected[1024] = "";

	for (int i = 1; i < s->part->n_words; i++) {
		if (!strcmp(word(s, i), "reused")) {
			reused = true;
			continue;
		}
		strcat(expected, i > 1 ? " " : "");
		strcat(expected, word(s, i));
	}
	if (!s->acquiring)
		stage_fail(s, "no connection was asked for, in step %s",
			   s->exchange ? exchange_step(s->exchange) : "closed");
	describe_wish(s, asked, sizeof(asked));
	if (strcmp(asked, expected))
		stage_fail(s, "asked for %.300s", asked);
	return reused;
}

/* connect ... [reused]: it has asked for this connection, and gets it */
static void do_connect(struct stage *s)
{
	struct io *ends[2];
	bool reused = do_asks(s);

	s->acquiring = s->released = false;
	io_close(s->server, false);
	memory_io_pair(ends, 65536);
	s->server = ends[0];
	s->up = ends[1];
	memory_io_limit(s->up, s->limit);
	s->upstream.io = s->up;
	s->upstream.reused = reused;
	exchange_connected(s->exchange, &s->upstream);
	stage_drive(s);
}

/* fail host|connect|timeout|tls|overflow REASON...: there is no connection */
static void do_fail(struct stage *s)
{
	static const char *const kinds[] = {"host", "connect", "timeout", "tls",
					    "overflow"};
	char reason[256] = "";

	if (!s->acquiring)
		stage_fail(s, "no connection was asked for");
	for (int i = 2; i < s->part->n_words; i++) {
		strncat(reason, i > 2 ? " " : "", sizeof(reason) - strlen(reason) - 1);
		strncat(reason, word(s, i), sizeof(reason) - strlen(reason) - 1);
	}
	s->acquiring = false;
	for (unsigned i = 0; i < 5; i++)
		if (!strcmp(kinds[i], word(s, 1)))
			exchange_failed(s->exchange, (enum upstream_failure)i, reason);
	stage_drive(s);
}

/* client-leaves, origin-leaves: it says the text and is gone, before anybody has heard of either */
static void do_leave(struct stage *s, struct io **end)
{
	ck_assert_int_eq(io_write(*end, s->part->text, s->part->len), s->part->len);
	io_close(*end, false);
	*end = NULL;
}

/* released reusable|closed [N]: what became of the upstream connection; N bytes had gone up on it */
static void do_released(struct stage *s)
{
	if (!s->released)
		stage_fail(s, "the upstream connection is still held");
	if (s->reusable != !strcmp(word(s, 1), "reusable"))
		stage_fail(s, "it was %s", s->reusable ? "reusable" : "closed");
	if (s->part->n_words > 2 && s->carried != (size_t)atoi(word(s, 2)))
		stage_fail(s, "it carried %zu bytes", s->carried);
}

/* end: the program sees the end of the stream; end reset: a reset */
static void do_end(struct stage *s)
{
	stage_drive(s);
	if (!strcmp(word(s, 1), "reset")) {
		if (!memory_io_is_reset(s->down))
			stage_fail(s, "the program's connection was not reset");
		return;
	}
	if (memory_io_is_reset(s->down))
		stage_fail(s, "the program's connection was reset");
	stage_expect_end(s, s->program);
}

/* random N...: these come next; a percentage P% stands for the number just below it */
static void do_random(struct stage *s)
{
	s->n_randoms = s->next_random = 0;
	for (int i = 1; i < s->part->n_words; i++) {
		double value = strtod(word(s, i), NULL);

		if (strchr(word(s, i), '%'))
			value = value * 42949672.96 - 1;
		s->randoms[s->n_randoms++] = value <= 0 ? 0 : (uint32_t)value;
	}
}

/* advance MS: time passes, the timer fires at its time */
static void do_advance(struct stage *s)
{
	uint64_t until = s->now + (uint64_t)atoll(word(s, 1));

	while (s->exchange && s->timer && s->timer <= until) {
		s->now = s->timer;
		s->timer = 0;
		stage_drive(s);
	}
	s->now = until;
	stage_expect_calm(s);
}

/* mirror HOST[/SUBSET] PORT NAME [end|reset]: exactly this text arrives at a mirror, in the order in which
 * they were asked for */
static void do_mirror(struct stage *s)
{
	char asked[512], expected[512];
	const char *end = word(s, 4);
	struct copy *copy = s->copies;

	while (copy->seen)
		copy++;
	if (copy == &s->copies[s->n_copies])
		stage_fail(s, "no mirror was asked for");
	snprintf(asked, sizeof(asked), "%s%s%s %u %s", copy->cluster->host,
		 copy->cluster->subset ? "/" : "", copy->cluster->subset ? copy->cluster->subset : "",
		 copy->cluster->port, copy->server_name);
	snprintf(expected, sizeof(expected), "%s %s %s", word(s, 1), word(s, 2), word(s, 3));
	if (strcmp(asked, expected))
		stage_fail(s, "the mirror is %.300s", asked);
	stage_expect(s, copy->stream, s->part->text, s->part->len);
	if (*end) {
		copy->seen = true;
		if (!memory_io_is_closed(copy->up) ||
		    memory_io_is_reset(copy->up) != !strcmp(end, "reset"))
			stage_fail(s, "the copy did not end so");
	}
}

/* reports N|reset|timeout...: what outlier detection was told since it was last asked for */
static void do_reports(struct stage *s)
{
	char got[256] = "", expected[256] = "";

	for (int i = 0; i < s->n_reports; i++)
		sprintf(got + strlen(got), s->reports[i] == OUTCOME_RESET ? " reset" :
			s->reports[i] == OUTCOME_TIMEOUT ? " timeout" : " %d", s->reports[i]);
	for (int i = 1; i < s->part->n_words; i++)
		sprintf(expected + strlen(expected), " %s", word(s, i));
	if (strcmp(got, expected))
		stage_fail(s, "reported were%s", got);
	s->n_reports = 0;
}

static void do_part(struct stage *s)
{
	const struct part *p = s->part;
	const char *verb = word(s, 0);

	if (!strcmp(verb, "rules"))
		do_rules(s);
	else if (!strcmp(verb, "dial") || !strcmp(verb, "dial-cluster"))
		do_dial(s);
	else if (!strcmp(verb, "client"))
		stage_feed(s, s->program, p->text, p->len);
	else if (!strcmp(verb, "upstream"))
		stage_expect(s, s->server, p->text, p->len);
	else if (!strcmp(verb, "origin"))
		stage_feed(s, s->server, p->text, p->len);
	else if (!strcmp(verb, "program"))
		stage_expect(s, s->program, p->text, p->len);
	else if (!strcmp(verb, "connect"))
		do_connect(s);
	else if (!strcmp(verb, "asks"))
		do_asks(s);
	else if (!strcmp(verb, "fail"))
		do_fail(s);
	else if (!strcmp(verb, "released"))
		do_released(s);
	else if (!strcmp(verb, "client-end"))
		io_shutdown(s->program);
	else if (!strcmp(verb, "client-gone"))
		exchange_abandon(s->exchange);
	else if (!strcmp(verb, "client-leaves")) {
		do_leave(s, &s->program);
		exchange_abandon(s->exchange);
	} else if (!strcmp(verb, "origin-leaves"))
		do_leave(s, &s->server);
	else if (!strcmp(verb, "origin-end"))
		io_shutdown(s->server);
	else if (!strcmp(verb, "origin-truncated")) {
		s->up->truncated = true;
		io_shutdown(s->server);
	} else if (!strcmp(verb, "origin-breaks"))
		memory_io_break(s->up, "connection reset by peer");
	else if (!strcmp(verb, "upstream-end"))
		stage_expect_end(s, s->server);
	else if (!strcmp(verb, "advance"))
		do_advance(s);
	else if (!strcmp(verb, "random"))
		do_random(s);
	else if (!strcmp(verb, "mirror"))
		do_mirror(s);
	else if (!strcmp(verb, "mirror-room"))
		s->mirror_room = (size_t)atoi(word(s, 1));
	else if (!strcmp(verb, "no-mirror")) {
		if (s->n_copies)
			stage_fail(s, "a mirror was asked for");
	} else if (!strcmp(verb, "reports"))
		do_reports(s);
	else if (!strcmp(verb, "unseen"))
		s->unseen = strcmp(word(s, 1), "no") != 0;
	else if (!strcmp(verb, "retries-exhausted"))
		s->no_retry = true;
	else if (!strcmp(verb, "waits")) {
		if (!s->exchange || s->acquiring || strcmp(exchange_step(s->exchange), word(s, 1)))
			stage_fail(s, "it is in step %s%s",
				   s->exchange ? exchange_step(s->exchange) : "closed",
				   s->acquiring ? ", asking for a connection" : "");
	}
	else if (!strcmp(verb, "end"))
		do_end(s);
	else
		stage_fail(s, "'%s' is not something a replay can say", verb);
	if (s->exchange)
		stage_drive(s);
}

static void play(const struct script *script, size_t split, size_t limit)
{
	struct stage s = {.script = script, .split = split, .limit = limit, .now = 1000};

	for (int i = 0; i < script->n; i++) {
		s.part = &script->parts[i];
		if (!s.exchange && s.result == EXCHANGE_DONE && s.part->words[0][0] == 'c' &&
		    strcmp(s.part->words[0], "client"))
			stage_fail(&s, "the exchange is over");
		do_part(&s);
	}
	exchange_free(s.exchange);
	ck_assert(!s.announced);
	io_close(s.program, false);
	io_close(s.server, false);
	for (int i = 0; i < s.n_copies; i++)
		io_close(s.copies[i].stream, false);
	rules_unref(s.rules);
}

static char *files[1024];

START_TEST(replay)
{
	struct script script;

	script_load(&script, files[_i]);
	play(&script, 0, 0);
	if (SPLIT_STEP == 1 || script.longest < 4096)
		play(&script, 0, 1);
	play(&script, 0, 7);
	for (size_t split = 1 + (size_t)_i % SPLIT_STEP; split < script.longest && split < SPLIT_MAX;
	     split += SPLIT_STEP)
		play(&script, split, 0);
	script_free(&script);
	for (int i = 0; i <= SCRIPT_PARTS; i++)
		rules_unref(loaded[i]);
}
END_TEST

Suite *replay_suite(void);
Suite *replay_suite(void)
{
	Suite *suite = suite_create("replay");
	TCase *all = tcase_create("conversations");
	int n_files = script_files(REPLAYS, files, 1024);

	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, replay, 0, n_files);
	suite_add_tcase(suite, all);
	return suite;
}
