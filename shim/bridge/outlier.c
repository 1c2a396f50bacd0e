/* SPDX-License-Identifier: Apache-2.0 */
/* The semantics are those of Envoy's outlier_detection_impl.cc under Istio's
 * applyOutlierDetection(). */
#include "shim/bridge/outlier.h"

#include "rules/destination_rule.h"

#define CONSECUTIVE_ERRORS   5
#define INTERVAL_MS	     10000
#define EJECTION_MS	     30000
#define EJECTION_MAX_MS	     300000
#define MAX_EJECTION_PERCENT 10

static uint64_t ms_or(const struct duration *duration, uint64_t otherwise)
{
	return duration->ns >= 1000000 ? (uint64_t)duration->ns / 1000000 : otherwise;
}

uint64_t outlier_interval(const struct outlier_detection *settings)
{
	return settings ? ms_or(&settings->interval, INTERVAL_MS) : INTERVAL_MS;
}

static size_t count_ejected(struct host *const *hosts, size_t n)
{
	size_t ejected = 0;

	for (size_t i = 0; i < n; i++)
		ejected += hosts[i]->ejected;
	return ejected;
}

/* ---- ejecting ---------------------------------------------------------------------------- */

/* What outlier_note() was asked. */
struct note {
	const struct outlier_detection *settings;
	struct host *const *hosts;
	size_t n;
	struct host *host;
	uint64_t now;
};

static bool may_eject(const struct note *note)
{
	long long most = note->settings->max_ejection_percent.value;

	if (most <= 0)
		most = MAX_EJECTION_PERCENT;
	return (count_ejected(note->hosts, note->n) + 1) * 100 <= (uint64_t)most * note->n;
}

static uint64_t base_ms(const struct outlier_detection *settings)
{
	return ms_or(&settings->base_ejection_time, EJECTION_MS);
}

static uint64_t max_ms(const struct outlier_detection *settings)
{
	uint64_t base = base_ms(settings);

	return base > EJECTION_MAX_MS ? base : EJECTION_MAX_MS;
}

static void eject(const struct note *note)
{
	struct outlier_record *record = &note->host->outlier;

	note->host->ejected = true;
	record->ejected_at = note->now;
	/* Above the longest time there is nothing to multiply, and to forget later. */
	if (record->ejections * base_ms(note->settings) <
	    max_ms(note->settings) + base_ms(note->settings))
		record->ejections++;
}

/* One more error in a row; `limit` 0: they do not matter. The row ends where the host could be
 * ejected, also if it may not be. */
static void count_error(const struct note *note, unsigned *errors, long long limit)
{
	if (limit <= 0 || ++*errors < limit)
		return;
	*errors = 0;
	if (!note->host->ejected && may_eject(note))
		eject(note);
}

static void note_status(const struct note *note, int status)
{
	const struct outlier_detection *settings = note->settings;
	struct outlier_record *record = &note->host->outlier;

	if (status < 500 || status > 599) {
		record->consecutive_5xx = record->consecutive_gateway = 0;
		return;
	}
	if (status >= 502 && status <= 504)
		count_error(note, &record->consecutive_gateway,
			    settings->consecutive_gateway_errors.value);
	else
		record->consecutive_gateway = 0;
	count_error(note, &record->consecutive_5xx,
		    settings->consecutive_5xx_errors.set ? settings->consecutive_5xx_errors.value
							 : CONSECUTIVE_ERRORS);
}

/* splitExternalLocalOriginErrors */
static void note_local(const struct note *note, enum outlier_event event)
{
	struct outlier_record *record = &note->host->outlier;
	long long limit = note->settings->consecutive_local_origin_failures.value;

	if (event == OUTLIER_CONNECTED || event == OUTLIER_CONNECTED_ONLY)
		record->consecutive_local = 0;
	else
		count_error(note, &record->consecutive_local,
			    limit > 0 ? limit : CONSECUTIVE_ERRORS);
}

static void note_event(const struct note *note, enum outlier_event event, int status)
{
	if (event == OUTLIER_STATUS) {
		note_status(note, status);
		return;
	}
	if (note->settings->split_external_local_origin_errors.value) {
		note_local(note, event);
		return;
	}
	switch (event) {
	case OUTLIER_STATUS:
	case OUTLIER_CONNECTED: /* the answer counts */
		return;
	case OUTLIER_CONNECTED_ONLY:
		note_status(note, 200);
		return;
	case OUTLIER_TIMEOUT:
		note_status(note, 504);
		return;
	case OUTLIER_CONNECT_FAILED:
	case OUTLIER_RESET:
		note_status(note, 503);
	}
}

bool outlier_note(const struct outlier_detection *settings, struct host *const *hosts, size_t n,
		  struct host *host, enum outlier_event event, int status, uint64_t now)
{
	struct note note = {.settings = settings, .hosts = hosts, .n = n, .host = host, .now = now};

	/* Whatever an ejected host does, it comes back with a clean slate. */
	if (!settings || host->ejected)
		return false;
	note_event(&note, event, status);
	return host->ejected;
}

/* ---- coming back ------------------------------------------------------------------------- */

static bool is_over(const struct outlier_detection *settings, const struct host *host, uint64_t now)
{
	uint64_t time = base_ms(settings) * host->outlier.ejections;

	if (time > max_ms(settings))
		time = max_ms(settings);
	return now - host->outlier.ejected_at >= time;
}

static void come_back(struct host *host, uint64_t now)
{
	struct outlier_record *record = &host->outlier;

	host->ejected = false;
	record->consecutive_5xx = record->consecutive_gateway = record->consecutive_local = 0;
	record->returned_at = now;
}

bool outlier_sweep(const struct outlier_detection *settings, struct host *const *hosts, size_t n,
		   uint64_t now)
{
	bool any = false;

	if (!settings)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct host *host = hosts[i];

		if (host->ejected && is_over(settings, host, now)) {
			come_back(host, now);
			any = true;
		} else if (!host->ejected && host->outlier.ejections > 0 &&
			   now - host->outlier.returned_at >= outlier_interval(settings)) {
			host->outlier.ejections--;
		}
	}
	return any;
}

bool outlier_panic(const struct outlier_detection *settings, struct host *const *hosts, size_t n)
{
	if (!settings || settings->min_health_percent.value <= 0)
		return false;
	size_t healthy = n - count_ejected(hosts, n);
	return healthy * 100 < (uint64_t)settings->min_health_percent.value * n;
}
