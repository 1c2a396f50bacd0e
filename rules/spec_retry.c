/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPRetry, HTTPFaultInjection, HTTPMirrorPolicy and CorsPolicy (networking.istio.io/v1), with the
 * conditions of Istio's validation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/ascii.h"
#include "rules/resilience.h"
#include "rules/schema.h"

/* ---- HTTPRetry ---------------------------------------------------------------------------- */

/* One that has a name, as Go's http.StatusText() knows them. */
static bool is_status_code(const char *text, size_t len)
{
	static const struct range {
		int first, last;
	} known[] = {
	    {100, 103}, {200, 208}, {226, 226}, {300, 305}, {307, 308}, {400, 418},
	    {421, 426}, {428, 429}, {431, 431}, {451, 451}, {500, 508}, {510, 511},
	};
	int code = 0;

	for (size_t i = 0; i < len; i++)
		if (!ascii_is_digit(text[i]))
			return false;
	if (len == 3)
		code = atoi(text);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (code >= known[i].first && code <= known[i].last)
			return true;
	return false;
}

/* The bit of a condition (enum retry_on), 0 for one without effect; -1: there is no such. */
static int retry_condition(const char *text, size_t len)
{
	static const struct condition {
		const char *name;
		int bit;
	} known[] = {
	    {"5xx", RETRY_ON_5XX},
	    {"gateway-error", RETRY_ON_GATEWAY_ERROR},
	    {"reset", RETRY_ON_RESET},
	    {"reset-before-request", RETRY_ON_RESET_BEFORE_REQUEST},
	    {"connect-failure", RETRY_ON_CONNECT_FAILURE},
	    {"retriable-4xx", RETRY_ON_RETRIABLE_4XX},
	    {"refused-stream", 0},
	    {"retriable-status-codes", 0}, /* the numbers tell which */
	    {"retriable-headers", 0},
	    {"envoy-ratelimited", RETRY_ON_RATELIMITED},
	    {"http3-post-connect-failure", 0},
	    {"cancelled", RETRY_ON_GRPC_CANCELLED},
	    {"deadline-exceeded", RETRY_ON_GRPC_DEADLINE_EXCEEDED},
	    {"internal", RETRY_ON_GRPC_INTERNAL},
	    {"resource-exhausted", RETRY_ON_GRPC_RESOURCE_EXHAUSTED},
	    {"unavailable", RETRY_ON_GRPC_UNAVAILABLE},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == len && !memcmp(known[i].name, text, len))
			return known[i].bit;
	return is_status_code(text, len) ? RETRY_ON_STATUS_CODES : -1;
}

/* Step through the conditions of a retryOn. False: no more. */
static bool next_condition(const char **at, const char **name, size_t *len)
{
	const char *end;

	if (!*at)
		return false;
	*name = *at + strspn(*at, " ");
	end = *at + strcspn(*at, ",");
	*len = *name < end ? (size_t)(end - *name) : 0;
	while (*len && (*name)[*len - 1] == ' ')
		--*len;
	*at = *end ? end + 1 : NULL;
	return true;
}

static void check_retry_on(struct reader *reader, void *value)
{
	const struct text *text = value;
	const char *at = *text->s ? text->s : NULL, *name;
	size_t len;

	while (next_condition(&at, &name, &len))
		if (retry_condition(name, len) < 0)
			reader_error(reader, &text->where,
				     "\"%.*s\" is not a valid retryOn policy", (int)len, name);
}

static void check_attempts(struct reader *reader, void *value)
{
	struct number *attempts = value;

	if (attempts->value < 0)
		reader_error(reader, &attempts->where, "attempts cannot be negative");
	else if (attempts->value > INT32_MAX)
		reader_error(reader, &attempts->where, "attempts %lld is out of range",
			     attempts->value);
}

static void check_retry(struct reader *reader, void *group)
{
	struct http_retry *retry = group;
	const char *at = retry->retry_on.s, *name;
	size_t len;

	while (next_condition(&at, &name, &len)) {
		int bit = retry_condition(name, len);

		retry->conditions |= bit > 0 ? (unsigned)bit : 0;
	}
	if (retry->attempts.value == 0 &&
	    (retry->per_try_timeout.where.file || (retry->retry_on.s && *retry->retry_on.s) ||
	     retry->retry_remote_localities.set))
		reader_error(reader, &retry->where,
			     "http retry policy configured when attempts are set to 0 (disabled)");
}

