/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/header_command.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "rules/ascii.h"

static const char *const names[] = {
    [COMMAND_UNKNOWN] = "",
#define X(name) [COMMAND_##name] = #name,
    HEADER_COMMANDS(X)
#undef X
};

static enum header_command_kind kind_of(const char *name, size_t len)
{
	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && !memcmp(names[i], name, len))
			return (enum header_command_kind)i;
	return COMMAND_UNKNOWN;
}

/* "(name?other)": the names of fields. */
static void read_names(struct header_command *command, const char *text, size_t len)
{
	const char *mark = memchr(text, '?', len);

	command->name = text;
	command->name_len = mark ? (size_t)(mark - text) : len;
	if (mark) {
		command->other = mark + 1;
		command->other_len = len - command->name_len - 1;
	}
}

size_t header_command_read(const char *at, struct header_command *command)
{
	struct header_command unused;
	const char *start = at++, *arguments = NULL;
	size_t len = 0;

	command = command ? command : &unused;
	*command = (struct header_command){.max = SIZE_MAX};
	if (!ascii_is_upper(*at))
		return 0;
	while (ascii_is_upper(*at) || ascii_is_digit(*at) || *at == '_')
		at++;
	command->kind = kind_of(start + 1, (size_t)(at - start - 1));
	if (*at == '(') {
		arguments = at + 1;
		len = strcspn(arguments, ")");
		at = arguments + len + (arguments[len] == ')');
	}
	if (*at == ':') {
		command->max = 0;
		while (ascii_is_digit(*++at))
			if (command->max < SIZE_MAX / 100)
				command->max = command->max * 10 + (size_t)(*at - '0');
	}
	if (*at != '%')
		return 0;
	bool takes = command->kind == COMMAND_REQ || command->kind == COMMAND_RESP;
	if (takes != (arguments && len))
		command->kind = COMMAND_UNKNOWN;
	else if (takes)
		read_names(command, arguments, len);
	return (size_t)(at + 1 - start);
}
