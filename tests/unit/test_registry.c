/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rules/diag.h"
#include "rules/rules.h"
#include "shim/learned.h"
#include "shim/registry.h"

#define HTTP_PORT  "{ number = 80; name = \"http\"; protocol = \"HTTP\"; }"
#define TLS_PORT   "{ number = 443; name = \"tls\"; protocol = \"TLS\"; }"
#define RESOLVED(how, name, hosts, rest)                                                           \
	"{ name = \"" name "\"; hosts = [ " hosts " ]; ports = ( " HTTP_PORT ", " TLS_PORT " );"   \
	" resolution = \"" how "\"; " rest " }"
#define ENTRY(name, hosts, rest) RESOLVED("DNS", name, hosts, rest)
#define STATIC_ENTRY(name, hosts, rest)                                                            \
	RESOLVED("STATIC", name, hosts, "endpoints = ( { address = \"127.0.0.1\"; } ); " rest)
#define ENTRIES(list) "serviceEntries = ( " list " );\n"
#define REGISTRY_ONLY "meshConfig = { outboundTrafficPolicy = { mode = \"REGISTRY_ONLY\"; }; };\n"

#define PLAIN    ENTRY("plain", "\"alpha.test\", \"beta.test\"", "")
#define WILDCARD ENTRY("wild", "\"*.wild.test\"", "endpoints = ( { address = \"127.0.0.1\"; } );")
#define FIXED    ENTRY("fixed", "\"fixed.test\"", "addresses = [ \"10.9.8.7\" ];")
#define BLOCK    STATIC_ENTRY("block", "\"block.test\"", "addresses = [ \"10.50.0.0/16\" ];")

/* The answer to the last look-up. */
static struct in_addr v4;
static struct in6_addr v6;
static bool has4, has6;
static char canonical[REGISTRY_NAME_MAX + 1];

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

	if (diags.first)
		diag_format(diags.first, why, sizeof(why));
	diags_release(&diags);
	unlink(path);
	ck_assert_msg(rules != NULL, "%s", why);
	return rules;
}

static bool lookup(const struct rules *rules, const char *name)
{
	return registry_lookup(rules, name, &v4, &has4, &v6, &has6, canonical);
}

/* An address as the hooks see it. */
static socklen_t address(struct sockaddr_storage *out, const char *text, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	memcpy(out, &in6, sizeof(in6));
	return sizeof(in6);
}

static struct decision decide(const struct rules *rules, const char *text, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = address(&addr, text, port);
	struct decision decision;

	registry_decide(rules, (struct sockaddr *)&addr, len, &decision);
	return decision;
}

static bool reverse(const struct rules *rules, const char *text, char *name)
{
	struct sockaddr_storage addr;
	socklen_t len = address(&addr, text, 0);

	return registry_reverse(rules, (struct sockaddr *)&addr, len, name);
}

static const char *text4(void)
{
	static char text[INET_ADDRSTRLEN];

	return inet_ntop(AF_INET, &v4, text, sizeof(text));
}

static const char *text6(void)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, &v6, text, sizeof(text));
}

START_TEST(names_and_addresses)
{
	struct rules *rules = rules_of(ENTRIES(PLAIN));
	char name[REGISTRY_NAME_MAX + 1];
	char mapped[64];

	ck_assert_int_eq(registry_update(rules), 0);
	errno = EDOM;
	ck_assert(lookup(rules, "Alpha.TEST."));
	ck_assert_int_eq(errno, EDOM);
	ck_assert_str_eq(canonical, "alpha.test");
	ck_assert(has4 && has6);
	ck_assert_uint_eq(ntohl(v4.s_addr) >> 15, 0xf0f00000u >> 15); /* the lower half */
	ck_assert_int_eq(strncmp(text6(), "2001:2:", 7), 0);
	ck_assert(reverse(rules, text4(), name));
	ck_assert_str_eq(name, "alpha.test");
	ck_assert(reverse(rules, text6(), name));
	ck_assert_str_eq(name, "alpha.test");
	snprintf(mapped, sizeof(mapped), "::ffff:%s", text4());
	ck_assert(reverse(rules, mapped, name));
	ck_assert_str_eq(name, "alpha.test");

	struct in_addr alpha = v4;

	ck_assert(lookup(rules, "beta.test"));
	ck_assert(v4.s_addr != alpha.s_addr);
	ck_assert(!lookup(rules, "gamma.test"));
	ck_assert(!lookup(rules, ""));
	ck_assert(!lookup(rules, "."));
	ck_assert(!lookup(rules, "sub.alpha.test"));
	rules_unref(rules);
}
END_TEST