static const struct key retry_keys[] = {
    KEY_NUMBER(struct http_retry, attempts, "attempts", .check = check_attempts),
    KEY_DURATION(struct http_retry, per_try_timeout, "perTryTimeout", .check = check_duration),
    KEY_TEXT(struct http_retry, retry_on, "retryOn", .check = check_retry_on),
    KEY_FLAG(struct http_retry, retry_remote_localities, "retryRemoteLocalities"),
    KEY_FLAG(struct http_retry, retry_ignore_previous_hosts, "retryIgnorePreviousHosts"),
    KEY_DURATION(struct http_retry, backoff, "backoff", .check = check_duration),
};
const struct schema http_retry_schema =
    SCHEMA("HTTPRetry", struct http_retry, retry_keys, .check = check_retry);

/* ---- HTTPFaultInjection ------------------------------------------------------------------- */

static void check_percent_number(struct reader *reader, void *value)
{
	struct number *percent = value;

	if (percent->value >= 0 && percent->value <= 100)
		return;
	reader_error(reader, &percent->where, "percentage %lld is not in range 0..100",
		     percent->value);
	percent->set = false;
}

static const struct key delay_keys[] = {
    KEY_DURATION(struct fault_delay, fixed_delay, "fixedDelay", .check = check_duration),
    KEY_GROUP(struct fault_delay, percentage, "percentage", percent_schema),
    KEY_NUMBER(struct fault_delay, percent, "percent", .check = check_percent_number,
	       .deprecated = "use percentage"),
    KEY_REFUSED("exponentialDelay", "exponentialDelay not supported yet: use fixedDelay",
		.offset = offsetof(struct fault_delay, exponential)),
};
static void check_delay(struct reader *reader, void *group)
{
	const struct fault_delay *delay = group;

	if (!delay->fixed_delay.where.file && !delay->exponential.file)
		reader_warning(reader, &delay->where, "delay configured, but fixedDelay not set");
}

static const struct schema delay_schema =
    SCHEMA("HTTPFaultInjection.Delay", struct fault_delay, delay_keys, .check = check_delay);

static void check_abort_status(struct reader *reader, void *value)
{
	const struct number *status = value;

	if (status->value < 200 || status->value > 599)
		reader_error(reader, &status->where, "HTTP status %lld is not in range 200-599",
			     status->value);
}

