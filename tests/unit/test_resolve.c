/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution, with a getaddrinfo() of the test's own behind it. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/resolve.h"
#include "shim/libc.h"

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static struct loop loop;
static struct resolver *resolver;

static atomic_int calls;
static sem_t go; /* each look-up waits for one */

static int (*libc_getaddrinfo)(const char *, const char *, const struct addrinfo *,
			       struct addrinfo **);

static int slow_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			    struct addrinfo **result)
{
	atomic_fetch_add(&calls, 1);
	sem_wait(&go);
	if (strstr(node, "missing"))
		return EAI_NONAME;
	struct addrinfo numeric = *hints;

	numeric.ai_flags = AI_NUMERICHOST;
	return libc_getaddrinfo("127.0.0.9", service, &numeric, result);
}

struct asked {
	struct query query;
	int answers;
	char text[300];
};

static void answer(struct query *query, const struct addresses *found, const struct err *err)
{
	struct asked *asked = (struct asked *)query;

	asked->answers++;
	if (!found)
		snprintf(asked->text, sizeof(asked->text), "%s", err->text);
	else if (found->list[0].ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)&found->list[0])->sin_addr,
			  asked->text, sizeof(asked->text));
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&found->list[0])->sin6_addr,
			  asked->text, sizeof(asked->text));
}

static bool ask(struct asked *asked, const char *name)
{
	memset(asked, 0, sizeof(*asked));
	asked->query.answer = answer;
	return resolver_ask(resolver, name, &asked->query);
}

static void setup(void)
{
	struct err err = {0};

	libc_bind();
	libc_getaddrinfo = real.getaddrinfo;
	real.getaddrinfo = slow_getaddrinfo;
	sem_init(&go, 0, 0);
	ck_assert_int_eq(loop_init(&loop, &owner, &err), 0);
	ck_assert_int_eq(loop_open(&loop, loop.wake_fd, &err), 0);
	pthread_mutex_lock(&owner);
	resolver = resolver_new(&loop, &err);
	ck_assert_ptr_nonnull(resolver);
}

static void teardown(void)
{
	resolver_free(resolver);
	pthread_mutex_unlock(&owner);
	loop_release(&loop);
}

START_TEST(literals_are_answered_at_once)
{
	struct asked a;

	ck_assert(ask(&a, "192.0.2.7"));
	ck_assert_str_eq(a.text, "192.0.2.7");
	ck_assert(ask(&a, "2001:db8::7"));
	ck_assert_str_eq(a.text, "2001:db8::7");
	ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(one_lookup_answers_all_who_ask)
{
	struct asked a, b, c;

	ck_assert(!ask(&a, "host.example"));
	ck_assert(!ask(&b, "host.example"));
	ck_assert(!ask(&c, "host.example"));
	query_cancel(&b.query);
	query_cancel(&b.query);
	sem_post(&go);
	while (!a.answers || !c.answers)
		loop_turn(&loop, -1);
	ck_assert_str_eq(a.text, "127.0.0.9");
	ck_assert_str_eq(c.text, "127.0.0.9");
	ck_assert_int_eq(b.answers, 0);
	ck_assert_int_eq(calls, 1);
	/* still fresh */
	ck_assert(ask(&b, "host.example"));
	ck_assert_str_eq(b.text, "127.0.0.9");
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(failures_say_why_and_are_not_kept)
{
	struct asked a;

	for (int i = 1; i <= 2; i++) {
		ck_assert(!ask(&a, "missing.example"));
		sem_post(&go);
		while (!a.answers)
			loop_turn(&loop, -1);
		ck_assert_str_eq(a.text, "cannot resolve missing.example: "
					 "Name or service not known");
		ck_assert_int_eq(calls, i);
	}
}
END_TEST

START_TEST(threads_are_bounded)
{
	struct asked many[RESOLVE_THREADS * 3];
	int n = RESOLVE_THREADS * 3, done = 0;

	for (int i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "host%d.example", i);
		ck_assert(!ask(&many[i], name));
	}
	while (calls < RESOLVE_THREADS)
		loop_turn(&loop, 1);
	ck_assert_int_eq(calls, RESOLVE_THREADS);
	for (int i = 0; i < n; i++)
		sem_post(&go);
	while (done < n) {
		loop_turn(&loop, -1);
		done = 0;
		for (int i = 0; i < n; i++)
			done += many[i].answers;
	}
	ck_assert_int_eq(calls, n);
}
END_TEST

/* ---- with the clock and the look-ups in the test's hand ---------------------------------- */

static struct resolving *jobs[RESOLVE_THREADS]; /* under way */
static int n_jobs, begun;
static int refuse; /* an errno value that beginning gives */

static int begin(struct loop *on, struct resolving *job)
{
	ck_assert_ptr_eq(on, &loop);
	begun++;
	if (refuse)
		return refuse;
	ck_assert_int_lt(n_jobs, RESOLVE_THREADS);
	jobs[n_jobs++] = job;
	return 0;
}

static void setup_clock(void)
{
	struct err err = {0};

	memset(&loop, 0, sizeof(loop));
	loop.deferred_tail = &loop.deferred;
	loop.now = 1000000;
	n_jobs = begun = refuse = 0;
	resolver = resolver_new(&loop, &err);
	ck_assert_ptr_nonnull(resolver);
	resolver_replace(resolver, begin);
}

static void teardown_clock(void)
{
	resolver_free(resolver);
	ck_assert_ptr_null(loop.timers);
}

static void pass(uint64_t ms)
{
	loop.now += ms;
	loop_run_due(&loop);
}

/* The oldest look-up ends with these addresses, "192.0.2.1 192.0.2.2 ..."; "": not found. */
static void found(const char *addresses)
{
	char text[200], *save = NULL;
	struct resolving *job = jobs[0];

	ck_assert_int_gt(n_jobs, 0);
	memmove(jobs, jobs + 1, (size_t)--n_jobs * sizeof(jobs[0]));
	snprintf(text, sizeof(text), "%s", addresses);
	for (char *one = strtok_r(text, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&job->found.list[job->found.n++];

		v4->sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, one, &v4->sin_addr), 1);
	}
	job->gai_error = job->found.n ? 0 : EAI_NONAME;
	loop_defer(&loop, &job->done);
	loop_run_due(&loop);
}

