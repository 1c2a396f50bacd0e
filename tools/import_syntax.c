/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import_syntax.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

int syntax_line(const struct yaml_input *input, const yaml_mark_t *mark)
{
	return input->first_line + (input->one_line ? 0 : (int)mark->line);
}

/* Bytes that are no characters are found before there is a mark. */
static int line_of_offset(const struct yaml_input *input, size_t offset)
{
	int line = input->first_line;

	for (size_t i = 0; i < offset && i < input->len && !input->one_line; i++)
		line += input->text[i] == '\n';
	return line;
}

/* The text at a mark, whose columns are characters; NULL: it is beyond the end. */
static const char *text_at(const struct yaml_input *input, const yaml_mark_t *mark)
{
	const char *at = input->text, *end = at + input->len;
	size_t column = mark->column;

	for (size_t line = mark->line; line && at; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		at += at != NULL;
	}
	for (; at && at < end && column; column--)
		for (at++; at < end && ((unsigned char)*at & 0xc0) == 0x80; at++)
			;
	return at && at < end ? at : NULL;
}

/* Half of a character beyond U+FFFF, as JSON writes those: "\ud83d\ude00". The mark is after "\u". */
static bool is_surrogate(const struct yaml_input *input, const yaml_mark_t *mark)
{
	const char *at = text_at(input, mark);

	if (!at || input->text + input->len - at < 4)
		return false;
	if (at[0] == '\\' && at[1] == 'u')
		at += 2;
	return !strncasecmp(at, "d", 1) && strchr("89abcdefABCDEF", at[1]);
}

static const char *advice(const yaml_parser_t *parser, const struct yaml_input *input)
{
	const char *at = text_at(input, &parser->problem_mark);

	if (strstr(parser->problem, "Unicode character escape") &&
	    is_surrogate(input, &parser->problem_mark))
		return " (JSON's pair of \\u for one character is no YAML: write the character "
		       "itself, as \"jq .\" prints it)";
	if (at && *at == '\t' && parser->context &&
	    parser->context_mark.line >= parser->problem_mark.line)
		return " (a tab: only spaces can indent)";
	return "";
}

int syntax_describe(const yaml_parser_t *parser, const struct yaml_input *input, char *out,
		    size_t size)
{
	const char *problem = parser->problem;
	int line = syntax_line(input, &parser->problem_mark);

	if (!problem) {
		snprintf(out, size, "YAML: cannot be parsed");
	} else if (parser->error == YAML_READER_ERROR) {
		snprintf(out, size, "YAML: %s", problem);
		line = line_of_offset(input, parser->problem_offset);
	} else if (!parser->context) {
		snprintf(out, size, "YAML: %s%s", problem, advice(parser, input));
	} else if (parser->context_mark.line < parser->problem_mark.line) {
		snprintf(out, size, "YAML: %s, %s that began in line %d%s", problem,
			 parser->context, syntax_line(input, &parser->context_mark),
			 advice(parser, input));
	} else {
		snprintf(out, size, "YAML: %s, %s%s", problem, parser->context,
			 advice(parser, input));
	}
	return line;
}
