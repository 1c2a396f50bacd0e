/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that ask for names while the rules are loaded again: guest_names_crowd HOST ADDED...
 *
 * For each ADDED it prints a line and has its threads ask for HOST, in every way, until ADDED is
 * found. HOST has one address all the time, which it prints at the end. Lists are taken apart and
 * put together before they are freed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/preload/guest.h"

#define THREADS 4

static const char *host;
static struct in_addr v4;
static struct in6_addr v6;
static atomic_bool done;
static atomic_long asked;

static const void *address_of(const struct addrinfo *entry)
{
	struct sockaddr_in *in = (void *)entry->ai_addr;
	struct sockaddr_in6 *in6 = (void *)entry->ai_addr;

	return entry->ai_family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr;
}

static struct addrinfo *find(int family)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_family = family}, *list;
	int rc = getaddrinfo(host, "80", &hints, &list);

	if (rc != 0)
		die("getaddrinfo %s: %s", host, gai_strerror(rc));
	return list;
}

/* The list for one family behind the list for the other, without its second entry, which is freed
 * by itself. */
static void splice(void)
{
	struct addrinfo *list = find(AF_INET), *other = find(AF_INET6), *second, *last;

	if (memcmp(address_of(list), &v4, sizeof(v4)) != 0 ||
	    memcmp(address_of(other), &v6, sizeof(v6)) != 0)
		die("another address");
	second = list->ai_next;
	list->ai_next = second->ai_next;
	second->ai_next = NULL;
	for (last = list; last->ai_next; last = last->ai_next)
		;
	last->ai_next = other;
	freeaddrinfo(second);
	freeaddrinfo(list);
}

static void *asker(void *unused)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = v4};
	struct hostent space, *found;
	char name[NI_MAXHOST], buf[1024];
	int why;

	while (!done) {
		splice();
		if (gethostbyname_r(host, &space, buf, sizeof(buf), &found, &why) != 0 || !found ||
		    memcmp(found->h_addr_list[0], &v4, sizeof(v4)) != 0)
			die("gethostbyname_r");
		if (getnameinfo((struct sockaddr *)&addr, sizeof(addr), name, sizeof(name), NULL, 0,
				NI_NAMEREQD) != 0 ||
		    strcmp(name, host) != 0)
			die("getnameinfo");
		asked++;
	}
	return unused;
}

static void wait_for(const char *added)
{
	pthread_t threads[THREADS];
	struct addrinfo hints = {.ai_family = AF_INET}, *list;

	printf("%s?\n", added);
	fflush(stdout);
	done = false;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, asker, NULL) != 0)
			die("pthread_create");
	while (getaddrinfo(added, NULL, &hints, &list) != 0)
		usleep(1000);
	if (memcmp(address_of(list), &v4, sizeof(v4)) == 0)
		die("one address for two");
	freeaddrinfo(list);
	done = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	char text[INET_ADDRSTRLEN];
	struct addrinfo *list;

	if (argc < 3)
		die("usage: guest_names_crowd HOST ADDED...");
	host = argv[1];
	list = find(AF_INET);
	memcpy(&v4, address_of(list), sizeof(v4));
	freeaddrinfo(list);
	list = find(AF_INET6);
	memcpy(&v6, address_of(list), sizeof(v6));
	freeaddrinfo(list);
	for (int i = 2; i < argc; i++)
		wait_for(argv[i]);
	if (asked < 100)
		die("asked only %ld times", (long)asked);
	printf("%s\n", inet_ntop(AF_INET, &v4, text, sizeof(text)));
	return 0;
}
