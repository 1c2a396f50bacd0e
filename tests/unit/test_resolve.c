/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution, with a getaddrinfo() of the test's own behind it. */
#include <arpa/inet.h>
#include <check.h>
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
	return suite;
}
