/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a private key in the memory of this process when nobody needs it any more: nothing.
 * The key is made by a child, so that it has been here only as the shim read it.
 */
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/ca.h"
#include "tests/unit/memory_io.h"
#include "tests/unit/tls_link.h"

/* A sanitizer's shadow of the memory is no memory to look through. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_LOOK = false };
#else
enum { CAN_LOOK = true };
#endif

Suite *tls_keys_suite(void);

/* What to look for, in a place of its own that is not looked at. */
struct needles {
	char pem[4096];
	unsigned char der[2048];
	size_t pem_len;
	const unsigned char *number; /* in der: the private number */
	unsigned char turned[32];    /* the same, as a bignum has it */
};

/* Into `at` and nowhere else: not through stdio, whose buffers would be found. */
static void read_needles(struct needles *at, const char *key)
{
	int fd = open(key, O_RDONLY);
	ssize_t n = read(fd, at->pem, sizeof(at->pem));
	unsigned char *out = at->der;

	ck_assert_int_gt(n, 0);
	close(fd);
	at->pem_len = (size_t)n;
	for (char *line = strchr(at->pem, '\n') + 1, *end; *line != '-'; line = end + 1) {
		end = strchr(line, '\n');
		ck_assert_int_eq((end - line) % 4, 0);
		out += EVP_DecodeBlock(out, (unsigned char *)line, (int)(end - line));
	}
	at->number = memmem(at->der, sizeof(at->der), "\2\1\1\4\x20", 5); /* RFC 5915 */
	ck_assert_ptr_nonnull(at->number);
	at->number += 5;
	for (int i = 0; i < 32; i++)
		at->turned[i] = at->number[31 - i];
}

static const char *found_in(const unsigned char *from, size_t n, const struct needles *needles)
{
	/* The second line of a PEM file is all key. */
	const char *line = strchr(needles->pem, '\n') + 1;

	if (memmem(from, n, line + 16, 32) || memmem(from, n, line + 70, 32))
		return "the file";
	if (memmem(from, n, needles->number, 32))
		return "the number";
	return memmem(from, n, needles->turned, 32) ? "the number, turned" : NULL;
}

/* In whatever this process may write to but its stacks. NULL: nowhere. */
static const char *search(const struct needles *needles)
{
	int fd = open("/proc/self/maps", O_RDONLY);
	static char text[262144];
	const char *found = NULL;
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	for (char *line = text, *end; !found && (end = strchr(line, '\n')); line = end + 1) {
		uintptr_t from, to;
		char mode[5];

		*end = '\0';
		ck_assert_int_eq(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
		if (strcmp(mode, "rw-p") || strstr(line, "[stack]") ||
		    (from <= (uintptr_t)needles && (uintptr_t)needles < to))
			continue;
		found = found_in((const unsigned char *)from, to - from, needles);
	}
	return found;
}

START_TEST(keys_are_wiped)
{
	struct client_tls settings = {
	    .mode = TLS_MODE_MUTUAL,
	    .insecure_skip_verify = true,
	    .client_certificate = scratch("client.pem"),
	    .private_key = scratch("client.key"),
	};
	struct needles *needles = mmap(NULL, 65536 + 2 * 4096, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct io *end[2];
	struct err err = {0};
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct cert *ca = ca_new("Test CA");
		struct cert *client = leaf_new(ca, "DNS:client.example");

		write_certificate("client.pem", client, false);
		write_key("client.key", client, NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	/* Between guards, so that it shares its mapping with nothing. */
	needles = (struct needles *)((char *)needles + 4096);
	ck_assert_int_eq(mprotect(needles, 65536, PROT_READ | PROT_WRITE), 0);
	read_needles(needles, settings.private_key);
	ck_assert_ptr_null(search(needles));

	struct tls *tls = tls_new(&err);
	memory_io_pair(end, 16);
	struct io *io = tls_connect(tls, &settings, "a.example", true, end[0], &err);
	ck_assert_msg(io != NULL, "%s", err.text);
	ck_assert_str_eq(search(needles), "the number, turned"); /* in use, and can be found */
	io_close(io, true);
	io_close(end[1], true);
	tls_free(tls);
	ck_assert_msg(!search(needles), "%s is still in memory", search(needles));
	munmap((char *)needles - 4096, 65536 + 2 * 4096);
	scratch_remove();
}
END_TEST

Suite *tls_keys_suite(void)
{
	Suite *suite = suite_create("tls_keys");
	TCase *all = tcase_create("keys");

	if (CAN_LOOK)
		tcase_add_test(all, keys_are_wiped);
	suite_add_tcase(suite, all);
	return suite;
}
