/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What build.c and delegate.c make of resources that meet: delegates, static filters, merged
 * DestinationRules with subsets, and the names that a service of Kubernetes has.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"

Suite *delegate_suite(void);

static const char text[] =
    "meshConfig = { workload = { namespace = \"shop\"; labels = (\n"
    "  { name = \"app\"; value = \"cart\"; } ); }; };\n"
    "serviceEntries = (\n"
    "{ name = \"a\"; hosts = [ \"a.test\" ]; resolution = \"STATIC\";\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } );\n"
    "  endpoints = ( { address = \"192.0.2.1\"; labels = ( { name = \"v\"; value = \"1\"; } ); },\n"
    "                { address = \"192.0.2.2\"; labels = ( { name = \"v\"; value = \"2\"; } ); } ); },\n"
    "{ name = \"db\"; hosts = [ \"db.shop.svc.cluster.local\" ]; resolution = \"DNS\";\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n"
    "virtualServices = (\n"
    "{ name = \"root\"; hosts = [ \"web\" ]; http = (\n"
    "  { name = \"r\"; match = ( { uri = { prefix = \"/one\"; }; },\n"
    "                          { uri = { prefix = \"/two\"; }; headers = (\n"
    "                            { name = \"x\"; exact = \"y\"; } ); } );\n"
    "    rewrite = { authority = \"root.test\"; }; delegate = { name = \"leaf\"; }; },\n"
    "  { match = ( { uri = { prefix = \"/labels\"; };\n"
    "      sourceLabels = ( { name = \"app\"; value = \"other\"; } ); } );\n"
    "    rewrite = { authority = \"not-ours.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { match = ( { uri = { prefix = \"/labels\"; }; sourceNamespace = \"shop\";\n"
    "      sourceLabels = ( { name = \"app\"; value = \"cart\"; } ); } );\n"
    "    rewrite = { authority = \"ours.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; subset = \"second\"; }; } ); },\n"
    "  { match = ( { uri = { prefix = \"/gateway\"; }; gateways = [ \"edge\" ]; } );\n"
    "    rewrite = { authority = \"gateway.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { match = ( { uri = { prefix = \"/mesh\"; }; gateways = [ \"edge\", \"mesh\" ];\n"
    "      sourceLabels = ( { name = \"app\"; value = \"other\"; } ); } );\n"
    "    rewrite = { authority = \"mesh.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { route = ( { destination = { host = \"db\"; }; } ); } ); },\n"
    "{ name = \"leaf\"; http = (\n"
    "  { match = ( { uri = { exact = \"/one/x\"; }; }, { uri = { exact = \"/four\"; }; } );\n"
    "    rewrite = { authority = \"half.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { match = ( { uri = { regex = \"/one.*\"; }; } ); rewrite = { authority = "
    "\"regex.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { name = \"l\"; match = ( { uri = { prefix = \"/one/deep\"; }; }, { method = { exact = "
    "\"PUT\"; }; } );\n"
    "    route = ( { destination = { host = \"a.test\"; subset = \"first\"; }; } ); },\n"
    "  { match = ( { uri = { prefix = \"/three\"; }; } ); rewrite = { authority = "
    "\"never.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { rewrite = { authority = \"leaf.test\"; };\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); } ); } );\n"
    "destinationRules = (\n"
    "{ name = \"d\"; host = \"a.test\"; trafficPolicy = { tls = { mode = \"SIMPLE\"; }; };\n"
    "  subsets = ( { name = \"first\"; labels = ( { name = \"v\"; value = \"1\"; } ); } ); },\n"
    "{ name = \"e\"; host = \"a.test\"; subsets = ( { name = \"second\"; labels = (\n"
    "  { name = \"v\"; value = \"2\"; } ); trafficPolicy = { tls = { mode = \"DISABLE\"; }; }; } ); } "
    ");\n";

static struct rules *rules;
static struct diags diags;

static void setup(void)
{
	char path[] = "/tmp/delegate.XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	diags_init(&diags);
	rules = rules_load(path, &diags);
	unlink(path);
	for (const struct diag *diag = diags.first; diag; diag = diag->next)
		ck_assert_msg(diag->severity == SEVERITY_INFO, "%d: %s", diag->line, diag->text);
	ck_assert_ptr_nonnull(rules);
}

