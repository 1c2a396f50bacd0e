/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest client: client HOST PORT. Prints the answer to GET /text. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char request[] = "GET /text HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n";
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info;
	char answer[4096];
	ssize_t n;
	int rc = argc == 3 ? getaddrinfo(argv[1], argv[2], &hints, &info) : EAI_NONAME;
	int fd;

	if (rc != 0) {
		fprintf(stderr, "%s\n", gai_strerror(rc));
		return 1;
	}
	fd = socket(info->ai_family, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, info->ai_addr, info->ai_addrlen) < 0 ||
	    write(fd, request, strlen(request)) < 0) {
		perror(argv[1]);
		return 1;
	}
	while ((n = read(fd, answer, sizeof(answer))) > 0)
		fwrite(answer, 1, (size_t)n, stdout);
	freeaddrinfo(info);
	return n < 0;
}