START_TEST(overlong_name)
{
	struct rules *rules = rules_of(ENTRIES(WILDCARD));
	char name[REGISTRY_NAME_MAX + 20];

	memset(name, 'a', sizeof(name));
	strcpy(name + REGISTRY_NAME_MAX + 1 - strlen(".wild.test"), ".wild.test");
	ck_assert_uint_eq(strlen(name), REGISTRY_NAME_MAX + 1);
	ck_assert(!lookup(rules, name));
	rules_unref(rules);
}
END_TEST

START_TEST(addresses_do_not_depend_on_history)
{
	struct rules *both = rules_of(ENTRIES(PLAIN ", " WILDCARD));
	struct rules *one = rules_of(ENTRIES(ENTRY("beta", "\"beta.test\"", "")));

	registry_update(one);
	ck_assert(lookup(one, "beta.test"));
	struct in_addr before = v4;

	registry_update(both);
	ck_assert(lookup(both, "beta.test"));
	ck_assert_uint_eq(v4.s_addr, before.s_addr);
	/* The same in every process: a value that only another hash would change. */
	ck_assert_str_eq(text4(), "240.240.24.31");
	rules_unref(one);
	rules_unref(both);
}
END_TEST

START_TEST(names_under_a_wildcard)
{
	struct rules *rules = rules_of(ENTRIES(WILDCARD));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert(lookup(rules, "a.wild.test"));
	ck_assert_uint_eq(ntohl(v4.s_addr) >> 15, 0xf0f08000u >> 15); /* the upper half */
	struct in_addr first = v4;

	ck_assert(lookup(rules, "b.wild.test"));
	ck_assert(v4.s_addr != first.s_addr);
	ck_assert(lookup(rules, "A.WILD.test."));
	ck_assert_uint_eq(v4.s_addr, first.s_addr);
	ck_assert(reverse(rules, text4(), name));
	ck_assert_str_eq(name, "a.wild.test");
	ck_assert(!lookup(rules, "wild.test"));
	rules_unref(rules);
}
END_TEST

/* Far more names than the hash keeps apart, and more than there are addresses. */
START_TEST(no_address_for_two_names)
{
	struct rules *rules = rules_of(ENTRIES(WILDCARD));
	static unsigned char seen[65536];
	char name[64];
	int given = 0;

	for (int i = 0; i < 32800; i++) {
		snprintf(name, sizeof(name), "host%d.wild.test", i);
		if (!lookup(rules, name))
			continue;
		unsigned slot = ntohl(v4.s_addr) & 0xffff;

		ck_assert_msg(!seen[slot], "%s", text4());
		ck_assert_uint_ge(slot, 32768);
		ck_assert_uint_ne(slot, 65535);
		seen[slot] = 1;
		given++;
	}
	ck_assert_int_eq(given, 32767);
	ck_assert(lookup(rules, "host0.wild.test")); /* who has one keeps it */
	rules_unref(rules);
}
END_TEST

/* However a service is spelt, it is one host (meshConfig.workload.namespace). */
START_TEST(spellings_of_one_host)
{
	static const char *const forms[] = {"web", "web.ns", "web.ns.svc", "WEB.ns.svc.",
					    "web.ns.svc.cluster.local"};
	struct rules *rules = rules_of("meshConfig = { workload = { namespace = \"ns\"; }; };\n"
				       ENTRIES(ENTRY("w", "\"web.ns.svc.cluster.local\"",
						     "endpoints = ( { address = \"127.0.0.1\"; } );")));
	struct in_addr first = {0};

	registry_update(rules);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		ck_assert_msg(lookup(rules, forms[i]), "%s", forms[i]);
		if (i == 0)
			first = v4;
		ck_assert_uint_eq(v4.s_addr, first.s_addr);
	}
	ck_assert_int_eq(decide(rules, text4(), 80).to, ROUTE_BRIDGE);
	rules_unref(rules);
}
END_TEST

