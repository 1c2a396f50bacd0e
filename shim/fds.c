/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set is a bitmap in two levels: a fixed table of chunks, each allocated when the first number
 * in it is taken and never freed, so that readers need no lock. Bits change with atomic operations
 * and are looked at relaxed: whoever asks about a number that is changing hands at this very
 * moment has a race of its own.
 */
#include "shim/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "shim/libc.h"

#define WORD_BITS  64
#define WORDS      128
#define CHUNK_BITS (WORDS * WORD_BITS)
#define CHUNKS     2048 /* times CHUNK_BITS: far above any fs.nr_open in use */

struct chunk {
	_Atomic unsigned long long words[WORDS];
	/* What is under the number, as long as it is ours: of the filesystem and in it. */
	_Atomic(dev_t) devices[CHUNK_BITS];
	_Atomic(ino_t) inodes[CHUNK_BITS];
	atomic_uint uses[CHUNK_BITS];
};

static _Atomic(struct chunk *) chunks[CHUNKS];
static atomic_int highest = -1; /* no number above was ever ours */

static struct chunk *chunk_of(int fd)
{
	if (fd < 0 || fd >= CHUNKS * CHUNK_BITS)
		return NULL;
	return atomic_load_explicit(&chunks[fd / CHUNK_BITS], memory_order_acquire);
}

static unsigned long long bit_of(int fd)
{
	return 1ULL << (fd % WORD_BITS);
}

static int enter(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (fd >= CHUNKS * CHUNK_BITS) {
		errno = EMFILE;
		return -1;
	}
	struct chunk *chunk = chunk_of(fd);

	if (!chunk) {
		chunk = calloc(1, sizeof(*chunk));
		if (!chunk)
			return -1;
		atomic_store_explicit(&chunks[fd / CHUNK_BITS], chunk, memory_order_release);
	}
	atomic_store(&chunk->devices[fd % CHUNK_BITS], st.st_dev);
	atomic_store(&chunk->inodes[fd % CHUNK_BITS], st.st_ino);
	atomic_fetch_add(&chunk->uses[fd % CHUNK_BITS], 1);
	atomic_fetch_or(&chunk->words[fd % CHUNK_BITS / WORD_BITS], bit_of(fd));
	if (fd > atomic_load(&highest))
		atomic_store(&highest, fd);
	return 0;
}

void fds_forget(int fd)
{
	struct chunk *chunk = chunk_of(fd);

	if (chunk)
		atomic_fetch_and(&chunk->words[fd % CHUNK_BITS / WORD_BITS], ~bit_of(fd));
}

/* Whether a number of ours still is. One that is closed may be so in a vfork child alone. */
static bool is_intact(const struct chunk *chunk, int fd)
{
	struct stat st;
	int saved = errno;
	bool intact = fstat(fd, &st) == 0 &&
		      st.st_dev == atomic_load(&chunk->devices[fd % CHUNK_BITS]) &&
		      st.st_ino == atomic_load(&chunk->inodes[fd % CHUNK_BITS]);

	errno = saved;
	return intact;
}

bool fds_is_ours(int fd)
{
	if (fd > atomic_load_explicit(&highest, memory_order_relaxed))
		return false;
	struct chunk *chunk = chunk_of(fd);

	return chunk &&
	       (atomic_load_explicit(&chunk->words[fd % CHUNK_BITS / WORD_BITS],
				     memory_order_relaxed) &
		bit_of(fd)) &&
	       is_intact(chunk, fd);
}

unsigned fds_uses(int fd)
{
	struct chunk *chunk = chunk_of(fd);

	return chunk ? atomic_load(&chunk->uses[fd % CHUNK_BITS]) : 0;
}

int fds_mark(int fd, int marks)
{
	int flags = real.fcntl(fd, F_GETFL);

	if (real.fcntl(fd, F_SETFL, flags | marks) == 0 && real.fcntl(fd, F_GETFL) == (flags | marks))
		return flags | marks;
	real.fcntl(fd, F_SETFL, flags);
	return 0;
}

bool fds_is_still(int fd, unsigned use, int flags)
{
	if (fd < 0 || use != fds_uses(fd))
		return false;
	return flags ? real.fcntl(fd, F_GETFL) == flags : fds_is_ours(fd);
}

int fds_next(int fd)
{
	int end = atomic_load_explicit(&highest, memory_order_relaxed);

	for (fd = fd < 0 ? 0 : fd; fd <= end;) {
		struct chunk *chunk = chunk_of(fd);

		if (!chunk) {
			fd += CHUNK_BITS - fd % CHUNK_BITS;
			continue;
		}
		unsigned long long word = atomic_load_explicit(
		    &chunk->words[fd % CHUNK_BITS / WORD_BITS], memory_order_relaxed);

		word &= ~0ULL << (fd % WORD_BITS);
		if (word)
			return fd - fd % WORD_BITS + __builtin_ctzll(word);
		fd += WORD_BITS - fd % WORD_BITS;
	}
	return -1;
}

/* Where our numbers start: out of the way of a program that expects small ones, without using up
 * the few that a low limit leaves. */
static int base(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 2048)
		return 1000;
	return limit.rlim_cur > 6 ? (int)limit.rlim_cur / 2 : 3;
}

/* A close-on-exec copy at a high number, or at any from 3 on. */
static int copy_high(int fd)
{
	int saved = errno;
	int copy = real.fcntl(fd, F_DUPFD_CLOEXEC, base());

	if (copy < 0 && (errno == EMFILE || errno == EINVAL)) {
		errno = saved;
		copy = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	return copy;
}

int fds_adopt(int fd)
{
	if (fd < 0)
		return -1;
	int saved = errno;

	int copy = copy_high(fd);

	if (copy < 0 && fd > 2 && real.fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		copy = fd; /* the table is full: stay */
	if (copy >= 0 && enter(copy) < 0) {
		saved = errno;
		if (copy != fd)
			real.close(copy);
		copy = -1;
		errno = saved;
	}
	if (copy < 0)
		saved = errno;
	if (copy != fd)
		real.close(fd);
	errno = saved;
	return copy;
}

void fds_close(int fd)
{
	if (fd < 0)
		return;
	int saved = errno;

	struct chunk *chunk = chunk_of(fd);
	bool intact = chunk && is_intact(chunk, fd);

	/* In this order: once closed, the number may be the program's. */
	fds_forget(fd);
	if (intact)
		real.close(fd);
	errno = saved;
}

int fds_relocate(int fd)
{
	int copy = copy_high(fd);

	if (copy < 0)
		return -1;
	if (enter(copy) < 0) {
		int saved = errno;

		real.close(copy);
		errno = saved;
		return -1;
	}
	fds_forget(fd);
	return copy;
}

void fds_drop_all(void)
{
	for (int fd = fds_next(0); fd >= 0; fd = fds_next(fd + 1))
		fds_close(fd);
}
