/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library by its public header: loading from files, the registry, clusters, verdicts, rewrites.
 * The corpus in tests/rules covers validation and explanations; here is what programs rely on.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/virtual_service.h"

Suite *rules_suite(void);

static const char text[] =
    "serviceEntries = (\n"
    "{ name = \"a\"; hosts = [ \"a.test\", \"Two.Test.\" ]; resolution = \"DNS\";\n"
    "  ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; targetPort = 8000; },\n"
    "            { number = 443; name = \"tls\"; protocol = \"TLS\"; },\n"
    "            { number = 8080; name = \"alt\"; protocol = \"HTTP\"; } );\n"
    "  subjectAltNames = [ \"entry.test\" ]; },\n"
    "{ name = \"s\"; hosts = [ \"*.s.test\" ]; resolution = \"STATIC\"; addresses = [ "
    "\"10.0.0.0/8\" ];\n"
    "  ports = ( { number = 5432; name = \"db\"; protocol = \"TCP\"; targetPort = 1; },\n"
    "            { number = 80; name = \"http\"; protocol = \"HTTP\"; } );\n"
    "  endpoints = ( { address = \"192.0.2.1\"; ports = ( { name = \"db\"; value = 2; } ); },\n"
    "                { address = \"2001:db8::1\"; } ); } );\n"
    "virtualServices = (\n"
    "{ name = \"v\"; hosts = [ \"v\", \"x.s.test\" ]; http = (\n"
    "  { match = ( { uri = { prefix = \"/w\"; }; } ); route = (\n"
    "      { destination = { host = \"a.test\"; port = { number = 80; }; }; weight = 1; },\n"
    "      { destination = { host = \"two.test\"; port = { number = 80; }; }; weight = 3; },\n"
    "      { destination = { host = \"a.test\"; port = { number = 443; }; }; weight = 0; } ); },\n"
    "  { match = ( { headers = ( { name = \"x-a\"; regex = \"1,2*\"; } ); port = 80; } );\n"
    "    route = ( { destination = { host = \"a.test\"; port = { number = 443; }; }; } ); },\n"
    "  { match = ( { uri = { prefix = \"/\"; }; } );\n"
    "    route = ( { destination = { host = \"a.test\"; }; } ); },\n"
    "  { route = ( { destination = { host = \"two.test\"; port = { number = 80; }; }; } ); } ); } "
    ");\n"
    "destinationRules = (\n"
    "{ name = \"d\"; host = \"*.test\"; trafficPolicy = { tls = { mode = \"SIMPLE\"; }; }; },\n"
    "{ name = \"e\"; host = \"a.test\"; trafficPolicy = {\n"
    "  tls = { mode = \"SIMPLE\"; caCertificates = \"ca.pem\"; subjectAltNames = [ \"rule.test\" "
    "]; };\n"
    "  portLevelSettings = ( { port = { number = 80; }; tls = { mode = \"SIMPLE\"; sni = "
    "\"SNI.test\";\n"
    "  insecureSkipVerify = true; }; } ); }; } );\n";

static char directory[32];
static char path[64];
static struct rules *rules;
static struct diags diags;

static struct rules *load(const char *content)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	fclose(file);
	diags_init(&diags);
	return rules_load(path, &diags);
}

static void setup(void)
{
	strcpy(directory, "/tmp/rules.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/mesh.cfg", directory);
	rules = load(text);
	ck_assert_msg(rules, "%s", diags.first ? diags.first->text : "?");
}

static void teardown(void)
{
	rules_unref(rules);
	diags_release(&diags);
	unlink(path);
	rmdir(directory);
}

static struct verdict match(const char *authority, const char *target, uint16_t port,
			    const char *dialled)
{
	const struct rules_request request = {.method = "GET",
					      .authority = authority,
					      .path = target,
					      .port = port,
					      .dialled = dialled};
	struct verdict verdict;

	rules_match(rules, &request, &verdict);
	return verdict;
}

