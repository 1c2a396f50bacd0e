/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bridge/tls_error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What to look at. */
static const char *hint(unsigned long error)
{
	int lib = ERR_GET_LIB(error), reason = ERR_GET_REASON(error);

	if (lib == ERR_LIB_SSL &&
	    (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
	     reason == SSL_R_HTTP_REQUEST))
		return " (is the server speaking TLS on this port?)";
	if (lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE)
		return " (is it PEM?)";
	return "";
}

/* OpenSSL names alerts after the version that introduced them ("sslv3 alert bad certificate"). */
static bool is_alert(unsigned long error, const char **name)
{
	int alert = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;

	if (ERR_GET_LIB(error) != ERR_LIB_SSL || alert < 0 || alert > 255)
		return false;
	*name = SSL_alert_desc_string_long(alert);
	if (strcmp(*name, "unknown") == 0)
		*name = alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
							     : ERR_reason_error_string(error);
	return *name != NULL;
}

void tls_error(struct err *err, const char *format, ...)
{
	unsigned long error = ERR_peek_error();
	const char *reason;
	char what[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);

	if (error == 0)
		err_set(err, 0, "%s", what);
	else if (ERR_SYSTEM_ERROR(error))
		err_set_errno(err, ERR_GET_REASON(error), "%s", what);
	else if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
		err_set_errno(err, ENOMEM, "%s", what);
	else if (is_alert(error, &reason))
		err_set(err, 0, "%s: the server sent alert \"%s\"", what, reason);
	else if ((reason = ERR_reason_error_string(error)))
		err_set(err, 0, "%s: %s%s", what, reason, hint(error));
	else
		err_set(err, 0, "%s: OpenSSL error %lx", what, error);
	ERR_clear_error();
}
