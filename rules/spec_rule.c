/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DestinationRule (networking.istio.io/v1): its table, and the conditions of Istio's
 * ValidateDestinationRule. What a trafficPolicy holds is in spec_policy.c and spec_tls.c.
 */
#include <string.h>

#include "rules/hostname.h"
#include "rules/schema.h"

/* ---- Subset ------------------------------------------------------------------------------- */

static void check_subset_name(struct reader *reader, void *value)
{
	struct text *name = value;

	if (hostname_is_label(name->s))
		return;
	reader_error(reader, &name->where, "subset name is invalid: \"%s\"", name->s);
	name->s = NULL;
}

static const struct key subset_keys[] = {
    KEY_TEXT(struct subset, name, "name", .check = check_subset_name,
	     .required = "subset name is invalid: it has none"),
    KEY_MAP(struct subset, labels, "labels", label_schema),
    KEY_GROUP(struct subset, traffic_policy, "trafficPolicy", traffic_policy_schema),
};
static const struct schema subset_schema = SCHEMA("Subset", struct subset, subset_keys);

static void check_subsets(struct reader *reader, void *value)
{
	const struct list *list = value;
	const struct subset *subsets = list->items;
	struct table names;

	table_init(&names);
	for (size_t i = 0; i < list->n; i++) {
		const char *name = subsets[i].name.s;

		if (!name)
			continue;
		if (table_get(&names, name, strlen(name)))
			reader_error(reader, &subsets[i].name.where, "duplicate subset names: %s",
				     name);
		else if (table_put(&names, name, strlen(name), (void *)name) < 0)
			reader_oom(reader);
	}
	table_release(&names);
}

/* ---- DestinationRule ---------------------------------------------------------------------- */

static void check_rule_host(struct reader *reader, void *value)
{
	struct text *host = value;
	struct hostname_error error;
	char name[256];

	if (!hostname_is_wildcard_domain(host->s, &error)) {
		reader_error(reader, &host->where, "%s", error.text);
		host->s = NULL;
		return;
	}
	hostname_normalize(host->s, strlen(host->s), name);
	host->s = region_strdup(&reader->rules->region, name);
}

static const struct key destination_rule_keys[] = {
    KEY_TEXT(struct destination_rule, name, "name",
	     .required = "destination rule must have a name"),
    KEY_TEXT(struct destination_rule, host, "host", .check = check_rule_host,
	     .required = "destination rule must have a host"),
    KEY_GROUP(struct destination_rule, traffic_policy, "trafficPolicy", traffic_policy_schema),
    KEY_GROUPS(struct destination_rule, subsets, "subsets", subset_schema,
	       .check = check_subsets),
    KEY_REFUSED("workloadSelector", "there are no workloads to select, leave it out"),
    KEY_TEXTS(struct destination_rule, export_to, "exportTo", .check = check_export_to),
};
const struct schema destination_rule_schema =
    SCHEMA("DestinationRule", struct destination_rule, destination_rule_keys, .resource = true);