/* Ask for host.example. "" unless it is answered at once. */
static const char *at_once(void)
{
	static struct asked asked;
	bool answered = ask(&asked, "host.example");

	query_cancel(&asked.query);
	return answered ? asked.text : "";
}

static void know(const char *addresses)
{
	ck_assert_str_eq(at_once(), "");
	found(addresses);
	begun = 0;
}

START_TEST(an_old_answer_is_given_while_it_is_looked_up_again)
{
	struct asked a;

	know("192.0.2.1");
	loop.now += RESOLVE_FRESH_MS - 1;
	ck_assert_str_eq(at_once(), "192.0.2.1");
	ck_assert(ask(&a, "host.example") && !a.query.more);
	ck_assert_int_eq(begun, 0);
	loop.now++;
	ck_assert(ask(&a, "host.example") && a.query.more);
	ck_assert_str_eq(at_once(), "192.0.2.1");
	ck_assert_str_eq(at_once(), "192.0.2.1");
	ck_assert_int_eq(begun, 1);
	found("192.0.2.2");
	ck_assert_str_eq(at_once(), "192.0.2.2");
	ck_assert_int_eq(begun, 1);
	ck_assert_int_eq(a.answers, 2); /* the newer one as well */
	ck_assert_str_eq(a.text, "192.0.2.2");
	ck_assert(!a.query.more);
}
END_TEST