#define LABEL_64 "0123456789012345678901234567890123456789012345678901234567890123"

START_TEST(what_is_no_host_name)
{
	static const char *const wrong[] = {"alpha.test..", "alpha..test",   ".alpha.test",
					    ".wild.test",   "a..wild.test",  "a b.wild.test",
					    "-a.wild.test", "a.wild.test\n", LABEL_64 ".wild.test"};
	struct rules *rules = rules_of(ENTRIES(PLAIN ", " WILDCARD));

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(!lookup(rules, wrong[i]), "%s", wrong[i]);
		ck_assert_msg(!registry_has(rules, wrong[i]), "%s", wrong[i]);
	}
	ck_assert(lookup(rules, "a_b.wild.test"));
	ck_assert(lookup(rules, "b\xc3\xbc" "cher.wild.test")); /* AI_IDN */
	ck_assert(registry_has(rules, "Alpha.test."));
	rules_unref(rules);
}
END_TEST

/* A pattern is a name only here: connections to its block have to be recognised. */
START_TEST(wildcard_with_addresses)
{
	struct rules *rules = rules_of(ENTRIES(STATIC_ENTRY("w", "\"*.wild.test\"",
							    "addresses = [ \"10.60.0.0/16\" ];")));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert(reverse(rules, "10.60.1.2", name));
	ck_assert_str_eq(name, "*.wild.test");
	ck_assert_int_eq(decide(rules, "10.60.1.2", 80).to, ROUTE_BRIDGE);
	rules_unref(rules);
}
END_TEST

START_TEST(explicit_addresses)
{
	struct rules *rules = rules_of(ENTRIES(FIXED ", " BLOCK));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert(registry_has_explicit());
	ck_assert(lookup(rules, "fixed.test"));
	ck_assert(has4 && !has6);
	ck_assert_str_eq(text4(), "10.9.8.7");
	ck_assert(reverse(rules, "10.9.8.7", name));
	ck_assert_str_eq(name, "fixed.test");
	ck_assert(!reverse(NULL, "10.9.8.7", name));
	/* A block is no address that could be answered. */
	ck_assert(lookup(rules, "block.test"));
	ck_assert(has4 && has6);
	ck_assert_int_eq(strncmp(text4(), "240.240.", 8), 0);
	ck_assert(reverse(rules, "10.50.255.255", name));
	ck_assert_str_eq(name, "block.test");
	ck_assert(!reverse(rules, "10.51.0.0", name));
	rules_unref(rules);

	rules = rules_of(ENTRIES(PLAIN));
	registry_update(rules);
	ck_assert(!registry_has_explicit());
	rules_unref(rules);
}
END_TEST

START_TEST(narrowest_block_wins)
{
	struct rules *rules =
	    rules_of(ENTRIES(BLOCK ", " STATIC_ENTRY("inner", "\"inner.test\"",
						      "addresses = [ \"10.50.7.0/24\" ];")));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert(reverse(rules, "10.50.7.1", name));
	ck_assert_str_eq(name, "inner.test");
	ck_assert(reverse(rules, "10.50.8.1", name));
	ck_assert_str_eq(name, "block.test");
	rules_unref(rules);
}
END_TEST

START_TEST(synthetic_ranges)
{
	static const struct {
		const char *text;
		bool synthetic;
	} cases[] = {
	    {"240.240.0.0", true},   {"240.240.255.255", true}, {"240.241.0.0", false},
	    {"10.0.0.1", false},     {"2001:2::", true},        {"2001:2:0:ffff::1", true},
	    {"2001:2:1::", false},   {"2001:3::", false},       {"::ffff:240.240.1.1", true},
	    {"::ffff:10.0.0.1", false},
	};
	struct sockaddr_storage addr;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		socklen_t len = address(&addr, cases[i].text, 0);

		ck_assert_msg(registry_is_synthetic((struct sockaddr *)&addr, len) ==
				  cases[i].synthetic,
			      "%s", cases[i].text);
	}
	ck_assert(!registry_is_synthetic(NULL, 0));
}
END_TEST

