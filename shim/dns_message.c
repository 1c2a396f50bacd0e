/* SPDX-License-Identifier: Apache-2.0 */
/* Every read is bounded by a cursor that fails once and for all: offsets are never compared by
 * hand. */
#include "shim/dns_message.h"

#include <string.h>

#include "rules/ascii.h"
#include "shim/address.h"

#define CLASS_IN 1

#define FLAG_RESPONSE      0x8000
#define FLAG_OPCODE        0x7800
#define FLAG_AUTHORITATIVE 0x0400
#define FLAG_RD            0x0100
#define FLAG_RA            0x0080
#define FLAG_CD            0x0010

#define OPTION_COOKIE   10
#define EDNS_DO         0x8000
#define EDNS_UDP_SIZE   1232
#define COOKIE_MIN      16 /* with the server's part */
#define COOKIE_MAX      40
#define POINTER         0xc0

/* ---- reading ---------------------------------------------------------------------------- */

struct cursor {
	const uint8_t *data;
	size_t len, at;
	bool failed; /* the data ended too early */
};

static const uint8_t *take(struct cursor *cursor, size_t n)
{
	if (cursor->failed || n > cursor->len - cursor->at) {
		cursor->failed = true;
		return NULL;
	}
	cursor->at += n;
	return cursor->data + cursor->at - n;
}

static unsigned take8(struct cursor *cursor)
{
	const uint8_t *byte = take(cursor, 1);

	return byte ? byte[0] : 0;
}

static unsigned take16(struct cursor *cursor)
{
	const uint8_t *byte = take(cursor, 2);

	return byte ? (unsigned)byte[0] << 8 | byte[1] : 0;
}

/*
 * The name of a question as text. False: no host name, whatever may follow; the end of the data is
 * left to cursor->failed.
 */
static bool take_name(struct cursor *cursor, char text[256])
{
	size_t start = cursor->at, len = 0;

	for (;;) {
		unsigned size = take8(cursor);
		const uint8_t *label = take(cursor, size < POINTER ? size : 0);

		if (size & POINTER || (!cursor->failed && cursor->at - start > 255))
			return false;
		if (cursor->failed || size == 0)
			break;
		if (memchr(label, '.', size) || memchr(label, '\0', size))
			return false;
		memcpy(text + len, label, size);
		len += size;
		text[len++] = '.';
	}
	text[len ? len - 1 : 0] = '\0';
	return true;
}

enum dns_status dns_read_question(const void *message, size_t len, struct dns_question *question)
{
	struct cursor cursor = {.data = message, .len = len};

	take16(&cursor); /* the id */
	unsigned flags = take16(&cursor);
	if (!cursor.failed && flags & (FLAG_RESPONSE | FLAG_OPCODE))
		return DNS_OTHER;
	unsigned questions = take16(&cursor);
	if (!cursor.failed && questions != 1)
		return DNS_OTHER;
	if (!take(&cursor, DNS_HEADER - 6))
		return DNS_SHORT;
	if (!take_name(&cursor, question->name))
		return DNS_OTHER;
	question->type = (uint16_t)take16(&cursor);
	unsigned class = take16(&cursor);
	question->end = cursor.at;
	if (cursor.failed)
		return DNS_SHORT;
	return class == CLASS_IN ? DNS_QUERY : DNS_OTHER;
}

/* A name in a record, which nobody needs. False: no name. */
static bool skip_name(struct cursor *cursor)
{
	size_t start = cursor->at;

	for (;;) {
		size_t at = cursor->at;
		unsigned size = take8(cursor);

		if (cursor->failed || size == 0)
			return !cursor->failed && cursor->at - start <= 255;
		if ((size & POINTER) == POINTER) /* it ends here; pointers go backwards */
			return ((size & 0x3f) << 8 | take8(cursor)) < at && !cursor->failed;
		if (size & POINTER || !take(cursor, size))
			return false;
	}
}

static bool read_options(struct cursor *cursor, struct dns_query *query)
{
	while (cursor->at < cursor->len) {
		unsigned code = take16(cursor);
		unsigned len = take16(cursor);
		const uint8_t *data = take(cursor, len);

		if (!data)
			return false;
		if (code == OPTION_COOKIE && len >= COOKIE_MIN && len <= COOKIE_MAX) {
			query->cookie = data;
			query->cookie_len = len;
		}
	}
	return true;
}

/* One record of the additional section. */
static bool read_additional(struct cursor *cursor, struct dns_query *query)
{
	size_t start = cursor->at;
	bool named = skip_name(cursor);
	bool is_root = cursor->at == start + 1;
	unsigned type = take16(cursor);

	take16(cursor); /* OPT: the size of UDP answers that are taken; ours always fit */
	unsigned version = take16(cursor) & 0xff;
	unsigned flags = take16(cursor);
	unsigned len = take16(cursor);
	const uint8_t *data = take(cursor, len);

	if (!named || !data)
		return false;
	if (type != DNS_OPT)
		return true;
	if (!is_root || query->edns)
		return false;
	query->edns = true;
	query->version = (uint8_t)version;
	query->dnssec_ok = flags & EDNS_DO;
	struct cursor options = {.data = data, .len = len};

	return read_options(&options, query);
}

bool dns_read_query(const void *message, size_t len, struct dns_query *query)
{
	struct cursor cursor = {.data = message, .len = len, .at = 6};

	memset(query, 0, sizeof(*query));
	if (dns_read_question(message, len, &query->question) != DNS_QUERY)
		return false;
	unsigned answers = take16(&cursor);
	unsigned authorities = take16(&cursor);
	unsigned additional = take16(&cursor);

	cursor.at = query->question.end;
	for (unsigned i = 0; i < additional; i++)
		if (!read_additional(&cursor, query))
			return false;
	return answers == 0 && authorities == 0 && cursor.at == len;
}