START_TEST(hosts)
{
	static const char *const names[] = {"*.s.test", "a.test", "two.test", "v", "x.s.test"};

	ck_assert_uint_eq(rules_n_hosts(rules), 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert_str_eq(rules_host_at(rules, i)->name, names[i]);
	ck_assert_str_eq(rules_find_host(rules, "A.TEST.")->name, "a.test");
	ck_assert_str_eq(rules_find_host(rules, "y.s.test")->name, "*.s.test");
	ck_assert(rules_find_host(rules, "y.s.test")->wildcard);
	ck_assert_uint_eq(rules_find_host(rules, "y.s.test")->n_addresses, 1);
	ck_assert_uint_eq(rules_find_host(rules, "y.s.test")->addresses[0].prefix, 104);
	ck_assert_str_eq(rules_find_host(rules, "x.s.test")->name, "x.s.test");
	ck_assert_ptr_null(rules_find_host(rules, "s.test"));
	ck_assert_ptr_null(rules_find_host(rules, "elsewhere"));
	ck_assert_ptr_null(rules_find_host(rules, ""));
	ck_assert(rules_outbound_policy(rules) == OUTBOUND_ALLOW_ANY);
}
END_TEST

START_TEST(connections)
{
	const struct cluster *cluster;

	ck_assert(rules_connect(rules, "a.test", 80, &cluster) == RULES_HTTP);
	ck_assert_ptr_null(cluster);
	ck_assert(rules_connect(rules, "A.test.", 443, &cluster) == RULES_OPAQUE);
	ck_assert_str_eq(cluster->host, "a.test");
	ck_assert(cluster->protocol == PROTOCOL_TLS);
	ck_assert(rules_connect(rules, "a.test", 81, &cluster) == RULES_PASSTHROUGH);
	ck_assert_ptr_null(cluster);
	ck_assert(rules_connect(rules, "v", 80, &cluster) == RULES_HTTP);
	ck_assert(rules_connect(rules, "v", 8080, &cluster) == RULES_PASSTHROUGH);
	/* The exact host has port 80 only; the wildcard knows the other. */
	ck_assert(rules_connect(rules, "x.s.test", 80, &cluster) == RULES_HTTP);
	ck_assert(rules_connect(rules, "x.s.test", 5432, &cluster) == RULES_OPAQUE);
	ck_assert_str_eq(cluster->host, "*.s.test");
	ck_assert(rules_connect(rules, "nowhere", 80, &cluster) == RULES_PASSTHROUGH);
}
END_TEST

START_TEST(clusters)
{
	const struct cluster *cluster;

	rules_connect(rules, "y.s.test", 5432, &cluster);
	ck_assert_uint_eq(cluster->n_endpoints, 2);
	ck_assert_str_eq(cluster->endpoints[0].address, "192.0.2.1");
	ck_assert_uint_eq(cluster->endpoints[0].port, 2);
	ck_assert_uint_eq(cluster->endpoints[1].port, 1);
	ck_assert(cluster->resolution == RESOLUTION_STATIC);
	ck_assert(cluster->tls.mode == TLS_MODE_SIMPLE);
	ck_assert_uint_eq(cluster->tls.n_subject_alt_names, 0);

	/* Port-level settings inherit nothing; without verification there are no names. */
	cluster = match("a.test", "/", 80, NULL).cluster;
	ck_assert_str_eq(cluster->endpoints[0].address, "a.test");
	ck_assert_uint_eq(cluster->endpoints[0].port, 8000);
	ck_assert_str_eq(cluster->tls.sni, "sni.test");
	ck_assert_ptr_null(cluster->tls.ca_certificates);
	ck_assert(cluster->tls.insecure_skip_verify);
	ck_assert_uint_eq(cluster->tls.n_subject_alt_names, 0);

	cluster = match("a.test", "/", 8080, NULL).cluster;
	ck_assert_str_eq(cluster->tls.subject_alt_names[0], "rule.test");
	ck_assert_ptr_nonnull(strstr(cluster->tls.ca_certificates, directory));
	cluster = match("two.test", "/", 8080, NULL).cluster;
	ck_assert_str_eq(cluster->tls.subject_alt_names[0], "entry.test");
}
END_TEST

/* What is counted, balanced or dialled in another way is another cluster. */
START_TEST(policy_is_identity)
{
	static const char *const policies[] = {
	    "tls = { mode = \"DISABLE\"; };",
	    "connectionPool = { tcp = { maxConnections = 1; }; };",
	    "connectionPool = { tcp = { maxConnections = 2; }; };",
	    "connectionPool = { tcp = { connectTimeout = \"2s\"; }; };",
	    "connectionPool = { http = { maxRetries = 1; }; };",
	    "connectionPool = { http = { http1MaxPendingRequests = 1; }; };",
	    "loadBalancer = { simple = \"RANDOM\"; };",
	    "loadBalancer = { consistentHash = { useSourceIp = true; }; };",
	    "outlierDetection = { consecutive5xxErrors = 7; };",
	};
	enum { N = sizeof(policies) / sizeof(policies[0]) };
	char *ids[N];
	uint64_t timeout = 0;

	for (size_t i = 0; i < N; i++) {
		char file[1024];

		snprintf(file, sizeof(file),
			 "serviceEntries = ( { name = \"p\"; hosts = [ \"p.test\" ];"
			 " ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } );"
			 " resolution = \"DNS\"; } );"
			 "destinationRules = ( { name = \"p\"; host = \"p.test\";"
			 " trafficPolicy = { %s }; } );",
			 policies[i]);
		rules_unref(rules);
		diags_release(&diags);
		rules = load(file);
		ck_assert_ptr_nonnull(rules);
		const struct cluster *cluster = match("p.test", "/", 80, NULL).cluster;
		ids[i] = strdup(cluster->id);
		if (i == 0)
			ck_assert_uint_eq(cluster->connect_timeout, 10000);
		if (i == 3)
			timeout = cluster->connect_timeout;
		ck_assert_uint_eq(cluster->target_port, 80);
	}
	ck_assert_uint_eq(timeout, 2000);
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(ids[i], ids[j]);
	for (size_t i = 0; i < N; i++)
		free(ids[i]);
}
END_TEST

/* Equal settings make equal ids, over reloads too; any difference makes another. */
START_TEST(identity)
{
	struct rules *before = rules;
	char *id = strdup(match("a.test", "/", 8080, NULL).cluster->id);

	ck_assert_str_ne(id, match("two.test", "/", 8080, NULL).cluster->id);
	diags_release(&diags);
	rules = load(text);
	ck_assert_str_eq(id, match("a.test", "/", 8080, NULL).cluster->id);
	ck_assert(match("a.test", "/", 8080, NULL).cluster !=
		  (rules_ref(before), match("a.test", "/", 80, NULL).cluster));
	rules_unref(before);
	rules_unref(before);
	free(id);
}
END_TEST

START_TEST(virtual_hosts)
{
	ck_assert_str_eq(match("V:80", "/", 80, NULL).host, "v");
	ck_assert_str_eq(match("a.test:99", "/", 80, "v").host, "a.test");
	ck_assert_str_eq(match("unknown", "/", 80, "v").host, "v");
	ck_assert_str_eq(match("unknown", "/", 80, "V.").host, "v");
	ck_assert_str_eq(match("", "/", 80, "v").host, "v");
	/* Known, but not on this port: as dialled. */
	ck_assert_str_eq(match("v", "/", 8080, "a.test").host, "a.test");
	ck_assert(match("unknown", "/", 80, NULL).action == RULES_REQUEST_DIRECT);
	ck_assert(match("unknown", "/", 80, "gone").action == RULES_NO_ROUTE);
}
END_TEST

START_TEST(routes)
{
	struct verdict verdict = match("v", "/www?x", 80, NULL);

	ck_assert_int_eq(verdict.route_index, 0);
	ck_assert_int_eq(verdict.match_index, 0);
	ck_assert_str_eq(verdict.virtual_service, "v");
	ck_assert_int_eq(verdict.where.line, 14);
	verdict = match("v", "/other", 80, NULL);
	ck_assert_int_eq(verdict.route_index, 2);
	/* Several ports and none named: the one that was dialled. */
	ck_assert_uint_eq(verdict.cluster->port, 80);
	/* What follows a catch-all is cut off, even for a path that is none. */
	verdict = match("v", "*", 80, NULL);
	ck_assert_int_eq(verdict.route_index, -1);
	ck_assert(verdict.action == RULES_NO_ROUTE);
	verdict = match("a.test", "*", 80, NULL);
	ck_assert(verdict.action == RULES_ROUTE);
	ck_assert_int_eq(verdict.route_index, -1);
	ck_assert_ptr_null(verdict.virtual_service);
}
END_TEST

START_TEST(weights)
{
	struct rules_request request = {
	    .method = "GET", .authority = "v", .path = "/w", .port = 80};
	struct verdict verdict;
	int first = 0;

	for (uint32_t i = 0; i < 256; i++) {
		request.random = i << 24;
		rules_match(rules, &request, &verdict);
		first += !strcmp(verdict.destination, "a.test");
		ck_assert_uint_eq(verdict.cluster->port, 80);
	}
	ck_assert_int_eq(first, 64);
	request.random = UINT32_MAX;
	rules_match(rules, &request, &verdict);
	ck_assert_str_eq(verdict.destination, "two.test");
}
END_TEST

START_TEST(headers)
{
	char large[6000];
	struct field fields[] = {
	    {"X-A", "1", 3, 1}, {"other", "x", 5, 1}, {"x-a", large, 3, 1}, {"x-ab", "9", 4, 1}};
	struct rules_request request = {.method = "GET",
					.authority = "v",
					.path = "/",
					.port = 80,
					.fields = fields,
					.n_fields = 4};
	struct verdict verdict;

	memset(large, '2', sizeof(large));
	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.route_index, 1);
	/* Joined beyond what fits on the stack. */
	fields[2].value_len = 5000;
	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.route_index, 1);
	fields[2].value = "3";
	fields[2].value_len = 1;
	rules_match(rules, &request, &verdict);
	ck_assert_int_eq(verdict.route_index, 2);
}
END_TEST

