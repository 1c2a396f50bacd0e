/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <utlist.h>

#include "shim/signals.h"
#include "shim/thread.h"

enum {
	SPAN_BITS = 18,
	SPAN = 1 << SPAN_BITS,
	HEADER = 64, /* of a span, before its blocks */
	STEP = 16,   /* between the sizes of the smallest classes, and what all are aligned to */
	SMALL = 128, /* up to here; from here on, each doubling has four classes */
	SMALL_BITS = 7,
	CLASSES = SMALL / STEP + 4 * (16 - SMALL_BITS), /* up to MEMORY_LARGE */
	SPARE_MAX = 4,
	AT_HAND_MAX = 4, /* of each class */
	/* Where spans are: two levels of a bitmap over the address space. */
	ADDRESS_BITS = 48,
	LEAF_BITS = 14,
	LEAVES = 1 << (ADDRESS_BITS - SPAN_BITS - LEAF_BITS),
};

struct span {
	uint32_t generation; /* of the process that made it */
	uint32_t used;       /* blocks */
	size_t size;         /* of a block */
	size_t mapped;       /* bytes, with this header */
	struct block *free;  /* given back; */
	size_t fresh;        /* from here on the span was never used */
	struct span *prev, *next; /* in `partial`, `next` also in `spare` */
};
_Static_assert(sizeof(struct span) <= HEADER, "the header of a span");

struct block {
	struct block *next;
};

/* Blocks that were given back, for one thread at a time, which needs no lock for them. */
struct at_hand {
	struct block *blocks;
	unsigned n;
};

