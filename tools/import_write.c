/* SPDX-License-Identifier: Apache-2.0 */
/* The rule file: canonical, with a comment in front of each resource that says where it is from. */
#include <string.h>

#include "rules/dump.h"
#include "rules/utf8.h"
#include "tools/import.h"

#define INDENT 4

/* A name may hold what would end a comment's line, or no UTF-8: of a file, or cut to fit. A rule file
 * with either cannot be read. */
static void put_comment(FILE *out, unsigned indent, const char *text)
{
	size_t len = strlen(text), n;

	fprintf(out, "%*s# ", (int)indent, "");
	for (size_t i = 0; i < len; i += n) {
		n = utf8_char_len(text + i, len - i);
		if (!n || (unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			putc('?', out);
			n = 1;
		} else {
			fwrite(text + i, 1, n, out);
		}
	}
	putc('\n', out);
}

static void put_origin(const struct resource *resource, unsigned indent, const char *fate,
		       FILE *out)
{
	char name[512], text[1024];

	import_describe(resource, name, sizeof(name));
	if (resource->where.line)
		snprintf(text, sizeof(text), "%s, from %s:%d%s", name, resource->where.file,
			 resource->where.line, fate);
	else
		snprintf(text, sizeof(text), "%s%s", name, fate);
	put_comment(out, indent, text);
}

static int put_kind(const struct import *import, enum import_kind kind, FILE *out)
{
	static const struct form {
		const char *name;
		const struct schema *schema;
	} forms[IMPORT_KINDS] = {
	    [IMPORT_SERVICE_ENTRY] = {"serviceEntries", &service_entry_schema},
	    [IMPORT_VIRTUAL_SERVICE] = {"virtualServices", &virtual_service_schema},
	    [IMPORT_DESTINATION_RULE] = {"destinationRules", &destination_rule_schema},
	};
	const struct pointers *list = &import->resources[kind];
	bool any = false;

	for (size_t i = 0; i < list->n; i++) {
		const struct resource *resource = list->items[i];

		if (resource->left_out)
			continue;
		if (any)
			fputs("}, {\n", out);
		else
			fprintf(out, "\n%s = ( {\n", forms[kind].name);
		any = true;
		put_origin(resource, INDENT, "", out);
		if (dump_fields(forms[kind].schema, resource->spec, INDENT, false, out) < 0)
			return -1;
	}
	if (any)
		fputs("} );\n", out);
	return 0;
}

static void put_more(size_t n, FILE *out)
{
	if (n > DIAGS_MAX)
		fprintf(out, "# ... and %zu more\n", n - DIAGS_MAX);
}

/* What is missing, and why. */
static void put_left_out(const struct import *import, FILE *out)
{
	char text[1024];
	size_t n = 0;

	if (!import->diags.rejected)
		return;
	for (size_t i = 0; i < import->left_out.n && i < DIAGS_MAX; i++)
		put_origin(import->left_out.items[i], 0, ": left out, it has errors", out);
	put_more(import->left_out.n, out);
	fputs("# The errors:\n", out);
	for (const struct diag *diag = import->diags.first; diag; diag = diag->next) {
		if (diag->severity != SEVERITY_REJECTED || n++ >= DIAGS_MAX)
			continue;
		diag_format(diag, text, sizeof(text));
		put_comment(out, 0, text);
	}
	put_more(n, out);
}

int import_write(const struct import *import, bool left_out, FILE *out)
{
	fputs("# Made by meshshim-import from Istio's resources.\n", out);
	if (left_out)
		put_left_out(import, out);
	for (int kind = 0; kind < IMPORT_KINDS; kind++)
		if (put_kind(import, kind, out) < 0)
			return -1;
	if (import->mesh_config) {
		fputs("\nmeshConfig = {\n", out);
		if (import->mesh_resource)
			put_origin(import->mesh_resource, INDENT, "", out);
		if (dump_fields(&mesh_config_schema, import->mesh_config, INDENT, false, out) < 0)
			return -1;
		fputs("};\n", out);
	}
	return ferror(out) ? -1 : 0;
}
