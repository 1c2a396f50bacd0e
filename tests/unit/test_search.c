/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"
#include "shim/search.h"

#define PORTS "ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } );"

static struct rules *rules;
static char aliases[64];

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* What resolv.conf(5) of this machine says does not matter: LOCALDOMAIN overrides it. */
static void setup(void)
{
	static const char text[] =
	    "serviceEntries = ( { name = \"x\"; resolution = \"STATIC\"; " PORTS
	    " hosts = [ \"web.ns.svc.cluster.local\", \"api\", \"a.b.corp.example\","
	    " \"*.corp.example\", \"*.outside.test\", \"twice.one.test\", \"twice.corp.example\" ];"
	    " endpoints = ( { address = \"127.0.0.1\"; } ); } );\n";
	char path[] = "/tmp/test-search-XXXXXX";
	struct diags diags;

	write_file(path, text);
	diags_init(&diags);
	rules = rules_load(path, &diags);
	diags_release(&diags);
	unlink(path);
	ck_assert_ptr_nonnull(rules);
	strcpy(aliases, "/tmp/test-search-XXXXXX");
	write_file(aliases, "# comment alias\nother\n"
			    "WEB2\tweb.ns.svc.cluster.local # what it is\ngone nobody.test\n"
			    "dots.dots api\n");
	setenv("LOCALDOMAIN", "ns.svc.cluster.local corp.example", 1);
	unsetenv("HOSTALIASES");
	unsetenv("RES_OPTIONS");
}

static void teardown(void)
{
	unlink(aliases);
	rules_unref(rules);
}

/* "" where nothing is found. */
static const char *found(const char *name)
{
	static char out[REGISTRY_NAME_MAX + 1];

	return search_find(rules, name, out) ? out : "";
}

START_TEST(under_the_search_domains)
{
	ck_assert_str_eq(found("web"), "web.ns.svc.cluster.local");
	ck_assert_str_eq(found("WEB"), "WEB.ns.svc.cluster.local");
	ck_assert_str_eq(found("a.b"), "a.b.corp.example");
	ck_assert_str_eq(found("twice"), "twice.corp.example");
}
END_TEST

START_TEST(the_first_domain_counts)
{
	setenv("LOCALDOMAIN", "one.test svc.cluster.local corp.example", 1);
	ck_assert_str_eq(found("twice"), "twice.one.test");
	ck_assert_str_eq(found("web"), "web.corp.example"); /* by the wildcard */
	ck_assert_str_eq(found("web.ns"), "web.ns.svc.cluster.local");
	/* Who asks for "api" does not mean this one. */
	ck_assert_str_eq(found("api.svc.cluster.local"), "");
	ck_assert_str_eq(found("api.one.test"), "api");
}
END_TEST

START_TEST(a_final_dot_ends_the_search)
{
	ck_assert_str_eq(found("web."), "");
	ck_assert_str_eq(found("a.b."), "");
	ck_assert_str_eq(found("."), "");
	ck_assert_str_eq(found(""), "");
}
END_TEST

START_TEST(wildcards_are_for_names_without_dots)
{
	ck_assert_str_eq(found("printer"), "printer.corp.example");
	ck_assert_str_eq(found("www.debian.org"), "");
	ck_assert_str_eq(found("a.b.c"), "");
}
END_TEST

START_TEST(without_the_first_search_domain)
{
	ck_assert_str_eq(found("api.ns.svc.cluster.local"), "api");
	ck_assert_str_eq(found("api.NS.svc.cluster.local."), "api");
	ck_assert_str_eq(found("apins.svc.cluster.local"), "");
	ck_assert_str_eq(found(".ns.svc.cluster.local"), "");
	ck_assert_str_eq(found("ns.svc.cluster.local"), "");
	ck_assert_str_eq(found("x.outside.test.ns.svc.cluster.local"), ""); /* by a wildcard */
}
END_TEST

START_TEST(names_of_this_machine)
{
	char here[HOST_NAME_MAX + 1];

	ck_assert_int_eq(gethostname(here, sizeof(here)), 0);
	ck_assert_str_eq(found("localhost"), "");
	ck_assert_str_eq(found("LocalHost"), "");
	if (!strchr(here, '.'))
		ck_assert_str_eq(found(here), "");
}
END_TEST

START_TEST(aliases_of_the_user)
{
	ck_assert_str_eq(found("web2"), "web2.corp.example");
	setenv("HOSTALIASES", aliases, 1);
	ck_assert_str_eq(found("web2"), "web.ns.svc.cluster.local");
	ck_assert_str_eq(found("web2."), "");
	ck_assert_str_eq(found("gone"), "");
	ck_assert_str_eq(found("other"), "other.corp.example");
	ck_assert_str_eq(found("dots.dots"), "");
	setenv("HOSTALIASES", "/nonexistent", 1);
	ck_assert_str_eq(found("web2"), "web2.corp.example");
}
END_TEST

START_TEST(lengths)
{
	char name[REGISTRY_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	name[REGISTRY_NAME_MAX + 1] = '\0';
	ck_assert_str_eq(found(name), "");
	name[REGISTRY_NAME_MAX - strlen(".corp.example") + 1] = '\0';
	ck_assert_str_eq(found(name), "");
	name[REGISTRY_NAME_MAX - strlen(".corp.example")] = '\0';
	ck_assert_uint_eq(strlen(found(name)), REGISTRY_NAME_MAX);
}
END_TEST

START_TEST(no_search_domain)
{
	setenv("LOCALDOMAIN", ".", 1);
	ck_assert_str_eq(found("web"), "");
	ck_assert_str_eq(found("printer"), "");
	ck_assert_str_eq(found("api."), "");
}
END_TEST

START_TEST(no_host)
{
	char out[REGISTRY_NAME_MAX + 1];
	char path[] = "/tmp/test-search-XXXXXX";
	struct diags diags;

	write_file(path, "");
	diags_init(&diags);
	struct rules *none = rules_load(path, &diags);

	diags_release(&diags);
	unlink(path);
	ck_assert_ptr_nonnull(none);
	ck_assert(!search_find(none, "web", out));
	rules_unref(none);
}
END_TEST

Suite *search_suite(void);
Suite *search_suite(void)
{
	Suite *suite = suite_create("search");
	TCase *tcase = tcase_create("search");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, under_the_search_domains);
	tcase_add_test(tcase, the_first_domain_counts);
	tcase_add_test(tcase, a_final_dot_ends_the_search);
	tcase_add_test(tcase, wildcards_are_for_names_without_dots);
	tcase_add_test(tcase, without_the_first_search_domain);
	tcase_add_test(tcase, names_of_this_machine);
	tcase_add_test(tcase, aliases_of_the_user);
	tcase_add_test(tcase, lengths);
	tcase_add_test(tcase, no_search_domain);
	tcase_add_test(tcase, no_host);
	suite_add_tcase(suite, tcase);
	return suite;
}
