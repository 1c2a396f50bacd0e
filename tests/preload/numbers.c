/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers ROUNDS HOST PORT: a correct program of one thread that makes requests and, while the
 * answer is under way, uses descriptor numbers as it pleases: it takes the next free one, puts files
 * of its own on it, closes everything above its socket. Nobody else may ever be met there.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tests/preload/guest.h"

static void check_own_numbers(int above)
{
	struct stat mine, there;
	int null = open("/dev/null", O_RDONLY);

	if (null != above)
		die("the lowest free number was %d, not %d", null, above);
	fstat(null, &mine);
	for (int to = above + 1; to < above + 30; to++) {
		if (fcntl(to, F_GETFD) >= 0)
			die("number %d is taken", to);
		if (dup2(null, to) != to)
			die("dup2 onto %d: %s", to, strerror(errno));
		if (fstat(to, &there) < 0 || there.st_ino != mine.st_ino ||
		    there.st_rdev != mine.st_rdev)
			die("number %d is another file", to);
		if (close(to) < 0)
			die("close of %d: %s", to, strerror(errno));
	}
	close(null);
}

int main(int argc, char **argv)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: webserver\r\nConnection: close\r\n\r\n";
	char answer[4096];

	if (argc != 4)
		die("usage: numbers ROUNDS HOST PORT");
	struct addrinfo *found = resolve(argv[2], argv[3]);

	for (int round = 0; round < atoi(argv[1]); round++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, found->ai_addr, found->ai_addrlen) < 0)
			die("connect: %s", strerror(errno));
		check_own_numbers(fd + 1);
		if (write(fd, request, sizeof(request) - 1) != (ssize_t)sizeof(request) - 1)
			die("write: %s", strerror(errno));
		check_own_numbers(fd + 1);
		if (round % 3 == 0)
			closefrom(fd + 1);
		ssize_t n = read(fd, answer, sizeof(answer));

		if (n < 12 || strncmp(answer, "HTTP/1.1 200", 12))
			die("round %d: %zd bytes, %s", round, n, n < 0 ? strerror(errno) : "");
		close(fd);
	}
	puts("ours alone");
	return 0;
}
