/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that say what a group of a rule file may hold, and the reader that follows them.
 *
 * One table stands for one of Istio's messages. It drives the reading, the errors about types,
 * missing and unknown keys ("did you mean"), and the comparison with the manual page.
 */
#ifndef RULES_SCHEMA_H
#define RULES_SCHEMA_H

#include <libconfig.h>

#include "rules/diag.h"
#include "rules/model.h"
#include "rules/source.h"

enum kind {
	KIND_TEXT,    /* struct text */
	KIND_NUMBER,  /* struct number */
	KIND_FLAG,    /* struct flag */
	KIND_CHOICE,  /* struct choice, from `choices` */
	KIND_TEXTS,   /* struct list of struct text */
	KIND_GROUP,   /* pointer to a struct of `group`, NULL when absent */
	KIND_INLINE,  /* keys of `group` stand in the same libconfig group (map values) */
	KIND_GROUPS,  /* struct list of structs of `group` */
	KIND_IGNORED, /* Istio has it, it means nothing here: a warning */
	KIND_REFUSED, /* Istio has it, this version does not: an error; a bool at `offset`, if that
		       * is not 0, notes that it was there */
};

/* A name that a choice may have. With `refusal` it is an error that says what to use instead. */
struct choice_name {
	const char *name;
	int value;
	const char *refusal;
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
	size_t size;	  /* of its struct, which begins with a struct where */
	const struct key *keys;
	size_t n_keys;
	/* The whole group, after its keys: errors that concern several of them. */
	void (*check)(struct reader *reader, void *group);
};

struct reader {
	struct rules *rules;
	struct diags *diags;
	const struct source *source;
};

/* Read a group into a zeroed struct. Errors go to the reader's list. */
void schema_read(struct reader *reader, const struct schema *schema, config_setting_t *group,
		 void *out);

/* The tables, spec_*.c. `rule_file_schema` is the root of all others. */
extern const struct schema rule_file_schema;
extern const struct schema service_entry_schema, virtual_service_schema, destination_rule_schema;
extern const struct schema port_selector_schema;

/* Checks that several tables share. */
void check_port_number(struct reader *reader, void *number);
void check_host_list(struct reader *reader, struct list *hosts);

/* An error or warning about a place. */
void reader_error(struct reader *reader, const struct where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warning(struct reader *reader, const struct where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Memory ran out: said once, however often it is noticed. */
void reader_oom(struct reader *reader);

#endif
