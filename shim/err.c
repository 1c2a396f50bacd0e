/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void err_clear(struct err *err)
{
	err->code = 0;
	err->text[0] = '\0';
}

/* Two ways of saying it share this; an empty format still has to count as an error. */
__attribute__((format(printf, 3, 0))) static void
set(struct err *err, int code, const char *format, va_list arguments)
{
	vsnprintf(err->text, sizeof(err->text), format, arguments);
	if (!err->text[0])
		memcpy(err->text, "error", sizeof("error"));
	err->code = code;
}

void err_set(struct err *err, int code, const char *format, ...)
{
	va_list arguments;

	if (!err || err->text[0])
		return;
	va_start(arguments, format);
	set(err, code, format, arguments);
	va_end(arguments);
}

void err_set_errno(struct err *err, int code, const char *format, ...)
{
	char buf[128];
	va_list arguments;

	if (!err || err->text[0])
		return;
	va_start(arguments, format);
	set(err, code, format, arguments);
	va_end(arguments);

	/* The GNU variant: a constant text, or one written into buf. */
	const char *reason = strerror_r(code, buf, sizeof(buf));
	size_t len = strlen(err->text);

	snprintf(err->text + len, sizeof(err->text) - len, ": %s", reason);
}
