/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's tables, of which few processes make any use. They are full of pointers: 18,000
 * relocations, each process's own copy of 90 pages, and two thirds of what the library would cost
 * at the start of a program. So their relocations are kept away from the loader, and made when the
 * bridge starts: the Makefile puts the tables into sections of their own, and after the link
 * tools/link/defer.c takes what is to be relocated there out of the loader's list and notes where
 * it is. Where that was not done (on other machines than it knows), the loader has done it all.
 */
#ifndef SHIM_DEFERRED_H
#define SHIM_DEFERRED_H

#include <stdint.h>

#define DEFERRED_SECTION       ".deferred"      /* constant */
#define DEFERRED_DATA_SECTION  ".deferred.data" /* the rest */
#define DEFERRED_INDEX_SECTION ".deferred.index"

/* Offsets are in bytes from where the library is mapped. All 0: nothing was deferred. */
struct deferred_index {
	uint64_t start, end;  /* of the constant tables */
	uint64_t relocations; /* Elf64_Rela, each of the kind that adds the base address */
	uint64_t n_relocations;
};

/* Once, before the first call into OpenSSL, on the bridge's thread. A child that was forked in the
 * midst of it may begin anew. */
void deferred_relocate(void);

#endif
