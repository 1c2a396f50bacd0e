/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_load(): files -> libconfig -> tables -> model -> snapshot. Each stage goes on after errors,
 * so that one run tells all of them; only what depends on a file that could not be read at all is
 * left out, as it would accuse the innocent.
 */
#include <stdlib.h>
#include <string.h>

#include <libconfig.h>

#include "rules/schema.h"
#include "rules/slurp.h"
#include "rules/tree_libconfig.h"

struct load {
	struct rules *rules;
	struct diags *diags;
	struct source_set set;
	bool unread; /* some file could not be read or parsed */
};

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->patterns.n; i++)
		pattern_free(rules->patterns.items[i]);
	for (size_t i = 0; i < rules->merged.n; i++)
		table_release(&((struct merged_rule *)rules->merged.items[i])->names);
	pointers_release(&rules->patterns);
	pointers_release(&rules->merged);
	pointers_release(&rules->service_entries);
	pointers_release(&rules->virtual_services);
	pointers_release(&rules->destination_rules);
	pointers_release(&rules->gaps);
	pointers_release(&rules->host_list);
	hostmap_release(&rules->services);
	hostmap_release(&rules->hosts);
	hostmap_release(&rules->routes);
	hostmap_release(&rules->policies);
	table_release(&rules->addresses);
	region_release(&rules->region);
	free(rules);
}

struct rules *rules_ref(struct rules *rules)
{
	atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
	return rules;
}

void rules_unref(struct rules *rules)
{
	if (rules && atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) == 1)
		rules_free(rules);
}

struct rules *rules_new(void)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return NULL;
	atomic_init(&rules->refs, 1);
	region_init(&rules->region);
	hostmap_init(&rules->services);
	hostmap_init(&rules->hosts);
	hostmap_init(&rules->routes);
	hostmap_init(&rules->policies);
	table_init(&rules->addresses);
	return rules;
}

/* ---- one file ----------------------------------------------------------------------------- */

static void take_list(struct load *load, struct pointers *all, const struct list *list, size_t size)
{
	for (size_t i = 0; i < list->n; i++)
		if (pointers_add(all, (char *)list->items + i * size) < 0)
			load->rules->region.failed = true;
}

static void take_mesh_config(struct load *load, const struct mesh_config *config)
{
	const struct mesh_config *first = load->rules->mesh_config;

	if (first) {
		diag_add(load->diags, SEVERITY_REJECTED, &config->where,
			 "meshConfig is already defined (%s:%d)", first->where.file,
			 first->where.line);
		return;
	}
	load->rules->mesh_config = config;
	if (config->outbound_traffic_policy)
		load->rules->policy =
		    (enum outbound_policy)config->outbound_traffic_policy->mode.value;
}

static void take_settings(struct load *load, const struct source *source, config_t *config)
{
	struct reader reader = {.rules = load->rules, .diags = load->diags,
				.ops = &tree_libconfig, .tree = source};
	struct rules *rules = load->rules;
	struct rule_file file = {0};

	schema_read(&reader, &rule_file_schema, config_root_setting(config), &file);
	take_list(load, &rules->service_entries, &file.service_entries,
		  sizeof(struct service_entry));
	take_list(load, &rules->virtual_services, &file.virtual_services,
		  sizeof(struct virtual_service));
	take_list(load, &rules->destination_rules, &file.destination_rules,
		  sizeof(struct destination_rule));
	if (file.mesh_config)
		take_mesh_config(load, file.mesh_config);
}

static void load_file(struct load *load, const char *path)
{
	struct source source;
	config_t config;

	if (source_read(&source, &load->set, path) < 0) {
		load->unread = true;
		source_release(&source);
		return;
	}
	config_init(&config);
	/* Includes are resolved by now. Should one ever get through, it must not open anything:
	 * libconfig ends the process when reading fails. Nothing can lie below /dev/null. */
	config_set_include_dir(&config, "/dev/null");
	if (config_read_string(&config, source.text)) {
		tree_libconfig_place(&source, config_root_setting(&config));
		take_settings(load, &source, &config);
	} else {
		const struct where where =
		    source_where(&source, (unsigned)config_error_line(&config));

		diag_add(load->diags, SEVERITY_REJECTED, &where, "%s", config_error_text(&config));
		load->unread = true;
	}
	config_destroy(&config);
	source_release(&source);
}

/* ---- the list of paths -------------------------------------------------------------------- */

static void load_directory(struct load *load, const char *path)
{
	const struct where where = {path, 0};
	const char *wrong;
	char **files;
	size_t n;

	wrong = slurp_directory(path, &files, &n);
	if (wrong) {
		diag_add(load->diags, SEVERITY_REJECTED, &where, "%s", wrong);
		load->unread = true;
		return;
	}
	if (!n)
		diag_add(load->diags, SEVERITY_WARNING, &where, "no *.cfg file in this directory");
	for (size_t i = 0; i < n; i++)
		load_file(load, files[i]);
	slurp_free_list(files, n);
}

static void load_paths(struct load *load, const char *paths)
{
	const char *at = paths;
	size_t n = 0, len;

	for (;; at += len + 1) {
		char *path;

		len = strcspn(at, ":");
		path = len ? strndup(at, len) : NULL;
		if (len && !path) {
			load->rules->region.failed = true;
			return;
		}
		if (path && slurp_is_directory(path))
			load_directory(load, path);
		else if (path)
			load_file(load, path);
		n += path != NULL;
		free(path);
		if (!at[len])
			break;
	}
	if (!n)
		diag_add(load->diags, SEVERITY_REJECTED, NULL, "no rule file given");
}

struct rules *rules_load(const char *paths, struct diags *diags)
{
	struct load load = {.rules = rules_new(), .diags = diags};
	size_t before = diags->rejected;
	bool oom = false;

	if (!load.rules) {
		diag_add(diags, SEVERITY_REJECTED, NULL, "out of memory");
		return NULL;
	}
	load.set.region = &load.rules->region;
	load.set.diags = diags;
	table_init(&load.set.files);
	load_paths(&load, paths);
	if (!load.unread)
		oom = rules_build(load.rules, diags) < 0 || rules_check(load.rules, diags) < 0;
	if (oom || load.rules->region.failed)
		diag_add(diags, SEVERITY_REJECTED, NULL, "out of memory");
	diags_sort(diags, source_rank, &load.set);
	table_release(&load.set.files);
	if (diags->rejected > before) {
		rules_unref(load.rules);
		return NULL;
	}
	return load.rules;
}