struct leaf {
	_Atomic uint64_t bits[(1 << LEAF_BITS) / 64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct span *partial[CLASSES]; /* those with room */
static struct span *spare;            /* wholly free ones of SPAN bytes */
static unsigned n_spare;
static uint32_t generation;
static struct leaf *_Atomic leaves[LEAVES];

static struct at_hand at_hand[CLASSES];
static atomic_bool held; /* they are some thread's, */
static _Thread_local bool holds; /* which is this one */

/* ---- where spans are --------------------------------------------------------------------- */

static struct span *span_of(const void *memory)
{
	return (struct span *)((uintptr_t)memory & ~((uintptr_t)SPAN - 1));
}

static _Atomic uint64_t *bits_of(const void *memory, uint64_t *bit)
{
	uint64_t number = (uint64_t)(uintptr_t)memory >> SPAN_BITS;
	uint64_t leaf_number = number >> LEAF_BITS;
	struct leaf *leaf = leaf_number < LEAVES ? atomic_load(&leaves[leaf_number]) : NULL;

	number &= (1 << LEAF_BITS) - 1;
	*bit = UINT64_C(1) << number % 64;
	return leaf ? &leaf->bits[number / 64] : NULL;
}

bool memory_is_ours(const void *memory)
{
	uint64_t bit;
	_Atomic uint64_t *bits = bits_of(memory, &bit);

	return bits && atomic_load_explicit(bits, memory_order_relaxed) & bit;
}

static void *map(size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static bool register_span(const struct span *span)
{
	uint64_t leaf_number = (uint64_t)(uintptr_t)span >> (SPAN_BITS + LEAF_BITS), bit;

	if (leaf_number >= LEAVES)
		return false;
	if (!atomic_load(&leaves[leaf_number])) {
		struct leaf *leaf = map(sizeof(*leaf));

		if (!leaf)
			return false;
		atomic_store(&leaves[leaf_number], leaf);
	}
	_Atomic uint64_t *bits = bits_of(span, &bit);

	atomic_fetch_or(bits, bit);
	return true;
}

/* ---- spans ------------------------------------------------------------------------------- */

static void span_unmap(struct span *span)
{
	uint64_t bit;
	_Atomic uint64_t *bits = bits_of(span, &bit);

	if (bits)
		atomic_fetch_and(bits, ~bit);
	munmap(span, span->mapped);
}

/* A mapping of `mapped` bytes, a multiple of the page size, at a multiple of SPAN. */
static struct span *span_map(size_t mapped)
{
	char *memory = map(mapped + SPAN);

	if (!memory)
		return NULL;
	char *start = (char *)span_of(memory + SPAN - 1);
	char *end = memory + mapped + SPAN;

	if (start > memory)
		munmap(memory, (size_t)(start - memory));
	if (end > start + mapped)
		munmap(start + mapped, (size_t)(end - (start + mapped)));
	struct span *span = (struct span *)start;

	span->mapped = mapped;
	if (register_span(span))
		return span;
	munmap(span, mapped);
	return NULL;
}

static struct span *span_new(size_t block_size)
{
	struct span *span = spare;

	if (span) {
		spare = span->next;
		n_spare--;
	} else {
		span = span_map(SPAN);
	}
	if (!span)
		return NULL;
	span->generation = generation;
	span->used = 0;
	span->size = block_size;
	span->free = NULL;
	span->fresh = HEADER;
	return span;
}

static bool has_room(const struct span *span)
{
	return span->free || span->fresh + span->size <= SPAN;
}

static void span_retire(struct span *span)
{
	if (n_spare == SPARE_MAX) {
		span_unmap(span);
		return;
	}
	span->next = spare;
	spare = span;
	n_spare++;
}

/* ---- classes ----------------------------------------------------------------------------- */

/* The class of a size, and the size of its blocks. */
static unsigned class_of(size_t size, size_t *block_size)
{
	if (size <= SMALL) {
		unsigned class = size ? (unsigned)((size - 1) / STEP) : 0;

		*block_size = (class + 1) * STEP;
		return class;
	}
	unsigned top = 63 - (unsigned)__builtin_clzl(size - 1);
	unsigned quarter = (unsigned)((size - 1) >> (top - 2)) & 3;

	*block_size = (size_t)(quarter + 5) << (top - 2);
	return SMALL / STEP + (top - SMALL_BITS) * 4 + quarter;
}

static void *take_block(size_t size)
{
	size_t block_size;
	unsigned class = class_of(size, &block_size);
	struct span *span = partial[class];
	void *block;

	if (!span) {
		span = span_new(block_size);
		if (!span)
			return NULL;
		DL_PREPEND(partial[class], span);
	}
	if (span->free) {
		block = span->free;
		span->free = span->free->next;
	} else {
		block = (char *)span + span->fresh;
		span->fresh += span->size;
	}
	span->used++;
	if (!has_room(span))
		DL_DELETE(partial[class], span);
	return block;
}

static void give_block(struct span *span, void *memory)
{
	struct block *block = memory;
	size_t block_size;
	unsigned class = class_of(span->size, &block_size);

	if (!has_room(span))
		DL_PREPEND(partial[class], span);
	block->next = span->free;
	span->free = block;
	/* The last one with room stays, for the next block is likely of its size. */
	if (--span->used == 0 && (partial[class] != span || span->next)) {
		DL_DELETE(partial[class], span);
		span_retire(span);
	}
}

static void *take_large(size_t size)
{
	const size_t page = 4096;

	if (size > SIZE_MAX / 2)
		return NULL;
	struct span *span = span_map((size + HEADER + page - 1) & ~(page - 1));

	if (!span)
		return NULL;
	span->generation = generation;
	span->size = span->mapped - HEADER;
	return (char *)span + HEADER;
}

/* ---- the interface ----------------------------------------------------------------------- */

/* A handler that came while the lock is held could want it, too. */
static void enter(sigset_t *old)
{
	signals_keep_off(old);
	pthread_mutex_lock(&lock);
}

static void leave(const sigset_t *old)
{
	pthread_mutex_unlock(&lock);
	signals_let_in(old);
}

static void *take_at_hand(size_t size)
{
	size_t block_size;
	struct at_hand *hand = &at_hand[class_of(size, &block_size)];
	struct block *block = hand->blocks;

	if (block) {
		hand->blocks = block->next;
		hand->n--;
	}
	return block;
}

static bool give_at_hand(const struct span *span, void *memory)
{
	size_t block_size;
	struct at_hand *hand = &at_hand[class_of(span->size, &block_size)];
	struct block *block = memory;

	if (hand->n == AT_HAND_MAX)
		return false;
	block->next = hand->blocks;
	hand->blocks = block;
	hand->n++;
	return true;
}

void memory_hold(void)
{
	holds = !atomic_exchange_explicit(&held, true, memory_order_acquire);
}

void memory_let_go(void)
{
	if (holds)
		atomic_store_explicit(&held, false, memory_order_release);
	holds = false;
}

void *memory_take(size_t size)
{
	void *memory = holds && size <= MEMORY_LARGE ? take_at_hand(size) : NULL;
	sigset_t old;

	if (memory)
		return memory;
	enter(&old);
	memory = size <= MEMORY_LARGE ? take_block(size) : take_large(size);
	leave(&old);
	if (!memory)
		errno = ENOMEM;
	return memory;
}

void memory_give(void *memory)
{
	struct span *span = span_of(memory);
	int saved = errno;
	sigset_t old;

	if (!memory || span->generation != generation)
		return;
	if (holds && span->size <= MEMORY_LARGE && give_at_hand(span, memory))
		return;
	enter(&old);
	if (span->size > MEMORY_LARGE)
		span_unmap(span);
	else
		give_block(span, memory);
	leave(&old);
	errno = saved;
}

size_t memory_size(const void *memory)
{
	return span_of(memory)->size;
}

void memory_fork_child(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	lock = fresh;
	memset(partial, 0, sizeof(partial));
	spare = NULL;
	n_spare = 0;
	memset(at_hand, 0, sizeof(at_hand));
	atomic_store(&held, holds);
	generation++;
}
