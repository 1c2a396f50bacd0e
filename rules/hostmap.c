/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables: exact names, and wildcards by the suffix behind the star. A look-up tries the
 * suffixes of a name from the longest on, but only those of a length that some wildcard has, so
 * that it costs little however many names there are.
 */
#include "rules/hostmap.h"

#include <string.h>

void hostmap_init(struct hostmap *map)
{
	memset(map, 0, sizeof(*map));
	table_init(&map->exact);
	table_init(&map->wildcards);
}

void hostmap_release(struct hostmap *map)
{
	table_release(&map->exact);
	table_release(&map->wildcards);
	hostmap_init(map);
}

int hostmap_put(struct hostmap *map, const char *host, void *value)
{
	size_t len = strlen(host);

	if (len > HOST_MAX)
		return 0; /* no look-up can ever name it */
	if (host[0] != '*')
		return table_put(&map->exact, host, len, value);
	len--;
	map->lengths[len / 64] |= UINT64_C(1) << (len % 64);
	return table_put(&map->wildcards, host + 1, len, value);
}

void *hostmap_get(const struct hostmap *map, const char *host)
{
	if (host[0] != '*')
		return table_get(&map->exact, host, strlen(host));
	return table_get(&map->wildcards, host + 1, strlen(host + 1));
}

void hostmap_walk_init(struct hostmap_walk *walk, const struct hostmap *map, const char *host)
{
	walk->map = map;
	walk->host = host;
	walk->len = strlen(host);
	walk->at = 0;
}

void *hostmap_walk_next(struct hostmap_walk *walk)
{
	void *value = NULL;

	if (walk->len > HOST_MAX)
		return NULL;
	if (walk->at == 0) {
		walk->at = 1;
		if (walk->host[0] != '*')
			value = table_get(&walk->map->exact, walk->host, walk->len);
	}
	while (!value && walk->at <= walk->len && walk->len) {
		size_t rest = walk->len - walk->at;

		if (walk->map->lengths[rest / 64] & UINT64_C(1) << (rest % 64))
			value = table_get(&walk->map->wildcards, walk->host + walk->at, rest);
		walk->at++;
	}
	return value;
}

void *hostmap_find(const struct hostmap *map, const char *host)
{
	struct hostmap_walk walk;

	hostmap_walk_init(&walk, map, host);
	return hostmap_walk_next(&walk);
}