static const struct {
	const char *uri;
	size_t prefix;
	const char *path, *target;
} rewrites[] = {
    {"/new", 4, "/foo/bar?q=1", "/new/bar?q=1"},
    {"/", 4, "/foo/bar", "//bar"},
    {"/", 5, "/foo/bar", "/bar"},
    {"/new", SIZE_MAX, "/foo?q=1", "/new?q=1"},
    {"/new", SIZE_MAX, "/a/b", "/new"},
    {"/new", 1, "/foo", "/newfoo"},
    {"/new/", 1, "/foo", "/new/foo"},
    {"/new", 0, "/foo", "/new/foo"},
    {NULL, 0, "/foo?q#f", "/foo?q"},
    {NULL, 0, "/foo#f?q", "/foo"},
    {"/new", SIZE_MAX, "/a?b?c#d", "/new?b?c"},
    {"/new", SIZE_MAX, "*", "*"},
    {"/new", 9, "/a?long", "/new?long"},
};

START_TEST(rewriting)
{
	bool all = rewrites[_i].prefix == SIZE_MAX;
	struct string_match uri = {.kind = all ? MATCH_EXACT : MATCH_PREFIX,
				   .len = rewrites[_i].prefix};
	struct http_rewrite rewrite = {.uri = {.s = rewrites[_i].uri}};
	const struct http_match match = {.uri = &uri};
	const struct http_route route = {.rewrite = &rewrite};
	const struct verdict verdict = {.route = &route, .match = &match};
	size_t len = strlen(rewrites[_i].target);
	char out[64];

	/* Every size: the length is told, what fits is written, nothing beyond. */
	for (size_t size = 0; size < sizeof(out); size++) {
		memset(out, '#', sizeof(out));
		ck_assert_uint_eq(rules_rewrite_target(&verdict, rewrites[_i].path, out, size),
				  len);
		if (size)
			ck_assert_uint_eq(strlen(out), len < size ? len : size - 1);
		ck_assert(!strncmp(out, rewrites[_i].target, size ? strlen(out) : 0));
		ck_assert_int_eq(out[size], '#');
		if (size > len)
			ck_assert_str_eq(out, rewrites[_i].target);
	}
}
END_TEST