static void teardown(void)
{
	rules_unref(rules);
	diags_release(&diags);
}

static const struct {
	const char *method, *path, *header; /* value of "x", or NULL */
	const char *authority, *subset;	    /* of the verdict; NULL: none */
	const char *address;		    /* of its only endpoint; NULL: several */
} requests[] = {
    /* Both blocks of the first leaf: a longer prefix, and another condition beside the root's. */
    {"GET", "/one/deep/er", NULL, "root.test", "first", "192.0.2.1"},
    {"PUT", "/one", NULL, "root.test", "first", "192.0.2.1"},
    {"PUT", "/two", "y", "root.test", "first", "192.0.2.1"},
    /* The leaf without blocks has the root's, and its own rewrite. */
    {"GET", "/one", NULL, "leaf.test", NULL, NULL},
    {"GET", "/two", "y", "leaf.test", NULL, NULL},
    /* Neither the root's conditions nor the leaf's get lost. */
    {"GET", "/two", NULL, NULL, NULL, "db.shop.svc.cluster.local"},
    {"PUT", "/", NULL, NULL, NULL, "db.shop.svc.cluster.local"},
    {"GET", "/three", NULL, NULL, NULL, "db.shop.svc.cluster.local"},
    /* A route of the leaf falls as a whole, and does where a regex meets another condition. */
    {"GET", "/one/x", NULL, "leaf.test", NULL, NULL},
    /* Blocks for others are as if they were not there. */
    {"GET", "/labels", NULL, "ours.test", "second", "192.0.2.2"},
    {"GET", "/gateway", NULL, NULL, NULL, "db.shop.svc.cluster.local"},
    /* Where gateways are named and this is one of them, labels do not count. */
    {"GET", "/mesh", NULL, "mesh.test", NULL, NULL},
};

START_TEST(routes)
{
	const struct field field = {"X", requests[_i].header, 1, 1};
	const struct rules_request request = {.method = requests[_i].method,
					      .authority = "web",
					      .path = requests[_i].path,
					      .port = 80,
					      .fields = &field,
					      .n_fields = requests[_i].header != NULL};
	struct verdict verdict;

	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.action, RULES_ROUTE);
	ck_assert_pstr_eq(verdict.authority, requests[_i].authority);
	ck_assert_pstr_eq(verdict.cluster->subset, requests[_i].subset);
	ck_assert_uint_eq(verdict.cluster->n_endpoints, requests[_i].address ? 1 : 2);
	if (requests[_i].address)
		ck_assert_str_eq(verdict.cluster->endpoints[0].address, requests[_i].address);
}
END_TEST

/* The rule's policy holds for a subset unless the subset has one of its own. */
START_TEST(subset_policy)
{
	struct rules_request request = {
	    .method = "PUT", .authority = "web", .path = "/one", .port = 80};
	struct verdict verdict;

	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.cluster->tls.mode, TLS_MODE_SIMPLE);
	request.path = "/labels";
	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.cluster->tls.mode, TLS_MODE_DISABLE);
}
END_TEST

static const char *const aliases[] = {
    "db", "DB.", "db.shop", "db.shop.svc", "db.shop.svc.cluster.local", "db.shop.svc.cluster.local.",
};

START_TEST(alias)
{
	const struct rules_host *host = rules_find_host(rules, aliases[_i]);
	const struct cluster *cluster;

	ck_assert_ptr_nonnull(host);
	ck_assert_str_eq(host->name, "db");
	ck_assert_int_eq(rules_connect(rules, aliases[_i], 80, &cluster), RULES_HTTP);
}
END_TEST

static const char *const strangers[] = {
    "db.other", "db.shop.svc.other", "db.shop.cluster.local", "x.db.shop.svc", "shop", "db.svc",
};

START_TEST(no_alias)
{
	ck_assert_ptr_null(rules_find_host(rules, strangers[_i]));
}
END_TEST

Suite *delegate_suite(void)
{
	Suite *suite = suite_create("delegate");
	TCase *tcase = tcase_create("delegate");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, routes, 0, sizeof(requests) / sizeof(requests[0]));
	tcase_add_test(tcase, subset_policy);
	tcase_add_loop_test(tcase, alias, 0, sizeof(aliases) / sizeof(aliases[0]));
	tcase_add_loop_test(tcase, no_alias, 0, sizeof(strangers) / sizeof(strangers[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
