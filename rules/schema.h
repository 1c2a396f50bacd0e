/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that say what a group of a rule file may hold, and the reader that follows them.
 *
 * One table stands for one of Istio's messages. It drives the reading, the errors about types,
 * missing and unknown keys ("did you mean"), and the comparison with the manual page.
 */
#ifndef RULES_SCHEMA_H
#define RULES_SCHEMA_H

#include "rules/diag.h"
#include "rules/model.h"
#include "rules/tree.h"

enum kind {
	KIND_TEXT,     /* struct text */
	KIND_NUMBER,   /* struct number */
	KIND_DECIMAL,  /* struct decimal */
	KIND_DURATION, /* struct duration */
	KIND_FLAG,     /* struct flag */
	KIND_CHOICE,   /* struct choice, from `choices` */
	KIND_TEXTS,    /* struct list of struct text */
	KIND_GROUP,    /* pointer to a struct of `group`, NULL when absent */
	KIND_INLINE,   /* keys of `group` stand in the same group (map values) */
	KIND_GROUPS,   /* struct list of structs of `group` */
	KIND_IGNORED,  /* Istio has it, it means nothing here: a warning; a struct where at `offset`,
			* if that is not 0, notes that it was there */
	KIND_REFUSED,  /* Istio has it, it cannot work here: an error; `offset` as above */
};

/* A name that a choice may have. With `refusal` it is an error that says what to use instead. */
struct choice_name {
	const char *name;
	int value;
	const char *refusal;
	bool gap;	 /* as in struct key */
	bool deprecated; /* another name for an earlier one with the same value, or a warning */
};

struct reader;
struct schema;

struct key {
	const char *name;
	enum kind kind;
	size_t offset; /* of the member in the schema's struct */
	/* The value, once it has the right type: errors that concern it alone. */
	void (*check)(struct reader *reader, void *value);
	const struct choice_name *choices; /* ends with a NULL name */
	bool any_case;			   /* choices are compared without case */
	const char *unknown;		   /* begins the error for none of the choices, or NULL */
	const struct schema *group;
	bool map;	      /* KIND_GROUPS: Istio's map with free keys, `name` is the key */
	bool path;	      /* KIND_TEXT: a file, relative to the rule file that names it */
	bool gap;	      /* the bridge does not carry it out: rules_gaps() tells of it */
	bool plain;	      /* KIND_TEXT: control characters are allowed (bodies), or `check`'s
			       * to judge */
	const char *deprecated; /* not NULL: a warning [IST0002] that says what to use instead */
	const char *required; /* not NULL: the error when it is absent */
	const char *advice;   /* KIND_IGNORED, KIND_REFUSED: more to say, or NULL */
};

#define KEY_TEXT(type, member, key, ...)                                                           \
	{                                                                                          \
		.name = key, .kind = KIND_TEXT, .offset = offsetof(type, member), __VA_ARGS__      \
	}
#define KEY_NUMBER(type, member, key, ...)                                                         \
	{                                                                                          \
		.name = key, .kind = KIND_NUMBER, .offset = offsetof(type, member), __VA_ARGS__    \
	}
#define KEY_DECIMAL(type, member, key, ...)                                                        \
	{                                                                                          \
		.name = key, .kind = KIND_DECIMAL, .offset = offsetof(type, member), __VA_ARGS__   \
	}
#define KEY_DURATION(type, member, key, ...)                                                       \
	{                                                                                          \
		.name = key, .kind = KIND_DURATION, .offset = offsetof(type, member), __VA_ARGS__  \
	}
#define KEY_FLAG(type, member, key, ...)                                                           \
	{                                                                                          \
		.name = key, .kind = KIND_FLAG, .offset = offsetof(type, member), __VA_ARGS__      \
	}
#define KEY_CHOICE(type, member, key, names, ...)                                                  \
	{                                                                                          \
		.name = key, .kind = KIND_CHOICE, .offset = offsetof(type, member),                \
		.choices = names, __VA_ARGS__                                                      \
	}
#define KEY_TEXTS(type, member, key, ...)                                                          \
	{                                                                                          \
		.name = key, .kind = KIND_TEXTS, .offset = offsetof(type, member), __VA_ARGS__     \
	}
#define KEY_GROUP(type, member, key, schema, ...)                                                  \
	{                                                                                          \
		.name = key, .kind = KIND_GROUP, .offset = offsetof(type, member),                 \
		.group = &schema, __VA_ARGS__                                                      \
	}
#define KEY_GROUPS(type, member, key, schema, ...)                                                 \
	{                                                                                          \
		.name = key, .kind = KIND_GROUPS, .offset = offsetof(type, member),                \
		.group = &schema, __VA_ARGS__                                                      \
	}
#define KEY_MAP(type, member, key, schema, ...)                                                    \
	{                                                                                          \
		.name = key, .kind = KIND_GROUPS, .map = true, .offset = offsetof(type, member),   \
		.group = &schema, __VA_ARGS__                                                      \
	}