START_TEST(local_is_untouched)
{
	static const char *const local[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0", "::1",
					    "::",        "::ffff:127.0.0.1"};
	struct rules *rules = rules_of(REGISTRY_ONLY ENTRIES(PLAIN));

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		ck_assert_int_eq(decide(rules, local[i], 80).to, ROUTE_UNTOUCHED);
		ck_assert_int_eq(decide(NULL, local[i], 80).to, ROUTE_UNTOUCHED);
	}
	rules_unref(rules);
}
END_TEST

START_TEST(without_rules_all_is_refused)
{
	ck_assert_int_eq(decide(NULL, "192.0.2.1", 80).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(NULL, "240.240.0.1", 80).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(NULL, "2001:db8::1", 80).to, ROUTE_REFUSE);
	ck_assert_ptr_nonnull(decide(NULL, "192.0.2.1", 80).reason);
}
END_TEST

START_TEST(registry_hosts_go_to_the_bridge)
{
	struct rules *rules = rules_of(ENTRIES(PLAIN));
	char mapped[64];

	registry_update(rules);
	ck_assert(lookup(rules, "alpha.test"));
	struct decision decision = decide(rules, text4(), 80);

	ck_assert_int_eq(decision.to, ROUTE_BRIDGE);
	ck_assert_int_eq(decision.kind, RULES_HTTP);
	ck_assert_str_eq(decision.name, "alpha.test");
	ck_assert_uint_eq(decision.port, 80);
	decision = decide(rules, text6(), 443);
	ck_assert_int_eq(decision.to, ROUTE_BRIDGE);
	ck_assert_int_eq(decision.kind, RULES_OPAQUE);
	ck_assert_ptr_nonnull(decision.cluster);
	snprintf(mapped, sizeof(mapped), "::ffff:%s", text4());
	ck_assert_int_eq(decide(rules, mapped, 80).to, ROUTE_BRIDGE);
	/* A port that the registry does not know. */
	decision = decide(rules, text4(), 81);
	ck_assert_int_eq(decision.to, ROUTE_BRIDGE);
	ck_assert_int_eq(decision.kind, RULES_PASSTHROUGH);
	rules_unref(rules);
}
END_TEST

START_TEST(explicit_addresses_go_to_the_bridge)
{
	struct rules *rules = rules_of(ENTRIES(FIXED ", " BLOCK));

	registry_update(rules);
	ck_assert_int_eq(decide(rules, "10.9.8.7", 80).to, ROUTE_BRIDGE);
	ck_assert_str_eq(decide(rules, "::ffff:10.50.1.1", 443).name, "block.test");
	ck_assert_int_eq(decide(rules, "10.9.8.7", 81).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(rules, "10.9.8.8", 80).to, ROUTE_UNTOUCHED);
	rules_unref(rules);
}
END_TEST

static void learn(const char *name, const char *text)
{
	struct sockaddr_storage addr;
	socklen_t len = address(&addr, text, 0);

	ck_assert_int_eq(learned_note(name, (struct sockaddr *)&addr, len), 0);
}

