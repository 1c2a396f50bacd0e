/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_head_length() looks at many bytes at a time: what one byte says must not depend on where it
 * stands among them.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/bridge/http1.h"

#define LONGEST 40 /* more than two blocks, wherever they begin */

static const char start[] = "HTTP/1.1 200 OK\r\nA:", end[] = "\r\n\r\n";

/* What the head is refused for with this byte within a line; NULL: it is not. */
static const char *refusal(unsigned char c)
{
	if (c == '\r')
		return "CR without LF in the head";
	if (c == '\n')
		return "LF without CR in the head";
	return (c < ' ' && c != '\t') || c == 0x7f ? "control character in the head" : NULL;
}

static void judge(const char *head, size_t n, unsigned char c)
{
	const char *why = NULL, *expected = refusal(c);
	size_t scanned = 0;
	ssize_t length = http1_head_length(head, n, &scanned, &why);

	ck_assert_int_eq(length, expected ? -1 : (ssize_t)n);
	ck_assert(expected ? why && !strcmp(why, expected) : !why);
}

/* A line of each length, with each byte in each place; in memory that ends with it. */
START_TEST(each_byte_counts_in_each_place)
{
	for (size_t len = 0; len <= LONGEST; len++) {
		size_t n = strlen(start) + len + strlen(end);
		char *head = malloc(n), *line = head + strlen(start);

		ck_assert_ptr_nonnull(head);
		memcpy(head, start, strlen(start));
		memset(line, 'x', len);
		memcpy(line + len, end, strlen(end));
		for (size_t i = 0; i < len; i++) {
			for (int c = 0; c < 256; c++) {
				line[i] = (char)c;
				judge(head, n, (unsigned char)c);
			}
			line[i] = 'x';
		}
		free(head);
	}
}
END_TEST

/* The first of two is the one that is told, though both may be in one block. */
START_TEST(the_first_fault_is_told)
{
	static const unsigned char faults[] = {'\r', '\n', 0, 0x1f, 0x7f};
	char head[sizeof(start) + LONGEST + sizeof(end)];
	size_t n = (size_t)sprintf(head, "%s%*s%s", start, LONGEST, "", end);
	char *line = head + strlen(start);

	for (size_t i = 0; i + 1 < LONGEST; i++) {
		for (size_t j = i + 1; j < LONGEST; j++) {
			for (size_t k = 0; k < 25; k++) {
				if (faults[k / 5] == '\r' && faults[k % 5] == '\n')
					continue; /* the end of a line */
				line[i] = (char)faults[k / 5];
				line[j] = (char)faults[k % 5];
				judge(head, n, faults[k / 5]);
			}
			line[j] = ' ';
		}
		line[i] = ' ';
	}
}
END_TEST

Suite *http1_scan_suite(void);
Suite *http1_scan_suite(void)
{
	Suite *suite = suite_create("http1_scan");
	TCase *tcase = tcase_create("scan");

	tcase_add_test(tcase, each_byte_counts_in_each_place);
	tcase_add_test(tcase, the_first_fault_is_told);
	suite_add_tcase(suite, tcase);
	return suite;
}