/* Also that there is none; and nothing once it is not wanted any more. */
START_TEST(the_second_answer_may_be_a_failure)
{
	struct asked a, b, c;

	know("192.0.2.1");
	loop.now += RESOLVE_FRESH_MS;
	ck_assert(ask(&a, "host.example") && a.query.more);
	ck_assert(ask(&b, "host.example") && b.query.more);
	query_cancel(&b.query);
	found("");
	ck_assert_int_eq(a.answers, 2);
	ck_assert_str_eq(a.text, "cannot resolve host.example: Name or service not known");
	ck_assert_int_eq(b.answers, 1);
	/* in the pause nothing follows */
	ck_assert(ask(&c, "host.example") && !c.query.more);
	ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(nobody_asks_nothing_is_done)
{
	know("192.0.2.1");
	ck_assert_ptr_null(loop.timers);
	pass(RESOLVE_KEEP_MS * 10);
	ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(too_old_an_answer_is_not_given)
{
	struct asked a;

	know("192.0.2.1");
	loop.now += RESOLVE_KEEP_MS - 1;
	ck_assert_str_eq(at_once(), "192.0.2.1");
	found("");
	loop.now++;
	ck_assert(!ask(&a, "host.example")); /* no pause for those who wait */
	found("");
	ck_assert_int_eq(a.answers, 1);
	ck_assert_str_eq(a.text, "cannot resolve host.example: Name or service not known");
	ck_assert(!ask(&a, "host.example"));
	found("192.0.2.3");
	ck_assert_str_eq(a.text, "192.0.2.3");
}
END_TEST

START_TEST(a_refresh_that_fails_changes_nothing_and_is_tried_later)
{
	uint64_t pause = RESOLVE_RETRY_MS;

	know("192.0.2.1");
	loop.now += RESOLVE_FRESH_MS;
	for (int i = 1; i <= 10; i++) {
		ck_assert_str_eq(at_once(), "192.0.2.1");
		ck_assert_int_eq(begun, i);
		found("");
		loop.now += pause - 1;
		ck_assert_str_eq(at_once(), "192.0.2.1");
		ck_assert_int_eq(begun, i);
		loop.now++;
		pause = pause * 2 < RESOLVE_RETRY_MAX_MS ? pause * 2 : RESOLVE_RETRY_MAX_MS;
	}
	ck_assert_ptr_null(loop.timers);
	ck_assert_str_eq(at_once(), "192.0.2.1");
	found("192.0.2.2"); /* the pauses begin anew */
	loop.now += RESOLVE_FRESH_MS;
	ck_assert_str_eq(at_once(), "192.0.2.2");
	found("");
	loop.now += RESOLVE_RETRY_MS;
	begun = 0;
	ck_assert_str_eq(at_once(), "192.0.2.2");
	ck_assert_int_eq(begun, 1);
	found("192.0.2.2");
}
END_TEST

START_TEST(what_cannot_begin_has_failed)
{
	struct asked a;

	refuse = EAGAIN;
	ck_assert(!ask(&a, "host.example"));
	ck_assert_int_eq(a.answers, 0);
	loop_run_due(&loop);
	ck_assert_str_eq(a.text, "cannot resolve host.example: Resource temporarily unavailable");
}
END_TEST

static struct asked again;

static void ask_again(struct query *query, const struct addresses *all, const struct err *err)
{
	answer(query, all, err);
	if (again.answers == 0)
		ck_assert(!ask(&again, "host.example"));
}

START_TEST(who_asks_again_at_once_waits_for_another_answer)
{
	struct asked a = {.query.answer = ask_again};

	memset(&again, 0, sizeof(again));
	ck_assert(!resolver_ask(resolver, "host.example", &a.query));
	found("");
	ck_assert_int_eq(a.answers, 1);
	ck_assert_int_eq(again.answers, 0);
	found("192.0.2.1");
	ck_assert_int_eq(again.answers, 1);
	ck_assert_str_eq(again.text, "192.0.2.1");
}
END_TEST

/* A failure class of its own: the table is emptied of idle names while one of them is told. */
static void ask_for_many(struct query *query, const struct addresses *all, const struct err *err)
{
	static struct asked many[4];

	answer(query, all, err);
	at_once(); /* the same name, and its pin comes off before ours */
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "new%d.example", i);
		if (!ask(&many[i], name))
			query_cancel(&many[i].query);
	}
}

START_TEST(names_are_forgotten_but_not_under_their_callbacks)
{
	struct asked a, b;
	struct asked asker = {.query.answer = ask_for_many};

	for (int i = 0; i < 1024; i++) {
		char name[32];

		snprintf(name, sizeof(name), "h%d.example", i);
		ck_assert(!ask(&a, i < 1023 ? name : "host.example"));
		if (i < 1023)
			found("192.0.2.1");
	}
	ck_assert(!resolver_ask(resolver, "host.example", &asker.query));
	ck_assert(!ask(&b, "host.example"));
	found("192.0.2.2");
	ck_assert_int_eq(asker.answers, 1);
	ck_assert_int_eq(a.answers, 1);
	ck_assert_int_eq(b.answers, 1);
	ck_assert_str_eq(at_once(), "192.0.2.2");
	ck_assert(!ask(&a, "h5.example")); /* forgotten */
	query_cancel(&a.query);
	while (n_jobs)
		found("192.0.2.1");
}
END_TEST

Suite *resolve_suite(void);
Suite *resolve_suite(void)
{
	Suite *suite = suite_create("resolve");
	TCase *all = tcase_create("resolve");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, literals_are_answered_at_once);
	tcase_add_test(all, one_lookup_answers_all_who_ask);
	tcase_add_test(all, failures_say_why_and_are_not_kept);
	tcase_add_test(all, threads_are_bounded);
	suite_add_tcase(suite, all);

	TCase *clock = tcase_create("clock");

	tcase_add_checked_fixture(clock, setup_clock, teardown_clock);
	tcase_add_test(clock, an_old_answer_is_given_while_it_is_looked_up_again);
	tcase_add_test(clock, the_second_answer_may_be_a_failure);
	tcase_add_test(clock, nobody_asks_nothing_is_done);
	tcase_add_test(clock, too_old_an_answer_is_not_given);
	tcase_add_test(clock, a_refresh_that_fails_changes_nothing_and_is_tried_later);
	tcase_add_test(clock, what_cannot_begin_has_failed);
	tcase_add_test(clock, who_asks_again_at_once_waits_for_another_answer);
	tcase_add_test(clock, names_are_forgotten_but_not_under_their_callbacks);
	suite_add_tcase(suite, clock);
	return suite;
}