START_TEST(real_addresses_of_hosts_without_others)
{
	struct rules *rules = rules_of(
	    ENTRIES(RESOLVED("NONE", "a", "\"real.test\", \"*.real.test\"", "") ", "
		    RESOLVED("NONE", "b", "\"listed.test\"", "addresses = [ \"10.9.8.7\" ];") ", "
		    RESOLVED("NONE", "c", "\"net.test\"", "addresses = [ \"10.60.0.0/16\" ];")));
	struct rules *without = rules_of(ENTRIES(PLAIN));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert(registry_has_explicit());
	ck_assert(!lookup(rules, "real.test"));
	ck_assert(!lookup(rules, "a.real.test"));
	ck_assert(!lookup(rules, "net.test"));
	ck_assert(lookup(rules, "listed.test"));
	ck_assert_str_eq(text4(), "10.9.8.7");
	ck_assert(registry_is_original(rules, "A.real.test.", name));
	ck_assert_str_eq(name, "a.real.test");
	ck_assert(!registry_is_original(rules, "listed.test", name));
	ck_assert(!registry_is_original(rules, "other.test", name));

	ck_assert_int_eq(decide(rules, "192.0.2.1", 80).to, ROUTE_UNTOUCHED);
	learn("a.real.test", "192.0.2.1");
	learn("real.test", "2001:db8::1");
	errno = EDOM;
	ck_assert_int_eq(decide(rules, "192.0.2.1", 80).kind, RULES_HTTP);
	ck_assert_int_eq(decide(rules, "::ffff:192.0.2.1", 443).kind, RULES_OPAQUE);
	ck_assert_str_eq(decide(rules, "192.0.2.1", 443).name, "a.real.test");
	ck_assert_str_eq(decide(rules, "2001:db8::1", 443).name, "real.test");
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(decide(rules, "192.0.2.1", 81).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(rules, "192.0.2.2", 80).to, ROUTE_UNTOUCHED);
	ck_assert(reverse(rules, "192.0.2.1", name));
	/* This host itself is never anybody else. */
	learn("real.test", "127.0.0.1");
	ck_assert_int_eq(decide(rules, "127.0.0.1", 80).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(without, "192.0.2.1", 80).to, ROUTE_UNTOUCHED);
	rules_unref(rules);
	rules_unref(without);
}
END_TEST

#define ONE_PORT(name, port)                                                                       \
	"{ name = \"" name "\"; hosts = [ \"" name ".test\" ]; ports = ( { number = " port ";"         \
	" name = \"http\"; protocol = \"HTTP\"; } ); }"

/* Of several hosts at one address, the one that knows the port; of these, the last looked up. */
START_TEST(hosts_that_share_an_address)
{
	struct rules *rules = rules_of(
	    REGISTRY_ONLY ENTRIES(ONE_PORT("a", "80") ", " ONE_PORT("b", "81") ", " ONE_PORT("c", "80")));

	registry_update(rules);
	learn("c.test", "192.0.2.9");
	learn("a.test", "192.0.2.9");
	learn("b.test", "192.0.2.9");
	learn("stranger.test", "192.0.2.9");
	ck_assert_str_eq(decide(rules, "192.0.2.9", 80).name, "a.test");
	ck_assert_str_eq(decide(rules, "192.0.2.9", 81).name, "b.test");
	ck_assert_int_eq(decide(rules, "192.0.2.9", 82).to, ROUTE_REFUSE);
	learn("c.test", "192.0.2.9");
	ck_assert_str_eq(decide(rules, "192.0.2.9", 80).name, "c.test");
	rules_unref(rules);
}
END_TEST

/* The table is full: the names that were heard of last are there. */
START_TEST(the_oldest_names_are_forgotten)
{
	char name[LEARNED_NAME_MAX + 2];
	uint64_t before = UINT64_MAX;
	struct in6_addr ip;
	int n = 0;

	inet_pton(AF_INET6, "::ffff:192.0.2.10", &ip);
	ck_assert(!learned_next(&ip, &before, name));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d.test", i);
		learn(name, "192.0.2.10");
	}
	for (; learned_next(&ip, &before, name); n++)
		ck_assert_int_eq(atoi(name), 99 - n);
	ck_assert_int_eq(n, LEARNED_WAYS);
	memset(name, 'a', sizeof(name));
	name[LEARNED_NAME_MAX + 1] = '\0';

	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc000020a)};

	ck_assert_int_eq(learned_note(name, (struct sockaddr *)&in, sizeof(in)), -1);
}
END_TEST

START_TEST(the_rest_is_up_to_the_policy)
{
	struct rules *any = rules_of(ENTRIES(PLAIN));
	struct rules *only = rules_of(REGISTRY_ONLY ENTRIES(PLAIN));

	registry_update(any);
	ck_assert_int_eq(decide(any, "192.0.2.1", 80).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(only, "192.0.2.1", 80).to, ROUTE_REFUSE);
	ck_assert_ptr_nonnull(strstr(decide(only, "192.0.2.1", 80).reason, "REGISTRY_ONLY"));
	ck_assert(lookup(only, "alpha.test"));
	ck_assert_int_eq(decide(only, text4(), 80).to, ROUTE_BRIDGE);
	ck_assert_int_eq(decide(only, text4(), 81).to, ROUTE_REFUSE);
	rules_unref(any);
	rules_unref(only);
}
END_TEST

