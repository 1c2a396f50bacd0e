/* SPDX-License-Identifier: Apache-2.0 */
/* Files are looked at once a second, so the tests of reloading wait. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules/rules.h"
#include "shim/mesh.h"

#define RULES(host)                                                                                \
	"serviceEntries = ( { name = \"x\"; hosts = [ \"" host "\" ]; resolution = \"DNS\";"       \
	" ports = ( { number = 80; name = \"http\"; protocol = \"HTTP\"; } ); } );\n"
#define BROKEN "serviceEntries = ( { nonsense = 1; } ); more = 2;\n"

static char dir[64], log_file[96], rules_file[96];
static char content[8192];

static void setup(void)
{
	strcpy(dir, "/tmp/test-mesh-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(log_file, sizeof(log_file), "%s/log", dir);
	snprintf(rules_file, sizeof(rules_file), "%s/mesh.cfg", dir);
	setenv("MESHSHIM_LOG", log_file, 1);
	unsetenv("MESHSHIM_LOG_LEVEL");
	unsetenv("MESHSHIM_DISABLE");
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* How many lines were logged. */
static int lines_logged(void)
{
	FILE *file = fopen(log_file, "r");
	int lines = 0;

	content[0] = '\0';
	if (!file)
		return 0;
	content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
	fclose(file);
	for (const char *p = content; (p = strchr(p, '\n')); p++)
		lines++;
	return lines;
}

static void start(const char *rules)
{
	setenv("MESHSHIM_RULES", rules, 1);
	mesh_init();
	ck_assert(mesh_active());
}

/* Whether the rules in force know a host. */
static bool knows(const char *host)
{
	struct rules *rules = mesh_rules();
	bool found = rules && rules_find_host(rules, host);

	rules_unref(rules);
	return found;
}

static void wait_a_second(void)
{
	usleep(1050 * 1000);
}

START_TEST(inert_unless_asked)
{
	unsetenv("MESHSHIM_RULES");
	mesh_init();
	ck_assert(!mesh_active());
	setenv("MESHSHIM_RULES", "", 1);
	mesh_init();
	ck_assert(!mesh_active());
	setenv("MESHSHIM_RULES", rules_file, 1);
	setenv("MESHSHIM_DISABLE", "1", 1);
	mesh_init();
	ck_assert(!mesh_active());
	setenv("MESHSHIM_DISABLE", "0", 1);
	mesh_init();
	ck_assert(mesh_active());
	ck_assert_int_eq(lines_logged(), 0);
}
END_TEST

START_TEST(wrong_level_is_said)
{
	setenv("MESHSHIM_LOG_LEVEL", "loud", 1);
	start(rules_file);
	ck_assert_int_eq(lines_logged(), 1);
	ck_assert_ptr_nonnull(strstr(content, "MESHSHIM_LOG_LEVEL"));
}
END_TEST

START_TEST(loads_at_first_use)
{
	start(rules_file);
	put(rules_file, RULES("alpha.test"));
	errno = EDOM;
	ck_assert(knows("alpha.test"));
	ck_assert_int_eq(errno, EDOM);
	ck_assert(!knows("beta.test"));
	ck_assert_int_eq(lines_logged(), 0);
}
END_TEST

START_TEST(directories_and_lists)
{
	char list[300], second[128];

	put(rules_file, RULES("alpha.test"));
	snprintf(second, sizeof(second), "%s/second", dir);
	ck_assert_int_eq(mkdir(second, 0700), 0);
	snprintf(list, sizeof(list), "%s/z.cfg", second);
	put(list, "serviceEntries = ( { name = \"y\"; hosts = [ \"beta.test\" ];"
		  " resolution = \"DNS\"; ports = ( { number = 80; name = \"http\";"
		  " protocol = \"HTTP\"; } ); } );\n");
	snprintf(list, sizeof(list), ":%s::%s:", rules_file, second);
	start(list);
	ck_assert(knows("alpha.test"));
	ck_assert(knows("beta.test"));
}
END_TEST

START_TEST(relative_paths_mean_the_start)
{
	put(rules_file, RULES("alpha.test"));
	ck_assert_int_eq(chdir(dir), 0);
	start("mesh.cfg");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert(knows("alpha.test"));
}
END_TEST

