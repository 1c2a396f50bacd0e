/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "shim/learned.h"
#include "shim/mesh.h"
#include "shim/search.h"

/* Every form that getaddrinfo(3) takes for an address, inet_aton(3)'s and scopes included. */
static bool is_numeric(const char *node)
{
	struct in_addr ignored;

	return strchr(node, ':') || inet_aton(node, &ignored);
}

static bool lookup(const struct rules *rules, const char *name, struct name_answer *answer)
{
	return registry_lookup(rules, name, &answer->v4, &answer->has4, &answer->v6, &answer->has6,
			       answer->canonical);
}

static enum name_status find(const char *node, bool search, struct name_answer *answer)
{
	char found[REGISTRY_NAME_MAX + 1];
	enum name_status status = NAME_OTHER;

	if (!node || !*node || strlen(node) > REGISTRY_NAME_MAX + 1 || is_numeric(node))
		return NAME_OTHER;
	struct rules *rules = mesh_rules();

	/* Without rules no name is known; what the program then dials is refused. */
	if (!rules)
		return NAME_OTHER;
	const char *name = node;

	if (search && !registry_has(rules, name) && search_find(rules, name, found))
		name = found;
	if (lookup(rules, name, answer))
		status = NAME_MESH;
	else if (registry_is_original(rules, name, answer->canonical))
		status = NAME_REAL;
	else if (registry_has(rules, name))
		status = NAME_FAILED;
	mesh_rules_unref(rules);
	return status;
}

enum name_status names_find(const char *name, struct name_answer *answer)
{
	return find(name, false, answer);
}

enum name_status names_search(const char *node, struct name_answer *answer)
{
	int saved = errno;
	enum name_status status = find(node, true, answer);

	errno = saved;
	return status;
}

bool names_learn(const struct name_answer *answer, const struct sockaddr *addr, socklen_t len)
{
	return learned_note(answer->canonical, addr, len) == 0;
}

enum name_status names_reverse(const struct sockaddr *addr, socklen_t len,
			       char name[REGISTRY_NAME_MAX + 1])
{
	if (!registry_is_synthetic(addr, len))
		return NAME_OTHER;
	/* This process may have got the address from another: exact hosts have it everywhere. */
	struct rules *rules = mesh_rules();
	bool found = registry_reverse(rules, addr, len, name);

	mesh_rules_unref(rules);
	return found ? NAME_MESH : NAME_FAILED;
}
