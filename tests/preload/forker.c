/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children before and after the first request: forker HOST PORT BODY. Every process fetches by
 * itself, all at once where it can; a connection made before a fork is used by the child while the
 * parent makes others. 7 requests.
 */
#include <sys/wait.h>

#include "tests/preload/guest.h"

static const char *host, *port, *body;

static pid_t child_fetching(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		expect(host, port, "/anything?x=1", body);
		_exit(0);
	}
	return pid;
}

static void collect(pid_t pid, const char *which)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("%s ended with status %x", which, status);
}

int main(int argc, char **argv)
{
	char request[1024];
	size_t len = request_text(request, sizeof(request), "/anything?x=1");
	struct answer *answer = calloc(1, sizeof(*answer));
	pid_t before, after, grandchild, inherited;
	ssize_t n;
	int fd;

	if (argc != 4 || !answer)
		die("usage: forker HOST PORT BODY");
	host = argv[1];
	port = argv[2];
	body = argv[3];

	before = child_fetching();
	expect(host, port, "/anything?x=1", body);
	after = child_fetching();

	grandchild = fork();
	if (grandchild == 0) {
		collect(child_fetching(), "the grandchild");
		_exit(0);
	}

	/* Connected here, used there; the parent's engine goes on serving it. */
	fd = dial(host, port);
	inherited = fork();
	if (inherited == 0) {
		if (write(fd, request, len) != (ssize_t)len)
			die("write on an inherited connection");
		while ((n = read(fd, answer->text + answer->len, 512)) > 0)
			answer->len += (size_t)n;
		answer_parse(answer);
		answer->body[strcspn(answer->body, "\n")] = '\0';
		if (answer->status != 200 || strcmp(answer->body, body) != 0)
			die("%d %s on an inherited connection", answer->status, answer->body);
		expect(host, port, "/anything?x=1", body);
		_exit(0);
	}
	close(fd);
	expect(host, port, "/anything?x=1", body);
	collect(before, "the child before the first request");
	collect(after, "the child after the first request");
	collect(grandchild, "the child with a child");
	collect(inherited, "the child with an inherited connection");
	printf("all children and the parent\n");
	free(answer);
	return 0;
}
