/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/mesh.h"
#include "shim/names.h"

static char rules_file[64], log_file[64];

static void setup(void)
{
	static const char text[] =
	    "serviceEntries = ( { name = \"x\"; hosts = [ \"alpha.test\" ]; resolution = \"DNS\";"
	    " ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n";

	strcpy(rules_file, "/tmp/test-names-XXXXXX");
	int fd = mkstemp(rules_file);

	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	snprintf(log_file, sizeof(log_file), "%s.log", rules_file);
	setenv("MESHSHIM_LOG", log_file, 1);
	setenv("MESHSHIM_LOG_LEVEL", "error", 1);
	setenv("MESHSHIM_RULES", rules_file, 1);
	unsetenv("MESHSHIM_DISABLE");
}

static void teardown(void)
{
	unlink(rules_file);
	unlink(log_file);
}

static bool logged(void)
{
	struct stat st;

	return stat(log_file, &st) == 0;
}

static enum name_status reverse(const char *text, char name[REGISTRY_NAME_MAX + 1])
{
	struct sockaddr_in addr = {.sin_family = AF_INET};

	ck_assert_int_eq(inet_pton(AF_INET, text, &addr.sin_addr), 1);
	return names_reverse((struct sockaddr *)&addr, sizeof(addr), name);
}

START_TEST(mesh_and_other)
{
	struct name_answer answer;
	char name[REGISTRY_NAME_MAX + 1];
	char text[INET_ADDRSTRLEN];

	mesh_init();
	errno = EDOM;
	ck_assert_int_eq(names_find("Alpha.test.", &answer), NAME_MESH);
	ck_assert(answer.has4 && answer.has6);
	ck_assert_str_eq(answer.canonical, "alpha.test");
	ck_assert_int_eq(names_find("beta.test", &answer), NAME_OTHER);
	ck_assert(names_find("alpha.test", &answer) == NAME_MESH);
	ck_assert(inet_ntop(AF_INET, &answer.v4, text, sizeof(text)));
	ck_assert_int_eq(reverse(text, name), NAME_MESH);
	ck_assert_str_eq(name, "alpha.test");
	ck_assert_int_eq(reverse("240.240.250.1", name), NAME_FAILED);
	ck_assert_int_eq(reverse("192.0.2.1", name), NAME_OTHER);
	ck_assert_int_eq(errno, EDOM);
	ck_assert(!logged());
}
END_TEST

/* The missing file would be complained about. */
START_TEST(numbers_do_not_load_rules)
{
	static const char *const numeric[] = {"127.0.0.1",      "10.1",       "0x7f.1", "2130706433",
					      "2001:db8::1",    "fe80::1%lo", "::",     "",
					      "240.240.250.1"};
	struct name_answer answer;
	char name[REGISTRY_NAME_MAX + 1];
	char longest[400];

	unlink(rules_file);
	mesh_init();
	for (size_t i = 0; i < sizeof(numeric) / sizeof(numeric[0]); i++)
		ck_assert_msg(names_find(numeric[i], &answer) == NAME_OTHER, "%s", numeric[i]);
	ck_assert_int_eq(names_find(NULL, &answer), NAME_OTHER);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(names_find(longest, &answer), NAME_OTHER);
	ck_assert_int_eq(reverse("192.0.2.1", name), NAME_OTHER);
	ck_assert(!logged());
	ck_assert_int_eq(names_find("alpha.test", &answer), NAME_OTHER);
	ck_assert(logged());
}
END_TEST

Suite *names_suite(void);
Suite *names_suite(void)
{
	Suite *suite = suite_create("names");
	TCase *tcase = tcase_create("names");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, mesh_and_other);
	tcase_add_test(tcase, numbers_do_not_load_rules);
	suite_add_tcase(suite, tcase);
	return suite;
}