START_TEST(server_names)
{
	const struct cluster *cluster = match("two.test", "/", 8080, NULL).cluster;
	char out[256];

	ck_assert_int_eq(rules_server_name(cluster, "Raw.Example.com:8443", out, sizeof(out)), 0);
	ck_assert_str_eq(out, "raw.example.com");
	ck_assert_int_eq(rules_server_name(cluster, "[2001:DB8::1]:443", out, sizeof(out)), 0);
	ck_assert_str_eq(out, "2001:db8::1");
	ck_assert_int_eq(rules_server_name(cluster, NULL, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "two.test");
	ck_assert_int_eq(rules_server_name(cluster, "abc", out, 3), -1);
	ck_assert_int_eq(rules_server_name(cluster, "abc", out, 4), 0);
	cluster = match("a.test", "/", 80, NULL).cluster;
	ck_assert_int_eq(rules_server_name(cluster, "other", out, sizeof(out)), 0);
	ck_assert_str_eq(out, "sni.test");
}
END_TEST

START_TEST(registry_only)
{
	const struct cluster *cluster;

	rules_unref(rules);
	diags_release(&diags);
	rules = load("meshConfig = { outboundTrafficPolicy = { mode = \"REGISTRY_ONLY\"; }; };");
	ck_assert_ptr_nonnull(rules);
	ck_assert(rules_outbound_policy(rules) == OUTBOUND_REGISTRY_ONLY);
	ck_assert(rules_connect(rules, "nowhere", 80, &cluster) == RULES_BLOCKED);
	ck_assert(match("nowhere", "/", 80, NULL).action == RULES_REQUEST_BLOCKED);
	ck_assert_uint_eq(rules_n_hosts(rules), 0);
}
END_TEST

/* Cut at every length: an error or a rule set, never anything else. */
START_TEST(truncated)
{
	char *copy = strdup(text);

	for (size_t len = 0; len < sizeof(text) - 1; len += 3) {
		struct rules *part;

		diags_release(&diags);
		copy[len] = '\0';
		part = load(copy);
		copy[len] = text[len];
		ck_assert((part != NULL) == (diags.rejected == 0));
		rules_unref(part);
	}
	free(copy);
}
END_TEST

Suite *rules_suite(void)
{
	Suite *suite = suite_create("rules");
	TCase *tcase = tcase_create("rules");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, hosts);
	tcase_add_test(tcase, connections);
	tcase_add_test(tcase, clusters);
	tcase_add_test(tcase, identity);
	tcase_add_test(tcase, policy_is_identity);
	tcase_add_test(tcase, virtual_hosts);
	tcase_add_test(tcase, routes);
	tcase_add_test(tcase, weights);
	tcase_add_test(tcase, headers);
	tcase_add_loop_test(tcase, rewriting, 0, (int)(sizeof(rewrites) / sizeof(rewrites[0])));
	tcase_add_test(tcase, server_names);
	tcase_add_test(tcase, registry_only);
	tcase_add_test(tcase, truncated);
	suite_add_tcase(suite, tcase);
	return suite;
}