#define KEY_INLINE(type, member, schema)                                                           \
	{                                                                                          \
		.name = "", .kind = KIND_INLINE, .offset = offsetof(type, member),                 \
		.group = &schema                                                                   \
	}
#define KEY_IGNORED(key, why)                                                                      \
	{                                                                                          \
		.name = key, .kind = KIND_IGNORED, .advice = why                                   \
	}
#define KEY_REFUSED(key, why, ...)                                                                 \
	{                                                                                          \
		.name = key, .kind = KIND_REFUSED, .advice = why, __VA_ARGS__                      \
	}

#define SCHEMA(message, type, table, ...)                                                          \
	{                                                                                          \
		.name = message, .size = sizeof(type), .keys = table,                              \
		.n_keys = sizeof(table) / sizeof((table)[0]), __VA_ARGS__                          \
	}

struct schema {
	const char *name; /* Istio's message */
	bool resource;	  /* diagnostics inside say "<message> <name>" */
	const char *null; /* begins the error for a map's entry without value; NULL: it may be one */
	size_t size;	  /* of its struct, which begins with a struct where */
	const struct key *keys;
	size_t n_keys;
	/* Before its keys are read: what the checks of some depend on. */
	void (*prepare)(struct reader *reader, const void *node);
	/* The whole group, after its keys: errors that concern several of them. */
	void (*check)(struct reader *reader, void *group);
};

struct reader {
	struct rules *rules;
	struct diags *diags;
	const struct tree_ops *ops;
	const void *tree;
	const char *resource; /* what is being read: "ServiceEntry github", or NULL */
	/* Of the VirtualService that is being read: */
	bool for_gateway;   /* its gateways name some, beside "mesh" or alone */
	bool only_gateways; /* and "mesh" is not among them: without effect here */
};

/* The member of a group, NULL: there is none of that name. */
const void *reader_member(const struct reader *reader, const void *group, const char *name);

/* Read a group into a zeroed struct. Errors go to the reader's list. */
void schema_read(struct reader *reader, const struct schema *schema, const void *node, void *out);

/* The tables, spec_*.c. `rule_file_schema` is the root of all others. */
extern const struct schema rule_file_schema;
extern const struct schema service_entry_schema, virtual_service_schema, destination_rule_schema;
extern const struct schema mesh_config_schema;
/* Parts that several tables share. */
extern const struct schema label_schema, percent_schema;			    /* spec_common.c */
extern const struct schema http_match_schema;					    /* spec_match.c */
extern const struct schema port_selector_schema, destination_schema;		    /* spec_action.c */
extern const struct schema route_destination_schema, l4_destination_schema;	    /* spec_action.c */
extern const struct schema headers_schema, http_rewrite_schema, redirect_schema;    /* spec_action.c */
extern const struct schema direct_response_schema;				    /* spec_action.c */
extern const struct schema http_retry_schema, http_fault_schema, mirror_schema;	    /* spec_retry.c */
extern const struct schema mirror_percent_schema;				    /* spec_retry.c */
extern const struct schema cors_schema;						    /* spec_retry.c */
extern const struct schema http_route_schema;					    /* spec_route.c */
extern const struct schema tls_route_schema, tcp_route_schema;			    /* spec_l4.c */
extern const struct schema traffic_policy_schema;				    /* spec_policy.c */
extern const struct schema tls_settings_schema;					    /* spec_tls.c */

/* Checks that several tables share, spec_common.c. */
void check_port_number(struct reader *reader, void *number);
/* `addresses`: IP addresses will do, too. */
void check_host_list(struct reader *reader, struct list *hosts, bool addresses);
void check_duration(struct reader *reader, void *duration); /* at least 1 ms, in whole ms */
void check_not_negative(struct reader *reader, struct number *number, const char *what);
void check_namespace(struct reader *reader, void *text);
void check_gateways(struct reader *reader, void *list); /* struct list of struct text */
void check_export_to(struct reader *reader, void *list); /* struct list of struct text */
void check_service_export_to(struct reader *reader, void *list); /* the same, "~" allowed */

/* The sum of the weights of several destinations; 0 for a single one. spec_action.c */
uint64_t check_weights(struct reader *reader, const struct list *destinations);

/* Among the rewrite and the header operations of a route the authority is set once. spec_action.c */
void check_authority(struct reader *reader, const struct http_route *route);

/* An error of Istio's validation about a place: [IST0106]; a warning of it: [IST0133]. The text is
 * Istio's, as far as Istio has one. */
void reader_error(struct reader *reader, const struct where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warning(struct reader *reader, const struct where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with another code, or NULL for none. */
void reader_say(struct reader *reader, enum severity severity, const char *code,
		const struct where *where, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* An error in the notation, which Istio's validation never sees: no code. */
void reader_refuse(struct reader *reader, const struct where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Note something that the bridge leaves undone; `value` may be NULL. */
void reader_gap(struct reader *reader, const struct where *where, const char *schema,
		const char *key, const char *value);

/* Memory ran out: said once, however often it is noticed. */
void reader_oom(struct reader *reader);

#endif
