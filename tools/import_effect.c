/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has no effect here is not written: the import's own warning says so once, and the rule file
 * would say it again each time it is read.
 */
#include <string.h>

#include "tools/import.h"

static void forget(struct list *list)
{
	memset(list, 0, sizeof(*list));
}

static void leave_service(struct service_entry *entry)
{
	forget(&entry->export_to);
	if (entry->location.value) /* MESH_INTERNAL: the same as none */
		memset(&entry->location, 0, sizeof(entry->location));
}

/* One for gateways alone is nothing. */
static bool leave_routes(struct virtual_service *service)
{
	struct http_route *routes = service->http.items;

	forget(&service->export_to);
	for (size_t i = 0; i < service->http.n; i++)
		routes[i].cors_policy = NULL;
	return !service->inert;
}

/* Returns whether anything is left. */
static bool leave_policy(struct traffic_policy *policy)
{
	policy->retry_budget = NULL;
	return policy->load_balancer || policy->connection_pool || policy->outlier_detection ||
	       policy->tls || policy->port_level_settings.n || policy->tunnel ||
	       policy->proxy_protocol;
}

static void leave_rule(struct import *import, struct destination_rule *rule)
{
	struct subset *subsets = rule->subsets.items;
	struct traffic_policy *policy = rule->traffic_policy;

	forget(&rule->export_to);
	for (size_t i = 0; i < rule->subsets.n; i++)
		if (subsets[i].traffic_policy && !leave_policy(subsets[i].traffic_policy))
			subsets[i].traffic_policy = NULL; /* the rule's */
	if (!policy || leave_policy(policy))
		return;
	/* The first policy for a host keeps later ones out, even if there is nothing in it; but a
	 * policy must have something in it. */
	policy->load_balancer =
	    region_alloc(&import->rules->region, sizeof(*policy->load_balancer));
	if (policy->load_balancer)
		policy->load_balancer->where = policy->where;
	else
		import_oom(import);
}

bool import_leave_ineffective(struct import *import, enum import_kind kind, void *spec)
{
	switch (kind) {
	case IMPORT_SERVICE_ENTRY:
		leave_service(spec);
		break;
	case IMPORT_VIRTUAL_SERVICE:
		return leave_routes(spec);
	case IMPORT_DESTINATION_RULE:
		leave_rule(import, spec);
		break;
	case IMPORT_KINDS:
		break;
	}
	return true;
}
