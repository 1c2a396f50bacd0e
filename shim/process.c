/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/process.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* The page of the header comment, with the counter behind its word; NULL until somebody owns the state.
 * Never unmapped: a reader in a signal handler may be looking. */
static _Atomic(atomic_int *) page;

int process_own(void)
{
	atomic_int *word = atomic_load_explicit(&page, memory_order_acquire);

	if (!word) {
		const size_t size = (size_t)sysconf(_SC_PAGESIZE);
		void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				   -1, 0);

		if (fresh == MAP_FAILED)
			return -1;
		/*
		 * Without this (gVisor, old kernels) a child made by _Fork(3) or clone(2) keeps our
		 * number and is taken for a vfork child, which may do less: safe. Children of
		 * fork(3) are told by pthread_atfork(3).
		 */
		int saved = errno;
		if (madvise(fresh, size, MADV_WIPEONFORK) < 0)
			errno = saved;
		atomic_store_explicit((atomic_int *)fresh, getpid(), memory_order_relaxed);
		if (atomic_compare_exchange_strong(&page, &word, fresh))
			return 0;
		munmap(fresh, size); /* another thread was faster; `word` is its page */
	}
	atomic_store_explicit(word, getpid(), memory_order_release);
	return 0;
}

atomic_int *process_counter(void)
{
	atomic_int *word = atomic_load_explicit(&page, memory_order_acquire);

	return word ? word + 1 : NULL;
}

enum process process_check(void)
{
	atomic_int *word = atomic_load_explicit(&page, memory_order_acquire);

	if (!word)
		return PROCESS_OWNER;
	int owner = atomic_load_explicit(word, memory_order_acquire);

	if (owner == 0)
		return PROCESS_FORKED;
	return owner == getpid() ? PROCESS_OWNER : PROCESS_VFORKED;
}
