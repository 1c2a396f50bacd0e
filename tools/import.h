/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio's resources on their way from YAML to a rule file:
 *
 *   import_yaml.c      a text becomes a tree
 *   import_document.c  documents and lists: what kind of thing each is
 *   import_resource.c  a resource is read by the tables of rules/
 *   import_effect.c    and what it has without effect is left out
 *   import_mesh.c      the same for MeshConfig
 *   import_names.c     names and order, once everything was read
 *   import_delegate.c  delegates, which know namespaces
 *   import_write.c     the rule file
 *
 * Everything that is wrong goes into `diags`; a resource with an error is left out as a whole,
 * because a rule without one of its conditions is another rule.
 */
#ifndef TOOLS_IMPORT_H
#define TOOLS_IMPORT_H

#include <stdio.h>

#include "rules/diag.h"
#include "rules/model.h"
#include "rules/schema.h"
#include "tools/import_yaml.h"

#define DIAGS_MAX 1000 /* shown, of errors as of others: a few aliases can make millions */

enum import_kind {
	IMPORT_SERVICE_ENTRY,
	IMPORT_VIRTUAL_SERVICE,
	IMPORT_DESTINATION_RULE,
	IMPORT_KINDS,
};

struct resource {
	struct where where;	/* where its document or list item begins */
	const char *kind;	/* "VirtualService" */
	const char *name;	/* metadata's; NULL: none */
	const char *namespace;	/* metadata's; NULL: none */
	const char *created;	/* metadata.creationTimestamp; NULL: none */
	size_t order;		/* as read */
	void *spec;		/* struct service_entry, virtual_service or destination_rule */
	struct text *spec_name; /* its name in the rule file */
	bool left_out;
	bool shared; /* other namespaces have the name, too */
};

struct import {
	struct rules *rules;  /* owns what was read */
	struct region region; /* YAML's nodes */
	struct diags diags;
	struct pointers resources[IMPORT_KINDS]; /* struct resource */
	struct pointers left_out;		 /* struct resource, MeshConfig too */
	const struct mesh_config *mesh_config;	 /* NULL: none */
	const struct resource *mesh_resource;	 /* that it stood in */
	const char *file;			 /* that is being read */
	bool any;				 /* some text had a document in it */
	bool taken;				 /* some resource had no error */
};

/* Returns 0, or -1: out of memory. import_release() is due either way. */
int import_init(struct import *import) __attribute__((warn_unused_result));
void import_release(struct import *import);

/* Read one text. Names and text must stay until import_release(). */
void import_text(struct import *import, const char *file, const char *text, size_t len);

/* Once all is read: what must be unique is, delegates mean what they meant in their namespaces, and
 * the order is that of creation. */
void import_finish(struct import *import);

/*
 * Write the rule file. With `left_out`, comments tell what is missing and why. Returns 0, or -1:
 * out of memory.
 */
int import_write(const struct import *import, bool left_out, FILE *out)
    __attribute__((warn_unused_result));

/* ---- between the files ------------------------------------------------------------------- */

/* Memory ran out: said once. */
void import_oom(struct import *import);

/* What is known of a resource: kind and metadata. NULL: out of memory. */
struct resource *import_resource_new(struct import *import, const struct yaml_node *node,
				     const char *kind) __attribute__((warn_unused_result));

/* The kind of that name; IMPORT_KINDS: none. And the name of a kind. */
enum import_kind import_kind_of(const char *name);
const char *import_kind_name(enum import_kind kind);

/* Read a resource of that kind: into `resources`, or into `left_out` if it has errors. */
void import_resource(struct import *import, const struct yaml_node *node, enum import_kind kind);

/* Errors for the keys of a group that are not among `fields`, which ends with NULL. */
void import_check_keys(struct import *import, const struct yaml_node *node, const char *kind,
		       const char *const *fields);

/* An error for a word that is none of `known`, which ends with NULL: `unknown WHAT "word" in PLACE`. */
void import_unknown_word(struct import *import, const struct yaml_node *node, const char *what,
			 const char *word, const char *place, const char *const *known);

/*
 * Take out of a resource what has no effect, as far as the rule file would warn of it again;
 * reading it has warned. Returns whether anything is left.
 */
bool import_leave_ineffective(struct import *import, enum import_kind kind, void *spec);

/* Once names are settled: make delegates find whom Istio would find, and no other. */
void import_place_delegates(struct import *import);

/*
 * MeshConfig in an IstioOperator (spec.meshConfig or spec.values.meshConfig) or Istio's ConfigMap
 * (data.mesh). Returns whether the resource has one.
 */
bool import_mesh(struct import *import, const struct yaml_node *node, const char *kind,
		 const char *api);

/* A name and its namespace as they are shown: `VirtualService "a" in namespace "b"`, `VirtualService
 * without a name`. */
void import_describe(const struct resource *resource, char *out, size_t size);

#endif
