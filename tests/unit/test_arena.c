/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/arena.h"

#include <check.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

START_TEST(allocations_are_apart_and_aligned)
{
	struct arena arena;
	unsigned char *at[300];

	arena_init(&arena);
	for (size_t i = 0; i < 300; i++) {
		at[i] = arena_alloc(&arena, i);
		ck_assert_ptr_nonnull(at[i]);
		ck_assert_uint_eq((uintptr_t)at[i] % alignof(max_align_t), 0);
		memset(at[i], (int)(i & 0xff), i);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_uint_eq(at[i][j], i & 0xff);
	ck_assert_ptr_ne(at[0], at[1]);
	arena_release(&arena);
}
END_TEST

START_TEST(texts_are_copied_and_ended)
{
	struct arena arena;

	arena_init(&arena);
	ck_assert_str_eq(arena_strndup(&arena, "raw.githubusercontent.com:443", 25),
			 "raw.githubusercontent.com");
	ck_assert_str_eq(arena_strndup(&arena, NULL, 0), "");
	arena_release(&arena);
}
END_TEST

START_TEST(a_reset_keeps_one_block)
{
	struct arena arena;

	arena_init(&arena);
	void *first = arena_alloc(&arena, 16);
	for (int i = 0; i < 100; i++)
		ck_assert_ptr_nonnull(arena_alloc(&arena, 1000));
	arena_reset(&arena);
	void *again = arena_alloc(&arena, 16);
	ck_assert_ptr_nonnull(again);
	for (int round = 0; round < 10; round++) {
		arena_reset(&arena);
		ck_assert_ptr_eq(arena_alloc(&arena, 16), again);
	}
	(void)first;
	arena_release(&arena);
	/* usable again */
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1));
	arena_release(&arena);
	arena_release(&arena);
}
END_TEST

START_TEST(a_big_allocation_wastes_nothing_and_is_not_kept)
{
	struct arena arena;

	arena_init(&arena);
	char *small = arena_alloc(&arena, 16);
	char *big = arena_alloc(&arena, 1 << 20);
	ck_assert_ptr_nonnull(big);
	memset(big, 1, 1 << 20);
	ck_assert_ptr_eq(arena_alloc(&arena, 16), small + 16);
	arena_reset(&arena);
	ck_assert_ptr_eq(arena_alloc(&arena, 16), small);
	arena_release(&arena);

	/* a big one comes first */
	big = arena_alloc(&arena, 1 << 20);
	ck_assert_ptr_nonnull(big);
	arena_reset(&arena);
	ck_assert_ptr_null(arena.blocks);
	arena_release(&arena);
}
END_TEST

START_TEST(what_cannot_be_had_is_refused)
{
	struct arena arena;
	volatile size_t huge = SIZE_MAX;

	arena_init(&arena);
	ck_assert_ptr_null(arena_alloc(&arena, huge));
	ck_assert_ptr_null(arena_alloc(&arena, huge - alignof(max_align_t)));
	ck_assert_ptr_null(arena_strndup(&arena, "", huge));
	arena_release(&arena);
}
END_TEST

Suite *arena_suite(void);
Suite *arena_suite(void)
{
	Suite *suite = suite_create("arena");
	TCase *tcase = tcase_create("arena");

	tcase_add_test(tcase, allocations_are_apart_and_aligned);
	tcase_add_test(tcase, texts_are_copied_and_ended);
	tcase_add_test(tcase, a_reset_keeps_one_block);
	tcase_add_test(tcase, a_big_allocation_wastes_nothing_and_is_not_kept);
	tcase_add_test(tcase, what_cannot_be_had_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