/* The number of a gRPC status (grpc/doc/statuscodes.md); -1: there is no such. */
static int grpc_status_number(const char *name)
{
	static const char *const names[] = {
	    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	    "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	    "UNAUTHENTICATED",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -1;
}

static void check_grpc_status(struct reader *reader, void *value)
{
	const struct text *text = value;

	if (grpc_status_number(text->s) < 0)
		reader_error(reader, &text->where, "gRPC status \"%s\" is not supported", text->s);
}

static void check_abort(struct reader *reader, void *group)
{
	struct fault_abort *abort = group;
	int set = (abort->http_status.where.file != NULL) + (abort->grpc_status.s != NULL);

	abort->grpc_number = abort->grpc_status.s ? grpc_status_number(abort->grpc_status.s) : -1;
	if (set > 1)
		reader_error(reader, &abort->where,
			     "only one of httpStatus and grpcStatus can be set");
	else if (!set && !abort->http2_error.file)
		reader_warning(reader, &abort->where, "abort configured, but error type not set");
}

static const struct key abort_keys[] = {
    KEY_NUMBER(struct fault_abort, http_status, "httpStatus", .check = check_abort_status),
    KEY_TEXT(struct fault_abort, grpc_status, "grpcStatus", .check = check_grpc_status),
    KEY_GROUP(struct fault_abort, percentage, "percentage", percent_schema),
    KEY_REFUSED("http2Error", "HTTP/2 abort fault injection not supported yet: use httpStatus",
		.offset = offsetof(struct fault_abort, http2_error)),
};
static const struct schema abort_schema =
    SCHEMA("HTTPFaultInjection.Abort", struct fault_abort, abort_keys, .check = check_abort);

static void check_fault(struct reader *reader, void *group)
{
	const struct http_fault *fault = group;

	if (!fault->delay && !fault->abort)
		reader_error(reader, &fault->where,
			     "HTTP fault injection must have an abort and/or a delay");
}

static const struct key fault_keys[] = {
    KEY_GROUP(struct http_fault, delay, "delay", delay_schema),
    KEY_GROUP(struct http_fault, abort, "abort", abort_schema),
};
const struct schema http_fault_schema =
    SCHEMA("HTTPFaultInjection", struct http_fault, fault_keys, .check = check_fault);

/* ---- HTTPMirrorPolicy --------------------------------------------------------------------- */

/* Unlike other percentages, it may be as small as one likes. */
static void check_mirror_percent(struct reader *reader, void *value)
{
	struct decimal *percent = value;

	if (percent->value >= 0 && percent->value <= 100)
		return;
	reader_error(reader, &percent->where,
		     "mirror percentage must have a max value of 100, and a min value of 0");
	percent->set = false;
}

static const struct key mirror_percent_keys[] = {
    KEY_DECIMAL(struct percent, value, "value", .check = check_mirror_percent),
};
const struct schema mirror_percent_schema = SCHEMA("Percent", struct percent, mirror_percent_keys);

static const struct key mirror_keys[] = {
    KEY_GROUP(struct http_mirror, destination, "destination", destination_schema,
	      .required = "destination is required for mirrors"),
    KEY_GROUP(struct http_mirror, percentage, "percentage", mirror_percent_schema),
};
const struct schema mirror_schema = SCHEMA("HTTPMirrorPolicy", struct http_mirror, mirror_keys);

/* ---- CorsPolicy --------------------------------------------------------------------------- */

/* Checked as Istio does, so that a file which passes here passes there; nothing comes of it. */
struct cors_origin {
	struct where where;
	struct text exact, prefix, regex;
};

static void check_origin(struct reader *reader, void *group)
{
	const struct cors_origin *origin = group;
	struct pattern_error error;
	struct pattern *pattern;

	if ((origin->exact.s != NULL) + (origin->prefix.s != NULL) + (origin->regex.s != NULL) != 1)
		reader_error(reader, &origin->where,
			     "\"corsPolicy.allowOrigins\": one of exact, prefix and regex must be "
			     "set");
	if (!origin->regex.s)
		return;
	pattern = pattern_new(origin->regex.s, &error);
	if (!pattern)
		reader_error(reader, &origin->regex.where,
			     "\"corsPolicy.allowOrigins\": %s; Istio uses RE2 style regex-based "
			     "match (https://github.com/google/re2/wiki/Syntax)",
			     error.text);
	pattern_free(pattern);
}

static const struct key origin_keys[] = {
    KEY_TEXT(struct cors_origin, exact, "exact"),
    KEY_TEXT(struct cors_origin, prefix, "prefix"),
    KEY_TEXT(struct cors_origin, regex, "regex"),
};
static const struct schema origin_schema =
    SCHEMA("CorsPolicy.allowOrigins", struct cors_origin, origin_keys, .check = check_origin);

static void check_methods(struct reader *reader, void *value)
{
	static const char *const known[] = {"GET",     "HEAD",	  "POST",  "PUT",   "PATCH",
					    "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"};
	const struct list *list = value;
	const struct text *items = list->items;

	for (size_t i = 0; i < list->n; i++) {
		size_t j = 0;

		while (j < sizeof(known) / sizeof(known[0]) && strcmp(items[i].s, known[j]) != 0)
			j++;
		if (j == sizeof(known) / sizeof(known[0]))
			reader_error(reader, &items[i].where, "\"%s\" is not a supported HTTP method",
				     items[i].s);
	}
}

static void check_max_age(struct reader *reader, void *value)
{
	const struct duration *age = value;

	if (age->ns % 1000000000)
		reader_error(reader, &age->where, "max_age duration is accurate only to seconds "
						  "precision");
	else
		check_duration(reader, value);
}

static const struct choice_name preflight_names[] = {
    {.name = "UNSPECIFIED", .value = 0},
    {.name = "FORWARD", .value = 1},
    {.name = "IGNORE", .value = 2},
    {.name = NULL},
};

static void check_cors(struct reader *reader, void *group)
{
	const struct cors_policy *cors = group;

	reader_say(reader, SEVERITY_WARNING, NULL, &cors->where,
		   "HTTPRoute.corsPolicy has no effect here: it concerns servers");
}

static const struct key cors_keys[] = {
    KEY_GROUPS(struct cors_policy, allow_origins, "allowOrigins", origin_schema),
    KEY_TEXTS(struct cors_policy, allow_origin, "allowOrigin",
	      .deprecated = "use allowOrigins"),
    KEY_TEXTS(struct cors_policy, allow_methods, "allowMethods", .check = check_methods),
    KEY_TEXTS(struct cors_policy, allow_headers, "allowHeaders"),
    KEY_TEXTS(struct cors_policy, expose_headers, "exposeHeaders"),
    KEY_DURATION(struct cors_policy, max_age, "maxAge", .check = check_max_age),
    KEY_FLAG(struct cors_policy, allow_credentials, "allowCredentials"),
    KEY_CHOICE(struct cors_policy, unmatched_preflights, "unmatchedPreflights", preflight_names),
};
const struct schema cors_schema =
    SCHEMA("CorsPolicy", struct cors_policy, cors_keys, .check = check_cors);
