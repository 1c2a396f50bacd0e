/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many connections at once: crowd THREADS REQUESTS HOST PORT. Each thread makes its requests one
 * after the other, each over a connection of its own, to a path of its own, and insists that the
 * answer's body is that path.
 */
#include <pthread.h>
#include <stdint.h>

#include "tests/preload/guest.h"

static const char *host, *port;
static int requests;

static void *one(void *arg)
{
	for (int i = 0; i < requests; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/thread/%ld/request/%d", (long)(intptr_t)arg, i);
		expect(host, port, path, path);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc == 5 ? atoi(argv[1]) : 0;
	pthread_t threads[256];

	if (n < 1 || n > 256)
		die("usage: crowd THREADS REQUESTS HOST PORT");
	requests = atoi(argv[2]);
	host = argv[3];
	port = argv[4];
	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, one, (void *)(intptr_t)i))
			die("pthread_create");
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	printf("%d requests\n", n * requests);
	return 0;
}
