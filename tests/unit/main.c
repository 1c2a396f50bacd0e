/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit test runner. Every tests/unit/test_<module>.c defines `Suite *<module>_suite(void)`;
 * suites.h, made by the Makefile, lists them. T=name runs only suites whose name contains it;
 * CK_FORK=no runs everything in one process, for a debugger.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/libc.h"
#include "shim/libconfig.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static const struct {
	const char *name;
	Suite *(*suite)(void);
} suites[] = {
#define SUITE(name) {#name, name##_suite},
#include "suites.h"
#undef SUITE
};

#ifdef __SANITIZE_ADDRESS__
/* Check's runner frees a little for every test, and each test is a fork of what it has not given
 * back: with the usual quarantine of 256 MB most of the time would go into page tables. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}
#endif

int main(void)
{
	const char *only = getenv("T");
	struct err err = {0};

	/* The rules' libconfig is the shim's private one here too. The other real functions are for
	 * the tests to bind. */
	real.dlopen = dlopen;
	if (libconfig_open(&err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	SRunner *runner = srunner_create(NULL);

	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (!only || !*only || strstr(suites[i].name, only))
			srunner_add_suite(runner, suites[i].suite());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