START_TEST(missing_file_is_one_line)
{
	start(rules_file);
	errno = EDOM;
	for (int i = 0; i < 5; i++)
		ck_assert_ptr_null(mesh_rules());
	ck_assert_int_eq(errno, EDOM);
	ck_assert_int_eq(lines_logged(), 1);
	ck_assert_ptr_nonnull(strstr(content, rules_file));
	/* Nothing changed: nothing new to say. */
	wait_a_second();
	ck_assert_ptr_null(mesh_rules());
	ck_assert_int_eq(lines_logged(), 1);
	put(rules_file, RULES("alpha.test"));
	wait_a_second();
	ck_assert(knows("alpha.test"));
	ck_assert_int_eq(lines_logged(), 1);
}
END_TEST

START_TEST(no_file_at_all)
{
	start("::");
	ck_assert_ptr_null(mesh_rules());
	ck_assert_int_eq(lines_logged(), 1);
}
END_TEST

START_TEST(broken_file_counts_its_errors)
{
	put(rules_file, BROKEN);
	start(rules_file);
	ck_assert_ptr_null(mesh_rules());
	ck_assert_int_eq(lines_logged(), 1);
	ck_assert_ptr_nonnull(strstr(content, "mesh.cfg:1: "));
	ck_assert_ptr_nonnull(strstr(content, " more error"));
	ck_assert_ptr_nonnull(strstr(content, "run meshshim-check)"));
}
END_TEST

START_TEST(reload)
{
	put(rules_file, RULES("alpha.test"));
	start(rules_file);
	ck_assert(knows("alpha.test"));
	put(rules_file, RULES("beta.test"));
	ck_assert(knows("alpha.test")); /* not a second yet */
	wait_a_second();
	ck_assert(knows("beta.test"));
	ck_assert(!knows("alpha.test"));
	put(rules_file, BROKEN);
	wait_a_second();
	ck_assert(knows("beta.test"));
	ck_assert_int_eq(lines_logged(), 1);
	ck_assert_ptr_nonnull(strstr(content, "the rules in force stay"));
	wait_a_second();
	ck_assert(knows("beta.test"));
	ck_assert_int_eq(lines_logged(), 1);
}
END_TEST

START_TEST(reload_of_a_directory)
{
	char more[128];

	put(rules_file, RULES("alpha.test"));
	start(dir);
	ck_assert(knows("alpha.test"));
	snprintf(more, sizeof(more), "%s/more.cfg", dir);
	put(more, "virtualServices = ( { name = \"v\"; hosts = [ \"beta.test\" ]; http = ( { route ="
		  " ( { destination = { host = \"alpha.test\"; port = { number = 80; }; }; } ); }"
		  " ); } );\n");
	wait_a_second();
	ck_assert(knows("beta.test"));
	unlink(more);
	wait_a_second();
	ck_assert(!knows("beta.test"));
	ck_assert(knows("alpha.test"));
}
END_TEST

START_TEST(child_keeps_the_rules)
{
	int status;

	put(rules_file, RULES("alpha.test"));
	start(rules_file);
	ck_assert(knows("alpha.test"));
	pid_t pid = _i ? _Fork() : fork();

	if (pid == 0)
		_exit(!knows("alpha.test"));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(knows("alpha.test"));
}
END_TEST

Suite *mesh_suite(void);
Suite *mesh_suite(void)
{
	Suite *suite = suite_create("mesh");
	TCase *tcase = tcase_create("mesh");

	tcase_set_timeout(tcase, 20);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, inert_unless_asked);
	tcase_add_test(tcase, wrong_level_is_said);
	tcase_add_test(tcase, loads_at_first_use);
	tcase_add_test(tcase, directories_and_lists);
	tcase_add_test(tcase, relative_paths_mean_the_start);
	tcase_add_test(tcase, missing_file_is_one_line);
	tcase_add_test(tcase, no_file_at_all);
	tcase_add_test(tcase, broken_file_counts_its_errors);
	tcase_add_test(tcase, reload);
	tcase_add_test(tcase, reload_of_a_directory);
	tcase_add_loop_test(tcase, child_keeps_the_rules, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