START_TEST(dns_where_the_rest_is_untouched)
{
	struct rules *any = rules_of(ENTRIES(FIXED));
	struct rules *only = rules_of(REGISTRY_ONLY ENTRIES(PLAIN));
	struct rules *none = rules_of("");

	registry_update(any);
	ck_assert_int_eq(decide(any, "192.0.2.1", 53).to, ROUTE_DNS);
	ck_assert_int_eq(decide(any, "::ffff:127.0.0.53", 53).to, ROUTE_DNS);
	ck_assert_int_eq(decide(any, "10.9.8.7", 53).to, ROUTE_DNS);
	ck_assert_int_eq(decide(any, "192.0.2.1", 5353).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(only, "192.0.2.1", 53).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(only, "127.0.0.1", 53).to, ROUTE_DNS);
	ck_assert_int_eq(decide(none, "192.0.2.1", 53).to, ROUTE_UNTOUCHED);
	ck_assert_int_eq(decide(NULL, "192.0.2.1", 53).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(NULL, "127.0.0.1", 53).to, ROUTE_UNTOUCHED);
	rules_unref(any);
	rules_unref(only);
	rules_unref(none);
}
END_TEST

START_TEST(synthetic_addresses_of_nobody)
{
	struct rules *rules = rules_of(ENTRIES(PLAIN));
	struct rules *without = rules_of(ENTRIES(FIXED));
	char name[REGISTRY_NAME_MAX + 1];

	registry_update(rules);
	ck_assert_int_eq(decide(rules, "240.240.0.0", 80).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(rules, "240.240.200.1", 80).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(rules, "240.240.255.255", 80).to, ROUTE_REFUSE);
	ck_assert_int_eq(decide(rules, "2001:2::1", 80).to, ROUTE_REFUSE);
	ck_assert(!reverse(rules, "240.240.200.1", name));
	/* A reload took the host away; a program may still hold its address. */
	ck_assert(lookup(rules, "alpha.test"));
	registry_update(without);
	ck_assert_int_eq(decide(without, text4(), 80).to, ROUTE_REFUSE);
	rules_unref(rules);
	rules_unref(without);
}
END_TEST

Suite *registry_suite(void);
Suite *registry_suite(void)
{
	Suite *suite = suite_create("registry");
	TCase *names = tcase_create("names");
	TCase *decisions = tcase_create("decisions");

	tcase_set_timeout(names, 20);
	tcase_add_test(names, names_and_addresses);
	tcase_add_test(names, overlong_name);
	tcase_add_test(names, addresses_do_not_depend_on_history);
	tcase_add_test(names, names_under_a_wildcard);
	tcase_add_test(names, no_address_for_two_names);
	tcase_add_test(names, spellings_of_one_host);
	tcase_add_test(names, what_is_no_host_name);
	tcase_add_test(names, wildcard_with_addresses);
	tcase_add_test(names, explicit_addresses);
	tcase_add_test(names, narrowest_block_wins);
	tcase_add_test(names, synthetic_ranges);
	suite_add_tcase(suite, names);
	tcase_add_test(decisions, local_is_untouched);
	tcase_add_test(decisions, without_rules_all_is_refused);
	tcase_add_test(decisions, registry_hosts_go_to_the_bridge);
	tcase_add_test(decisions, real_addresses_of_hosts_without_others);
	tcase_add_test(decisions, hosts_that_share_an_address);
	tcase_add_test(decisions, the_oldest_names_are_forgotten);
	tcase_add_test(decisions, explicit_addresses_go_to_the_bridge);
	tcase_add_test(decisions, the_rest_is_up_to_the_policy);
	tcase_add_test(decisions, dns_where_the_rest_is_untouched);
	tcase_add_test(decisions, synthetic_addresses_of_nobody);
	suite_add_tcase(suite, decisions);
	return suite;
}
