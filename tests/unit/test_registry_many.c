/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of thousands of hosts: each its own, the same in every process, stable over reloads.
 */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"
#include "shim/registry.h"

#define BEGIN(name) "{ name = \"" name "\"; hosts = [ "
#define END                                                                                        \
	" ]; ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } );"                  \
	" resolution = \"DNS\"; }"
#define PER_ENTRY 256

#define COLLIDES_1 "h283.test" /* of one hash, as far as slots go */
#define COLLIDES_2 "h86.test"

static struct in_addr v4;
static struct in6_addr v6;

static struct rules *rules_of(const char *text)
{
	char path[] = "/tmp/test-registry-XXXXXX";
	int fd = mkstemp(path);
	struct diags diags;
	char why[300] = "";

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	diags_init(&diags);
	struct rules *rules = rules_load(path, &diags);

	if (!rules && diags.first)
		diag_format(diags.first, why, sizeof(why));
	diags_release(&diags);
	unlink(path);
	ck_assert_msg(rules != NULL, "%s", why);
	return rules;
}

/* Into v4 and v6. */
static void lookup(const struct rules *rules, const char *name)
{
	char canonical[REGISTRY_NAME_MAX + 1];
	bool has4, has6;

	ck_assert(registry_lookup(rules, name, &v4, &has4, &v6, &has6, canonical));
	ck_assert(has4 && has6);
	ck_assert_str_eq(canonical, name);
}

/* Of many hosts, the first so many at first. */
#define MANY 3000
#define MORE 4000

/* host0.test to host<end-1>.test in steps, which have no factor in common with `end`. */
static struct rules *rules_of_many(int end, int step)
{
	char *text = malloc((size_t)end * 40 + 1000);
	char *at = text;

	ck_assert_ptr_nonnull(at);
	at = stpcpy(at, "serviceEntries = ( ");
	for (int i = 0; i < end; i++) {
		if (i % PER_ENTRY == 0)
			at += sprintf(at, "%s" BEGIN("x%d"), i ? END ", " : "", i);
		at += sprintf(at, "%s\"host%d.test\"", i % PER_ENTRY ? ", " : "", i * step % end);
	}
	strcpy(at, END " );\n");
	struct rules *rules = rules_of(text);

	free(text);
	ck_assert_uint_eq(rules_n_hosts(rules), (size_t)end);
	return rules;
}

struct addresses {
	struct in_addr v4[MORE];
	struct in6_addr v6[MORE];
};

static void look_up_many(const struct rules *rules, int end, struct addresses *out)
{
	char name[32];

	ck_assert_int_eq(registry_update(rules), 0);
	for (int i = 0; i < end; i++) {
		snprintf(name, sizeof(name), "host%d.test", i);
		lookup(rules, name);
		out->v4[i] = v4;
		out->v6[i] = v6;
	}
}

/* What a process that reads these rules and no others says. */
static void look_up_in_child(int end, int step, struct addresses *out)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		look_up_many(rules_of_many(end, step), end, out);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

static struct addresses *shared_addresses(void)
{
	void *memory = mmap(NULL, sizeof(struct addresses), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static void check_all_differ(const struct addresses *addresses, int end)
{
	static unsigned char seen[65536];

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < end; i++) {
		unsigned slot = ntohl(addresses->v4[i].s_addr) & 0xffff;

		ck_assert_uint_eq(ntohl(addresses->v4[i].s_addr) >> 16, 0xf0f0);
		ck_assert(!seen[slot]);
		seen[slot] = 1;
		/* One slot names both. */
		ck_assert_int_eq(memcmp(&addresses->v6[i].s6_addr[12], &addresses->v4[i], 4), 0);
		ck_assert_uint_eq(addresses->v6[i].s6_addr[0], 0x20);
	}
}

/* However the files order them: the same in every process, each host its own. */
START_TEST(many_hosts_in_any_order)
{
	struct addresses *one = shared_addresses(), *other = shared_addresses();

	look_up_in_child(MORE, 1, one);
	look_up_in_child(MORE, 1237, other);
	check_all_differ(one, MORE);
	ck_assert_int_eq(memcmp(one, other, sizeof(*one)), 0);
}
END_TEST

/* A process keeps what it gave, through reloads that add, remove and reorder. */
START_TEST(many_hosts_over_reloads)
{
	struct addresses *before = shared_addresses(), *after = shared_addresses();
	struct rules *many = rules_of_many(MANY, 1), *more = rules_of_many(MORE, 1237);
	struct rules *few = rules_of_many(10, 3);

	look_up_many(many, MANY, before);
	look_up_many(few, 10, after);
	look_up_many(more, MORE, after);
	check_all_differ(after, MORE);
	ck_assert_int_eq(memcmp(before->v4, after->v4, MANY * sizeof(before->v4[0])), 0);
	ck_assert_int_eq(memcmp(before->v6, after->v6, MANY * sizeof(before->v6[0])), 0);

	/* A process that never saw the fewer may differ, where hashes collide and only there. */
	int different = 0;

	look_up_in_child(MORE, 1, before);
	for (int i = 0; i < MORE; i++)
		different += before->v4[i].s_addr != after->v4[i].s_addr;
	ck_assert_int_lt(different, MORE / 10);
	rules_unref(many);
	rules_unref(more);
	rules_unref(few);
}
END_TEST

/* Whoever has the slot keeps it; of those that come together the first by name takes it. */
START_TEST(hosts_that_collide)
{
	struct rules *late = rules_of("serviceEntries = ( " BEGIN("x") "\"" COLLIDES_2 "\"" END " );");
	struct rules *both = rules_of("serviceEntries = ( " BEGIN("x") "\"" COLLIDES_2
				      "\", \"" COLLIDES_1 "\"" END " );");
	struct addresses *child = shared_addresses();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		registry_update(both);
		lookup(both, COLLIDES_1);
		child->v4[1] = v4;
		lookup(both, COLLIDES_2);
		child->v4[2] = v4;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	registry_update(late);
	lookup(late, COLLIDES_2);
	struct in_addr slot = v4;

	ck_assert_uint_eq(child->v4[1].s_addr, slot.s_addr);
	ck_assert_uint_eq(ntohl(child->v4[2].s_addr), ntohl(slot.s_addr) + 1);
	registry_update(both);
	lookup(both, COLLIDES_2);
	ck_assert_uint_eq(v4.s_addr, slot.s_addr);
	lookup(both, COLLIDES_1);
	ck_assert_uint_eq(ntohl(v4.s_addr), ntohl(slot.s_addr) + 1);
	rules_unref(late);
	rules_unref(both);
}
END_TEST

Suite *registry_many_suite(void);
Suite *registry_many_suite(void)
{
	Suite *suite = suite_create("registry_many");
	TCase *tcase = tcase_create("registry_many");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, many_hosts_in_any_order);
	tcase_add_test(tcase, many_hosts_over_reloads);
	tcase_add_test(tcase, hosts_that_collide);
	suite_add_tcase(suite, tcase);
	return suite;
}
