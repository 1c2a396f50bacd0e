/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/names.h"

#include <arpa/inet.h>
#include <string.h>

#include "shim/mesh.h"

/* Every form that getaddrinfo(3) takes for an address, inet_aton(3)'s and scopes included. */
static bool is_numeric(const char *node)
{
	struct in_addr ignored;

	return strchr(node, ':') || inet_aton(node, &ignored);
}

enum name_status names_find(const char *node, struct name_answer *answer)
{
	enum name_status status = NAME_OTHER;

	if (!node || !*node || strlen(node) > REGISTRY_NAME_MAX + 1 || is_numeric(node))
		return NAME_OTHER;
	struct rules *rules = mesh_rules();

	/* Without rules no name is known; what the program then dials is refused. */
	if (!rules)
		return NAME_OTHER;
	if (registry_lookup(rules, node, &answer->v4, &answer->has4, &answer->v6, &answer->has6,
			    answer->canonical))
		status = NAME_MESH;
	else if (rules_find_host(rules, node))
		status = NAME_FAILED;
	mesh_rules_unref(rules);
	return status;
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