/* ---- writing ---------------------------------------------------------------------------- */

/* DNS_REPLY_MAX has room for the longest question, all records and the longest cookie. */
struct pen {
	uint8_t *out;
	size_t len;
};

static void put(struct pen *pen, const void *data, size_t n)
{
	memcpy(pen->out + pen->len, data, n);
	pen->len += n;
}

static void put16(struct pen *pen, unsigned value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(pen, bytes, sizeof(bytes));
}

/* A record of the name that was asked for, up to its data. */
static void put_record(struct pen *pen, enum dns_type type, size_t data_len)
{
	put16(pen, POINTER << 8 | DNS_HEADER);
	put16(pen, type);
	put16(pen, CLASS_IN);
	put16(pen, 0);
	put16(pen, DNS_TTL_S);
	put16(pen, (unsigned)data_len);
}

/* Text to labels. Returns the length, 0: no name. */
static size_t encode_name(const char *text, uint8_t out[255])
{
	size_t len = 0;

	while (*text) {
		size_t label = strcspn(text, ".");

		if (label == 0 || label > 63 || len + label + 2 > 255)
			return 0;
		out[len++] = (uint8_t)label;
		memcpy(out + len, text, label);
		len += label;
		text += label + (text[label] == '.');
	}
	out[len++] = 0;
	return len > 1 ? len : 0;
}

static void put_opt(struct pen *pen, const struct dns_query *query, enum dns_rcode rcode)
{
	uint8_t head[] = {0, 0, DNS_OPT};

	put(pen, head, sizeof(head));
	put16(pen, EDNS_UDP_SIZE);
	put16(pen, (rcode >> 4) << 8); /* version 0 */
	put16(pen, query->dnssec_ok ? EDNS_DO : 0);
	put16(pen, query->cookie ? 4 + (unsigned)query->cookie_len : 0);
	/* A resolver that knows its server to send cookies drops a reply without: it gets back the
	 * one that it has from there. */
	if (query->cookie) {
		put16(pen, OPTION_COOKIE);
		put16(pen, (unsigned)query->cookie_len);
		put(pen, query->cookie, query->cookie_len);
	}
}

static void put_header(struct pen *pen, const uint8_t *message, const struct dns_query *query,
		       const struct dns_reply *reply)
{
	unsigned asked = (unsigned)message[2] << 8 | message[3];

	put(pen, message, 2); /* the id */
	put16(pen, FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RA | (asked & (FLAG_RD | FLAG_CD)) |
		       (reply->rcode & 0xf));
	put16(pen, 1);
	put16(pen, (unsigned)reply->has4 + reply->has6 + (reply->pointer != NULL));
	put16(pen, 0);
	put16(pen, query->edns);
	put(pen, message + DNS_HEADER, query->question.end - DNS_HEADER);
}

size_t dns_write_reply(const void *message, const struct dns_query *query,
		       const struct dns_reply *reply, uint8_t out[DNS_REPLY_MAX])
{
	struct pen pen = {.out = out};
	uint8_t name[255];
	size_t name_len = reply->pointer ? encode_name(reply->pointer, name) : 0;

	if (reply->pointer && !name_len)
		return 0;
	put_header(&pen, message, query, reply);
	if (reply->has4) {
		put_record(&pen, DNS_A, sizeof(reply->v4));
		put(&pen, &reply->v4, sizeof(reply->v4));
	}
	if (reply->has6) {
		put_record(&pen, DNS_AAAA, sizeof(reply->v6));
		put(&pen, &reply->v6, sizeof(reply->v6));
	}
	if (reply->pointer) {
		put_record(&pen, DNS_PTR, name_len);
		put(&pen, name, name_len);
	}
	if (query->edns)
		put_opt(&pen, query, reply->rcode);
	return pen.len;
}

/* ---- reverse names ---------------------------------------------------------------------- */

static bool reverse_v4(const char *name, struct in6_addr *ip)
{
	struct in_addr v4;
	uint8_t bytes[4];

	for (int i = 3; i >= 0; i--) {
		unsigned value = 0;
		int digits = 0;

		while (name[digits] >= '0' && name[digits] <= '9' && digits < 4)
			value = value * 10 + (unsigned)(name[digits++] - '0');
		if (digits == 0 || value > 255 || (digits > 1 && *name == '0') ||
		    name[digits] != '.')
			return false;
		bytes[i] = (uint8_t)value;
		name += digits + 1;
	}
	memcpy(&v4, bytes, sizeof(v4));
	*ip = address_map_v4(v4);
	return ascii_equal_nocase(name, "in-addr.arpa");
}

static bool reverse_v6(const char *name, struct in6_addr *ip)
{
	static const char digits[] = "0123456789abcdef";

	memset(ip, 0, sizeof(*ip));
	for (int i = 31; i >= 0; i--) {
		const char *digit = *name ? strchr(digits, ascii_lower(*name)) : NULL;

		if (!digit || name[1] != '.')
			return false;
		ip->s6_addr[i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 0 : 4));
		name += 2;
	}
	return ascii_equal_nocase(name, "ip6.arpa");
}

bool dns_reverse_name(const char *name, struct in6_addr *ip)
{
	return reverse_v4(name, ip) || reverse_v6(name, ip);
}
