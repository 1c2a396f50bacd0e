/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a pattern can hit every bound. The backtracking matcher gives up on patterns with
 * repetitions inside of repetitions or several without end; the matcher behind it, which does not
 * backtrack, on those that can be at very many places at once. So both must be true: looked for in
 * the translated text, whose forms are few (pattern_syntax.c).
 */
#include "rules/pattern_risk.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 512
#define PLACES	  100 /* at once, that the bound on work allows for in 8 KB */

struct part {
	size_t places;	/* characters, each repetition of them counted */
	size_t endless; /* repetitions without end */
	bool choice;	/* quantifiers or alternatives inside */
};

struct scan {
	const char *at, *end;
	struct part stack[MAX_DEPTH]; /* open groups; [0] is the whole */
	size_t depth;
	struct part last; /* what a quantifier would repeat; already part of the stack's top */
	bool nested;
};

static void add(struct scan *scan, struct part part)
{
	struct part *top = &scan->stack[scan->depth];

	top->places += part.places;
	top->endless += part.endless;
	top->choice |= part.choice;
	scan->last = part;
}

static void skip_class(struct scan *scan)
{
	for (scan->at++; scan->at < scan->end && *scan->at != ']'; scan->at++) {
		if (*scan->at == '\\')
			scan->at++;
		else if (*scan->at == '[' && scan->at + 1 < scan->end && scan->at[1] == ':')
			scan->at = strstr(scan->at, ":]") + 1;
	}
	scan->at++;
}

static void skip_escape(struct scan *scan)
{
	scan->at += 2;
	if (scan->at < scan->end && *scan->at == '{')
		scan->at = strchr(scan->at, '}') + 1;
}

static void quantify(struct scan *scan)
{
	struct part *top = &scan->stack[scan->depth];
	size_t times = 1;
	bool endless = *scan->at != '?';
	char *end = NULL;

	if (*scan->at == '{') {
		times = strtoul(scan->at + 1, &end, 10);
		endless = end[0] == ',' && end[1] == '}';
		if (end[0] == ',' && end[1] != '}')
			times = strtoul(end + 1, &end, 10);
		scan->at = strchr(scan->at, '}');
	}
	scan->at++;
	if (scan->at < scan->end && *scan->at == '?')
		scan->at++;
	scan->nested |= (endless || times > 1) && scan->last.choice;
	if (times > 1)
		top->places += scan->last.places * (times - 1);
	top->endless += endless;
	top->choice = true;
	scan->last.choice = true;
}

static void open_group(struct scan *scan)
{
	scan->at++;
	if (scan->at < scan->end && *scan->at == '?')
		scan->at += strcspn(scan->at, ":>)");
	if (scan->at < scan->end && (*scan->at == ':' || *scan->at == '>'))
		scan->at++;
	else if (scan->at < scan->end && *scan->at == ')') {
		scan->at++; /* (?i) opens nothing */
		return;
	}
	if (scan->depth + 1 < MAX_DEPTH)
		scan->stack[++scan->depth] = (struct part){0};
	else
		scan->nested = true;
}

static void close_group(struct scan *scan)
{
	struct part part = scan->stack[scan->depth];

	scan->at++;
	if (!scan->depth)
		return;
	scan->depth--;
	add(scan, part);
}

bool pattern_text_risky(const char *text, size_t len, bool search)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	bool risky;

	if (!scan)
		return false;
	scan->at = text;
	scan->end = text + len;
	while (scan->at < scan->end) {
		switch (*scan->at) {
		case '(':
			open_group(scan);
			continue;
		case ')':
			close_group(scan);
			continue;
		case '*':
		case '+':
		case '?':
		case '{':
			quantify(scan);
			continue;
		case '|':
			scan->stack[scan->depth].choice = true;
			scan->at++;
			continue;
		case '[':
			skip_class(scan);
			break;
		case '\\':
			skip_escape(scan);
			break;
		default:
			scan->at++;
			break;
		}
		add(scan, (struct part){.places = 1});
	}
	risky = scan->stack[0].places > PLACES && (scan->nested || scan->stack[0].endless > 1);
	risky |= search && scan->nested;
	free(scan);
	return risky;
}
